"""Schedule records: the points that tuning found, as JSON lines that ship with mbgen, and the choice from them.

One folder for each core, one file for each kernel family, one line for each kernel; sorted, so that files compare well.
May not know TVM, layers or how a figure was measured.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mbgen.data import data_folder
from mbgen.errors import InputError
from mbgen.schedules.space import Choice, Choose, Chosen, Point, Space, default_schedule, kernel_key, kernel_structure
from mbgen.target import HOST, Target

SUFFIX = ".jsonl"
NEAR = 4.0  # product of the extents' ratios up to which a record serves another kernel; the default knows more beyond

NOTABLE_GAIN = 1.02  # times as fast as the default: less in a kernel alone may be lost in another network


@dataclass(frozen=True)
class Record:
    """The best point that was found for one kernel on one core, and how the default compares in the same unit."""

    family: str
    facts: Mapping[str, Choice]
    point: Point
    figure: float  # of one run of the kernel's layer alone; less is better
    default_figure: float
    unit: str  # "cycles~" (a model's), "cycles" (a board's), "instructions" or "seconds"
    trials: int  # how many points were measured
    improvements: tuple[tuple[int, float], ...]  # number and figure of each trial that was the best so far
    version: str  # of mbgen, whose space the point is from

    def __post_init__(self) -> None:
        for name in ("facts", "point"):
            object.__setattr__(self, name, MappingProxyType(dict(sorted(getattr(self, name).items()))))
        improvements = tuple((number, figure) for number, figure in self.improvements)
        object.__setattr__(self, "improvements", improvements)

    @property
    def key(self) -> str:
        """The kernel's, as Space.key."""
        return kernel_key(self.family, self.facts)

    @property
    def line(self) -> str:
        """The record as JSON in one line; the same record gives the same line."""
        return json.dumps(self.document, allow_nan=False)

    @property
    def document(self) -> dict[str, Any]:
        """The record as JSON."""
        return {
            "family": self.family,
            "facts": dict(self.facts),
            "point": dict(self.point),
            "figure": self.figure,
            "default_figure": self.default_figure,
            "unit": self.unit,
            "trials": self.trials,
            "improvements": [list(one) for one in self.improvements],
            "version": self.version,
        }

    @property
    def digest(self) -> str:
        """Names the record, its figure included."""
        return hashlib.sha256(self.line.encode()).hexdigest()[:16]

    def distance(self, facts: Mapping[str, Choice]) -> float:
        """How far the extents of a kernel of the same structure are: the sum of the ratios' logarithms."""
        pairs = ((value, facts[name]) for name, value in self.facts.items())
        return sum(abs(math.log(max(a, 1) / max(b, 1))) for a, b in pairs if isinstance(a, int) and isinstance(b, int))


# --- choosing ------------------------------------------------------------------------------------------------------


def choose_from(records: Iterable[Record]) -> Choose:
    """The kernel's own record, else the nearest of the same structure whose point is legal, else the default.

    A record whose kernel is further away than NEAR does not serve. One that found nothing much better than its own
    kernel's default says the same of the kernel's neighbours, whose defaults may be other points.
    """
    exact, alike = {}, dict[tuple[tuple[str, str], ...], list[Record]]()
    for record in records:
        exact[record.key] = record
        alike.setdefault(kernel_structure(record.family, record.facts), []).append(record)

    def choose(space: Space) -> Chosen:
        own = exact.get(space.key)
        if own is not None and space.reason(own.point) is None:
            return Chosen(own.point, f"record {own.digest}")
        others = [one for one in alike.get(space.structure, ()) if set(one.facts) == set(space.facts)]
        others = [one for one in others if one.distance(space.facts) <= math.log(NEAR)]
        for near in sorted(others, key=lambda one: (one.distance(space.facts), one.line)):
            point = near.point if near.default_figure >= NOTABLE_GAIN * near.figure else space.default
            if space.reason(point) is None:
                return Chosen(point, f"nearest record {near.digest}")
        return default_schedule(space)

    return choose


def find_record(records: Iterable[Record], source: str) -> Record | None:
    """The record that a schedule's source names; None for a default."""
    return next((one for one in records if source.rpartition(" ")[2] == one.digest), None)


def records_hash(sources: Iterable[str]) -> str | None:
    """SHA-256 of the records that kernels with these sources came from; None if all are defaults."""
    used = sorted({source.rpartition(" ")[2] for source in sources if "record" in source})
    return hashlib.sha256("\n".join(used).encode()).hexdigest() if used else None


# --- files ---------------------------------------------------------------------------------------------------------


def shipped_records() -> Path:
    """The folder of the records that ship, with a folder for each core."""
    return data_folder("targets") / "tuned"


def core_folder(folder: Path, target: Target) -> Path:
    """Where in a folder of records those of the target's core lie; a host's depend on its variant."""
    return folder / HOST / target.cpu if target.name == HOST else folder / target.name


def read_records(folder: Path, target: Target) -> tuple[Record, ...]:
    """All records of the target's core, none if it has no folder; InputError names the line that is damaged."""
    records: list[Record] = []
    for path in sorted(core_folder(folder, target).glob(f"*{SUFFIX}")):
        records += _read_file(path)
    return tuple(records)


def write_records(folder: Path, target: Target, records: Iterable[Record]) -> None:
    """Put records in the place of those of the same kernels; the other records of the core stay.

    Each file is replaced at once. InputError if what is there is damaged or the folder cannot be written.
    """
    merged = {record.key: record for record in (*read_records(folder, target), *records)}
    by_family: dict[str, list[Record]] = {}
    for record in merged.values():
        by_family.setdefault(record.family, []).append(record)
    place = core_folder(folder, target)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for family, group in by_family.items():
            path = place / f"{family}{SUFFIX}"
            text = "".join(f"{record.line}\n" for record in sorted(group, key=_order))
            new = path.with_suffix(".new")
            new.write_text(text, encoding="ascii")
            new.replace(path)
    except OSError as error:
        raise InputError(
            f"{place}: the records cannot be written ({error.strerror}); give another --records"
        ) from error


def _order(record: Record) -> tuple[Any, ...]:
    """Kernels of one structure side by side, by their extents."""
    extents = [(name, value) for name, value in record.facts.items() if isinstance(value, int)]
    return kernel_structure(record.family, record.facts), extents


def _read_file(path: Path) -> Sequence[Record]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: these schedule records cannot be read ({error})") from error
    records: dict[str, Record] = {}
    for number, line in enumerate(lines, 1):
        record = _parse(line, f"{path.parent.name}/{path.name}:{number}")
        if record.key in records:
            raise InputError(
                f"{path.parent.name}/{path.name}:{number}: a second record of the same kernel; keep the better one"
            )
        records[record.key] = record
    return tuple(records.values())


def _parse(line: str, where: str) -> Record:
    try:
        entry = json.loads(line)
        for name, fits in _FIELDS.items():
            if not fits(entry.pop(name)):
                raise ValueError(f"{name} is not as mbgen writes it")
        if entry:
            raise ValueError(f"{min(entry)} is not known")
        return Record(**json.loads(line))
    except KeyError as error:
        reason = f"it has no {error.args[0]}"
    except (AttributeError, TypeError, RecursionError):
        reason = "it is not a JSON object"
    except ValueError as error:
        reason = f"it is not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error)
    raise InputError(f"{where}: damaged schedule record: {reason}. Remove the line or tune again")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _choices(value: Any) -> bool:
    return isinstance(value, dict) and all(_text(choice) or type(choice) is int for choice in value.values())


def _steps(value: Any) -> bool:
    """Trials that were the best so far: later ones with lesser figures."""
    if not isinstance(value, list) or not all(isinstance(step, list) and len(step) == 2 for step in value):
        return False
    if not value or not all(_whole(number) and _figure(figure) for number, figure in value):
        return False
    return all(one[0] < other[0] and one[1] > other[1] for one, other in itertools.pairwise(value))


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "family": _text,
    "facts": _choices,
    "point": _choices,
    "figure": _figure,
    "default_figure": _figure,
    "unit": _text,
    "trials": _whole,
    "improvements": _steps,
    "version": _text,
}
