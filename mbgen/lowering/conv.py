"""Convolutions over windows: direct and depthwise, on the NHWC tensor, with padding skipped rather than stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tvm import s_tir, tirx

from mbgen.graph import Array, DType, Padding
from mbgen.lowering.builder import T, build, grid, inside, local, parameter, when, widened
from mbgen.lowering.epilogue import Epilogue
from mbgen.schedules.spread import spread
from mbgen.schedules.tile import Tile


@dataclass(frozen=True)
class Window:
    """A sliding window: where output (oh, ow) and tap (kh, kw) look in an image of `height` x `width`."""

    height: int
    width: int
    oh: int
    ow: int
    kh: int
    kw: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding

    def place(self, oh: Any, ow: Any, kh: Any, kw: Any) -> tuple[Any, Any]:
        """Row and column of the image; beyond it where there is padding."""
        ih = oh * self.stride[0] + kh * self.dilation[0] - self.padding.top
        iw = ow * self.stride[1] + kw * self.dilation[1] - self.padding.left
        return ih, iw

    def inside(self, ih: Any, iw: Any) -> Any | None:
        """The condition that a place is not padding, None where no window reaches any."""
        bottom = (self.oh - 1) * self.stride[0] + (self.kh - 1) * self.dilation[0] - self.padding.top >= self.height
        right = (self.ow - 1) * self.stride[1] + (self.kw - 1) * self.dilation[1] - self.padding.left >= self.width
        sides = (self.padding.top > 0, bottom, self.padding.left > 0, right)
        return inside(ih, iw, self.height, self.width, sides)

    @property
    def padded(self) -> bool:
        """Whether any window reaches padding."""
        return self.inside(0, 0) is not None


@dataclass(frozen=True)
class Convolution:
    """output[oh, ow, oc] = finish(sum of (x - zero_point) * (w - weight_zero_point) + bias[oc]) over the window.

    `ic` is the number of input channels that one output channel sees: all of them, or one (`depthwise`), which is then
    channel oc // multiplier. Taps outside the image are skipped, so x must count as zero there: `zero_point` is the
    input's where there is padding, and 0 where it could be folded into the bias.
    """

    kind: Literal["direct", "depthwise"]
    window: Window
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
    """`[oc, kh, kw, ic]` to panels `[oc / nr, kh, kw, ic, nr]`; `nr` divides oc."""
    oc, kh, kw, ic = weights.shape
    return np.ascontiguousarray(weights.reshape(oc // nr, nr, kh, kw, ic).transpose(0, 2, 3, 4, 1))


def define(form: Convolution, nr: int) -> tirx.PrimFunc:
    """The compute definition; direct convolutions read weights in panels of `nr` channels."""
    window = form.window
    total = "float32" if form.dtype == "float32" else "int32"
    direct = form.kind == "direct"
    packed = (form.oc // nr, window.kh, window.kw, form.channels, nr) if direct else (window.kh, window.kw, form.oc)
    reduce = {"kh": window.kh, "kw": window.kw, **({"ic": form.channels} if direct else {})}

    def body() -> None:
        x = parameter("input", (window.height, window.width, form.channels), form.dtype)
        w = parameter("weights", packed, form.weight_dtype)
        bias = parameter("bias", (form.oc,), total)
        arrays = [parameter(name, (form.oc,), dtype) for name, dtype in form.epilogue.parameters]
        y = parameter("output", (window.oh, window.ow, form.oc), form.epilogue.dtype)
        acc = local("acc", (window.oh, window.ow, form.oc), total)
        with grid("acc", {"oh": window.oh, "ow": window.ow, "oc": form.oc}, reduce) as (oh, ow, oc, kh, kw, *rest):
            ih, iw = window.place(oh, ow, kh, kw)
            ic = rest[0] if direct else oc // form.multiplier
            tap = (oc // nr, kh, kw, ic, oc % nr) if direct else (kh, kw, oc)
            T.reads(x[ih, iw, ic], w[tap], bias[oc])
            T.writes(acc[oh, ow, oc])
            with T.init():
                T.buffer_store(acc, bias[oc], [oh, ow, oc])
            with when(window.inside(ih, iw)):
                product = widened(x[ih, iw, ic], form.dtype, form.zero_point) * widened(
                    w[tap], form.weight_dtype, form.weight_zero_point
                )
                T.buffer_store(acc, acc[oh, ow, oc] + product, [oh, ow, oc])
        with grid("output", {"oh": window.oh, "ow": window.ow, "oc": form.oc}) as (oh, ow, oc):
            T.reads(acc[oh, ow, oc], *(array[oc] for array in arrays))
            T.writes(y[oh, ow, oc])
            finished = form.epilogue.finish(acc[oh, ow, oc], tuple(array[oc] for array in arrays))
            T.buffer_store(y, finished, [oh, ow, oc])

    return build(body)


def schedule(function: tirx.PrimFunc, form: Convolution, tile: Tile) -> tirx.PrimFunc:
    """Pixel by pixel, a tile of channels at a time in registers; the taps are loops around it."""
    sch: Any = s_tir.Schedule(function)
    acc, output = sch.get_sblock("acc"), sch.get_sblock("output")
    _, ow, oc, kh, *taps = sch.get_loops(acc)
    oc_0, oc_1 = sch.split(oc, [None, tile.nr])
    sch.reorder(ow, oc_0, kh, *taps, oc_1)
    sch.reverse_compute_at(output, oc_0, preserve_unit_loops=True)
    spread(sch, None, oc_1, tile.lanes)
    spread(sch, None, sch.get_loops(output)[-1], tile.lanes)
    sch.decompose_reduction(acc, kh)
    return sch.mod["main"]
