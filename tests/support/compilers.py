"""C and C++ compilers as tests call them; a test is skipped, or fails under MBGEN_REQUIRE_TOOLS=1, without its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Wvla", "-Werror")
C_STANDARDS = ("c99", "c11", "c17")
# C compiler, C++ compiler, target whose flags they understand
COMPILERS = (
    ("gcc", "g++", "host"),
    ("clang", "clang++", "host"),
    ("arm-none-eabi-gcc", "arm-none-eabi-g++", "cortex-m4"),
    ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++", "cortex-a72"),
)

_EMITTED = frozenset({"memcpy", "memset", "memmove", "memcmp"})  # what a compiler may call for plain C


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


def check_strict(directory: Path, command: Sequence[str | Path], folder: Path) -> None:
    """Every source and every header of a library compiles without a warning; headers also on their own and twice."""
    strict = [*command, *STRICT, *includes(directory)]
    compile_objects(strict, sources(directory), folder)
    for header in sorted(directory.glob("*/*.h")):
        alone = folder / "alone.c"
        alone.write_text(f'#include "{header.name}"\n#include "{header.name}"\ntypedef int not_empty;\n')
        call([*strict, "-fsyntax-only", alone])


def check_symbols(directory: Path, command: Sequence[str | Path], folder: Path, may_call: frozenset[str]) -> None:
    """A library calls itself, `may_call` and what compilers emit calls to; it has no variable that can be written."""
    objects = compile_objects([*command, *includes(directory)], sources(directory), folder)
    symbols = [line.split() for line in call(["nm", "-P", *objects]).splitlines() if not line.endswith(":")]
    defined = {name: kind for name, kind, *_ in symbols if kind != "U"}
    foreign = {name for name, kind, *_ in symbols if kind == "U"} - defined.keys() - _EMITTED - may_call
    assert {name for name in foreign if not name.startswith("__aeabi_")} == set()
    assert {kind for kind in defined.values() if kind not in "TtRrn"} == set()
    prefix = json.loads((directory / "manifest.json").read_text())["name"]
    outside = {name for name, kind in defined.items() if kind.isupper()}
    assert all(name.startswith(f"{prefix}_") for name in outside)
    assert {f"{prefix}_invoke", f"{prefix}_self_test"} <= outside
