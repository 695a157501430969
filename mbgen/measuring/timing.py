"""What reports of times say in seconds and in cycles: medians, percentiles, and what instances do at the same time.

Knows reports. May not know where they come from.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mbgen.measuring.lines import Load, Report
from mbgen.measuring.measurement import Measurement, Unit

PERCENTILE = 0.95


@dataclass(frozen=True)
class Latency:
    """How long a run took, in `unit`."""

    unit: Unit
    runs: int
    median: float
    p95: float
    least: float


@dataclass(frozen=True)
class Throughput:
    """What instances did that ran at the same time."""

    instances: int
    per_second: float  # runs of all of them together
    latency: float  # seconds of one run, on average, while the others ran too
    concurrency: float  # runs under way at a time: throughput x latency


def measured(reports: Sequence[Report], counts_cycles: bool, first_segment: int) -> tuple[Measurement, Latency]:
    """The figures of reports of one program; its section 0 is segment `first_segment`.

    `counts_cycles` where a tick is a cycle of the core: then there are cycles, and seconds beside them if the core's
    clock is known. The total is that of runs in which sections were not measured.
    """
    hz = reports[0].hz
    units: list[tuple[Unit, float]] = []
    if hz:
        units.append(("seconds", hz))
    if counts_cycles or not hz:
        units.append(("cycles", 1.0))
    runs = sorted(run for report in reports for run in report.runs)
    median = statistics.median(runs)
    segments = {
        first_segment + number: {unit: _section(reports, number) / ticks for unit, ticks in units}
        for number in range(len(reports[0].profiles[0]) if reports[0].profiles else 0)
    }
    unit, ticks = units[0]
    latency = Latency(unit, len(runs), median / ticks, percentile(runs, PERCENTILE) / ticks, runs[0] / ticks)
    return Measurement(segments, {name: median / scale for name, scale in units}), latency


def throughput(load: Load, hz: int) -> Throughput:
    """The figures of instances that ran at the same time; `hz` is the clock's."""
    per_second = load.runs * hz / load.ticks
    latency = load.busy / load.runs / hz
    return Throughput(load.instances, per_second, latency, per_second * latency)


def percentile(ordered: Sequence[float], part: float) -> float:
    """The least of `ordered` that `part` of them are not above (nearest rank)."""
    rank = -(-len(ordered) * part // 1)
    return ordered[max(int(rank), 1) - 1]


def _section(reports: Sequence[Report], number: int) -> float:
    """Ticks of a section in one run, without what its passes would take if it were empty: the median."""
    return statistics.median(
        max(profile[number].ticks - report.empty * profile[number].passes, 0)
        for report in reports
        for profile in report.profiles
    )
