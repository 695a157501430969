"""Tiles that lie over each other at the end: none is left out, none is beyond, and panels repeat the right entries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tvm import sym, tirx

from mbgen.lowering.tiling import panels, start, starts
from mbgen.schedules.tile import tiles

EXTENTS = st.integers(1, 300).flatmap(lambda extent: st.tuples(st.just(extent), st.integers(1, min(extent, 70))))


@given(EXTENTS)
def test_tiles_cover_every_extent_and_no_more(case: tuple[int, int]) -> None:
    extent, size = case
    first = starts(extent, size)
    assert len(first) == tiles(extent, size)
    covered = np.concatenate([np.arange(one, one + size) for one in first])
    assert np.unique(covered).tolist() == list(range(extent))
    assert len(covered) - extent < size  # only the last one lies over another
    assert (np.diff(first)[:-1] == size).all()


@given(EXTENTS)
def test_the_code_starts_tiles_where_the_panels_do(case: tuple[int, int]) -> None:
    extent, size = case
    simplify = sym.Analyzer().simplify
    numbers = range(tiles(extent, size)) if extent < 50 else (0, tiles(extent, size) - 1)
    for tile in numbers:
        assert int(simplify(start(tirx.const(tile, "int32"), extent, size))) == starts(extent, size)[tile]


def test_tiles_without_a_rest_start_at_multiples() -> None:
    """No minimum is computed for them."""
    tile = tirx.Var("tile", "int32")
    assert str(start(tile, 12, 4)) == str(tile * 4)
    assert "min" in str(start(tile, 13, 4))


@given(EXTENTS)
def test_panels_hold_what_their_tile_covers(case: tuple[int, int]) -> None:
    extent, size = case
    values = np.arange(extent * 2).reshape(extent, 2)
    packed = panels(values, size)
    assert packed.shape == (tiles(extent, size), size, 2)
    for tile, first in enumerate(starts(extent, size)):
        np.testing.assert_array_equal(packed[tile], values[first : first + size])


@pytest.mark.parametrize(
    ("extent", "size", "expected"),
    [
        (5, 2, [[0, 1], [2, 3], [3, 4]]),
        (5, 4, [[0, 1, 2, 3], [1, 2, 3, 4]]),
        (6, 3, [[0, 1, 2], [3, 4, 5]]),
        (3, 3, [[0, 1, 2]]),
    ],
)
def test_panels_by_hand(extent: int, size: int, expected: list[list[int]]) -> None:
    assert panels(np.arange(extent), size).tolist() == expected
