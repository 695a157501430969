"""Libraries on machines with a clock: this one, one that ssh reaches, a board on a serial port.

Knows how to build what is measured, with a library's self-test, and how to bring it there. May not know what the lines
of a report are.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbgen import toolchain
from mbgen.data import data_folder
from mbgen.errors import InputError, RefusedError
from mbgen.measuring.flashing import check_command, flash
from mbgen.measuring.lines import Build, DamagedError, Report, read_report
from mbgen.measuring.serial_port import Port, located, parse_port, read_board
from mbgen.measuring.ssh import Remote, parse_remote, run_remote
from mbgen.running import build_program
from mbgen.target import HOST, Target
from mbgen.templates import environment

ROUNDS = 3  # processes: memory lies elsewhere in each
MILLISECONDS = 1000  # that each of them measures for
START_SECONDS = 60.0  # that a program may take beside its MACs
RESET_SECONDS = 30.0  # after flashing, until the board reports
SECONDS_PER_MAC = 4e-6  # one run on the slowest core with emulated floats; a report has up to eight before it says more

FIRMWARE = "firmware"  # beside include and src, where a command of the board's project builds them

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "float32": "float"}
_FIRMWARE = ("measure.c", "measure.h", "machine_cortex_m.c", "board_mps2.c")


@dataclass(frozen=True)
class Host:
    """This machine."""

    name: str = "host"


Machine = Host | Remote | Port
Progress = Callable[[str, int, int], None]


def parse_machine(name: str, prefix: Sequence[str] = (), flash: Sequence[str] = ()) -> Machine:
    """The machine that `--runner` names; InputError if none.

    `prefix` are words before a program that ssh starts, `flash` those of the command that gives a board its program.
    """
    check_words(name, prefix, flash)
    kind, _, address = name.partition(":")
    if name == Host().name:
        return Host()
    if kind == "ssh":
        return parse_remote(address, prefix)
    if kind == "serial":
        return parse_port(address, flash)
    raise InputError(f"there is no runner {name!r}; choose emulator, host, ssh:USER@HOST[:PORT] or serial:PORT[:BAUD]")


def check_words(name: str, prefix: Sequence[str], flash: Sequence[str]) -> None:
    """Raise InputError if these words are not for the runner of that name."""
    kind = name.partition(":")[0]
    if prefix and kind != "ssh":
        raise InputError(f"--prefix is for programs that ssh starts, and the runner is {name}")
    if flash and kind != "serial":
        raise InputError(f"--flash-with is for boards, and the runner is {name}; choose serial:PORT[:BAUD]")
    if flash:
        check_command(flash)


def time_library(
    directory: Path,
    manifest: Mapping[str, Any],
    target: Target,
    machine: Machine,
    instances: int,
    progress: Progress,
) -> tuple[Report, ...]:
    """Reports of the library on `machine`, its layers as sections, and with `instances` at the same time if above 1.

    InputError if the machine cannot run the target's code or several instances; other errors as building and running.
    """
    check_machine(machine, target)
    seconds = START_SECONDS + SECONDS_PER_MAC * manifest["macs_executed"] * 8
    if isinstance(machine, Port):
        if instances > 1:
            raise InputError(f"{machine.name}: a microcontroller runs one instance at a time; leave --instances out")
        port = located(machine)
        if port.flash:
            progress("building and flashing", 0, 2)
            with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
                folder = Path(shutil.copytree(directory, Path(name) / manifest["name"]))
                flash_library(folder, manifest, port)
        progress("waiting for the board's report", 1, 2)
        return (read_library(directory, manifest, port, seconds),)
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        progress("building the library", 0, 2)
        program = build_timed(directory, manifest, machine, Path(name), instances)
        progress("measuring", 1, 2)
        (reports,) = time_programs([program], target, machine, seconds)
        progress("done", 2, 2)
        return reports


def check_machine(machine: Machine, target: Target) -> None:
    """Raise InputError if code for the target is not what such a machine runs."""
    if isinstance(machine, Port):
        if not target.is_microcontroller:
            raise InputError(f"{machine.name}: boards on a serial port are microcontrollers; {target.name} is not")
    elif target.is_microcontroller:
        raise InputError(
            f"{machine.name}: it cannot run code for {target.name}; "
            "measure with --runner emulator or, on a board, --runner serial:PORT"
        )
    elif isinstance(machine, Host) and target.name != HOST:
        raise InputError(
            f"{machine.name}: it cannot run code for {target.name}; measure with --runner emulator or ssh:USER@HOST"
        )


def build_timed(
    directory: Path,
    manifest: Mapping[str, Any],
    machine: Host | Remote,
    folder: Path,
    instances: int = 1,
    milliseconds: int = MILLISECONDS,
) -> Path:
    """Build the library's self-test and timing, of about `milliseconds`, in `folder`; gives the executable.

    Errors as `toolchain.build`.
    """
    measuring = data_folder("templates") / "measuring"
    hooks = folder / "hooks.h"
    hooks.write_text(_render("library_hooks.h.jinja", manifest), encoding="ascii")
    flags = ["-pthread", f"-I{measuring.resolve()}", "-include", str(hooks)]
    flags += [f"-DMEASURE_INSTANCES={instances}", f"-DMEASURE_MILLISECONDS={milliseconds}u"]
    if isinstance(machine, Remote):
        flags.append("-static")  # the other machine may have other libraries
    sources = [measuring / "measure.c", measuring / "machine_linux.c"]
    return build_program([directory], _render("library.c.jinja", manifest), folder, flags, sources)


def time_programs(
    programs: Sequence[Path], target: Target, machine: Host | Remote, seconds: float, rounds: int = ROUNDS
) -> tuple[tuple[Report, ...], ...]:
    """Run programs of `build_timed` by turns, each `rounds` times: what slows the machine for a while slows them all.

    InputError if the machine cannot be reached; RefusedError if a program computes something wrong, crashes or does
    not end within `seconds`.
    """
    reports: list[list[Report]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, own in zip(programs, reports, strict=True):
            own.append(_run(program, target, machine, seconds))
    return tuple(map(tuple, reports))


def flash_library(directory: Path, manifest: Mapping[str, Any], port: Port) -> None:
    """Write the firmware to the library's own folder, and let the port's command build and flash it. Errors as both."""
    write_firmware(manifest, directory / FIRMWARE)
    flash(port, directory)


def read_library(directory: Path, manifest: Mapping[str, Any], port: Port, seconds: float) -> Report:
    """What a board that may be silent for `seconds` reports of this build of the library. Errors as `read_board`."""
    name = manifest["name"]
    header = (directory / "include" / f"{name}.h").read_text(encoding="ascii")
    found = re.search(r"_BUILD_ID (0x[0-9A-Fa-f]+)", header)
    if found is None:
        raise InputError(f"{directory}: include/{name}.h defines no {name.upper()}_BUILD_ID; compile the library again")
    patience = RESET_SECONDS if port.flash else 0
    return read_board(port, Build(name, int(found[1], 16)), seconds, 4 * seconds, patience)


def write_firmware(manifest: Mapping[str, Any], folder: Path) -> list[str]:
    """Write what a board's project needs beside the library to report its times; gives the files' names.

    InputError if they cannot be written.
    """
    name = manifest["name"]
    measuring = data_folder("templates") / "measuring"
    files = {source: (measuring / source).read_text(encoding="ascii") for source in _FIRMWARE}
    files[f"{name}_measured.c"] = _render("library.c.jinja", manifest)
    files[f"{name}_hooks.h"] = _render("library_hooks.h.jinja", manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            (folder / path).write_text(text, encoding="ascii")
    except OSError as error:
        raise InputError(f"{folder}: the firmware cannot be written there ({error.strerror})") from error
    return sorted(files)


def _run(program: Path, target: Target, machine: Host | Remote, seconds: float) -> Report:
    if isinstance(machine, Remote):
        printed = run_remote(machine, program, seconds)
    else:
        printed = toolchain.run(target, program, program.parent, seconds)
    try:
        return read_report(printed.splitlines())
    except DamagedError as damaged:
        raise RefusedError(f"{machine.name}: {program.name} gave no whole report: {damaged}") from damaged


def _render(template: str, manifest: Mapping[str, Any]) -> str:
    return (
        environment("measuring")
        .get_template(template)
        .render(
            name=manifest["name"],
            input_type=_C_TYPES[manifest["input"]["dtype"]],
            output_type=_C_TYPES[manifest["output"]["dtype"]],
            layers=len(manifest["layers"]),
        )
    )
