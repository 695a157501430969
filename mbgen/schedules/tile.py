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
    """A tile whose sums stay in registers: half of them for sums on a vector core, four on a scalar one.

    Rows are split without a rest; channels are padded up to a multiple of `nr` in the packed weights.
    """
    width = lanes(target)
    if width == 1:
        mr = largest_divisor(rows, 2)
        return Tile(mr, largest_divisor(channels, 4 // mr), 1)
    vectors = 2 if channels >= 2 * width else 1
    sums = target.vector_registers // 2 // vectors
    return Tile(largest_divisor(rows, max(sums, 1)), vectors * width, width)


def default_channel_tile(channels: int, target: Target, vectors: int = 1) -> Tile:
    """One pixel by up to `vectors` vectors of channels (four single ones on a scalar core), without a rest."""
    width = next((width for width in (lanes(target), 4) if width > 1 and channels % width == 0), 1)
    if width == 1 or lanes(target) == 1:
        return Tile(1, largest_divisor(channels, 4), 1)
    return Tile(1, width * largest_divisor(channels // width, vectors), width)
