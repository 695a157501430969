"""The compilers and emulators of this machine: which are here, what to install, and how to call them.

Knows programs, flags and Debian packages. May not know networks or the files of a generated library.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mbgen.errors import MbgenError, MissingToolError, RefusedError, TimeoutRefusedError
from mbgen.target import Target

Purpose = Literal["build", "run"]

COMPILE_SECONDS = 600  # for one file; a large network's weights take longest
SHOWN_LINES = 12  # of a program's output in an error message


@dataclass(frozen=True)
class Tool:
    """A program that a target needs on this machine; `path` is None if it or its C library is not here."""

    program: str
    purpose: Purpose
    packages: tuple[str, ...]  # of Debian
    path: Path | None

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"apt-get install {' '.join(self.packages)}"


def status(target: Target) -> tuple[Tool, ...]:
    """What `target` needs here: the compiler and, unless its code runs on the host itself, the emulator."""
    compiler = Tool(target.compiler, "build", target.compiler_packages, _compiler_path(target))
    if target.emulator is None:
        return (compiler,)
    return compiler, Tool(target.emulator, "run", target.emulator_packages, _which(target.emulator))


def require(target: Target, purposes: Sequence[Purpose] = get_args(Purpose)) -> None:
    """Raise MissingToolError, with the command that helps, unless code for `target` builds and runs on this machine."""
    for tool in status(target):
        if tool.purpose in purposes and tool.path is None:
            raise MissingToolError(
                f"{target.name} needs {tool.program} to {tool.purpose}; install it with: {tool.install}"
            )


def build(
    target: Target, sources: Sequence[Path], executable: Path, c_flags: Sequence[str], link_flags: Sequence[str] = ()
) -> None:
    """Compile C sources in parallel and link them with `c_flags` and `link_flags`; objects go beside `executable`.

    MissingToolError without the compiler; MbgenError with the compiler's first lines if it reports an error.
    """
    require(target, ["build"])
    objects = [executable.parent / f"{index}_{source.stem}.o" for index, source in enumerate(sources)]

    def compile_source(source: Path, item: Path) -> None:
        _compile(target, source.name, [target.compiler, *c_flags, "-c", str(source), "-o", str(item)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_source, sources, objects))
    files = [str(item) for item in objects]
    # libm after the objects that use it: a float softmax needs it.
    _compile(target, executable.name, [target.compiler, *c_flags, *files, *link_flags, "-lm", "-o", str(executable)])


def compile_object(target: Target, source: Path, compiled: Path, c_flags: Sequence[str]) -> Path:
    """Compile one C source to the object file `compiled`, which is returned. Errors as `build`."""
    require(target, ["build"])
    _compile(target, source.name, [target.compiler, *c_flags, "-c", str(source), "-o", str(compiled)])
    return compiled


def disassemble(target: Target, compiled: Path) -> str:
    """The assembly of an object file as the compiler's own objdump prints it; MbgenError if it cannot."""
    program = f"{target.compiler.removesuffix('gcc')}objdump"
    done = call([program, "--disassemble", "--no-show-raw-insn", str(compiled)], None, COMPILE_SECONDS)
    if done.returncode != 0:
        raise MbgenError(f"{compiled.name}: {program} cannot read it{excerpt(done.stdout)}")
    return done.stdout


def run(target: Target, executable: Path, folder: Path, seconds: float, plugins: Sequence[str] = ()) -> str:
    """Run a program of `target` in `folder` and return what it printed; `plugins` are QEMU's, with their arguments.

    RefusedError with the last lines it printed if it does not end with exit code 0 within `seconds`.
    """
    require(target, ["run"])
    what = f"{executable.name} on {target.name}"
    try:
        done = call([*_emulator(target, plugins), str(executable)], folder, seconds)
    except subprocess.TimeoutExpired as late:
        printed = late.output.decode(errors="replace") if isinstance(late.output, bytes) else late.output or ""
        reason = f"{what} did not end within {seconds:g} seconds{excerpt(printed, last=True)}"
        raise TimeoutRefusedError(reason) from late
    if done.returncode == 0:
        return done.stdout
    cause = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
    raise RefusedError(f"{what} ended with {cause}{excerpt(done.stdout, last=True)}")


def _compile(target: Target, what: str, command: Sequence[str]) -> None:
    try:
        done = call(command, None, COMPILE_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise MbgenError(f"{what}: {command[0]} did not end within {COMPILE_SECONDS} seconds") from late
    if done.returncode != 0:
        raise MbgenError(f"{what}: {command[0]} refused it for {target.name}{excerpt(done.stdout)}")


def _emulator(target: Target, plugins: Sequence[str]) -> list[str]:
    plugged = [word for plugin in plugins for word in ("-plugin", plugin)]
    match target.runner:
        case "host":
            return []
        case "qemu-user":
            return [str(target.emulator), "-cpu", str(target.qemu_cpu), *plugged]
        case "qemu-system":
            semihosting = ["-semihosting-config", "enable=on,target=native"]
            quiet = ["-nographic", "-monitor", "none", "-serial", "none"]
            return [str(target.emulator), "-M", str(target.machine), *quiet, *semihosting, *plugged, "-kernel"]


def call(command: Sequence[str], folder: Path | None, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program with its two output streams as one text, and messages in English."""
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def excerpt(printed: str, last: bool = False) -> str:
    """The first or the last lines that a program printed, as the end of an error message."""
    lines = printed.strip().splitlines()
    if not lines:
        return "; it printed nothing"
    shown = lines[-SHOWN_LINES:] if last else lines[:SHOWN_LINES]
    return (
        "; it printed"
        + ("" if len(lines) == len(shown) else " last" if last else " first")
        + "".join(f"\n    {line}" for line in shown)
    )


def _which(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None


def _compiler_path(target: Target) -> Path | None:
    """The compiler, if its C library is here too: Debian's cross compilers only recommend theirs."""
    path = _which(target.compiler)
    if path is None or target.runner == "host":
        return path
    flags = [*target.c_flags, "-print-file-name=libc.a"]
    has_libc = Path(call([str(path), *flags], None, COMPILE_SECONDS).stdout.strip()).is_absolute()
    return path if has_libc else None
