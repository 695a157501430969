"""The report of templates/measuring/measure.c: lines of text with checksums, from a program or from a board's UART.

Knows the lines (docs/measuring.md). May not know where they come from or what a section is.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mbgen.errors import MbgenError, RefusedError

VERSION = 1
HEAD = "mbgen"  # the first word of a report

_NUMBERS = {
    "run": 2,
    "core": 1,
    "profiled": 2,
    "section": 3,
    "load": 4,
    "end": 0,
    "failed": 0,
    "wrong": 0,
}  # behind each word


class DamagedError(MbgenError):
    """A line or a report did not come as it was sent; the next one may."""


@dataclass(frozen=True)
class Build:
    """Which library a report is of, and which build of it."""

    name: str
    number: int  # NAME_BUILD_ID

    def __str__(self) -> str:
        return f"{self.name} of build {self.number:#010x}"


@dataclass(frozen=True)
class Section:
    """What one section took in one run."""

    ticks: int
    passes: int


@dataclass(frozen=True)
class Load:
    """What some instances did that ran at the same time."""

    instances: int
    runs: int  # of all instances together
    ticks: int  # from the start of the first to the end of the last
    busy: int  # ticks of all runs, one after another


@dataclass(frozen=True)
class Report:
    """One report; times are in ticks of the machine's clock."""

    build: Build
    hz: int  # ticks in a second; 0: a tick is a cycle of the core, whose clock is not known
    core_hz: int  # cycles of the core in a second while it measured; 0: not known
    runs: tuple[int, ...]
    empty: int  # ticks that a section takes in which nothing happens
    profiles: tuple[tuple[Section, ...], ...]  # of each run in which sections were measured
    load: Load | None


def read_report(lines: Iterable[str]) -> Report:
    """The first report that starts in `lines`; what comes before it is passed over, even if it is damaged.

    DamagedError where it is not whole; RefusedError if it says that a run failed.
    """
    stream = iter(lines)
    build, hz, sections = _read_head(stream)
    runs: list[int] = []
    core_hz, profiled, empty = 0, 0, 0
    measured: list[Section] = []
    load: Load | None = None
    for line in stream:
        word, numbers = _numbers(line)
        match word:
            case "run":
                _expect(numbers[0] == len(runs), f"run {numbers[0]} came where run {len(runs)} was due")
                runs.append(numbers[1])
            case "core":
                core_hz = numbers[0]
            case "profiled":
                profiled, empty = numbers
            case "section":
                due = len(measured) % max(sections, 1)
                _expect(numbers[0] == due, f"section {numbers[0]} came where section {due} was due")
                measured.append(Section(*numbers[1:]))
            case "load":
                load = Load(*numbers)
            case "failed":
                raise RefusedError(f"{build.name} reports that an inference failed")
            case "wrong":
                raise RefusedError(f"{build.name} gives a wrong result: its self-test failed where it was measured")
            case _:
                _expect(bool(runs), "no run came before the end")
                _expect(len(measured) == sections * profiled, f"{len(measured)} sections came of {sections * profiled}")
                starts = range(0, len(measured), max(sections, 1))
                profiles = tuple(tuple(measured[start : start + sections]) for start in starts)
                return Report(build, hz, core_hz, tuple(runs), empty, profiles, load)
    raise DamagedError("the report broke off before its end")


def started(line: str) -> Build | None:
    """What a report is of that starts with this line; None if none does. RefusedError if it is of another version."""
    head = _head(line)
    return None if head is None else head[0]


def _read_head(stream: Iterator[str]) -> tuple[Build, int, int]:
    head = next(filter(None, map(_head, stream)), None)
    if head is None:
        raise DamagedError("no report came")
    return head


def _head(line: str) -> tuple[Build, int, int] | None:
    """Build, ticks in a second and number of sections, if the line is a report's first."""
    try:
        word, *rest = checked(line)
    except DamagedError:
        return None
    if word != HEAD:
        return None
    if len(rest) != 5 or rest[1] != str(VERSION):
        raise RefusedError(
            f"the report's first line is {line.strip()!r}, not one of version {VERSION}: "
            "build the program with this version of mbgen"
        )
    return Build(rest[0], int(rest[2])), int(rest[3]), int(rest[4])


def _numbers(line: str) -> tuple[str, tuple[int, ...]]:
    word, *numbers = checked(line)
    if _NUMBERS.get(word) != len(numbers) or not all(number.isdecimal() for number in numbers):
        raise DamagedError(f"the line {line.strip()!r} is not one of a report")
    return word, tuple(map(int, numbers))


def checked(line: str) -> list[str]:
    """The words of a line without its checksum; DamagedError if that is not right."""
    body, mark, digits = line.strip().rpartition(" *")
    expected = f"{binascii.crc_hqx(body.encode('ascii', 'replace'), 0):04x}"
    if not mark or digits != expected:
        raise DamagedError(f"the line {line.strip()!r} does not have its checksum, {expected if mark else '*....'}")
    return body.split(" ")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DamagedError(otherwise)
