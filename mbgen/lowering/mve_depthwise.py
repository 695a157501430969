"""Depthwise convolutions of 3x3 on Helium: two rows of outputs at a time, from strips of rows that lie interleaved.

A strip is four rows of the image, padding included, with the bytes of a column and channel side by side, so that a
patch of 4x4 is one load. It is made in memory of the kernel's own from the NHWC tensor, as many columns at a time as a
bound on that memory allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from mbgen.intrinsics.mve_depthwise import depthwise_name
from mbgen.lowering.builder import T, build, grid, local, parameter, run
from mbgen.schedules.helium import strip_columns


@dataclass(frozen=True)
class MveDepthwise:
    """A window of 3x3 with padding `top` and `left`, filled with `zero_point`; `words` is the length of the stream.

    Outputs are made in spans of `span` columns.
    """

    height: int
    width: int
    channels: int
    oh: int
    ow: int
    stride: int
    top: int
    left: int
    zero_point: int
    span: int
    words: int
    shift: int

    @property
    def columns(self) -> int:
        """Columns of a strip."""
        return strip_columns(self.span + self.ow % 2, self.stride)

    def spans(self) -> Iterator[tuple[int, int]]:
        """First output column and number of blocks of two; where columns are odd, the last block lies over another."""
        for first in range(0, self.ow // 2 * 2, self.span):
            yield first, min(self.span, self.ow - first) // 2


def define(form: MveDepthwise) -> tirx.PrimFunc:
    """Fill strips, then make two rows of outputs from them; the last two rows may lie over others."""
    strips = -(-form.oh // 2)
    length = form.columns * form.channels  # words of a strip
    border = -(-min(form.width, form.columns) * form.channels // 4)
    pitch = form.width * form.channels

    def body() -> None:
        x = parameter("input", (form.height * form.width * form.channels,), "int8")
        w = parameter("weights", (form.words,), "int32")
        y = parameter("output", (form.oh * form.ow * form.channels,), "int8")
        strip = local("strip", (form.stride * length,), "int32")
        outside = local("border", (border,), "int32")
        number = [0]

        def fill(buffer: Any, words: int) -> None:
            number[0] += 1
            with grid(f"fill_{number[0]}", {}):
                T.reads()
                T.writes(buffer[0:words])
                run("fill_i8", buffer.data, form.zero_point, words)

        def blocks(pair: Any, first_in_strip: int, first: int, count: int, step: int) -> None:
            row = tirx.min(pair * 2, form.oh - 2)
            place = (row * form.ow + first) * form.channels
            run(
                depthwise_name(form.stride, form.shift),
                tirx.address_of(y[place]),
                form.channels,
                tirx.address_of(strip[first_in_strip * form.stride * form.channels]),
                count,
                step,
                w.data,
                form.shift,
            )

        fill(outside, border)
        for index, (first, count) in enumerate(form.spans()):
            begin = first * form.stride - form.left  # column of the image that the strip begins with
            inside = max(begin, 0), min(begin + form.columns, form.width)
            fill(strip, form.stride * length)
            with grid(f"rows_{index}", {"pair": strips}) as (pair,):
                T.reads(x[0 : form.height * pitch], w[0 : form.words], outside[0:border])
                T.writes(y[0 : form.oh * form.ow * form.channels], strip[0 : form.stride * length])
                row = tirx.min(pair * 2, form.oh - 2) * form.stride - form.top
                for part in range(form.stride):
                    run(
                        "interleave_i8",
                        tirx.address_of(strip[part * length + (inside[0] - begin) * form.channels]),
                        tirx.address_of(x[inside[0] * form.channels]),
                        row + 2 * part,
                        form.height,
                        pitch,
                        tirx.address_of(outside[0]),
                        (inside[1] - inside[0]) * form.channels,
                    )
                odd = first + 2 * count == form.ow - 1
                if odd and count == 1:
                    blocks(pair, 0, first, 2, 1)
                    continue
                blocks(pair, 0, first, count, 2)
                if odd:
                    blocks(pair, 2 * count - 1, first + 2 * count - 1, 1, 2)

    return build(body)
