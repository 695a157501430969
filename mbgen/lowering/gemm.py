"""Pointwise convolution and dense layers: one GEMM straight on the NHWC tensor, no im2col (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import s_tir, tirx

from mbgen.graph import Array, DType
from mbgen.lowering.builder import T, build, grid, local, parameter, widened
from mbgen.lowering.epilogue import Epilogue
from mbgen.schedules.spread import spread
from mbgen.schedules.tile import Tile


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


def padded(channels: int, nr: int) -> int:
    """Channels rounded up to whole panels."""
    return -(-channels // nr) * nr


def pack_weights(weights: Array, nr: int) -> Array:
    """`[n, k]` to panels `[n / nr, k, nr]`, short panels filled up with zeros."""
    n, k = weights.shape
    panels = np.zeros((padded(n, nr), k), weights.dtype)
    panels[:n] = weights
    return np.ascontiguousarray(panels.reshape(-1, nr, k).transpose(0, 2, 1))


def pack_channels(values: Array, nr: int) -> Array:
    """A per-channel array filled up with zeros to whole panels."""
    packed = np.zeros(padded(len(values), nr), values.dtype)
    packed[: len(values)] = values
    return packed


def define(form: Gemm, nr: int) -> tirx.PrimFunc:
    """The compute definition, for weights in panels of `nr` channels."""
    total = "float32" if form.dtype == "float32" else "int32"
    columns = padded(form.n, nr)

    def body() -> None:
        x = parameter("input", (form.m, form.k), form.dtype)
        w = parameter("weights", (columns // nr, form.k, nr), form.weight_dtype)
        bias = parameter("bias", (columns,), total)
        arrays = [parameter(name, (columns,), dtype) for name, dtype in form.epilogue.parameters]
        y = parameter("output", (form.m, form.n), form.epilogue.dtype)
        acc = local("acc", (form.m, columns), total)
        with grid("acc", {"row": form.m, "oc": columns}, {"ic": form.k}) as (m, n, k):
            T.reads(x[m, k], w[n // nr, k, n % nr], bias[n])
            T.writes(acc[m, n])
            with T.init():
                T.buffer_store(acc, bias[n], [m, n])
            factor = widened(w[n // nr, k, n % nr], form.weight_dtype, form.weight_zero_point)
            T.buffer_store(acc, acc[m, n] + widened(x[m, k], form.dtype, 0) * factor, [m, n])
        with grid("output", {"row": form.m, "oc": form.n}) as (m, n):
            T.reads(acc[m, n], *(array[n] for array in arrays))
            T.writes(y[m, n])
            T.buffer_store(y, form.epilogue.finish(acc[m, n], tuple(array[n] for array in arrays)), [m, n])

    return build(body)


def schedule(function: tirx.PrimFunc, form: Gemm, tile: Tile) -> tirx.PrimFunc:
    """Panels outermost, so that one stays in the first cache; then rows; then k over a tile of sums in registers."""
    sch: Any = s_tir.Schedule(function)
    acc, output = sch.get_sblock("acc"), sch.get_sblock("output")
    row, oc, ic = sch.get_loops(acc)
    row_0, row_1 = sch.split(row, [None, tile.mr])
    oc_0, oc_1 = sch.split(oc, [None, tile.nr])
    sch.reorder(oc_0, row_0, ic, row_1, oc_1)
    sch.reverse_compute_at(output, row_0, preserve_unit_loops=True)
    out_row, out_oc = sch.get_loops(output)[-2:]
    spread(sch, row_1, oc_1, tile.lanes)
    if form.n % tile.nr == 0 and form.epilogue.vectorizable:
        spread(sch, out_row, out_oc, tile.lanes)
    sch.decompose_reduction(acc, ic)
    return sch.mod["main"]
