"""Convolutions over windows, direct and depthwise: one output row at a time, from input rows wherever they lie.

A kernel is given the places of the window's rows, so that the same code serves a whole tensor, a ring of rows and a
tensor that is written over; a row that is padding has no place. Nothing is copied and no im2col is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tvm import s_tir, tirx

from mbgen.graph import Array, DType
from mbgen.lowering.builder import T, build, conditions, grid, local, parameter, scalar, when, widened
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.tiling import panels, start
from mbgen.schedules.spread import spread
from mbgen.schedules.tile import Tile, tiles


@dataclass(frozen=True)
class RowWindow:
    """A sliding window along one row: output column ow and tap kw look at column ow * stride + kw * dilation - left.

    `padded_rows` says whether a tap row may be padding, which is then skipped.
    """

    width: int
    ow: int
    kh: int
    kw: int
    stride: int
    dilation: int
    left: int
    padded_rows: bool

    def column(self, ow: Any, kw: Any) -> Any:
        """Column of the image; beyond it where there is padding."""
        return ow * self.stride + kw * self.dilation - self.left

    @property
    def padded_columns(self) -> tuple[bool, bool]:
        """Whether any window reaches beyond the left and the right end of a row."""
        last = (self.ow - 1) * self.stride + (self.kw - 1) * self.dilation - self.left
        return self.left > 0, last >= self.width

    @property
    def padded(self) -> bool:
        """Whether any tap may be padding."""
        return self.padded_rows or any(self.padded_columns)

    def inside(self, kh: Any, bounds: tuple[Any, Any] | None, iw: Any) -> Any | None:
        """The condition that a tap is not padding, None where none ever is; `bounds` are the rows', if any."""
        left, right = self.padded_columns
        rows = [] if bounds is None else [(True, kh >= bounds[0]), (True, kh < bounds[1])]
        return conditions(*rows, (left, iw >= 0), (right, iw < self.width))


@dataclass(frozen=True)
class Convolution:
    """output[ow, oc] = finish(sum of (x - zero_point) * (w - weight_zero_point) + bias[oc] over the window).

    A direct convolution sums over all input channels; in a depthwise one channel oc reads channel oc // multiplier.
    Taps that are padding are skipped, so x must count as zero there: `zero_point` is the input's where there is
    padding, and 0 where it could be folded into the bias.

    Parameters of the kernel: `input`, any memory that holds the rows; `rows[kh]`, where in it each row of the window
    starts, counted in elements; where rows may be padding `kh_begin` and `kh_end`, those that are not; the constants;
    `output`, one row.
    """

    kind: Literal["direct", "depthwise"]
    window: RowWindow
    channels: int
    oc: int
    dtype: DType
    weight_dtype: DType
    zero_point: int
    weight_zero_point: int
    epilogue: Epilogue

    @property
    def multiplier(self) -> int:
        """Output channels that read one input channel, in a depthwise convolution."""
        return self.oc // self.channels


def pack_direct(weights: Array, nr: int) -> Array:
    """`[oc, kh, kw, ic]` to panels `[tiles, kh, kw, ic, nr]`."""
    return np.ascontiguousarray(panels(weights, nr).transpose(0, 2, 3, 4, 1))


def define(form: Convolution, nr: int) -> tirx.PrimFunc:
    """The compute definition; direct convolutions read weights in panels of `nr` channels."""
    window = form.window
    total = "float32" if form.dtype == "float32" else "int32"
    direct, columns = form.kind == "direct", tiles(form.oc, nr)
    packed = (columns, window.kh, window.kw, form.channels, nr) if direct else (window.kh, window.kw, form.oc)
    spatial = {"ow": window.ow, "oc_0": columns, "oc_1": nr}
    reduce = {"kh": window.kh, "kw": window.kw, **({"ic": form.channels} if direct else {})}
    reach = window.kh * window.width * form.channels  # nominal: rows may lie further apart

    def body() -> None:
        x = parameter("input", (reach,), form.dtype)
        rows = parameter("rows", (window.kh,), "int32")
        bounds = (scalar("kh_begin"), scalar("kh_end")) if window.padded_rows else None
        w = parameter("weights", packed, form.weight_dtype)
        bias = parameter("bias", (form.oc,), total)
        arrays = [parameter(name, (form.oc,), dtype) for name, dtype in form.epilogue.parameters]
        y = parameter("output", (window.ow, form.oc), form.epilogue.dtype)
        acc = local("acc", (window.ow, columns, nr), total)
        with grid("acc", spatial, reduce) as (ow, oc_0, oc_1, kh, kw, *rest):
            iw, oc = window.column(ow, kw), start(oc_0, form.oc, nr) + oc_1
            ic = rest[0] if direct else oc // form.multiplier
            tap = (oc_0, kh, kw, ic, oc_1) if direct else (kh, kw, oc)
            T.reads(x[0:reach], rows[kh], w[tap], bias[oc])
            T.writes(acc[ow, oc_0, oc_1])
            with T.init():
                T.buffer_store(acc, bias[oc], [ow, oc_0, oc_1])
            with when(window.inside(kh, bounds, iw)):
                value = x[rows[kh] + iw * form.channels + ic]
                product = widened(value, form.dtype, form.zero_point) * widened(
                    w[tap], form.weight_dtype, form.weight_zero_point
                )
                T.buffer_store(acc, acc[ow, oc_0, oc_1] + product, [ow, oc_0, oc_1])
        with grid("output", spatial) as (ow, oc_0, oc_1):
            oc = start(oc_0, form.oc, nr) + oc_1
            T.reads(acc[ow, oc_0, oc_1], *(array[oc] for array in arrays))
            T.writes(y[ow, oc])
            finished = form.epilogue.finish(acc[ow, oc_0, oc_1], tuple(array[oc] for array in arrays))
            T.buffer_store(y, finished, [ow, oc])

    return build(body)


def schedule(function: tirx.PrimFunc, form: Convolution, tile: Tile) -> tirx.PrimFunc:
    """Pixel by pixel, a tile of channels at a time in registers; the taps are loops around it."""
    sch: Any = s_tir.Schedule(function)
    acc, output = sch.get_sblock("acc"), sch.get_sblock("output")
    _, oc_0, oc_1, kh, *taps = sch.get_loops(acc)
    sch.reorder(kh, *taps, oc_1)
    sch.reverse_compute_at(output, oc_0, preserve_unit_loops=True)
    spread(sch, None, oc_1, tile.lanes)
    spread(sch, None, sch.get_loops(output)[-1], tile.lanes)
    sch.decompose_reduction(acc, kh)
    return sch.mod["main"]
