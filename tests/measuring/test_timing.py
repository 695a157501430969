from __future__ import annotations

from dataclasses import replace

import pytest

from mbgen.measuring.lines import Build, Load, Report, Section
from mbgen.measuring.timing import measured, percentile, throughput

REPORT = Report(
    build=Build("tiny", 1),
    hz=1000,
    core_hz=4000,
    runs=(70, 90, 80),
    empty=3,
    profiles=((Section(46, 2), Section(2, 1)), (Section(36, 2), Section(13, 1)), (Section(56, 2), Section(23, 1))),
    load=None,
)


def test_medians_of_runs_and_of_sections_without_what_hooks_take() -> None:
    figures, latency = measured([REPORT], False, 2)
    assert figures.total == {"seconds": 0.08}
    assert figures.segments == {2: {"seconds": 0.04}, 3: {"seconds": 0.01}}
    assert (latency.unit, latency.runs, latency.median, latency.p95, latency.least) == ("seconds", 3, 0.08, 0.09, 0.07)


def test_reports_of_several_processes_are_taken_together() -> None:
    _, latency = measured([REPORT, replace(REPORT, runs=(60, 60, 60, 60))], False, 2)
    assert (latency.runs, latency.median) == (7, 0.06)


def test_a_board_counts_cycles_and_has_seconds_if_its_clock_is_known() -> None:
    assert measured([REPORT], True, 2)[0].total == {"seconds": 0.08, "cycles": 80.0}
    figures, latency = measured([replace(REPORT, hz=0)], True, 2)
    assert figures.total == {"cycles": 80.0}
    assert (latency.unit, latency.median) == ("cycles", 80.0)


@pytest.mark.parametrize(("part", "expected"), [(0.95, 19), (0.5, 10), (1.0, 20), (0.0, 1)])
def test_percentile_by_nearest_rank(part: float, expected: int) -> None:
    assert percentile(range(1, 21), part) == expected


def test_concurrency_is_throughput_times_latency() -> None:
    load = throughput(Load(instances=2, runs=10, ticks=400, busy=780), 1000)
    assert (load.instances, load.per_second, load.latency) == (2, 25.0, 0.078)
    assert load.concurrency == pytest.approx(1.95)
