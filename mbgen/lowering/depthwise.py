"""float32 depthwise rows: by a helper that makes a whole row, or in blocks of columns whose sums stay in registers.

Both take a window layer's parameters (see conv.Convolution) and are free of branches on padded columns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from mbgen.intrinsics.neon_depthwise import LANES, Row, depthwise_name
from mbgen.lowering.builder import T, build, conditions, constant, grid, local, parameter, scalar, when
from mbgen.lowering.conv import RowWindow
from mbgen.lowering.micro import Bounds
from mbgen.lowering.tiling import start
from mbgen.lowering.tir import helper, helper_statement
from mbgen.schedules.columns import Columns
from mbgen.schedules.tile import tiles


@dataclass(frozen=True)
class DepthwiseRow:
    """One output row of a float32 depthwise convolution, one output channel for each of the input's."""

    window: RowWindow
    channels: int
    bounds: Bounds

    def inside(self, ow: int) -> tuple[int, int]:
        """The taps of output column ow inside the image: the first, and the last + 1."""
        window = self.window
        inside = [0 <= window.column(ow, kw) < window.width for kw in range(window.kw)]
        return inside.index(True) if any(inside) else 0, sum(inside) + (inside.index(True) if any(inside) else 0)

    @property
    def row(self) -> Row | None:
        """The helper that makes such a row; None if there is none."""
        window = self.window
        edges = {ow: self.inside(ow) for ow in range(window.ow) if self.inside(ow) != (0, window.kw)}
        left, right = edges.pop(0, None), edges.pop(window.ow - 1, None)
        if (window.kh, window.kw, window.dilation) != (3, 3, 1) or window.ow < 2 or edges or self.channels < LANES:
            return None
        if window.stride not in (1, 2) or left not in (None, (1, 3)) or right not in (None, (0, 2)):
            return None
        return Row(window.stride, left is not None, right is not None, self.bounds.finite)


def _parameters(form: DepthwiseRow, packed: tuple[int, ...], panel: int) -> tuple[Any, Any, Any, Any, Any, Any, Any]:
    """Input, rows, kh_begin, kh_end, weights, bias and output."""
    window = form.window
    x = parameter(
        "input", (window.kh * window.width * form.channels,), "float32"
    )  # nominal: rows may lie further apart
    rows = parameter("rows", (window.kh,), "int32")
    begin = scalar("kh_begin") if window.padded_rows else constant(0, "int32")
    end = scalar("kh_end") if window.padded_rows else constant(window.kh, "int32")
    w = parameter("weights", packed, "float32")
    bias = parameter("bias", (tiles(form.channels, panel), panel), "float32")
    return x, rows, begin, end, w, bias, parameter("output", (window.ow, form.channels), "float32")


def define_row(form: DepthwiseRow, row: Row) -> tirx.PrimFunc:
    """By the helper of `row`: for all whole tiles of channels, then for the last one, which may lie over another."""
    count = tiles(form.channels, LANES)

    def body() -> None:
        packed = (count, 3, 3, LANES)
        x, rows, begin, end, w, bias, y = _parameters(form, packed, LANES)
        whole = form.channels // LANES
        for name, first, many in (("whole", 0, whole), ("rest", whole, count - whole)):
            if many:
                channel = first * LANES if name == "whole" else form.channels - LANES
                with grid(name, {name: 1}):
                    T.reads(x[0 : x.shape[0]], rows[0:3], w[0:count], bias[0:count])
                    T.writes(y[0 : form.window.ow, channel : channel + many * LANES])
                    T.evaluate(
                        helper_statement(
                            depthwise_name(row),
                            tirx.address_of(y[0, channel]),
                            constant(form.channels, "int32"),
                            tirx.address_of(x[channel]),
                            tirx.address_of(rows[0]),
                            begin,
                            end,
                            tirx.address_of(w[first, 0, 0, 0]),
                            tirx.address_of(bias[first, 0]),
                            constant(many, "int32"),
                            constant(form.window.ow, "int32"),
                            *form.bounds.arguments,
                        )
                    )

    return build(body)


def blocks(form: DepthwiseRow, columns: int) -> list[tuple[int, int, int]]:
    """Blocks of `columns` outputs at most: first column, size, and how many like it follow each other."""
    starts = range(0, form.window.ow, columns)
    sizes = [(first, min(columns, form.window.ow - first)) for first in starts]
    found = []
    for _, group in itertools.groupby(sizes, lambda one: (one[1], *(form.inside(one[0] + j) for j in range(one[1])))):
        alike = list(group)
        found.append((*alike[0], len(alike)))
    return found


def define_columns(form: DepthwiseRow, schedule: Columns) -> tirx.PrimFunc:
    """Block by block, all channels of one before the next, so that each cache line is read by one block only."""
    window, lanes, nr = form.window, schedule.lanes, schedule.lanes * schedule.vectors
    kind = f"float32x{lanes}"

    def body() -> None:
        panels = tiles(form.channels, nr)
        x, rows, begin, end, w, bias, y = _parameters(form, (panels, window.kh, window.kw, nr), nr)
        sums = local("acc", (schedule.columns * schedule.vectors,), kind)
        for number, (first, size, count) in enumerate(blocks(form, schedule.columns)):
            names = {f"block_{number}": count, f"c_{number}": panels}
            places = list(itertools.product(range(size), range(schedule.vectors)))
            with grid(f"columns_{number}", names) as (block, panel):
                channel, ow = start(panel, form.channels, nr), first + block * schedule.columns
                T.reads(x[0 : x.shape[0]], rows[0 : window.kh], w[panel], bias[panel])
                T.writes(y[0 : window.ow, 0 : form.channels], sums[0 : sums.shape[0]])
                for j, v in places:
                    T.buffer_store(sums, bias[panel, tirx.Ramp(v * lanes, 1, lanes)], [j * schedule.vectors + v])
                with T.serial(0, window.kh) as kh, when(_inside(form, kh, begin, end)):
                    for kw, v in itertools.product(range(window.kw), range(schedule.vectors)):
                        weight = w[panel, kh, kw, tirx.Ramp(v * lanes, 1, lanes)]
                        for j in range(size):
                            low, high = form.inside(first + j)
                            if low <= kw < high:
                                column = window.column(ow + j, kw)
                                first_x = rows[kh] + column * form.channels + channel + v * lanes
                                place = [j * schedule.vectors + v]
                                source = x[tirx.Ramp(first_x, 1, lanes)]
                                added = helper("multiply_add_f32", kind, sums[place[0]], weight, source)
                                T.buffer_store(sums, added, place)
                for j, v in places:
                    total = sums[j * schedule.vectors + v]
                    cut = helper("clamp_f32", kind, total, *map(_spread(lanes), form.bounds.arguments))
                    target = [ow + j, tirx.Ramp(channel + v * lanes, 1, lanes)]
                    T.buffer_store(y, cut if form.bounds.finite else total, target)

    return build(body)


def _inside(form: DepthwiseRow, kh: Any, begin: Any, end: Any) -> Any | None:
    padded = form.window.padded_rows
    return conditions((padded, kh >= begin), (padded, kh < end))


def _spread(lanes: int) -> Any:
    return lambda value: tirx.Broadcast(value, lanes)
