"""What the readers of model files share: telling kinds of file apart, and names that are safe to print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

LIMIT = 2**31  # elements of a tensor: indices of the generated C are 32 bits wide

MAGIC: Mapping[bytes, str] = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer (fetch the file itself with git lfs pull)",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"{": "JSON",
}


def describe(content: bytes) -> str:
    """What a file is that is not the model it should be, as the end of the sentence "this is ..."."""
    if not content:
        return "the file is empty"
    if content[4:8] == b"TFL3":
        return "this is a TFLite model"
    return next(
        (f"this is {kind}" for magic, kind in MAGIC.items() if content.startswith(magic)),
        "this is some other kind of file",
    )


def shown(name: str, limit: int = 80) -> str:
    """A name from a file, quoted, with control characters escaped and no longer than a line."""
    return repr(name if len(name) <= limit else f"{name[:limit]}...")


def listed(items: Sequence[str], limit: int = 8) -> str:
    """The first few of `items`, and how many more there are."""
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more} more" if more > 0 else "")


def first_of_each(nodes: Sequence[tuple[str, str]]) -> str:
    """Of (operator, node) pairs the first node of each operator, and how many more there are."""
    counts = Counter(kind for kind, _ in nodes)
    firsts = dict(reversed(nodes))
    return listed(
        [firsts[kind] + (f" and {n - 1} more {kind}" if n > 1 else "") for kind, n in counts.items()], limit=20
    )


def first_line(error: Exception) -> str:
    """What a foreign exception says, on one short line."""
    return shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
