"""Schedules of int8 kernels on Helium (MVE): the tile of a GEMM, and how many columns are laid out in memory at a time.

May not know TVM, so that a schedule can be compared, stored and replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mbgen.intrinsics.mve_gemm import PIXELS, ROW_CHANNELS
from mbgen.schedules.space import Choice, Space

ROW, SQUARE = "8x1", "2x4"  # channels by pixels of a tile
SCRATCH_BYTES = 24 * 1024  # of a kernel's own, on the stack, at most: what two columns of 1,024 channels take
STRIP_BYTES = 8 * 1024  # of it, in the default of a depthwise layer unless two columns take more
PATCH_BYTES = 4 * 1024  # in the default of a convolution: more does not make it faster
COLUMNS = (2, 4, 8, 16, 32, 64, 128)


def gemm_space(facts: Mapping[str, Choice]) -> Space:
    """The tiles of a GEMM of `m` pixels by `n` channels among its facts."""
    channels, pixels = int(facts["n"]), int(facts["m"])
    tiles = (SQUARE, ROW) if channels >= ROW_CHANNELS else (SQUARE,)
    return Space("gemm_mve", facts, {"tile": tiles}, {"tile": tiles[-1] if pixels == 1 else SQUARE})


def depthwise_space(facts: Mapping[str, Choice]) -> Space | None:
    """How many output columns a strip serves at a time; None where no strip fits.

    Facts: `ow`, `channels` and `stride`, an integer.
    """
    ow, channels, stride = (int(facts[name]) for name in ("ow", "channels", "stride"))

    def needed(columns: int) -> int:
        return 4 * channels * stride * strip_columns(columns + ow % 2, stride)

    return _columns("depthwise_mve", facts, ow // 2 * 2, 2, needed, STRIP_BYTES)


def patch_space(facts: Mapping[str, Choice]) -> Space | None:
    """How many pixels' windows of `k` elements are laid out at a time, in a row of `ow`; None where too few fit."""
    ow, k = int(facts["ow"]), int(facts["k"])
    return _columns("conv2d_mve", facts, ow, PIXELS, lambda columns: k * columns, PATCH_BYTES)


def strip_columns(span: int, stride: int) -> int:
    """Columns of a strip that holds all patches of `span` outputs side by side."""
    return (span - 2) * stride + (4 if stride == 1 else 6)


def _columns(
    family: str, facts: Mapping[str, Choice], whole: int, multiple: int, needed: Callable[[int], int], preferred: int
) -> Space | None:
    """All columns at a time where they fit the preferred bytes, else the most that do."""
    fitting = [c for c in sorted({*COLUMNS, whole}) if c <= whole and (c == whole or c % multiple == 0)]
    fitting = [c for c in fitting if needed(c) <= SCRATCH_BYTES]
    if not fitting:
        return None
    default = max((c for c in fitting if needed(c) <= preferred), default=fitting[0])
    return Space(family, facts, {"columns": tuple(fitting)}, {"columns": default})
