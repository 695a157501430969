"""How micro-tiles cover pixels, and which are the defaults."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen.data import data_folder
from mbgen.schedules.micro import Microtiles, cover, micro_space, microtiles, sizes
from mbgen.schedules.space import Choice
from mbgen.target import Target, load_target, read_target


def host() -> Target:
    return read_target(data_folder("targets") / "host" / "x86-64-v3.toml", "host")


@given(st.integers(1, 600), st.dictionaries(st.integers(2, 8), st.floats(0.1, 9), max_size=4))
def test_runs_cover_all_pixels_exactly(pixels: int, more: dict[int, float]) -> None:
    runs = cover(pixels, {1: 1.0, **more})
    assert sum(mr * count for mr, count in runs) == pixels
    assert [mr for mr, _ in runs] == sorted({mr for mr, _ in runs}, reverse=True)


def test_the_cheapest_cover_is_found() -> None:
    assert cover(49, {6: 6.0, 5: 5.0, 4: 4.8, 1: 4.0}) == ((6, 4), (5, 5))
    assert cover(7, {6: 6.0, 5: 5.0, 4: 4.0, 3: 4.0, 1: 4.0}) == ((4, 1), (3, 1))
    assert cover(0, {1: 1.0}) == ()


@pytest.mark.parametrize(
    ("core", "m", "n", "k", "tiles"),
    [
        ("host", 196, 512, 512, Microtiles(16, ((6, 31), (5, 2)))),
        ("host", 49, 1024, 1024, Microtiles(16, ((6, 4), (5, 5)))),
        ("host", 1, 1000, 1024, Microtiles(40, ((1, 1),))),
        ("cortex-a72", 196, 512, 512, Microtiles(16, ((4, 49),))),
        ("cortex-a72", 49, 1024, 1024, Microtiles(16, ((5, 1), (4, 11)))),
        ("cortex-a72", 3136, 8, 27, Microtiles(8, ((7, 448),))),
        ("cortex-a72", 1, 1000, 1024, Microtiles(40, ((1, 1),))),
        ("cortex-a53", 16, 256, 256, Microtiles(16, ((4, 4),))),
    ],
)
def test_defaults(core: str, m: int, n: int, k: int, tiles: Microtiles) -> None:
    target = host() if core == "host" else load_target(core)
    facts: dict[str, Choice] = {"m": m, "n": n, "k": k, "dtype": "float32"}
    space = micro_space(facts, target)
    assert space is not None
    made = microtiles(space.default, facts, target)
    assert (made.nr, sorted(made.runs)) == (tiles.nr, sorted(tiles.runs))


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(1, 80), st.integers(1, 80))
def test_every_point_is_a_tile_that_fits(m: int, n: int, k: int) -> None:
    facts: dict[str, Choice] = {"m": m, "n": n, "k": k, "dtype": "float32"}
    for target in (host(), load_target("cortex-a72")):
        space = micro_space(facts, target)
        for point in [] if space is None else space.points():
            tiles = microtiles(point, facts, target)
            assert tiles.nr <= n
            assert sum(mr * count for mr, count in tiles.runs) == m


def test_cores_without_helpers_have_no_space() -> None:
    facts: dict[str, Choice] = {"m": 9, "n": 32, "k": 8, "dtype": "float32"}
    assert sizes(load_target("cortex-m4")) == ()
    assert micro_space(facts, load_target("cortex-m4")) is None
    assert micro_space({**facts, "n": 7}, host()) is None


def test_a_tile_that_does_not_exist_is_illegal() -> None:
    space = micro_space({"m": 9, "n": 64, "k": 8, "dtype": "float32"}, host())
    assert space is not None
    assert space.reason({"mr": 6, "vectors": 5}) == "there is no tile of 6 pixels by 5 vectors"


def test_the_schedule_in_words() -> None:
    assert str(Microtiles(16, ((6, 4), (5, 5)))) == "4*6+5*5 pixels x 16 channels"
