"""What a report is made of: the manifest, and what was measured and verified, where it was.

Knows the documents that other commands give. May not know charts or HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class LayerCost:
    """What one layer was measured to cost in one inference."""

    name: str
    macs: int
    cost: float  # in the unit of its Costs
    share_of_peak: float | None  # None: the core's peak is not known or the unit is not time


@dataclass(frozen=True)
class Costs:
    """All layers on one runner, in one unit."""

    title: str  # the runner and the unit in words
    unit: str  # "instructions", "cycles~" or "seconds"
    layers: tuple[LayerCost, ...]
    total: float


@dataclass(frozen=True)
class Code:
    """A schedule in words, the C that it gives, and the assembly of the longest innermost loop; None: not compiled."""

    schedule: str
    c_text: str
    assembly: str | None


@dataclass(frozen=True)
class HotLoop:
    """A kernel that costs most; `default` is its code without the record, where that is another and known."""

    kernel: str
    layer: str
    source: str  # "default" or the record that the schedule came from
    code: Code
    default: Code | None = None


@dataclass(frozen=True)
class Trials:
    """The search of one kernel's schedule: how many points were measured, and the figures that are known of them.

    `figures` are pairs of a trial's number, from 1, and what one call of the kernel takes. A record keeps those that
    were the best so far, a journal all but failures.
    """

    kernel: str
    source: str  # the record that the schedule came from
    unit: str
    count: int
    figures: tuple[tuple[int, float], ...]
    default: float

    @property
    def best(self) -> tuple[tuple[int, float], ...]:
        """The best figure so far, at the trials where it fell and at the last."""
        steps: list[tuple[int, float]] = []
        for number, figure in self.figures:
            if not steps or figure < steps[-1][1]:
                steps.append((number, figure))
        return (*steps, *((self.count, figure) for _, figure in steps[-1:]))

    @property
    def least(self) -> float:
        return min(figure for _, figure in self.figures)


@dataclass(frozen=True)
class Noise:
    """Signal-to-noise ratio of one layer's output against a float reference, in decibels."""

    layer: str
    decibels: float


@dataclass(frozen=True, eq=False)
class Facts:
    """All that is known of a library; what was not measured is None or empty."""

    manifest: Json
    costs: Costs | None = None
    verification: Json | None = None
    hot_loops: Sequence[HotLoop] = ()
    trials: Sequence[Trials] = ()
    noise: Sequence[Noise] = ()
    code_bytes: Mapping[str, int] | None = None  # machine code by kernel symbol
    peak_macs: float | None = None  # of the core, in one cycle
    bytes_per_cycle: float | None = None  # what the core loads at most, for the roofline
