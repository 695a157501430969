"""C and C++ compilers as tests call them; a test is skipped, or fails under MBGEN_REQUIRE_TOOLS=1, without its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wvla", "-Werror")
C_STANDARDS = ("c99", "c11", "c17")


def need(program: str) -> str:
    """The program's name, if it is installed."""
    if shutil.which(program) is None:
        message = f"{program} is not installed"
        if os.environ.get("MBGEN_REQUIRE_TOOLS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return program


def call(command: Sequence[str | Path]) -> str:
    """Run a command that must succeed without a word of complaint, and return what it printed."""
    need(str(command[0]))
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def compile_objects(command: Sequence[str | Path], sources: Iterable[Path], folder: Path) -> list[Path]:
    """Compile each source on its own; `command` is the compiler with its flags."""
    objects = []
    for source in sources:
        objects.append(folder / f"{source.stem}.o")
        call([*command, "-c", source, "-o", objects[-1]])
    return objects


def includes(*directories: Path) -> list[str]:
    """The include paths that a library's own sources are compiled with."""
    return [f"-I{directory / folder}" for directory in directories for folder in ("include", "src")]


def sources(*directories: Path) -> list[Path]:
    """The C files of some libraries."""
    return [source for directory in directories for source in sorted((directory / "src").glob("*.c"))]
