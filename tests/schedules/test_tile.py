"""Default tiles: what every one keeps to on every core, and some by name."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.data import data_folder
from mbgen.schedules.tile import Tile, default_channel_tile, default_gemm_tile, lanes, largest_divisor
from mbgen.target import Target, all_targets, load_target, read_target

HOSTS = ("x86-64-v3", "x86-64", "aarch64-dotprod", "aarch64")


@functools.cache
def every_core() -> list[Target]:
    folder = data_folder("targets") / "host"
    return [*all_targets()[1:], *(read_target(folder / f"{variant}.toml", "host") for variant in HOSTS)]


def vector_cores() -> list[Target]:
    return [target for target in every_core() if lanes(target) > 1]


def scalar_cores() -> list[Target]:
    return [target for target in every_core() if lanes(target) == 1]


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
def test_largest_divisor(number: int, limit: int) -> None:
    divisor = largest_divisor(number, limit)
    assert 1 <= divisor <= limit
    assert number % divisor == 0
    assert all(number % larger for larger in range(divisor + 1, min(number, limit) + 1))


@given(st.integers(1, 120).map(lambda side: side * side) | st.integers(1, 200), st.integers(1, 1100))
def test_gemm_tiles_split_rows_evenly_and_stay_in_registers(rows: int, channels: int) -> None:
    for target in vector_cores():
        tile, width = default_gemm_tile(rows, channels, target), lanes(target)
        assert tile.lanes == width
        assert rows % tile.mr == 0
        assert tile.nr % width == 0
        assert tile.nr < channels + width  # no vector of a panel is padding alone where there is one panel
        sums, weights, inputs = tile.mr * tile.nr // width, tile.nr // width, 1
        assert sums + weights + inputs <= target.vector_registers
    for target in scalar_cores():
        tile = default_gemm_tile(rows, channels, target)
        assert tile.lanes == 1
        assert (rows % tile.mr, channels % tile.nr) == (0, 0)
        assert tile.mr * tile.nr <= 4


@given(st.integers(1, 1100), st.sampled_from([1, 4]))
def test_channel_tiles_leave_no_rest(channels: int, vectors: int) -> None:
    for target in every_core():
        tile = default_channel_tile(channels, target, vectors)
        assert tile.mr == 1
        assert channels % tile.nr == 0
        assert tile.nr % tile.lanes == 0
        assert tile.nr // tile.lanes <= (vectors if tile.lanes > 1 else 4)
        if channels % lanes(target) == 0:
            assert tile.lanes == lanes(target)


@pytest.mark.parametrize(
    ("target", "rows", "channels", "tile"),
    [
        ("cortex-a72", 48 * 48, 16, Tile(6, 16, 4)),
        ("cortex-a72", 1, 1001, Tile(1, 16, 4)),
        ("cortex-a72", 49, 3, Tile(7, 4, 4)),
        ("cortex-m4", 48 * 48, 16, Tile(2, 2, 1)),
        ("cortex-m4", 9, 256, Tile(1, 4, 1)),
        ("cortex-m4", 1, 2, Tile(1, 2, 1)),
        ("cortex-m4", 1, 1001, Tile(1, 1, 1)),
    ],
)
def test_gemm_tiles_by_name(target: str, rows: int, channels: int, tile: Tile) -> None:
    assert default_gemm_tile(rows, channels, load_target(target)) == tile


@pytest.mark.parametrize(
    ("variant", "channels", "tile"),
    [
        ("x86-64-v3", 64, Tile(1, 8, 8)),
        ("x86-64-v3", 12, Tile(1, 4, 4)),
        ("x86-64-v3", 6, Tile(1, 3, 1)),
        ("x86-64", 12, Tile(1, 4, 4)),
        ("aarch64", 13, Tile(1, 1, 1)),
    ],
)
def test_channel_tiles_by_name(variant: str, channels: int, tile: Tile) -> None:
    """Half vectors where whole ones leave a rest, single channels where those do too."""
    target = read_target(data_folder("targets") / "host" / f"{variant}.toml", "host")
    assert default_channel_tile(channels, target) == tile


def test_a_tile_in_words() -> None:
    assert str(Tile(4, 16, 8)) == "mr=4 nr=16 lanes=8"
