"""Where trials run: a pool of processes on this machine, or the workers of a `dask.distributed` scheduler.

Knows executors: both give futures. May not know how a trial is built or measured.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mbgen.errors import InputError
from mbgen.tuning.journal import Outcome
from mbgen.tuning.trial import Job, Program

CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class Workers:
    """Executors for building and for measuring.

    Where a crash takes a worker with it, futures raise one of `lost`, and `renew` gives workers that are whole.
    """

    build: Executor
    measure: Executor
    lost: tuple[type[Exception], ...]
    renew: Callable[[], Workers]


@contextmanager
def local_workers(processes: int | None = None, one_at_a_time: bool = False) -> Iterator[Workers]:
    """A process for each core, unless told otherwise; they end with this process, even if it is killed.

    With `one_at_a_time` one of them does all the measuring, on a core that the others leave to it.
    """
    pools: list[ProcessPoolExecutor] = []

    def make() -> Workers:
        context = multiprocessing.get_context("spawn")  # TVM and rich have threads, which do not survive a fork
        count = processes or os.cpu_count() or 1
        counts = (max(count - 1, 1), 1) if one_at_a_time else (count,)
        made = [ProcessPoolExecutor(each, mp_context=context, initializer=_end_with_parent) for each in counts]
        pools.extend(made)
        return Workers(made[0], made[-1], (BrokenExecutor,), make)

    try:
        yield make()
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def remote_workers(address: str, resource: str | None) -> Iterator[Workers]:
    """The workers of a `dask.distributed` scheduler. InputError if none answers at `address`.

    Measuring goes to workers with one of `resource` each, a board's label, where it is given.
    """
    import distributed

    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--workers {address}: no dask scheduler answers there ({error}); start one with `dask scheduler`"
        ) from error
    with client:
        board = {} if resource is None else {"resources": {resource: 1}}
        workers = Workers(
            client.get_executor(pure=False),
            client.get_executor(pure=False, **board),
            (distributed.KilledWorker,),
            lambda: workers,  # dask starts workers anew by itself
        )
        yield workers


def run_trials(
    workers: Workers,
    jobs: Sequence[Job],
    build: Callable[[Job], Program | Outcome],
    measure: Callable[[Program], Outcome],
    deadline: float,
) -> Iterator[tuple[int, Outcome]]:
    """Build and measure every job, in parallel; gives each one's index and outcome as they come.

    A job that takes its worker with it is a crash. At `deadline` (of time.monotonic) what has not begun is dropped.
    """
    lost: list[int] = []
    waiting: dict[Future[Any], int] = {workers.build.submit(build, job): index for index, job in enumerate(jobs)}
    while waiting:
        left = None if math.isinf(deadline) else max(deadline - time.monotonic(), 0)
        done, _ = wait(waiting, timeout=left, return_when=FIRST_COMPLETED)
        if not done:
            for future in waiting:
                future.cancel()
            return
        for future in done:
            index = waiting.pop(future)
            try:
                result = future.result()
            except workers.lost:
                lost.append(index)
                continue
            if isinstance(result, Outcome):
                yield index, result
            else:
                waiting[workers.measure.submit(measure, result)] = index
    for index in sorted(lost):
        if len(jobs) == 1:
            yield index, Outcome(None, cause="crash", message="the worker process ended")
        else:  # alone, so that only the one to blame fails
            alone = run_trials(workers.renew(), [jobs[index]], build, measure, deadline)
            yield from ((index, outcome) for _, outcome in alone)
