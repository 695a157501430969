"""Depthwise rows of 3x3 on NHWC bytes for cores with the DSP extension, four channels at a time."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import tirx

from mbgen.graph import DType
from mbgen.intrinsics.dsp_byte_depthwise import (
    CHANNEL_WORDS,
    CHANNELS,
    PLANES,
    depthwise_name,
)
from mbgen.intrinsics.dsp_byte_gemm import short
from mbgen.intrinsics.dsp_byte_patches import PATCH_WORDS
from mbgen.lowering.builder import T, build, constant, grid, parameter, run, scalar
from mbgen.lowering.conv import RowWindow


@dataclass(frozen=True)
class ByteDepthwise:
    """One output row, one output channel for each of the input's; what is padding reads as `zero_point`."""

    window: RowWindow
    channels: int
    dtype: DType
    zero_point: int
    shift: int
    patches: int = 0  # that put right what the line of a channel makes wrong

    @property
    def width(self) -> int | None:
        """Columns of the planes; None where no helper serves such a window."""
        window = self.window
        if (window.kh, window.kw, window.dilation) != (3, 3, 1) or window.stride not in (1, 2) or window.left > 1:
            return None
        reach = (window.ow - 1) * window.stride + 3
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
        patches = parameter("patches", (PATCH_WORDS * form.patches,), "int32") if form.patches else None
        y = parameter("output", (window.ow * channels,), form.dtype)
        with grid("depthwise", {}):
            constants = (weights,) if patches is None else (weights, patches)
            T.reads(x[0:reach], rows[0:3], *(buffer[0 : buffer.shape[0]] for buffer in constants))
            T.writes(y[0 : window.ow * channels])
            name = depthwise_name(form.dtype, window.stride, window.left, width, form.shift)
            geometry = channels, window.width, window.ow, form.zero_point
            run(name, y.data, x.data, rows.data, begin, end, weights.data, *geometry)
            if patches is not None:
                given = rows.data, begin, end, weights.data, patches.data, form.patches, *geometry
                name = f"byte_patches_depthwise_{short(form.dtype)}"
                run(name, y.data, x.data, *given, window.stride, window.left)

    return build(body)
