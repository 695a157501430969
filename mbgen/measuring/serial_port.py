"""Lines from a board's UART, until a whole report has come.

Knows pyserial. May not know what a report is about.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mbgen.errors import InputError, MissingToolError, RefusedError
from mbgen.measuring.lines import DamagedError, Report, read_report

BAUD = 115200
ATTEMPTS = 4  # reports, of which one must come whole; the first may be half sent when the port is opened
LONGEST_LINE = 200  # bytes; with the wrong speed there may be no line end for long

_ADDRESS = re.compile(r"(?P<path>[^:]+)(:(?P<baud>\d+))?")


@dataclass(frozen=True)
class Port:
    """A serial port: eight data bits, no parity, one stop bit."""

    path: str
    baud: int = BAUD

    @property
    def name(self) -> str:
        """As `--runner` takes it."""
        return f"serial:{self.path}:{self.baud}"


def parse_port(address: str) -> Port:
    """The port of `PORT[:BAUD]`; InputError if it is not one."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"serial:{address} names no port; write serial:PORT or serial:PORT:BAUD")
    return Port(match["path"], int(match["baud"] or BAUD))


def read_board(port: Port, silence: float, seconds: float) -> Report:
    """The first report that comes whole from a board that repeats its report for ever.

    MissingToolError without pyserial; InputError if the port cannot be opened; RefusedError if nothing comes for
    `silence` seconds, or no whole report in `seconds` or in ATTEMPTS of them.
    """
    try:
        import serial
    except ImportError as missing:
        raise MissingToolError(f"{port.name} needs pyserial; install it with: pip install 'mbgen[boards]'") from missing
    try:
        with serial.Serial(port.path, port.baud, timeout=silence) as device:
            lines = _lines(device, port, silence, time.monotonic() + seconds)
            return _first_whole(lines, port)
    except serial.SerialException as error:
        reason = error.strerror or str(error)
        raise InputError(f"{port.name}: the port cannot be used ({reason}); is the board plugged in?") from error


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
            raise RefusedError(
                f"{port.name}: nothing came for {silence:g} seconds. Does the board run the program of "
                "`mbgen bench --firmware`, and send on this port?"
            )
        yield line.decode("ascii", "replace")
    raise RefusedError(
        f"{port.name}: no whole report came in time, though something did; does the board send at {port.baud} baud?"
    )
