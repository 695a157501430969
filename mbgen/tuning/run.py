"""A whole tuning run: from options to tasks, workers and journal, and to the records that are left.

Knows how the parts of this package fit together, and nothing that they do.
"""

from __future__ import annotations

import importlib.util
import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mbgen
from mbgen.errors import InputError, MissingToolError
from mbgen.measuring.serial_port import Port
from mbgen.measuring.ssh import Remote
from mbgen.options import CompileOptions
from mbgen.pipeline import Planned, plan_model
from mbgen.schedules.records import core_folder, write_records
from mbgen.schedules.space import Point
from mbgen.tuning.journal import Journal, Outcome
from mbgen.tuning.tasks import Task, tasks_of
from mbgen.tuning.trial import Job, Runner, build, measure, one_at_a_time, runner_for
from mbgen.tuning.tune import Progress, Tuning, tune
from mbgen.tuning.workers import Workers, local_workers, remote_workers, run_trials

JOURNAL = "tune.journal"
NEEDED = ("xgboost", "cloudpickle", "psutil")


@dataclass(frozen=True)
class TuneOptions:
    """What `mbgen tune` was asked for beside the network."""

    records: Path  # folder of records, and of the journal
    trials: int
    minutes: float | None = None
    seed: int = 0
    runner: str | None = None  # None: the target's own
    jobs: int | None = None  # processes on this machine; None: one a core
    workers: str | None = None  # address of a dask scheduler, instead of processes here
    resource: str | None = None  # label of the workers that may measure
    prefix: tuple[str, ...] = ()  # words before a program that ssh starts
    flash: tuple[str, ...] = ()  # command that builds a board's program and flashes it


def tune_model(network: CompileOptions, options: TuneOptions, progress: Progress) -> Tuning:
    """Search the schedules of every kernel of a network, and write the records to `options.records`.

    MissingToolError without the packages that tuning needs, a compiler or an emulator; other errors as `plan_model`.
    """
    return tune_planned((plan_model(one, progress) for one in (network,)), options, progress)


def tune_planned(networks: Iterable[Planned], options: TuneOptions, progress: Progress) -> Tuning:
    """As `tune_model`, for networks of one target, each planned only once the options are known to be right."""
    require_packages(*NEEDED, *(["distributed"] if options.workers else []))
    if options.resource is not None and options.workers is None:
        raise InputError("--resource names workers of a dask scheduler; give its address with --workers")
    planned = list(networks)
    if not planned:
        raise InputError("there is no network to tune: the target has room for none of those asked for")
    target = planned[0].target
    tasks = tasks_of(((one.graph, one.plan) for one in planned), target)
    runner = runner_for(options.runner, target, options.prefix, options.flash)
    if isinstance(runner, Port) and options.workers is not None and options.resource is None:
        raise InputError(
            f"--runner {runner.name} with --workers: name the workers with a board by --resource, "
            "so that each measures one trial at a time"
        )
    if not tasks:
        raise InputError("this network has no kernel with a choice of schedules: there is nothing to tune")
    folder = core_folder(options.records, target)
    setting = {"core": folder.name, **_spelled(runner), "version": mbgen.__version__}
    with Journal(folder / JOURNAL, setting) as journal, _workers(options, one_at_a_time(runner)) as workers:

        def measure_points(points: Sequence[tuple[Task, Point]], deadline: float) -> Iterator[tuple[int, Outcome]]:
            jobs = [Job(target.name, task.alone, task.space.key, dict(point), runner) for task, point in points]
            return run_trials(workers, jobs, build, measure, deadline)

        return tune(
            tasks,
            measure_points,
            journal,
            trials=options.trials,
            seconds=math.inf if options.minutes is None else options.minutes * 60,
            seed=options.seed,
            keep=partial(write_records, options.records, target),
            progress=progress,
        )


def tuning_document(found: Tuning) -> dict[str, Any]:
    """A run as `mbgen tune --json` shows it."""
    before, after, unit = found.totals
    return {
        "trials": found.trials,
        "measured": found.measured,
        "seconds": round(found.seconds, 1),
        "failures": dict(found.failures),
        "first_failure": found.example or None,
        "unit": unit,
        "default_total": before,
        "tuned_total": after,
        "kernels": [
            {
                "layer": kernel.layer,
                "family": kernel.space.family,
                "facts": dict(kernel.space.facts),
                "runs": kernel.runs,
                "default_figure": kernel.default_figure,
                "figure": kernel.figure,
                "point": dict(kernel.point),
                "default_point": dict(kernel.space.default),
                "trials": kernel.trials,
                "failures": dict(kernel.failures),
            }
            for kernel in found.kernels
        ],
    }


def require_packages(*names: str) -> None:
    """Raise MissingToolError, with the command that helps, unless these Python packages are installed."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingToolError(f"mbgen tune needs {', '.join(missing)}; install with: pip install 'mbgen[tune]'")


def _spelled(runner: Runner) -> dict[str, str]:
    """All that figures depend on, as the options have it."""
    spelled = {"runner": runner.name}
    if isinstance(runner, Remote) and runner.prefix:
        spelled["prefix"] = shlex.join(runner.prefix)
    if isinstance(runner, Port):
        spelled["flash-with"] = shlex.join(runner.flash)
    return spelled


def _workers(options: TuneOptions, one_at_a_time: bool) -> AbstractContextManager[Workers]:
    if options.workers is None:
        return local_workers(options.jobs, one_at_a_time)
    return remote_workers(options.workers, options.resource)
