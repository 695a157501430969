"""Quantised GEMM on a core that multiplies pairs of int16 and adds the two products (x86-64's `vpmaddwd`).

Inputs and weights stay bytes in memory. A block of input rows is widened to pairs (k, k + 1) once and then serves all
panels; weights are widened as they are loaded, which costs nothing beside the products.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import s_tir, tirx

from mbgen.graph import Array
from mbgen.lowering.builder import T, build, grid, local, parameter
from mbgen.lowering.gemm import Gemm, output_block
from mbgen.lowering.tiling import panels, start
from mbgen.lowering.tir import helper
from mbgen.schedules.pairs import PairTile
from mbgen.schedules.spread import spread
from mbgen.schedules.tile import tiles

ABBREVIATIONS = {"int8": "i8", "uint8": "u8"}


def pack_weights(weights: Array, nr: int) -> Array:
    """`[n, k]` to panels `[tiles, k / 2, nr, 2]`; k is even."""
    packed = panels(weights, nr).transpose(0, 2, 1)
    return np.ascontiguousarray(packed.reshape(len(packed), -1, 2, nr).transpose(0, 1, 3, 2))


def define(form: Gemm, tile: PairTile) -> tirx.PrimFunc:
    """The compute definition, for weights and per-channel arrays in panels of `tile.nr` channels."""
    rows, columns, steps = tiles(form.m, tile.mr), tiles(form.n, tile.nr), form.k // 2
    inner = {"row_1": tile.mr, "oc_1": tile.nr}

    def body() -> None:
        x = parameter("input", (form.m, form.k), form.dtype)
        w = parameter("weights", (columns, steps, tile.nr, 2), form.weight_dtype)
        bias = parameter("bias", (columns, tile.nr), "int32")
        arrays = [parameter(name, (columns, tile.nr), dtype) for name, dtype in form.epilogue.parameters]
        y = parameter("output", (form.m, form.n), form.epilogue.dtype)
        x_pairs = local("x_pairs", (rows, tile.mr, steps), "int32")
        acc = local("acc", (columns, rows, tile.mr, tile.nr), "int32")
        with grid("x_pairs", {"row_0": rows, "row_1": tile.mr, "step": steps}) as (row_0, row_1, step):
            m = start(row_0, form.m, tile.mr) + row_1
            T.reads(x[m, 2 * step : 2 * step + 2])
            T.writes(x_pairs[row_0, row_1, step])
            T.buffer_store(x_pairs, _pair_at(x[m, 2 * step], form.dtype), [row_0, row_1, step])
        with grid("acc", {"oc_0": columns, "row_0": rows, **inner}, {"step": steps}) as (
            oc_0,
            row_0,
            row_1,
            oc_1,
            step,
        ):
            place = [oc_0, row_0, row_1, oc_1]
            T.reads(x_pairs[row_0, row_1, step], w[oc_0, step, oc_1, 0:2], bias[oc_0, oc_1])
            T.writes(acc[place])
            with T.init():
                T.buffer_store(acc, bias[oc_0, oc_1], place)
            weights = _pair_at(w[oc_0, step, oc_1, 0], form.weight_dtype)
            T.buffer_store(
                acc, helper("dot_pair_i32", "int32", acc[place], x_pairs[row_0, row_1, step], weights), place
            )
        output_block(form, acc, arrays, y)

    return build(body)


def _pair_at(value: Any, dtype: str) -> Any:
    return helper(f"pair_at_{ABBREVIATIONS[dtype]}", "int32", value)


def schedule(function: tirx.PrimFunc, form: Gemm, tile: PairTile) -> tirx.PrimFunc:
    """Blocks of rows outermost, their pairs made once; then panels; then tiles of rows; then k."""
    sch: Any = s_tir.Schedule(function)
    x_pairs, acc, output = (sch.get_sblock(name) for name in ("x_pairs", "acc", "output"))
    oc_0, row_0, row_1, oc_1, step = sch.get_loops(acc)
    block, row_0 = sch.split(row_0, [None, tile.block])
    sch.reorder(block, oc_0, row_0, step, row_1, oc_1)
    if tile.unroll > 1 and form.k // 2 % tile.unroll == 0:
        step, repeated = sch.split(step, [None, tile.unroll])
        sch.unroll(repeated)
    sch.compute_at(x_pairs, block, preserve_unit_loops=True)
    _vectors(sch, sch.get_loops(x_pairs)[-1], form.k // 2, tile.lanes)
    sch.reverse_compute_at(output, row_0, preserve_unit_loops=True)
    spread(sch, row_1, oc_1, tile.lanes)
    out_row, out_oc = sch.get_loops(output)[-2:]
    spread(sch, out_row, out_oc, tile.lanes if form.epilogue.vectorizable else 1)
    sch.decompose_reduction(acc, step)
    return sch.mod["main"]


def _vectors(sch: Any, loop: Any, extent: int, lanes: int) -> None:
    """A loop in vectors where they divide it."""
    if extent % lanes == 0:
        _, lane = sch.split(loop, [None, lanes])
        sch.vectorize(lane)
