"""Pointwise convolution and dense layers: one GEMM straight on the NHWC tensor, no im2col (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import s_tir, tirx

from mbgen.graph import Array, DType
from mbgen.lowering.builder import T, build, grid, local, parameter, widened
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.tiling import panels, start
from mbgen.schedules.spread import spread
from mbgen.schedules.tile import Tile, tiles


@dataclass(frozen=True)
class Gemm:
    """output[m, n] = finish(sum over k of (input[m, k]) * (weights[n, k] - weight_zero_point) + bias[n])."""

    m: int
    n: int
    k: int
    dtype: DType
    weight_dtype: DType
    weight_zero_point: int
    epilogue: Epilogue


def pack_weights(weights: Array, nr: int) -> Array:
    """`[n, k]` to panels `[tiles, k, nr]`."""
    return np.ascontiguousarray(panels(weights, nr).transpose(0, 2, 1))


def define(form: Gemm, tile: Tile) -> tirx.PrimFunc:
    """The compute definition, for weights and per-channel arrays in panels of `tile.nr` channels."""
    total = "float32" if form.dtype == "float32" else "int32"
    rows, columns = tiles(form.m, tile.mr), tiles(form.n, tile.nr)
    inner = {"row_1": tile.mr, "oc_1": tile.nr}

    def body() -> None:
        x = parameter("input", (form.m, form.k), form.dtype)
        w = parameter("weights", (columns, form.k, tile.nr), form.weight_dtype)
        bias = parameter("bias", (columns, tile.nr), total)
        arrays = [parameter(name, (columns, tile.nr), dtype) for name, dtype in form.epilogue.parameters]
        y = parameter("output", (form.m, form.n), form.epilogue.dtype)
        acc = local("acc", (columns, rows, tile.mr, tile.nr), total)
        with grid("acc", {"oc_0": columns, "row_0": rows, **inner}, {"ic": form.k}) as (oc_0, row_0, row_1, oc_1, k):
            place = [oc_0, row_0, row_1, oc_1]
            m = start(row_0, form.m, tile.mr) + row_1
            T.reads(x[m, k], w[oc_0, k, oc_1], bias[oc_0, oc_1])
            T.writes(acc[place])
            with T.init():
                T.buffer_store(acc, bias[oc_0, oc_1], place)
            factor = widened(w[oc_0, k, oc_1], form.weight_dtype, form.weight_zero_point)
            T.buffer_store(acc, acc[place] + widened(x[m, k], form.dtype, 0) * factor, place)
        output_block(form, acc, arrays, y)

    return build(body)


def output_block(form: Gemm, acc: Any, arrays: Sequence[Any], y: Any) -> None:
    """The block "output": sums in tiles `acc[oc_0, row_0, row_1, oc_1]` to elements of `y`."""
    columns, rows, mr, nr = (int(extent) for extent in acc.shape)
    with grid("output", {"oc_0": columns, "row_0": rows, "row_1": mr, "oc_1": nr}) as (oc_0, row_0, row_1, oc_1):
        place = [oc_0, row_0, row_1, oc_1]
        m, n = start(row_0, form.m, mr) + row_1, start(oc_0, form.n, nr) + oc_1
        T.reads(acc[place], *(array[oc_0, oc_1] for array in arrays))
        T.writes(y[m, n])
        finished = form.epilogue.finish(acc[place], tuple(array[oc_0, oc_1] for array in arrays))
        T.buffer_store(y, finished, [m, n])


def schedule(function: tirx.PrimFunc, form: Gemm, tile: Tile) -> tirx.PrimFunc:
    """Panels outermost, so that one stays in the first cache; then rows; then k over a tile of sums in registers."""
    sch: Any = s_tir.Schedule(function)
    acc, output = sch.get_sblock("acc"), sch.get_sblock("output")
    _, row_0, row_1, oc_1, ic = sch.get_loops(acc)
    sch.reorder(ic, row_1, oc_1)
    sch.reverse_compute_at(output, row_0, preserve_unit_loops=True)
    spread(sch, row_1, oc_1, tile.lanes)
    out_row, out_oc = sch.get_loops(output)[-2:]
    spread(sch, out_row, out_oc, tile.lanes if form.epilogue.vectorizable else 1)
    sch.decompose_reduction(acc, ic)
    return sch.mod["main"]
