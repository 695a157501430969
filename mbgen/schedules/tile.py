"""Micro-tiles and their default sizes for a core.

May not know TVM, so that a tile can be compared, stored and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbgen.schedules.space import Choice, Point, Space
from mbgen.target import Target

SUM_BITS = 32
SCALAR_REGISTERS = 11  # four sums, the operands of a step, and SPARE
SCALAR_CHANNELS = 4
SPARE = 5  # registers for products and conversions on their way; with fewer, GCC 12 spills sums


@dataclass(frozen=True)
class Tile:
    """A register tile: `mr` pixels by `nr` output channels, the channels in vectors of `lanes` (1: scalar code)."""

    mr: int
    nr: int
    lanes: int

    def __str__(self) -> str:
        return f"mr={self.mr} nr={self.nr} lanes={self.lanes}"


def lanes(target: Target) -> int:
    """32-bit elements in one vector register, 1 for a core without vectors that GCC's vector types reach."""
    return target.vector_bits // SUM_BITS if target.instruction_set & {"avx2", "neon", "sse2"} else 1


def tiles(extent: int, size: int) -> int:
    """How many tiles of `size` cover `extent`; the last lies over the one before it where there is a rest."""
    return -(-extent // size)


def default_gemm_tile(rows: int, channels: int, target: Target, *, fused: bool) -> Tile:
    """The tile with the fewest loads and multiply-accumulates in all whose sums and operands stay in registers.

    `fused`: multiply and add are one instruction, so products need no register of their own. A scalar core holds four
    sums.
    """
    width = lanes(target) if channels >= lanes(target) else 1
    registers = target.vector_registers if width > 1 else SCALAR_REGISTERS

    def cost(tile: tuple[int, int]) -> tuple[int, int, int]:
        mr, vectors = tile
        return tiles(rows, mr) * tiles(channels, vectors * width) * (mr * vectors + mr + vectors), *tile

    fitting = [
        (mr, vectors)
        for vectors in (1, 2, 4)
        for mr in range(1, min(rows, registers) + 1)
        if vectors * width <= channels and mr * vectors + vectors + (1 if fused and width > 1 else SPARE) <= registers
    ]
    mr, vectors = min(fitting, key=cost)
    return Tile(mr, vectors * width, width)


def default_channel_tile(channels: int, target: Target, vectors: int = 1) -> Tile:
    """One pixel by up to `vectors` vectors of channels (four single ones on a scalar core)."""
    width = lanes(target) if channels >= lanes(target) else 1
    if width == 1:
        return Tile(1, min(channels, SCALAR_CHANNELS), 1)
    return Tile(1, width * max(count for count in (1, 2, 4) if count <= vectors and count * width <= channels), width)


def gemm_space(facts: Mapping[str, Choice], target: Target, *, fused: bool) -> Space:
    """The tiles of a GEMM with extents `m` and `n` among its facts; sums and operands must stay in registers."""
    rows, channels = int(facts["m"]), int(facts["n"])
    width = lanes(target) if channels >= lanes(target) else 1
    registers = target.vector_registers if width > 1 else SCALAR_REGISTERS
    default = default_gemm_tile(rows, channels, target, fused=fused)

    def illegal(point: Point) -> str | None:
        mr, vectors = int(point["mr"]), int(point["vectors"])
        if mr * vectors + vectors + 1 > registers:
            return f"{mr} x {vectors} sums and their operands do not fit {registers} registers"
        return None

    return Space(
        "gemm",
        facts,
        {
            "mr": tuple(range(1, min(rows, registers) + 1)),
            "vectors": tuple(count for count in (1, 2, 4) if count * width <= channels),
            "lanes": (width,),
        },
        {"mr": default.mr, "vectors": default.nr // width, "lanes": width},
        illegal,
    )


def gemm_tile(point: Point) -> Tile:
    """The tile of a point of `gemm_space`."""
    return Tile(int(point["mr"]), int(point["vectors"]) * int(point["lanes"]), int(point["lanes"]))


def channel_space(
    family: str, facts: Mapping[str, Choice], target: Target, *, vectors: int = 1, vectorized: bool = True
) -> Space:
    """The tiles of a kernel that makes one pixel at a time, by its `oc` channels; `vectors` at most in the default."""
    channels = int(facts["oc"])
    if vectorized:
        default = default_channel_tile(channels, target, vectors)
    else:
        default = Tile(1, min(channels, SCALAR_CHANNELS), 1)
    options = (1, 2, 4) if default.lanes > 1 else range(1, SCALAR_CHANNELS + 1)
    return Space(
        family,
        facts,
        {"vectors": tuple(n for n in options if n * default.lanes <= channels), "lanes": (default.lanes,)},
        {"vectors": default.nr // default.lanes, "lanes": default.lanes},
    )


def channel_tile(point: Point) -> Tile:
    """The tile of a point of `channel_space`."""
    return Tile(1, int(point["vectors"]) * int(point["lanes"]), int(point["lanes"]))
