"""What mbgen can use on this machine: which programs and packages are here, for which targets, and how to get the rest.

Knows targets and their tools. May not know networks, libraries or the terminal.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbgen.measuring.llvm import VERSION
from mbgen.target import Target, all_targets
from mbgen.toolchain import Tool, status

VERSION_SECONDS = 10


@dataclass(frozen=True)
class Need:
    """Something that is used here: a program of Debian's `packages`, or a Python package, which has none.

    `found` is its version in its own words, None if it is not here or lacks its C library.
    """

    name: str
    purpose: str
    targets: tuple[str, ...]  # empty: whatever the target
    packages: tuple[str, ...]
    found: str | None


def examine(targets: Sequence[Target] = ()) -> tuple[Need, ...]:
    """What the targets need, each tool once; without any, what all of them need and what mbgen can use beside."""
    users: dict[Tool, list[str]] = {}
    for target in targets or all_targets():
        for tool in status(target):
            users.setdefault(tool, []).append(target.name)
    tools = [
        Need(tool.program, tool.purpose, tuple(names), tool.packages, _program_version(tool))
        for tool, names in users.items()
    ]
    return (*tools, *([] if targets else _besides()))


def _besides() -> tuple[Need, ...]:
    """What no target needs to build and run, but `verify` and `bench` make use of."""
    name = f"llvm-mca-{VERSION}"
    found = shutil.which(name)
    pricing = Tool(name, "run", (f"llvm-{VERSION}",), None if found is None else Path(found))
    modelled = tuple(target.name for target in all_targets() if target.emulator and target.mca_cpu)
    return (
        Need(name, "model cycles", modelled, pricing.packages, _program_version(pricing)),
        Need("ai-edge-litert", "compare TFLite models", (), (), _package_version("ai-edge-litert")),
    )


def install_command(needs: Sequence[Need]) -> str | None:
    """One command line for all that is missing, on Debian and its kin; None if nothing is."""
    missing = [need for need in needs if need.found is None]
    packages = dict.fromkeys(package for need in missing for package in need.packages)
    python = [need.name for need in missing if not need.packages]
    root = "" if os.geteuid() == 0 else "sudo "
    commands = [
        *([f"{root}apt-get install --yes {' '.join(packages)}"] if packages else []),
        *([f"pip install {' '.join(python)}"] if python else []),
    ]
    return " && ".join(commands) or None


def _program_version(tool: Tool) -> str | None:
    if tool.path is None:
        return None
    done = subprocess.run(
        [tool.path, "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=VERSION_SECONDS,
        check=False,
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    return next((line for line in lines if re.search(r"\d", line)), "of no version")


def _package_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
