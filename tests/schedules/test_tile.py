"""Default tiles: what every one keeps to on every core, and some by name."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.data import data_folder
from mbgen.schedules.tile import SCALAR_REGISTERS, SPARE, Tile, default_channel_tile, default_gemm_tile, lanes, tiles
from mbgen.target import Target, all_targets, load_target, read_target

HOSTS = ("x86-64-v3", "x86-64", "aarch64-dotprod", "aarch64")


@functools.cache
def every_core() -> list[Target]:
    folder = data_folder("targets") / "host"
    return [*all_targets()[1:], *(read_target(folder / f"{variant}.toml", "host") for variant in HOSTS)]


def test_lanes() -> None:
    assert {target.name: lanes(target) for target in all_targets()[1:]} == {
        "cortex-a53": 4,
        "cortex-a72": 4,
        "cortex-a76": 4,
        "cortex-m0plus": 1,
        "cortex-m33": 1,
        "cortex-m4": 1,
        "cortex-m55": 1,
        "cortex-m7": 1,
    }
    folder = data_folder("targets") / "host"
    assert [lanes(read_target(folder / f"{variant}.toml", "host")) for variant in HOSTS] == [8, 4, 4, 4]


@given(st.integers(1, 5000), st.integers(1, 70))
def test_tiles_are_as_few_as_cover_the_extent(extent: int, size: int) -> None:
    count = tiles(extent, size)
    assert count * size >= extent
    assert (count - 1) * size < extent


@given(st.integers(1, 120).map(lambda side: side * side) | st.integers(1, 200), st.integers(1, 1100), st.booleans())
def test_gemm_tiles_fit_in_what_they_cover_and_stay_in_registers(rows: int, channels: int, fused: bool) -> None:
    for target in every_core():
        tile, width = default_gemm_tile(rows, channels, target, fused=fused), lanes(target)
        assert tile.lanes == (width if channels >= width else 1)
        assert 1 <= tile.mr <= rows
        assert 1 <= tile.nr <= channels
        assert tile.nr % tile.lanes == 0
        vectors = tile.nr // tile.lanes
        registers = target.vector_registers if tile.lanes > 1 else SCALAR_REGISTERS
        assert tile.mr * vectors + vectors + (1 if fused and tile.lanes > 1 else SPARE) <= registers


@given(st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_no_gemm_tile_that_fits_needs_fewer_instructions(rows: int, channels: int, fused: bool) -> None:
    """Counted as multiply-accumulates and loads of each step, over all tiles."""

    def cost(mr: int, nr: int, width: int) -> int:
        return tiles(rows, mr) * tiles(channels, nr) * (mr * nr // width + mr + nr // width)

    for name in ("cortex-a72", "cortex-m4"):
        target = load_target(name)
        tile = default_gemm_tile(rows, channels, target, fused=fused)
        registers = target.vector_registers if tile.lanes > 1 else SCALAR_REGISTERS
        for vectors in (1, 2, 4):
            for mr in range(1, rows + 1):
                nr = vectors * tile.lanes
                if nr <= channels and mr * vectors + vectors + (1 if fused and tile.lanes > 1 else SPARE) <= registers:
                    assert cost(tile.mr, tile.nr, tile.lanes) <= cost(mr, nr, tile.lanes)


@given(st.integers(1, 1100), st.sampled_from([1, 4]))
def test_channel_tiles_fit_in_the_channels(channels: int, vectors: int) -> None:
    for target in every_core():
        tile = default_channel_tile(channels, target, vectors)
        assert tile.mr == 1
        assert 1 <= tile.nr <= channels
        assert tile.lanes == (lanes(target) if channels >= lanes(target) else 1)
        assert tile.nr % tile.lanes == 0
        assert tile.nr // tile.lanes <= (vectors if tile.lanes > 1 else 4)


@pytest.mark.parametrize(
    ("target", "rows", "channels", "fused", "tile"),
    [
        ("cortex-a72", 48 * 48, 16, False, Tile(5, 16, 4)),
        ("cortex-a72", 48 * 48, 16, True, Tile(6, 16, 4)),
        ("cortex-a72", 1, 1001, False, Tile(1, 16, 4)),
        ("cortex-a72", 49, 3, False, Tile(5, 1, 1)),
        ("cortex-a72", 49, 13, False, Tile(10, 8, 4)),
        ("cortex-m4", 48 * 48, 16, False, Tile(2, 2, 1)),
        ("cortex-m4", 35, 13, False, Tile(5, 1, 1)),
        ("cortex-m4", 1, 2, False, Tile(1, 2, 1)),
        ("cortex-m4", 1, 1001, False, Tile(1, 2, 1)),
    ],
)
def test_gemm_tiles_by_name(target: str, rows: int, channels: int, fused: bool, tile: Tile) -> None:
    assert default_gemm_tile(rows, channels, load_target(target), fused=fused) == tile


@pytest.mark.parametrize(
    ("variant", "channels", "vectors", "tile"),
    [
        ("x86-64-v3", 64, 1, Tile(1, 8, 8)),
        ("x86-64-v3", 64, 4, Tile(1, 32, 8)),
        ("x86-64-v3", 13, 1, Tile(1, 8, 8)),
        ("x86-64-v3", 19, 4, Tile(1, 16, 8)),
        ("x86-64-v3", 6, 1, Tile(1, 4, 1)),
        ("x86-64", 12, 1, Tile(1, 4, 4)),
        ("aarch64", 57, 4, Tile(1, 16, 4)),
        ("aarch64", 3, 4, Tile(1, 3, 1)),
    ],
)
def test_channel_tiles_by_name(variant: str, channels: int, vectors: int, tile: Tile) -> None:
    """Whole vectors, the last of them over the one before; single channels only where there are fewer than a vector."""
    target = read_target(data_folder("targets") / "host" / f"{variant}.toml", "host")
    assert default_channel_tile(channels, target, vectors) == tile


def test_a_tile_in_words() -> None:
    assert str(Tile(4, 16, 8)) == "mr=4 nr=16 lanes=8"
