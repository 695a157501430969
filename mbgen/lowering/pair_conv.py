"""Quantised convolutions over windows on a core that multiplies pairs of int16 (x86-64's `vpmaddwd`), a row at a time.

Of the rows of a window a kernel makes pairs once: a direct convolution widens the rows and reads neighbouring elements
as pairs; a depthwise pairs the upper two rows, and neighbouring columns of the third. Padding is zeros there, since the
zero point is taken off on the way, so that the loops over pixels know nothing of borders. Kernels have the parameters
of `mbgen.lowering.conv`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir, tirx

from mbgen.graph import Array
from mbgen.lowering.builder import T, build, constant, grid, local, loop, parameter, scalar, when
from mbgen.lowering.conv import Convolution
from mbgen.lowering.tiling import panels, start
from mbgen.lowering.tir import helper
from mbgen.schedules.pairs import RowTile
from mbgen.schedules.spread import spread
from mbgen.schedules.tile import tiles

ABBREVIATIONS = {"int8": "i8", "uint8": "u8"}
WIDE = 16  # int16 elements in a vector
LOWER, UPPER = 0xFFFF, -0x10000  # the halves of a pair


# --- direct --------------------------------------------------------------------------------------------------------


def pack_direct(weights: Array, nr: int) -> Array:
    """`[oc, kh, kw, ic]` to panels `[tiles, kh, pairs, nr, 2]`; a row of the window is kw * ic elements, and a 0."""
    oc, kh, kw, ic = weights.shape
    flat = np.pad(weights.reshape(oc, kh, kw * ic), ((0, 0), (0, 0), (0, kw * ic % 2)))
    packed = panels(flat, nr).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(packed.reshape(len(packed), kh, -1, 2, nr).transpose(0, 1, 2, 4, 3))


def define_direct(form: Convolution, tile: RowTile) -> tirx.PrimFunc:
    """The compute definition, for weights and per-channel arrays in panels of `tile.nr` channels."""
    window = form.window
    pixels, columns = tiles(window.ow, tile.mr), tiles(form.oc, tile.nr)
    steps = -(-window.kw * form.channels // 2)
    elements, before = window.width * form.channels, window.left * form.channels
    reach = max((window.ow - 1) * window.stride * form.channels + 2 * steps, before + elements)
    chunk = WIDE if elements >= WIDE else 1
    inner = {"ow_1": tile.mr, "oc_1": tile.nr}

    def body() -> None:
        x = parameter("input", (window.kh * elements,), form.dtype)
        rows = parameter("rows", (window.kh,), "int32")
        bounds = (scalar("kh_begin"), scalar("kh_end")) if window.padded_rows else None
        w = parameter("weights", (columns, window.kh, steps, tile.nr, 2), form.weight_dtype)
        bias = parameter("bias", (columns, tile.nr), "int32")
        arrays = [parameter(name, (columns, tile.nr), dtype) for name, dtype in form.epilogue.parameters]
        y = parameter("output", (window.ow, form.oc), form.epilogue.dtype)
        wide = local("wide", (window.kh, reach), "int16")
        acc = local("acc", (columns, pixels, tile.mr, tile.nr), "int32")
        with grid("zeros", {"kh": window.kh, "place": reach}) as (kh, place):
            T.reads()
            T.writes(wide[kh, place])
            T.buffer_store(wide, constant(0, "int16"), [kh, place])
        with grid("wide", {"kh": window.kh, "i_0": tiles(elements, chunk), "i_1": chunk}) as (kh, i_0, i_1):
            i = start(i_0, elements, chunk) + i_1
            T.reads(x[0 : window.kh * elements], rows[kh])
            T.writes(wide[kh, before + i])
            with when(None if bounds is None else tirx.all(kh >= bounds[0], kh < bounds[1])):
                zero_point = constant(form.zero_point, "int32")
                value = helper(f"center_{ABBREVIATIONS[form.dtype]}", "int16", x[rows[kh] + i], zero_point)
                T.buffer_store(wide, value, [kh, before + i])
        with grid("acc", {"oc_0": columns, "ow_0": pixels, **inner}, {"kh": window.kh, "step": steps}) as axes:
            oc_0, ow_0, ow_1, oc_1, kh, step = axes
            place = [oc_0, ow_0, ow_1, oc_1]
            ow = start(ow_0, window.ow, tile.mr) + ow_1
            T.reads(wide[kh, 0:reach], w[oc_0, kh, step, oc_1, 0:2], bias[oc_0, oc_1])
            T.writes(acc[place])
            with T.init():
                T.buffer_store(acc, bias[oc_0, oc_1], place)
            pair = helper("pair_at_i16", "int32", wide[kh, ow * (window.stride * form.channels) + 2 * step])
            weights = helper("pair_at_i8", "int32", w[oc_0, kh, step, oc_1, 0])
            T.buffer_store(acc, helper("dot_pair_i32", "int32", acc[place], pair, weights), place)
        with grid("output", {"oc_0": columns, "ow_0": pixels, **inner}) as (oc_0, ow_0, ow_1, oc_1):
            place = [oc_0, ow_0, ow_1, oc_1]
            ow, oc = start(ow_0, window.ow, tile.mr) + ow_1, start(oc_0, form.oc, tile.nr) + oc_1
            T.reads(acc[place], *(array[oc_0, oc_1] for array in arrays))
            T.writes(y[ow, oc])
            finished = form.epilogue.finish(acc[place], tuple(array[oc_0, oc_1] for array in arrays))
            T.buffer_store(y, finished, [ow, oc])

    return build(body)


def schedule_direct(function: tirx.PrimFunc, form: Convolution, tile: RowTile) -> tirx.PrimFunc:
    """The rows widened; then panels, tiles of pixels, and the steps over a tile of sums in registers."""
    sch: Any = s_tir.Schedule(function)
    wide, acc, output = (sch.get_sblock(name) for name in ("wide", "acc", "output"))
    lane = sch.get_loops(wide)[-1]
    if form.window.width * form.channels >= WIDE:
        sch.vectorize(lane)
    _, ow_0, ow_1, oc_1, kh, step = sch.get_loops(acc)
    sch.reorder(kh, step, ow_1, oc_1)
    sch.reverse_compute_at(output, ow_0, preserve_unit_loops=True)
    spread(sch, ow_1, oc_1, tile.lanes)
    out_ow, out_oc = sch.get_loops(output)[-2:]
    spread(sch, out_ow, out_oc, tile.lanes)
    sch.decompose_reduction(acc, kh)
    return sch.mod["main"]


# --- depthwise, 3x3 ------------------------------------------------------------------------------------------------


def pack_depthwise(weights: Array) -> Array:
    """`[3, 3, c]` to pairs `[5, c, 2]`: rows 0 and 1 of each column; columns 0 and 1 of row 2; its last and a 0."""
    last = np.stack([weights[2, 2], np.zeros_like(weights[2, 2])])
    pairs = [weights[:2, 0], weights[:2, 1], weights[:2, 2], weights[2, :2], last]
    return np.ascontiguousarray(np.stack(pairs).transpose(0, 2, 1))


Element = tuple[int, int]  # of a pair: its row of the window, and its column less that of the pair


def define_depthwise(form: Convolution, tile: RowTile) -> tirx.PrimFunc:
    """The compute definition of a 3x3 depthwise of stride 1 or 2 along the row, a tile of channels at a time.

    Pair j of `upper` is rows 0 and 1 in column j - left; pair j of `third` columns j * stride - left and the next in
    row 2.
    """
    window, channels, tap = form.window, form.channels, 2 // form.window.stride
    columns, size, kind = tiles(channels, tile.nr), 3 * window.width * channels, ABBREVIATIONS[form.dtype]
    extents = {"upper": (window.ow - 1) * window.stride + 3, "third": window.ow + tap}
    strides = {"upper": 1, "third": window.stride}

    def body() -> None:
        x = parameter("input", (size,), form.dtype)
        rows = parameter("rows", (3,), "int32")
        bounds = (scalar("kh_begin"), scalar("kh_end")) if window.padded_rows else None
        w = parameter("weights", (5, channels, 2), form.weight_dtype)
        bias = parameter("bias", (channels,), "int32")
        arrays = [parameter(name, (channels,), dtype) for name, dtype in form.epilogue.parameters]
        y = parameter("output", (window.ow, channels), form.epilogue.dtype)
        pairs = {name: local(f"{name}_pairs", (columns, extent, tile.nr), "int32") for name, extent in extents.items()}
        acc = local("acc", (columns, window.ow, tile.nr), "int32")

        def mask(element: Element | None, half: int) -> Any:
            """The half of a pair that an element fills; nothing where it is padding."""
            kept, nothing = constant(half, "int32"), constant(0, "int32")
            if element is None or bounds is None:
                return nothing if element is None else kept
            return tirx.Select(tirx.all(bounds[0] <= element[0], element[0] < bounds[1]), kept, nothing)

        def fill(name: str, places: range, low: Element | None, high: Element | None) -> None:
            """Pairs at these places; an element that is None is in a column of padding."""
            if not places:
                return
            with grid(f"{name}_{places.start}", {"i": len(places), "c_1": tile.nr}, outer=tiled) as (c_0, i, c_1):
                place, c = places.start + i, start(c_0, channels, tile.nr) + c_1
                T.reads(x[0:size], rows[0:3])
                T.writes(pairs[name][c_0, place, c_1])
                value, iw = constant(0, "int32"), place * strides[name] - window.left
                present = [element for element in (low or high, high or low) if element is not None]
                if present:  # where only one is, its address serves both
                    elements = [x[rows[kh] + (iw + shift) * channels + c] for kh, shift in present]
                    halves = mask(low, LOWER) + mask(high, UPPER)
                    value = helper(f"pair_{kind}", "int32", *elements, constant(form.zero_point, "int32"), halves)
                T.buffer_store(pairs[name], value, [c_0, place, c_1])

        with loop("c_0", columns) as tiled:
            inner = range(window.left, min(extents["upper"], window.left + window.width))
            fill("upper", range(inner.start), None, None)
            fill("upper", inner, (0, 0), (1, 0))
            fill("upper", range(inner.stop, extents["upper"]), None, None)
            inner = inner_pairs(form)
            fill("third", inner, (2, 0), (2, 1))
            for place in (*range(inner.start), *range(inner.stop, extents["third"])):
                iw = place * window.stride - window.left
                low, high = ((2, shift) if 0 <= iw + shift < window.width else None for shift in (0, 1))
                fill("third", range(place, place + 1), low, high)
            with loop("ow", window.ow) as pixel:
                with grid("acc", {"c_1": tile.nr}, outer=(tiled, pixel)) as (c_0, ow, c_1):
                    place, c = [c_0, ow, c_1], start(c_0, channels, tile.nr) + c_1
                    taps = [pairs["upper"][c_0, ow * window.stride + kw, c_1] for kw in range(3)]
                    taps += [pairs["third"][c_0, ow, c_1], pairs["third"][c_0, ow + tap, c_1]]
                    T.reads(*(pairs[name][c_0, 0:extent, c_1] for name, extent in extents.items()), w[0:5, c, 0:2])
                    T.writes(acc[place])
                    total = bias[c]
                    for index, values in enumerate(taps):
                        weights = helper("pair_at_i8", "int32", w[index, c, 0])
                        total = helper("dot_pair_i32", "int32", total, values, weights)
                    T.buffer_store(acc, total, place)
                with grid("output", {"c_1": tile.nr}, outer=(tiled, pixel)) as (c_0, ow, c_1):
                    c = start(c_0, channels, tile.nr) + c_1
                    T.reads(acc[c_0, ow, c_1], *(array[c] for array in arrays))
                    T.writes(y[ow, c])
                    finished = form.epilogue.finish(acc[c_0, ow, c_1], tuple(array[c] for array in arrays))
                    T.buffer_store(y, finished, [ow, c])

    return build(body)


def inner_pairs(form: Convolution) -> range:
    """The pairs of row 2 both of whose columns are in the image."""
    window = form.window
    first = -(-window.left // window.stride)
    last = (window.width - 2 + window.left) // window.stride
    return range(first, max(first, min(last + 1, window.ow + 2 // window.stride)))


def schedule_depthwise(function: tirx.PrimFunc, form: Convolution, tile: RowTile) -> tirx.PrimFunc:
    """A tile of channels at a time: its pairs along the row, then its pixels."""
    sch: Any = s_tir.Schedule(function)
    for block in sch.get_child_blocks(sch.get_sblock("root")):
        spread(sch, None, sch.get_loops(block)[-1], tile.lanes)
    return sch.mod["main"]
