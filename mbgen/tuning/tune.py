"""The tuning loop: whose turn it is, what is measured, what is kept, and when to stop.

Knows tasks, searches, the journal and records. May not know TVM, C or how a figure is taken.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import mbgen
from mbgen.schedules.records import Record, choose_from
from mbgen.schedules.space import Choice, Point, Space
from mbgen.tuning.journal import Cause, Journal, Outcome
from mbgen.tuning.search import Search, search_of
from mbgen.tuning.tasks import Task

BATCH = 16  # points that are measured between two looks at what was learned

Progress = Callable[[str, int, int], None]
Measure = Callable[[Sequence[tuple[Task, Point]], float], Iterator[tuple[int, Outcome]]]
"""Measures points in parallel, until a deadline of time.monotonic(): index and outcome, as they come."""


@dataclass(frozen=True)
class TunedKernel:
    """What the search found for one kernel; figures are None where even the default failed."""

    layer: str  # the first that runs it
    space: Space = field(repr=False)
    runs: int
    point: Point
    figure: float | None
    default_figure: float | None
    unit: str
    trials: int
    improvements: tuple[tuple[int, float], ...]  # number and figure of each trial that was the best so far
    failures: Mapping[Cause, int]

    @property
    def gain(self) -> float | None:
        """How many times as fast as the default."""
        return None if self.figure is None or self.default_figure is None else self.default_figure / self.figure

    @property
    def record(self) -> Record | None:
        """The record to keep; None where nothing but the default was measured, so that the nearest may serve."""
        if self.figure is None or self.default_figure is None or self.trials <= 1:
            return None
        return Record(
            self.space.family,
            self.space.facts,
            self.point,
            self.figure,
            self.default_figure,
            self.unit,
            self.trials,
            self.improvements,
            mbgen.__version__,
        )


@dataclass(frozen=True)
class Tuning:
    """What `tune` found, kernel by kernel, and what it took."""

    kernels: tuple[TunedKernel, ...]
    trials: int  # that counted: measured now or by the run that this one continued
    measured: int  # now
    failures: Mapping[Cause, int]
    example: str  # the first failure that is not an illegal point, in its own words
    seconds: float

    @property
    def totals(self) -> tuple[float, float, str]:
        """Of the kernels that have figures, as often as the network runs them: by default, tuned, and the unit."""
        known = [one for one in self.kernels if one.figure is not None and one.default_figure is not None]
        before = sum(one.runs * (one.default_figure or 0) for one in known)
        after = sum(one.runs * (one.figure or 0) for one in known)
        return before, after, next((one.unit for one in known), "")

    @property
    def records(self) -> tuple[Record, ...]:
        return tuple(record for record in (kernel.record for kernel in self.kernels) if record is not None)


@dataclass
class _State:
    """A task on its way."""

    task: Task
    seed: int
    budget: int  # trials that it would get if all tasks got as many
    outcomes: dict[tuple[tuple[str, Choice], ...], Outcome] = field(default_factory=dict)
    idle: int = 0  # batches since the last improvement
    search: Search | None = None
    done: bool = False

    @property
    def best(self) -> tuple[Point, float] | None:
        """The point with the least figure, the first of equals."""
        measured = [(one.figure, key) for key, one in self.outcomes.items() if one.figure is not None]
        if not measured:
            return None
        figure, key = min(measured, key=lambda one: one[0])
        return dict(key), figure

    @property
    def default(self) -> Outcome | None:
        return self.outcomes.get(_key(self.task.space.default))

    @property
    def worth(self) -> float:
        """How much its next batch may bring: its share of the network's cost, less for each batch before."""
        best = self.best
        cost = 0.0 if best is None else best[1] * self.task.runs
        return cost / (BATCH + len(self.outcomes)) * 0.5**self.idle

    def learn(self, figures: Sequence[tuple[Point, float | None]]) -> None:
        """Take in the outcomes of a batch."""
        if self.search is not None:
            self.search.learn(figures)

    def next_points(self, near: Point | None) -> list[Point]:
        """A batch to measure, with what is best for the kernel most like it; none when the search has found all."""
        if self.search is None:
            known = [(dict(key), outcome.figure) for key, outcome in self.outcomes.items()]
            self.search = search_of(
                self.task.space, self.task.function(), known, trials=self.budget, batch=BATCH, seed=self.seed
            )
        points = self.search.propose(BATCH)
        if points and near is not None and near not in points:
            points.append(near)
        return points


def tune(
    tasks: Sequence[Task],
    measure: Measure,
    journal: Journal,
    *,
    trials: int,
    seconds: float,
    seed: int,
    keep: Callable[[Iterable[Record]], None],
    progress: Progress,
) -> Tuning:
    """Search all tasks' spaces with at most `trials` points in all, and for at most about `seconds`.

    The default of every task is measured first. What the journal has is not measured again, and counts as a trial as it
    did then, so that a run that was killed continues where it was. `keep` is given the records whenever some improved.
    """
    started = time.monotonic()
    deadline = started + seconds
    states = [_State(task, seed + index, max(trials // max(len(tasks), 1), 1)) for index, task in enumerate(tasks)]
    measured = 0

    def spent() -> int:
        return sum(len(state.outcomes) for state in states)

    def run(wanted: Sequence[tuple[_State, Point]]) -> bool:
        """Outcomes of points, from the journal or by measuring; False if time ran out before all were."""
        nonlocal measured
        fresh: list[tuple[_State, Point]] = []
        for state, point in wanted:
            known = journal.find(state.task.space.key, point)
            if known is None:
                fresh.append((state, point))
            else:
                state.outcomes[_key(point)] = known
        for index, outcome in measure([(state.task, point) for state, point in fresh], deadline):
            state, point = fresh[index]
            journal.add(state.task.space.key, point, outcome)
            state.outcomes[_key(point)] = outcome
            measured += 1
            progress(_status(state), spent(), trials)
        for state, point in wanted:  # in the order of asking, not of arrival: the search learns in this order
            if _key(point) in state.outcomes:
                state.outcomes[_key(point)] = state.outcomes.pop(_key(point))
        return all(_key(point) in state.outcomes for state, point in wanted)

    in_time = run([(state, state.task.space.default) for state in states][:trials])
    for state in states:
        state.done = state.done or state.best is None
    keep(_records(states))
    while in_time and spent() < trials and time.monotonic() < deadline:
        open_ones = [state for state in states if not state.done]
        if not open_ones:
            break
        state = max(open_ones, key=lambda one: one.worth)
        points, before = state.next_points(_best_of_alike(state, states)), state.best
        if not points:
            state.done = True
            continue
        new = [point for point in points if _key(point) not in state.outcomes][: trials - spent()]
        in_time = run([(state, point) for point in new])
        if all(_key(point) in state.outcomes for point in points):
            state.learn([(point, state.outcomes[_key(point)].figure) for point in points])
        state.idle = 0 if state.best != before else state.idle + 1
        if state.idle == 0:
            keep(_records(states))
    keep(_records(states))
    outcomes = [outcome for state in states for outcome in state.outcomes.values()]
    messages = [one.message for one in outcomes if one.cause not in (None, "illegal")]
    return Tuning(
        kernels=tuple(_kernel(state) for state in states),
        trials=spent(),
        measured=measured,
        failures=_failures(outcomes),
        example=messages[0] if messages else "",
        seconds=time.monotonic() - started,
    )


def _key(point: Point) -> tuple[tuple[str, Choice], ...]:
    return tuple(sorted(point.items()))


def _best_of_alike(state: _State, states: Sequence[_State]) -> Point | None:
    """What the other kernels of the same structure would give this one, had it no record of its own."""
    space = state.task.space
    records = _records(other for other in states if other is not state and len(other.outcomes) > 1)
    chosen = choose_from(records)(space)
    return None if chosen.point == space.default else chosen.point


def _records(states: Iterable[_State]) -> list[Record]:
    return [record for record in (_kernel(state).record for state in states) if record is not None]


def _kernel(state: _State) -> TunedKernel:
    best, default, space = state.best, state.default, state.task.space
    measured = None if best is None else state.outcomes[_key(best[0])]
    return TunedKernel(
        layer=state.task.layer,
        space=space,
        runs=state.task.runs,
        point=space.default if best is None else best[0],
        figure=None if best is None else best[1],
        default_figure=None if default is None else default.figure,
        unit="" if measured is None else measured.unit,
        trials=len(state.outcomes),
        improvements=_improvements(outcome.figure for outcome in state.outcomes.values()),
        failures=_failures(state.outcomes.values()),
    )


def _improvements(figures: Iterable[float | None]) -> tuple[tuple[int, float], ...]:
    best: list[tuple[int, float]] = []
    for number, figure in enumerate(figures, 1):
        if figure is not None and (not best or figure < best[-1][1]):
            best.append((number, figure))
    return tuple(best)


def _failures(outcomes: Iterable[Outcome]) -> dict[Cause, int]:
    return dict(sorted(Counter(one.cause for one in outcomes if one.cause is not None).items()))


def _status(state: _State) -> str:
    """The kernel in work and its best so far, for the progress bar."""
    best, default = state.best, state.default
    if best is None or default is None or default.figure is None:
        return f"{state.task.layer}: nothing measured yet"
    unit = state.outcomes[_key(best[0])].unit
    return f"{state.task.layer}: {spelled(best[1], unit)}, {best[1] / default.figure:.0%} of the default's"


def spelled(figure: float, unit: str) -> str:
    """A figure with its unit, for people; seconds of one kernel are microseconds."""
    return f"{figure * 1e6:,.1f} us" if unit == "seconds" else f"{figure:,.0f} {unit}"
