"""Where trials run: in parallel, past crashes, until a deadline, here or on dask's workers."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mbgen.errors import InputError
from mbgen.tuning.journal import Outcome
from mbgen.tuning.trial import Job
from mbgen.tuning.workers import Workers, local_workers, remote_workers, run_trials

# Stand-ins that worker processes can import: a "job" is an int, a "program" its text.


def build(job: int) -> str | Outcome:
    if job == 13:
        os._exit(1)  # as a segmentation fault in TVM would
    return Outcome(None, cause="illegal", message="odd") if job % 2 and job != 7 else f"{job} in {os.getpid()}"


def measure(program: str) -> Outcome:
    number = int(program.split(maxsplit=1)[0])
    if number == 100:
        time.sleep(30)
    return Outcome(2.0 * number, "cycles~", message=program)


def outcomes(workers: Workers, jobs: list[int], deadline: float = math.inf) -> dict[int, Outcome]:
    return dict(run_trials(workers, cast(list[Job], jobs), cast(Any, build), cast(Any, measure), deadline))


@pytest.fixture(scope="module")
def two() -> Iterator[Workers]:
    with local_workers(2) as workers:
        yield workers


def test_every_job_has_its_outcome(two: Workers) -> None:
    found = outcomes(two, list(range(0, 9)))
    assert sorted(found) == list(range(9))
    assert [found[index].figure for index in (0, 2, 4, 6, 7, 8)] == [0, 4, 8, 12, 14, 16]
    assert {found[index].cause for index in (1, 3, 5)} == {"illegal"}


def measure_here(program: str) -> Outcome:
    return Outcome(0.0, "seconds", message=str(os.getpid()))


def test_where_time_is_measured_one_process_does_it() -> None:
    with local_workers(3, one_at_a_time=True) as workers:
        jobs = cast(list[Job], list(range(0, 12, 2)))
        found = dict(run_trials(workers, jobs, cast(Any, build), cast(Any, measure_here), math.inf))
        builder = workers.build.submit(os.getpid).result()
    assert len(found) == 6
    (measurer,) = {outcome.message for outcome in found.values()}
    assert measurer != str(builder)


def test_a_job_that_kills_its_worker_is_a_crash_and_the_others_are_measured() -> None:
    with local_workers(2) as workers:
        found = outcomes(workers, [2, 13, 4])
    assert (found[0].figure, found[2].figure) == (4, 8)
    assert found[1] == Outcome(None, cause="crash", message="the worker process ended")


def test_at_the_deadline_what_is_not_done_is_dropped() -> None:
    with local_workers(1) as workers:
        outcomes(workers, [0])  # the worker has started, however long that takes on a busy machine
        started = time.monotonic()
        found = outcomes(workers, [2, 100, 4], started + 8)
        assert time.monotonic() - started < 25
    assert set(found) <= {0, 2}
    assert found[0].figure == 4


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """A parent that is killed cannot tell them to."""
    script = (
        "import os, signal\n"
        "from tests.tuning.test_workers import *\n"
        "if __name__ == '__main__':\n"
        "    with local_workers(1) as workers:\n"
        "        print(outcomes(workers, [2])[0].message.split()[-1], flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "parent.py"
    path.write_text(script)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, path], env=environment, capture_output=True, text=True, check=False)
    child = int(done.stdout)
    for _ in range(100):
        if not Path(f"/proc/{child}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the worker lives on")


def test_no_scheduler_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbgen.tuning.workers.CONNECT_SECONDS", 0.5)
    with pytest.raises(InputError) as failure, remote_workers("tcp://127.0.0.1:9", None):
        pass
    message = str(failure.value)
    assert message.startswith("--workers tcp://127.0.0.1:9: no dask scheduler answers there (")
    assert message.endswith("); start one with `dask scheduler`")


@pytest.mark.slow
def test_measuring_goes_to_the_workers_with_the_boards() -> None:
    distributed = pytest.importorskip("distributed")
    cluster = distributed.SpecCluster(
        workers={
            "builder": {"cls": distributed.Nanny, "options": {"nthreads": 1}},
            "board": {"cls": distributed.Nanny, "options": {"nthreads": 1, "resources": {"board": 1}}},
        },
        scheduler={"cls": distributed.Scheduler, "options": {"dashboard_address": None}},
    )
    with cluster, remote_workers(cluster.scheduler_address, "board") as workers:
        found = outcomes(workers, [0, 1, 2, 4, 6])
        assert [found[index].figure for index in range(5)] == [0, None, 4, 8, 12]
