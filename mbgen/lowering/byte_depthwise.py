"""Depthwise rows of 3x3 on NHWC bytes for cores with the DSP extension, four channels at a time."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import tirx

from mbgen.graph import DType
from mbgen.intrinsics.dsp_byte_depthwise import (
    CHANNEL_WORDS,
    CHANNELS,
    OUTPUTS,
    PLANES,
    depthwise_name,
)
from mbgen.lowering.builder import T, build, constant, grid, parameter, run, scalar
from mbgen.lowering.conv import RowWindow
from mbgen.schedules.tile import tiles


@dataclass(frozen=True)
class ByteDepthwise:
    """One output row, one output channel for each of the input's; what is padding reads as `zero_point`."""

    window: RowWindow
    channels: int
    dtype: DType
    zero_point: int
    shift: int

    @property
    def width(self) -> int | None:
        """Columns of the planes; None where no helper serves such a window."""
        window = self.window
        if (window.kh, window.kw, window.dilation) != (3, 3, 1) or window.stride not in (1, 2) or window.left > 1:
            return None
        reach = tiles(window.ow, OUTPUTS) * OUTPUTS * window.stride + 3  # of whole blocks
        columns = window.left + max(reach, window.left + window.width + 1)
        return next((width for width in PLANES if columns <= width and self.channels >= CHANNELS), None)


def define(form: ByteDepthwise) -> tirx.PrimFunc:
    """The compute definition, with the parameters of `mbgen.lowering.conv`."""
    window, width, channels = form.window, form.width, form.channels
    assert width is not None  # else nothing has asked for this kernel
    reach = window.kh * window.width * channels  # nominal: rows may lie further apart

    def body() -> None:
        x = parameter("input", (reach,), form.dtype)
        rows = parameter("rows", (3,), "int32")
        begin = scalar("kh_begin") if window.padded_rows else constant(0, "int32")
        end = scalar("kh_end") if window.padded_rows else constant(3, "int32")
        weights = parameter("weights", (channels * CHANNEL_WORDS,), "int32")
        y = parameter("output", (window.ow * channels,), form.dtype)
        with grid("depthwise", {}):
            T.reads(x[0:reach], rows[0:3], weights[0 : channels * CHANNEL_WORDS])
            T.writes(y[0 : window.ow * channels])
            name = depthwise_name(form.dtype, window.stride, window.left, width, form.shift)
            geometry = channels, window.width, window.ow, form.zero_point
            run(name, y.data, x.data, rows.data, begin, end, weights.data, *geometry)

    return build(body)
