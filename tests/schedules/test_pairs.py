"""Schedules of kernels on pairs: every legal point is within its bounds, and the default is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mbgen.data import data_folder
from mbgen.schedules.pairs import (
    BLOCK_BYTES,
    OPERANDS,
    PairTile,
    RowTile,
    divisors,
    pair_depthwise_space,
    pair_direct_space,
    pair_gemm_space,
    pair_tile,
    row_tile,
)
from mbgen.schedules.space import Choice
from mbgen.schedules.tile import tiles
from mbgen.target import read_target

TARGET = read_target(data_folder("targets") / "host" / "x86-64-v3.toml", "host")


@given(st.integers(1, 3200), st.integers(8, 600), st.integers(1, 600))
def test_defaults_cover_the_rows_in_whole_blocks(rows: int, channels: int, half: int) -> None:
    space = pair_gemm_space({"m": rows, "n": channels, "k": 2 * half}, TARGET)
    tile = pair_tile(space.default)
    assert 1 <= tile.mr <= rows
    assert tile.nr <= channels
    assert tile.mr * tile.nr // tile.lanes + OPERANDS <= TARGET.vector_registers
    assert tiles(rows, tile.mr) % tile.block == 0
    assert tile.block == 1 or tile.block * tile.mr * half * 4 <= BLOCK_BYTES


def test_default_tiles_by_name() -> None:
    def default(rows: int, channels: int, k: int) -> PairTile:
        return pair_tile(pair_gemm_space({"m": rows, "n": channels, "k": k}, TARGET).default)

    assert default(49, 1024, 1024) == PairTile(5, 16, 8, 2, 2)
    assert default(9, 256, 128) == PairTile(3, 16, 8, 3, 2)
    assert default(1, 1000, 256) == PairTile(1, 16, 8, 1, 2)
    assert default(576, 13, 16) == PairTile(6, 8, 8, 96, 2)


def test_why_points_are_illegal() -> None:
    space = pair_gemm_space({"m": 12, "n": 64, "k": 8192}, TARGET)
    point = dict(space.default)
    assert space.reason(point | {"vectors": 4}) == "6 x 4 sums and their operands do not fit the registers"
    assert space.reason(point | {"mr": 4, "block": 2}) == "blocks of 2 do not divide 3 tiles"
    assert space.reason(point | {"block": 2}) == f"a block of 2 tiles is more than {BLOCK_BYTES} bytes of pairs"


def test_default_tiles_of_windows_by_name() -> None:
    facts: dict[str, Choice] = {"oh": 48, "ow": 48, "ic": 3, "oc": 32}
    assert row_tile(pair_direct_space(facts, TARGET).default) == RowTile(6, 16, 8)
    assert row_tile(pair_direct_space(facts | {"ow": 1, "oc": 9}, TARGET).default) == RowTile(1, 8, 8)
    assert row_tile(pair_depthwise_space(facts, TARGET).default) == RowTile(1, 8, 8)
    space = pair_direct_space(facts, TARGET)
    reason = space.reason(dict(space.default) | {"vectors": 4})
    assert reason == "6 x 4 sums and their operands do not fit the registers"


def test_divisors() -> None:
    assert [divisors(number) for number in (1, 7, 12)] == [[1], [1, 7], [1, 2, 3, 4, 6, 12]]


def test_a_tile_in_words() -> None:
    assert str(RowTile(6, 16, 8)) == "mr=6 nr=16 lanes=8"
    assert str(PairTile(6, 16, 8, 3, 2)) == "mr=6 nr=16 lanes=8 block=3 unroll=2"
