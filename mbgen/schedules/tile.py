"""Micro-tiles and their default sizes for a core.

May not know TVM, so that a tile can be compared, stored and replayed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbgen.target import Target

SUM_BITS = 32


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


def largest_divisor(number: int, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit`."""
    return max(divisor for divisor in range(1, min(number, limit) + 1) if number % divisor == 0)


def default_gemm_tile(rows: int, channels: int, target: Target) -> Tile:
    """The tile with the fewest loads a multiply-accumulate whose sums and operands stay in registers.

    Rows are split without a rest; channels are padded up to a multiple of `nr` in the packed weights. A scalar core
    holds four sums.
    """
    width = lanes(target)
    if width == 1:
        mr = largest_divisor(rows, 2)
        return Tile(mr, largest_divisor(channels, 4 // mr), 1)
    wanted = -(-channels // width)
    fitting = [
        (mr, vectors)
        for vectors in (1, 2, 4)
        for mr in range(1, target.vector_registers)
        if vectors <= wanted and rows % mr == 0 and mr * vectors + vectors + 1 <= target.vector_registers
    ]
    mr, vectors = min(fitting, key=lambda tile: ((tile[0] + tile[1]) / (tile[0] * tile[1]), tile))
    return Tile(mr, vectors * width, width)


def default_channel_tile(channels: int, target: Target, vectors: int = 1) -> Tile:
    """One pixel by up to `vectors` vectors of channels (four single ones on a scalar core), without a rest."""
    width = next((width for width in (lanes(target), 4) if width > 1 and channels % width == 0), 1)
    if width == 1 or lanes(target) == 1:
        return Tile(1, largest_divisor(channels, 4), 1)
    return Tile(1, width * largest_divisor(channels // width, vectors), width)
