"""Schedules of GEMM on pairs of int16: the register tile and the block of rows that is widened for it.

May not know TVM, so that a tile can be compared, stored and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbgen.schedules.space import Choice, Point, Space
from mbgen.schedules.tile import lanes, tiles
from mbgen.target import Target

PAIR_BYTES = 4
BLOCK_BYTES = 32 * 1024  # of input pairs on the stack, which stay in the caches while all panels go by
MAX_ROWS = 6
OPERANDS = 4  # registers beside the sums: two vectors of weights, a pair of inputs, the products


@dataclass(frozen=True)
class PairTile:
    """`mr` pixels by `nr` output channels in registers; `block` such tiles of pixels are widened together.

    `unroll`: pairs of k in one turn of the innermost loop.
    """

    mr: int
    nr: int
    lanes: int
    block: int
    unroll: int

    def __str__(self) -> str:
        return f"mr={self.mr} nr={self.nr} lanes={self.lanes} block={self.block} unroll={self.unroll}"


def divisors(number: int) -> list[int]:
    """All of them, ascending."""
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]


def pair_gemm_space(facts: Mapping[str, Choice], target: Target) -> Space:
    """The schedules of a GEMM with extents `m`, `n` and an even `k` among its facts."""
    rows, channels, k = int(facts["m"]), int(facts["n"]), int(facts["k"])
    width = lanes(target)
    options = tuple(range(1, min(rows, MAX_ROWS) + 1))
    vectors = min(2, channels // width)
    # fewest products first; then few loads of weights
    mr = min(options, key=lambda count: (tiles(rows, count) * (2 * vectors * count + count + vectors), -count))
    block = default_block(rows, mr, k)

    def illegal(point: Point) -> str | None:
        if int(point["mr"]) * int(point["vectors"]) + OPERANDS > target.vector_registers:
            return f"{point['mr']} x {point['vectors']} sums and their operands do not fit the registers"
        count = tiles(rows, int(point["mr"]))
        if count % int(point["block"]):
            return f"blocks of {point['block']} do not divide {count} tiles"
        if int(point["block"]) * int(point["mr"]) * k // 2 * PAIR_BYTES > max(BLOCK_BYTES, MAX_ROWS * k * 2):
            return f"a block of {point['block']} tiles is more than {BLOCK_BYTES} bytes of pairs"
        return None

    blocks = sorted({size for count in options for size in divisors(tiles(rows, count))})
    return Space(
        "pair_gemm",
        facts,
        {
            "mr": options,
            "vectors": tuple(count for count in (1, 2, 4) if count * width <= channels),
            "lanes": (width,),
            "block": tuple(blocks),
            "unroll": (1, 2, 4),
        },
        {"mr": mr, "vectors": vectors, "lanes": width, "block": block, "unroll": 2},
        illegal,
    )


def default_block(rows: int, mr: int, k: int) -> int:
    """As many tiles of `mr` rows as BLOCK_BYTES of pairs allow and divide all tiles."""
    return max(
        size for size in divisors(tiles(rows, mr)) if size == 1 or size * mr * k // 2 * PAIR_BYTES <= BLOCK_BYTES
    )


def pair_tile(point: Point) -> PairTile:
    """The tile of a point of `pair_gemm_space`."""
    mr, vectors, width, block, unroll = (int(point[name]) for name in ("mr", "vectors", "lanes", "block", "unroll"))
    return PairTile(mr, vectors * width, width, block, unroll)


# --- convolutions over windows, a row at a time ----------------------------------------------------------------------


@dataclass(frozen=True)
class RowTile:
    """`mr` pixels of a row by `nr` output channels; a depthwise has its pixels one by one."""

    mr: int
    nr: int
    lanes: int

    def __str__(self) -> str:
        return f"mr={self.mr} nr={self.nr} lanes={self.lanes}"


def pair_direct_space(facts: Mapping[str, Choice], target: Target) -> Space:
    """The tiles of a direct convolution with extents `ow` and `oc` among its facts."""
    pixels, channels, width = int(facts["ow"]), int(facts["oc"]), lanes(target)
    options = tuple(range(1, min(pixels, MAX_ROWS) + 1))
    vectors = min(2, channels // width)
    mr = min(options, key=lambda count: (tiles(pixels, count) * (2 * vectors * count + count + vectors), -count))

    def illegal(point: Point) -> str | None:
        if int(point["mr"]) * int(point["vectors"]) + OPERANDS > target.vector_registers:
            return f"{point['mr']} x {point['vectors']} sums and their operands do not fit the registers"
        return None

    knobs: dict[str, tuple[Choice, ...]] = {
        "mr": options,
        "vectors": tuple(count for count in (1, 2, 4) if count * width <= channels),
        "lanes": (width,),
    }
    return Space("pair_conv2d", facts, knobs, {"mr": mr, "vectors": vectors, "lanes": width}, illegal)


def pair_depthwise_space(facts: Mapping[str, Choice], target: Target) -> Space:
    """The tiles of a depthwise with `oc` among its facts: how many vectors of channels go along the row together."""
    channels, width = int(facts["oc"]), lanes(target)
    vectors = tuple(count for count in (1, 2, 4) if count * width <= channels)
    default = {"mr": 1, "vectors": 1, "lanes": width}
    return Space("pair_depthwise", facts, {"mr": (1,), "vectors": vectors, "lanes": (width,)}, default)


def row_tile(point: Point) -> RowTile:
    """The tile of a point of these two spaces."""
    return RowTile(int(point["mr"]), int(point["vectors"]) * int(point["lanes"]), int(point["lanes"]))
