"""Lines from a board's UART, until a whole report of the program that is asked for has come.

Knows pyserial. May not know what a report is about.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mbgen.errors import InputError, MissingToolError, NotFlashedError, RefusedError, TimeoutRefusedError
from mbgen.measuring.lines import Build, DamagedError, Report, read_report, started

BAUD = 115200
ATTEMPTS = 4  # reports, of which one must come whole; the first may be half sent when the port is opened
LONGEST_LINE = 200  # bytes; with the wrong speed there may be no line end for long
RETRY_SECONDS = 0.2  # between two tries to open a port

_VARIABLE = re.compile(r"\$(\w+)", re.ASCII)
_ADDRESS = re.compile(r"(?P<path>[^:]+)(:(?P<baud>\d+))?")


@dataclass(frozen=True)
class Port:
    """A serial port: eight data bits, no parity, one stop bit."""

    path: str  # $NAME in it is a variable in the environment of the process that opens it
    baud: int = BAUD
    flash: tuple[str, ...] = ()  # command that builds and flashes a folder; none: the board has its program

    @property
    def name(self) -> str:
        """As `--runner` takes it."""
        return f"serial:{self.path}:{self.baud}"


def parse_port(address: str, flash: Sequence[str] = ()) -> Port:
    """The port of `PORT[:BAUD]`, whose board `flash` gives its programs; InputError if it is not one."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"serial:{address} names no port; write serial:PORT or serial:PORT:BAUD")
    return Port(match["path"], int(match["baud"] or BAUD), tuple(flash))


def located(port: Port) -> Port:
    """The port with its variables filled in from this process's environment; InputError if one is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise InputError(
                f"{port.name}: {match[1]} is not set where the board is to be measured; "
                f"start the worker with {match[1]}=PORT in its environment"
            )
        return os.environ[match[1]]

    return replace(port, path=_VARIABLE.sub(value, port.path))


def read_board(port: Port, build: Build, silence: float, seconds: float, patience: float = 0) -> Report:
    """The first report of `build` that comes whole from a board that repeats its report for ever.

    For `patience` seconds the port may be gone, and reports come of what the board ran before: it is being reset.
    MissingToolError without pyserial; InputError if the port cannot be opened; NotFlashedError if the board runs
    something else; RefusedError if none of ATTEMPTS reports is whole; TimeoutRefusedError if nothing comes for
    `silence` seconds, or no whole report in `seconds`.
    """
    serial = _pyserial(port)
    patient = time.monotonic() + patience
    while True:
        try:
            with serial.Serial(port.path, port.baud, timeout=silence) as device:
                lines = _lines(device, port, silence, time.monotonic() + seconds)
                return _first_whole(_of_build(lines, build, port, patient), port)
        except serial.SerialException as error:
            if time.monotonic() >= patient:
                raise _unusable(port, error) from error
            time.sleep(RETRY_SECONDS)


def require_port(port: Port) -> None:
    """Raise InputError if the port cannot be opened, MissingToolError without pyserial."""
    serial = _pyserial(port)
    try:
        serial.Serial(port.path, port.baud).close()
    except serial.SerialException as error:
        raise _unusable(port, error) from error


def _pyserial(port: Port) -> Any:
    try:
        import serial
    except ImportError as missing:
        raise MissingToolError(f"{port.name} needs pyserial; install it with: pip install 'mbgen[boards]'") from missing
    return serial


def _unusable(port: Port, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"{port.name}: the port cannot be used ({reason}); is the board plugged in?")


def _of_build(lines: Iterator[str], build: Build, port: Port, patient: float) -> Iterator[str]:
    """Lines from the first on that starts a report of `build`."""
    for line in lines:
        found = started(line)
        if found == build:
            yield line
            break
        if found is not None and time.monotonic() >= patient:
            flashed = "does the command of --flash-with start what it flashes?"
            advice = flashed if port.flash else "build and flash its firmware again"
            raise NotFlashedError(f"{port.name}: the board runs {found}, not {build}; {advice}")
    yield from lines


def _first_whole(lines: Iterator[str], port: Port) -> Report:
    last = ""
    for _ in range(ATTEMPTS):
        try:
            return read_report(lines)
        except DamagedError as damaged:
            last = str(damaged)
    raise RefusedError(
        f"{port.name}: {ATTEMPTS} reports came and none was whole: {last}. "
        f"Does the board send at {port.baud} baud? Is the cable long or the ground loose?"
    )


def _lines(device: Any, port: Port, silence: float, deadline: float) -> Iterator[str]:
    while time.monotonic() < deadline:
        line = device.readline(LONGEST_LINE)
        if not line:
            raise TimeoutRefusedError(
                f"{port.name}: nothing came for {silence:g} seconds. Does the board run the program of "
                "`mbgen bench --firmware`, and send on this port?"
            )
        yield line.decode("ascii", "replace")
    raise TimeoutRefusedError(
        f"{port.name}: no whole report came in time, though something did; does the board send at {port.baud} baud?"
    )
