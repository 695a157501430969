"""How the int8 tiles of AArch64 cover a GEMM, and which are the defaults."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.intrinsics import HELPERS
from mbgen.intrinsics.neon_rescale import KINDS
from mbgen.intrinsics.neon_tile import STEPS, Tile
from mbgen.schedules.neon import Runs, runs_of, runs_space
from mbgen.schedules.space import Choice
from mbgen.target import load_target


def facts_of(m: int, n: int, k: int) -> dict[str, Choice]:
    return {"m": m, "n": n, "k": k, "dtype": "int8"}


@pytest.mark.parametrize(
    ("core", "m", "n", "k", "expected"),
    [
        ("cortex-a72", 196, 512, 512, Runs("tree", 4, ((4, 49),))),
        ("cortex-a72", 49, 1024, 1024, Runs("tree", 4, ((4, 11), (3, 1), (2, 1)))),
        ("cortex-a72", 12544, 64, 32, Runs("lanes", 32, ((2, 6272),))),
        ("cortex-a72", 4096, 16, 8, Runs("lanes", 16, ((4, 1024),))),
        ("cortex-a72", 9, 8, 4, Runs("lanes", 8, ((4, 2), (1, 1)))),
        ("cortex-a76", 196, 512, 512, Runs("dot", 16, ((5, 36), (4, 4)))),
        ("cortex-a76", 1, 1000, 1024, Runs("dot", 16, ((1, 1),))),
        ("cortex-a76", 6, 8, 12, Runs("dot", 8, ((3, 2),))),
    ],
)
def test_defaults(core: str, m: int, n: int, k: int, expected: Runs) -> None:
    target = load_target(core)
    space = runs_space(facts_of(m, n, k), target)
    assert space is not None
    made = runs_of(space.default, space.facts, target)
    assert (made.form, made.nr) == (expected.form, expected.nr)
    assert sum(mr * count for mr, count in made.runs) == m


@pytest.mark.parametrize(
    ("core", "m", "n", "k"), [("cortex-m4", 49, 64, 64), ("cortex-a72", 9, 16, 6), ("cortex-a72", 9, 3, 64)]
)
def test_there_is_no_space_without_a_helper(core: str, m: int, n: int, k: int) -> None:
    assert runs_space(facts_of(m, n, k), load_target(core)) is None


def test_an_illegal_point_says_why() -> None:
    space = runs_space(facts_of(49, 64, 36), load_target("cortex-a72"))
    assert space is not None
    assert (
        space.reason({"form": "lanes", "nr": 32, "mr": 4})
        == "there is no lanes tile of 4 pixels by 32 channels for 36 k"
    )


@given(st.integers(1, 300), st.integers(1, 80), st.integers(1, 80))
def test_every_point_is_runs_of_helpers_that_fit(m: int, n: int, k: int) -> None:
    for target in (load_target("cortex-a72"), load_target("cortex-a76")):
        space = runs_space(facts_of(m, n, k), target)
        for point in [] if space is None else space.points():
            runs = runs_of(point, facts_of(m, n, k), target)
            assert runs.nr <= n
            assert k % STEPS[runs.form] == 0
            assert sum(mr * count for mr, count in runs.runs) == m
            isa = "neon-dotprod" if runs.form == "dot" else "neon"
            names = {Tile(runs.form, mr, runs.nr, kind).name for mr, _ in runs.runs for kind in KINDS}
            assert {f"{name}@{isa}" for name in names} <= set(HELPERS)
