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
class HotLoop:
    """The innermost loop of a kernel that costs most: the kernel's C text and the loop's assembly."""

    kernel: str
    layer: str
    schedule: str
    source: str  # "default" or the record that the schedule came from
    c_text: str
    assembly: str


@dataclass(frozen=True)
class Trials:
    """The search of one kernel's schedule: each trial's figure in order, None where it failed."""

    kernel: str
    unit: str
    figures: tuple[float | None, ...]
    default: float | None

    @property
    def best(self) -> tuple[float | None, ...]:
        """The best figure so far after each trial."""
        best: list[float | None] = []
        for figure in self.figures:
            last = best[-1] if best else None
            best.append(last if figure is None else figure if last is None else min(last, figure))
        return tuple(best)


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
