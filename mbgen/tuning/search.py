"""MetaSchedule's evolutionary search over one kernel's space.

A point is a trace: each knob is sampled by `sample_categorical` and annotated on the kernel's PrimFunc. Knows TVM's
search. May not know how a point is built or measured.
"""

from __future__ import annotations

import itertools
import math
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from tvm import ir, runtime, s_tir, tirx
from tvm.ir.utils import derived_object
from tvm.s_tir import meta_schedule as ms
from tvm.target import Target as TvmTarget

from mbgen.schedules.space import Choice, Point, Space

POPULATION = 64  # traces of one generation; spaces have some hundreds or thousands of points
UNMEASURED = 16  # of the first generation at least, drawn at random
GENERATIONS = 3
ENUMERABLE = 100_000  # products of options up to this are walked through to find the legal ones
ENDLESS = 1_000_000  # trials of one search: whoever measures knows when to stop
_KNOB = "mbgen."


Measured = tuple[Point, float | None]  # a point and its figure, None if it failed


class Enumeration:
    """Every legal point of a small space in a random order, as the same traces that the evolution makes."""

    def __init__(self, points: Sequence[Point], seed: int) -> None:
        self._points = list(points)
        random.Random(seed).shuffle(self._points)

    def propose(self, count: int) -> list[Point]:
        """The next points; none when all have been."""
        taken, self._points = self._points[:count], self._points[count:]
        return taken

    def learn(self, figures: Sequence[Measured]) -> None:
        """Nothing: every point has its turn."""


class Evolution:
    """Evolutionary search with an XGBoost model that learns from what was measured. The same seed, the same points.

    `known` are points that were measured before, at least one: a model that has seen nothing guesses at random.
    """

    def __init__(self, space: Space, function: Any, known: Sequence[Measured], *, batch: int, seed: int) -> None:
        self._space = space
        self._module = _module(function)
        self._context = _context(space, self._module, seed)
        self._database = ms.database.MemoryDatabase()
        self._workload = self._database.commit_workload(self._module)
        self._model = _cost_model(space, seed)
        self._context.pre_tuning(ENDLESS, batch, self._context.generate_design_space(), self._database, self._model)
        self._proposed: list[Any] = []
        self.learn(known)

    def propose(self, count: int) -> list[Point]:
        """A batch of legal points, of the size given at first; none when the search has found all that it can."""
        candidates = self._context.generate_measure_candidates()
        self._proposed = [] if candidates is None else list(candidates)
        return [point_of(candidate.sch, self._space) for candidate in self._proposed]

    def learn(self, figures: Sequence[Measured]) -> None:
        """Take in measured points, those of the last proposal first and in its order; None: it failed."""
        candidates = [*self._proposed]
        for point, _ in figures[len(candidates) :]:
            schedule = schedule_of(self._module, self._space, point)
            candidates.append(ms.MeasureCandidate(schedule, []))
        results = [
            ms.runner.RunnerResult([1e10], "failed") if figure is None else ms.runner.RunnerResult([figure], None)
            for _, figure in figures
        ]
        for candidate, (_, figure) in zip(candidates, figures, strict=True):
            if figure is not None:
                record = ms.database.TuningRecord(
                    candidate.sch.trace, self._workload, [figure], self._context.target, candidate.args_info
                )
                self._database.commit_tuning_record(record)
        if self._proposed:
            proposed = len(self._proposed)
            self._context.notify_runner_results(candidates[:proposed], results[:proposed])
        self._model.update(self._context, candidates, results)
        self._proposed = []


Search = Enumeration | Evolution


def search_of(space: Space, function: Any, known: Sequence[Measured], *, trials: int, batch: int, seed: int) -> Search:
    """Enumeration where there are no more legal points than `trials`, else evolution.

    `function` is the kernel's PrimFunc with its default schedule; `trials` is about how many will be measured.
    """
    if math.prod(map(len, space.knobs.values())) <= ENUMERABLE:
        points = list(itertools.islice(space.points(), trials + 1))
        if len(points) <= trials:
            return Enumeration(points, seed)
    return Evolution(space, function, known, batch=batch, seed=seed)


# --- points and traces ---------------------------------------------------------------------------------------------


def schedule_of(module: ir.IRModule, space: Space, point: Point | None = None) -> Any:
    """A schedule whose trace decides every knob: at random, or as `point` does."""
    schedule = s_tir.Schedule(module)
    _sample(schedule, space, point)
    return schedule


def point_of(schedule: Any, space: Space) -> dict[str, Choice]:
    """The point that a trace decided on, from the annotations."""
    annotations = schedule.get(_root(schedule)).annotations
    return {name: options[int(annotations[_KNOB + name])] for name, options in space.knobs.items()}


def _module(function: Any) -> ir.IRModule:
    """The kernel with zeros for its scalar parameters, which MetaSchedule's search refuses."""
    zeros = {one: tirx.IntImm("int32", 0) for one in function.params if not tirx.is_buffer_var(one)}
    return ir.IRModule({"main": function.specialize(zeros) if zeros else function})


def _root(schedule: Any) -> Any:
    """The outermost block: TVM puts none around a kernel whose body is one block without loops."""
    return schedule.get_sblock(schedule.mod["main"].body.block.name_hint)


def _sample(schedule: Any, space: Space, point: Point | None = None) -> None:
    root = _root(schedule)
    for name, options in space.knobs.items():
        decision = None if point is None else options.index(point[name])
        sampled = schedule.sample_categorical(
            list(range(len(options))), [1 / len(options)] * len(options), decision=decision
        )
        schedule.annotate(root, _KNOB + name, sampled)


# --- what MetaSchedule asks for ------------------------------------------------------------------------------------


@derived_object
class _Legal(ms.postproc.PyPostproc):  # type: ignore[misc]  # TVM has no types
    """Drops traces whose point is illegal before anything is built."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def _initialize_with_tune_context(self, context: Any) -> None:
        """Needs nothing of the context."""

    def apply(self, sch: Any) -> bool:
        return self.space.reason(point_of(sch, self.space)) is None

    def clone(self) -> Any:
        return _Legal(self.space)


@derived_object
class _Mutate(ms.mutator.PyMutator):  # type: ignore[misc]
    """Decides one knob anew. TVM's own mutators know tile sizes, unrolling and places, not plain categories."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.random = random.Random(seed)

    def _initialize_with_tune_context(self, context: Any) -> None:
        """Needs nothing of the context."""

    def apply(self, trace: Any, _: Any = None) -> Any:
        sampled = [one for one in trace.insts if one.kind.name == "SampleCategorical" and len(one.attrs[0]) > 1]
        if not sampled:
            return None
        instruction = self.random.choice(sampled)
        others = set(range(len(instruction.attrs[0]))) - {int(trace.decisions[instruction])}
        return trace.with_decision(instruction, self.random.choice(sorted(others)), remove_postproc=True)

    def clone(self) -> Any:
        return _Mutate(self.seed)


@derived_object
class _Features(ms.feature_extractor.PyFeatureExtractor):  # type: ignore[misc]
    """The decisions themselves: the trace is annotated on one PrimFunc, so its own features tell no points apart."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def extract_from(self, context: Any, candidates: Any) -> Any:
        rows = [features(point_of(candidate.sch, self.space), self.space) for candidate in candidates]
        return [runtime.tensor(np.array([row], "float32")) for row in rows]


def features(point: Point, space: Space) -> list[float]:
    """Numbers that a tree can split on: the value of a number, its place among the options, one column a word."""
    row: list[float] = []
    for name, options in space.knobs.items():
        row.append(options.index(point[name]))
        if all(isinstance(option, int) for option in options):
            row.append(float(point[name]))
        else:
            row += [float(option == point[name]) for option in options]
    return row


def _context(space: Space, module: ir.IRModule, seed: int) -> Any:
    def generate(schedule: Any) -> None:
        _sample(schedule, space)

    with _without_tensor_intrinsics():
        return ms.TuneContext(
            module,
            target=TvmTarget("c"),
            space_generator=ms.space_generator.ScheduleFn(
                generate, sch_rules=[], postprocs=[_Legal(space)], mutator_probs={_Mutate(seed): 1.0}
            ),
            search_strategy=ms.search_strategy.EvolutionarySearch(
                population_size=POPULATION, init_min_unmeasured=UNMEASURED, genetic_num_iters=GENERATIONS
            ),
            rand_state=seed % (2**31 - 1) + 1,
            num_threads=1,  # with more, the same seed gives other points
        )


def _cost_model(space: Space, seed: int) -> Any:
    config = ms.cost_model.xgb_model.XGBConfig(seed=seed, nthread=1)
    return ms.cost_model.XGBModel(extractor=_Features(space), config=config, num_warmup_samples=0)


@contextmanager
def _without_tensor_intrinsics() -> Iterator[None]:
    """TuneContext imports TVM's own intrinsics, which takes half a minute (CUDA's above all); mbgen uses none."""
    name = "tvm.s_tir.tensor_intrin"
    known = name in sys.modules
    sys.modules.setdefault(name, ModuleType(name))
    try:
        yield
    finally:
        if not known:
            del sys.modules[name]
