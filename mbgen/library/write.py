"""A library to a folder: all of it or nothing, and never over files that mbgen did not write.

Knows file systems and the manifest's list of files. May not know what the files mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mbgen.errors import InputError
from mbgen.library.manifest import MANIFEST
from mbgen.library.render import Library

_SHOWN = 3  # foreign files that a message names


def write(library: Library, directory: Path) -> None:
    """Make `directory` hold the library and nothing else; its parents are made if they are missing.

    The files are written beside it and moved there when they are complete. A library that mbgen wrote there before is
    replaced. InputError, with nothing changed, if the folder holds other files or cannot be written.
    """
    try:
        _replace(library, directory.resolve(), directory)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"cannot write the library to {directory}: {reason}; give another folder with --output"
        ) from error


def _replace(library: Library, directory: Path, given: Path) -> None:
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"cannot write the library to {given}: {nearest} is a file; give a folder with --output")
    if directory.exists():
        _refuse_foreign_files(directory, given)
    directory.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    new, old = workshop / "new", workshop / "old"
    try:
        for path, content in library.files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(content)
        if directory.exists():
            directory.rename(old)
        try:
            new.rename(directory)
        except BaseException:
            if old.exists():
                old.rename(directory)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        with contextlib.suppress(OSError):  # it still holds the old library if that could not be put back
            workshop.rmdir()


def _refuse_foreign_files(directory: Path, given: Path) -> None:
    listed = _listed_files(directory)
    foreign = sorted(set(_files(directory)) - listed)
    if foreign:
        shown = ", ".join(foreign[:_SHOWN]) + (f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else "")
        raise InputError(
            f"{given} holds files that mbgen did not write: {shown}. "
            "Move them away or give another folder with --output; nothing was changed"
        )


def _files(directory: Path) -> Iterator[str]:
    """Every file and link below `directory`, as the manifest would list it; OSError where one cannot look."""
    for folder, folders, files in os.walk(directory, onerror=_raise):
        for name in (*files, *(name for name in folders if (Path(folder) / name).is_symlink())):
            yield (Path(folder) / name).relative_to(directory).as_posix()


def _raise(error: OSError) -> None:
    raise error


def _listed_files(directory: Path) -> frozenset[str]:
    """The files of the library that mbgen wrote in `directory`; none if it holds no manifest of mbgen's."""
    try:
        manifest: Any = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if "mbgen" not in manifest["generator"]:
            return frozenset()
        return frozenset({MANIFEST, *(entry["path"] for entry in manifest["files"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return frozenset()
