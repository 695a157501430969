"""The tuning loop with made-up figures: budgets, whose turn it is, going on after a kill, failures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from mbgen.schedules.records import Record
from mbgen.schedules.space import Choice, Point, Space
from mbgen.tuning.journal import Journal, Outcome
from mbgen.tuning.tasks import Task
from mbgen.tuning.tune import BATCH, Measure, Tuning, tune
from tests.tuning.test_search import KNOBS, copy_kernel, figure, illegal

SETTING = {"runner": "none"}


def task(name: str, m: int = 8, runs: int = 1, knobs: dict[str, tuple[Choice, ...]] = KNOBS) -> Task:
    default = {name: options[0] for name, options in knobs.items()}
    space = Space("gemm", {"m": m, "dtype": "int8"}, knobs, default, illegal)
    return Task(name, space, cast(Any, None), runs, copy_kernel)


def measured(points: Sequence[tuple[Task, Point]], deadline: float) -> Iterator[tuple[int, Outcome]]:
    """Made-up figures, the last point first; the packed form is always wrong."""
    for index, (one, point) in reversed(list(enumerate(points))):
        if point["step"] == "packed":
            yield index, Outcome(None, cause="wrong result", message=f"{one.layer} is wrong")
        else:
            yield index, Outcome(figure(point) * int(one.space.facts["m"]), "cycles~")


def tuned(folder: Path, tasks: Sequence[Task], trials: int, measure: Measure = measured, **changes: Any) -> Tuning:
    options = {"seconds": 1e6, "seed": 0, "keep": lambda _: None, "progress": lambda *_: None, **changes}
    with Journal(folder / "journal", SETTING) as journal:
        return tune(tasks, measure, journal, trials=trials, **options)


def entries(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / "journal").read_text().splitlines()
    return [(entry["kernel"], json.dumps(entry["point"])) for entry in map(json.loads, lines)]


def test_the_best_of_each_kernel_is_found_within_the_budget(tmp_path: Path) -> None:
    found = tuned(tmp_path, [task("a"), task("b", m=16)], 110)
    assert found.trials == found.measured <= 110
    assert len(entries(tmp_path)) == found.trials == len(set(entries(tmp_path)))
    for kernel in found.kernels:
        assert kernel.figure is not None
        assert kernel.gain is not None
        assert kernel.figure <= 11.0 * int(kernel.space.facts["m"])
        assert kernel.gain > 1.5
        assert kernel.record is not None
        assert (kernel.record.unit, kernel.record.point) == ("cycles~", kernel.point)
    assert found.failures["wrong result"] == sum(kernel.failures["wrong result"] for kernel in found.kernels) > 0
    assert found.example == "a is wrong"


@pytest.mark.slow
def test_costly_kernels_get_more_trials(tmp_path: Path) -> None:
    few, many = tuned(tmp_path, [task("a", runs=1), task("b", m=9, runs=50)], 120).kernels
    assert few.trials < many.trials
    assert few.trials >= 1


@pytest.mark.slow
def test_a_kernel_profits_from_what_its_likes_found(tmp_path: Path) -> None:
    """The second kernel is not measured before the first is well known; then it tries the first one's best."""
    found = tuned(tmp_path, [task("a", m=512), task("b", m=8)], 300)
    best = json.dumps(dict(sorted(found.kernels[0].point.items())))
    assert (found.kernels[1].space.key, best) in entries(tmp_path)


def test_the_budget_counts_every_point(tmp_path: Path) -> None:
    for trials in (1, 2, 3, BATCH + 5):
        found = tuned(tmp_path / str(trials), [task("a"), task("b", m=16)], trials)
        assert found.trials == trials


def test_small_spaces_are_done_when_every_point_was_measured(tmp_path: Path) -> None:
    small = {"mr": (1, 2, 4), "nr": (1, 2), "step": ("c", "asm"), "unroll": (0,)}
    found = tuned(tmp_path, [task("a", knobs=small)], 1000)
    assert found.trials == 12
    assert found.kernels[0].figure == min(figure(point) for point in found.kernels[0].space.points()) * 8


def test_a_kernel_whose_default_fails_is_left_out(tmp_path: Path) -> None:
    packed = {**KNOBS, "step": ("packed", "c", "asm")}
    found = tuned(tmp_path, [task("a", knobs=packed), task("b", m=16)], 30)
    assert (found.kernels[0].figure, found.kernels[0].record, found.kernels[0].trials) == (None, None, 1)
    assert [record.facts["m"] for record in found.records] == [16]
    assert found.totals[0] > found.totals[1]


def test_time_is_a_bound_too(tmp_path: Path) -> None:
    def slow(points: Sequence[tuple[Task, Point]], deadline: float) -> Iterator[tuple[int, Outcome]]:
        for one in measured(points, deadline):
            time.sleep(0.02)
            if time.monotonic() > deadline:
                return
            yield one

    found = tuned(tmp_path, [task("a")], 10_000, slow, seconds=1.5)
    assert 1 <= found.trials < 200
    assert found.seconds < 30


def test_what_is_kept_only_gets_better(tmp_path: Path) -> None:
    kept: list[list[Record]] = []
    tuned(tmp_path, [task("a")], 80, keep=lambda records: kept.append(list(records)))
    figures = [records[0].figure for records in kept if records]
    assert figures == sorted(figures, reverse=True)
    assert figures[-1] < figures[0]


def test_progress_names_the_kernel_and_its_best(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    tuned(tmp_path, [task("a")], 20, progress=lambda *one: seen.append(one))
    assert seen[0] == ("a: 176 cycles~, 100% of the default's", 1, 20)
    assert [done for _, done, _ in seen] == list(range(1, 21))


# --- stopping and going on -----------------------------------------------------------------------------------------


def test_a_second_run_measures_nothing_again_and_finds_the_same(tmp_path: Path) -> None:
    tasks = [task("a"), task("b", m=16)]
    first = tuned(tmp_path, tasks, 40)
    again = tuned(tmp_path, tasks, 40)
    assert again.measured == 0
    assert again.records == first.records
    further = tuned(tmp_path, tasks, 50)
    assert (further.trials, further.measured) == (50, 10)


@pytest.mark.slow
def test_a_run_that_was_stopped_takes_the_way_of_one_that_was_not(tmp_path: Path) -> None:
    tasks = [task("a"), task("b", m=16)]
    whole = tuned(tmp_path / "whole", tasks, 80)

    class Killed(BaseException):
        pass

    def killed_after(count: int) -> Measure:
        def measure(points: Sequence[tuple[Task, Point]], deadline: float) -> Iterator[tuple[int, Outcome]]:
            nonlocal count
            for one in measured(points, deadline):
                if count == 0:
                    raise Killed
                count -= 1
                yield one

        return measure

    for count in (1, 7, 25):
        with pytest.raises(Killed):
            tuned(tmp_path / "stopped", tasks, 80, killed_after(count))
    assert len(entries(tmp_path / "stopped")) == 1 + 7 + 25
    last = tuned(tmp_path / "stopped", tasks, 80)
    assert last.records == whole.records
    assert last.measured == 80 - 33
    assert sorted(entries(tmp_path / "stopped")) == sorted(entries(tmp_path / "whole"))


SCRIPT = """
import sys, time
from pathlib import Path
from tests.tuning.test_tune import measured, task, tuned

def slow(points, deadline):
    for one in measured(points, deadline):
        time.sleep(0.01)
        yield one
        print(one[0], flush=True)

print(tuned(Path(sys.argv[1]), [task("a"), task("b", m=16)], 100, slow).measured)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    reported = 0
    for lines in (1, 3, 40):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(lines):
                assert process.stdout.readline()
                reported += 1
            process.send_signal(signal.SIGKILL)
        assert len(entries(tmp_path / "killed")) >= reported
        reported = len(entries(tmp_path / "killed"))
    last = tuned(tmp_path / "killed", [task("a"), task("b", m=16)], 100)
    whole = tuned(tmp_path / "whole", [task("a"), task("b", m=16)], 100)
    assert last.records == whole.records
    assert last.measured == 100 - reported
    assert len(set(entries(tmp_path / "killed"))) == len(entries(tmp_path / "killed")) == 100
