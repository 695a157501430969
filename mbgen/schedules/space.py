"""What a kernel's schedule may be: named decisions, their options, and the point that stands where none was tuned.

A point is one option for each decision. May not know TVM, layers or how a point is measured, so that points can be
compared, stored and replayed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Choice = int | str
Point = Mapping[str, Choice]


def always_legal(point: Point) -> str | None:
    """For spaces all of whose points are legal."""
    return None


def kernel_key(family: str, facts: Mapping[str, Choice]) -> str:
    """Names a kernel among all records of a core."""
    text = json.dumps([family, sorted(facts.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kernel_structure(family: str, facts: Mapping[str, Choice]) -> tuple[tuple[str, str], ...]:
    """What kernels that may share a schedule have in common: all facts that are not extents."""
    return (("family", family), *((k, v) for k, v in sorted(facts.items()) if isinstance(v, str)))


@dataclass(frozen=True)
class Space:
    """All schedules of one kernel on one core.

    `family` and `facts` (extents, types: what the best point may depend on) name the kernel. Kernels whose facts differ
    in extents only have the same structure, so that a record of one may serve the other. `illegal` says why a point
    cannot be, None where it can; every legal point gives a correct kernel.
    """

    family: str
    facts: Mapping[str, Choice]
    knobs: Mapping[str, tuple[Choice, ...]]
    default: Point
    illegal: Callable[[Point], str | None] = field(default=always_legal, compare=False)

    def __post_init__(self) -> None:
        for name in ("facts", "knobs", "default"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        reason = self.reason(self.default)
        if reason is not None:
            raise ValueError(f"the default of a {self.family} space is illegal: {reason}")

    @property
    def key(self) -> str:
        """Names this kernel among all records of a core."""
        return kernel_key(self.family, self.facts)

    @property
    def structure(self) -> tuple[tuple[str, str], ...]:
        """What a record must share with the kernel to serve it: all facts that are not extents."""
        return kernel_structure(self.family, self.facts)

    def reason(self, point: Point) -> str | None:
        """Why `point` is not a schedule of this kernel; None if it is."""
        if set(point) != set(self.knobs):
            return f"it decides {', '.join(sorted(point))} and not {', '.join(sorted(self.knobs))}"
        for name, choice in point.items():
            if choice not in self.knobs[name]:
                return f"{name} cannot be {choice}"
        return self.illegal(point)

    def points(self) -> Iterator[dict[str, Choice]]:
        """Every legal point, in the order of the knobs' options."""
        for choices in itertools.product(*self.knobs.values()):
            point = dict(zip(self.knobs, choices, strict=True))
            if self.illegal(point) is None:
                yield point


@dataclass(frozen=True)
class Chosen:
    """The point that a kernel is compiled with, and where it came from ("default", or the record)."""

    point: Point
    source: str


Choose = Callable[[Space], Chosen]


def default_schedule(space: Space) -> Chosen:
    """The point that needs no tuning."""
    return Chosen(space.default, "default")
