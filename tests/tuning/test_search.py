"""MetaSchedule's search: legal points only, the same for the same seed, and good ones with few measurements."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen.lowering.builder import T, build, grid, parameter
from mbgen.schedules.space import Choice, Point, Space
from mbgen.tuning.search import Enumeration, Evolution, features, point_of, schedule_of, search_of

BATCH = 16
KNOBS: dict[str, tuple[Choice, ...]] = {
    "mr": (1, 2, 4, 8),
    "nr": tuple(range(1, 12)),
    "step": ("asm", "c", "packed"),
    "unroll": (0, 1, 2, 3, 4, 5),
}


def illegal(point: Point) -> str | None:
    return "too many sums" if int(point["mr"]) * int(point["nr"]) > 40 else None


def large_space() -> Space:
    default: Point = {"mr": 1, "nr": 1, "step": "c", "unroll": 0}
    return Space("gemm", {"m": 8}, KNOBS, default, illegal)


def figure(point: Point) -> float:
    """Least where mr=4, nr=7, step=asm and unroll=3."""
    distance = abs(int(point["mr"]) - 4) + abs(int(point["nr"]) - 7) + abs(int(point["unroll"]) - 3)
    return 10.0 + distance + 3 * (point["step"] != "asm")


def copy_kernel() -> Any:
    def body() -> None:
        x, y = parameter("input", (8,), "int8"), parameter("output", (8,), "int8")
        with grid("copy", {"i": 8}) as (i,):
            T.reads(x[i])
            T.writes(y[i])
            T.buffer_store(y, x[i], [i])

    return build(body)


def kernel_without_loops() -> Any:
    def body() -> None:
        x, y = parameter("input", (8,), "int8"), parameter("output", (8,), "int8")
        with grid("copy", {}):
            T.reads(x[0])
            T.writes(y[0])
            T.buffer_store(y, x[0], [0])

    return build(body)


def evolution(space: Space, seed: int) -> Evolution:
    return Evolution(space, copy_kernel(), [(space.default, 30.0)], batch=BATCH, seed=seed)


def proposed(seed: int, batches: int) -> list[Point]:
    """All points of some batches, each learned from."""
    search = evolution(large_space(), seed)
    points: list[Point] = []
    for _ in range(batches):
        batch = search.propose(BATCH)
        search.learn([(point, figure(point)) for point in batch])
        points += batch
    return points


def test_evolution_finds_the_best_of_hundreds_with_few_measurements() -> None:
    points = proposed(0, 5)
    assert len(list(large_space().points())) == 666
    assert len(points) <= 5 * BATCH
    assert len({tuple(point.items()) for point in points}) == len(points)
    assert all(large_space().reason(point) is None for point in points)
    assert min(map(figure, points)) <= 11.0


def test_the_same_seed_gives_the_same_points() -> None:
    first = proposed(3, 2)
    assert proposed(3, 2) == first
    assert proposed(4, 1) != first[:BATCH]


def test_failures_and_points_from_elsewhere_are_learned_too() -> None:
    search = evolution(large_space(), 1)
    batch = search.propose(BATCH)
    best: Point = {"mr": 4, "nr": 7, "step": "asm", "unroll": 3}
    figures = [(point, None if point["step"] == "packed" else figure(point)) for point in batch]
    search.learn([*figures, (best, figure(best))])
    near = [sum(point[name] == best[name] for name in KNOBS) for point in search.propose(BATCH)]
    assert max(near) >= 3


def test_evolution_ends_when_there_is_nothing_new() -> None:
    space = Space("gemm", {}, {"a": (1, 2), "b": (1, 2, 3)}, {"a": 1, "b": 1})
    search = evolution(space, 0)
    seen: list[Point] = []
    for _ in range(30):
        batch = search.propose(BATCH)
        if not batch:
            break
        search.learn([(point, 1.0 + int(point["b"])) for point in batch])
        seen += batch
    else:
        pytest.fail("the search does not end")
    assert len(seen) <= 6


def test_small_spaces_are_enumerated() -> None:
    space = Space("gemm", {}, {"a": (1, 2), "b": (1, 2, 3)}, {"a": 1, "b": 1})
    search = search_of(space, copy_kernel(), [], trials=6, batch=4, seed=0)
    assert isinstance(search, Enumeration)
    first = search.propose(4)
    search.learn([])
    rest = search.propose(4)
    assert (len(first), len(rest), search.propose(4)) == (4, 2, [])
    assert sorted(map(str, [*first, *rest])) == sorted(map(str, space.points()))
    known = [(space.default, 1.0)]
    assert isinstance(search_of(space, copy_kernel(), known, trials=5, batch=4, seed=0), Evolution)


def test_a_trace_is_a_point() -> None:
    """What a trace decides is what its annotations say, for given points and for random ones."""
    from tvm import ir

    module, space = ir.IRModule({"main": copy_kernel()}), large_space()
    points: list[Point] = [space.default, {"mr": 8, "nr": 5, "step": "packed", "unroll": 4}]
    for point in points:
        schedule = schedule_of(module, space, point)
        assert point_of(schedule, space) == point
        decisions = [int(value) for value in schedule.trace.decisions.values()]
        assert decisions == [KNOBS[name].index(point[name]) for name in KNOBS]
    assert space.reason(point_of(schedule_of(module, space), space)) in (None, "too many sums")


@given(st.fixed_dictionaries({name: st.sampled_from(options) for name, options in KNOBS.items()}))
@settings(max_examples=20)
def test_features_tell_points_apart(point: dict[str, Choice]) -> None:
    space = large_space()
    row = features(point, space)
    assert all(isinstance(value, int | float) for value in row)
    others = [{**point, name: option} for name, options in KNOBS.items() for option in options if option != point[name]]
    assert all(features(other, space) != row for other in others)


def test_tvms_own_intrinsics_are_not_imported() -> None:
    """They take half a minute."""
    evolution(large_space(), 0)
    assert "tvm.s_tir.tensor_intrin.cuda" not in sys.modules
    assert "tvm.s_tir.tensor_intrin" not in sys.modules


def test_a_kernel_that_is_one_block_without_loops_is_searched() -> None:
    search = Evolution(large_space(), kernel_without_loops(), [(large_space().default, 30.0)], batch=BATCH, seed=0)
    points = search.propose(BATCH)
    assert points
    assert all(large_space().reason(point) is None for point in points)
