"""The deepest stack of a library by GCC's own account of each function's frame, as if every path were taken."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.compilers import call, includes, sources

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \(static\)')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


def deepest_stack(directory: Path, compiler: str, folder: Path) -> int:
    """Bytes that NAME_invoke and what it calls reserve; functions of other libraries, such as memcpy, count as none."""
    manifest = json.loads((directory / "manifest.json").read_text())
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for source in sources(directory):
        item = folder / f"{source.stem}.o"
        flags = [*manifest["target"]["c_flags"], *includes(directory), "-fcallgraph-info=su"]
        call([compiler, *flags, "-c", source, "-o", item])
        graph = item.with_suffix(".ci").read_text()
        frames |= {_name(title): int(size) for title, size in _NODE.findall(graph)}
        for caller, callee in _EDGE.findall(graph):
            calls.setdefault(_name(caller), set()).add(_name(callee))

    def deepest(function: str) -> int:
        return frames.get(function, 0) + max(map(deepest, calls.get(function, ())), default=0)

    return deepest(f"{manifest['name']}_invoke")


def _name(title: str) -> str:
    """A static function's title has its file's path before the name."""
    return title.rpartition(":")[2]
