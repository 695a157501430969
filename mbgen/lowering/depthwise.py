"""float32 depthwise rows: by a helper that makes a whole row, or in blocks of columns whose sums stay in registers.

Both take a window layer's parameters (see conv.Convolution) and are free of branches on padded columns.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from mbgen.intrinsics.neon_depthwise import LANES, Row, depthwise_name
from mbgen.lowering.builder import T, build, constant, grid, local, loop_between, parameter, run, scalar
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
    """Block by block, all channels of one before the next, so that each cache line is read by one block only.

    A column of the image is loaded once for all outputs whose windows it is in.
    """
    window, lanes, nr = form.window, schedule.lanes, schedule.lanes * schedule.vectors
    kind = f"float32x{lanes}"
    store = f"clamp_store_f32x{lanes}" if form.bounds.finite else f"store_f32x{lanes}"

    def body() -> None:
        panels = tiles(form.channels, nr)
        x, rows, begin, end, w, bias, y = _parameters(form, (panels, window.kh, window.kw, nr), nr)
        sums = local("acc", (schedule.columns * schedule.vectors,), kind)
        taps = local("taps", (window.kw,), kind)
        pixel = local("pixel", (1,), kind)
        for number, (first, size, count) in enumerate(blocks(form, schedule.columns)):
            names = {f"block_{number}": count, f"c_{number}": panels}
            with grid(f"columns_{number}", names) as (block, panel):
                channel, ow = start(panel, form.channels, nr), first + block * schedule.columns
                T.reads(x[0 : x.shape[0]], rows[0 : window.kh], w[panel], bias[panel])
                T.writes(y[0 : window.ow, 0 : form.channels], *(one[0 : one.shape[0]] for one in (sums, taps, pixel)))
                for v in range(schedule.vectors):
                    T.buffer_store(sums, _load(bias, [panel, v * lanes], lanes), [v])
                for j, v in itertools.product(range(1, size), range(schedule.vectors)):
                    T.buffer_store(sums, sums[v], [j * schedule.vectors + v])
                with loop_between("kh", begin, end) as kh:
                    for v in range(schedule.vectors):
                        for kw in range(window.kw):
                            T.buffer_store(taps, _load(w, [panel, kh, kw, v * lanes], lanes), [kw])
                        for column, readers in _readers(form, first, size):
                            offset = (window.column(ow, 0) + column) * form.channels + channel + v * lanes
                            T.buffer_store(pixel, _load(x, [rows[kh] + offset], lanes), [0])
                            for j, kw in readers:
                                place = j * schedule.vectors + v
                                added = helper("multiply_add_f32", kind, sums[place], taps[kw], pixel[0])
                                T.buffer_store(sums, added, [place])
                for j, v in itertools.product(range(size), range(schedule.vectors)):
                    target = tirx.address_of(y[ow + j, channel + v * lanes])
                    run(store, target, sums[j * schedule.vectors + v], *form.bounds.arguments)

    return build(body)


def _readers(form: DepthwiseRow, first: int, size: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """Columns of the image that a block reads, from that of its first output's first tap; and the outputs and taps."""
    found: dict[int, list[tuple[int, int]]] = {}
    for j in range(size):
        for kw in range(*form.inside(first + j)):
            found.setdefault(form.window.column(j, kw) - form.window.column(0, 0), []).append((j, kw))
    return sorted(found.items())


def _load(buffer: Any, place: list[Any], lanes: int) -> Any:
    """A vector from memory, here and not where the compiler would like it."""
    *outer, last = place
    return helper("load_f32", f"float32x{lanes}", buffer[(*outer, tirx.Ramp(last, 1, lanes))])
