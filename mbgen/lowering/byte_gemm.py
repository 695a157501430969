"""Pointwise and dense layers on NHWC bytes for cores with the DSP extension: tiles of sums in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx

from mbgen.graph import Array, DType
from mbgen.intrinsics import dsp_bytes
from mbgen.intrinsics.dsp_byte_gemm import short
from mbgen.intrinsics.dsp_byte_patches import PATCH_WORDS
from mbgen.intrinsics.dsp_bytes import STEP
from mbgen.lowering.builder import T, build, constant, grid, local, parameter, run
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.tiling import panels, start
from mbgen.lowering.tir import helper, helper_statement
from mbgen.schedules.tile import tiles


@dataclass(frozen=True)
class ByteGemm:
    """output[m, n] = finish(sum over k of input[m, k] * weights[n, k] + bias[n]), a tile of `mr` x `nr` at a time.

    With a `shift` the sum is rescaled by multiplier and addend, its level added to `least`; else by the epilogue.
    """

    m: int
    n: int
    k: int
    mr: int
    nr: int
    dtype: DType
    shift: int | None
    least: int
    epilogue: Epilogue
    patches: int = 0  # that put right what multiplier and addend make wrong

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and element type of the per-channel arrays that it reads beside the bias."""
        return self.epilogue.parameters if self.shift is None else (("multiplier", "int32"), ("addend", "int32"))

    def finish(self, total: Any, arrays: tuple[Any, ...]) -> Any:
        """The output element of a sum."""
        if self.shift is None:
            return self.epilogue.finish(total, arrays)
        level = helper("level_i32", "int32", total, *arrays, constant(self.shift, "int32"))
        return (level + constant(self.least, "int32")).astype(self.epilogue.dtype)


def pack_weights(weights: Array, nr: int) -> Array:
    """`[n, k]` to `[tiles, k * nr]`, as `dsp_bytes.pack` orders each tile."""
    return np.stack([dsp_bytes.pack(panel) for panel in panels(weights, nr)])


def define(form: ByteGemm) -> tirx.PrimFunc:
    """The compute definition."""
    rows, columns = tiles(form.m, form.mr), tiles(form.n, form.nr)
    name = dsp_bytes.name(form.mr, form.nr, form.dtype)

    def body() -> None:
        x = parameter("input", (form.m * form.k,), form.dtype)
        w = parameter("weights", (columns * form.k * form.nr,), "int8")
        bias = parameter("bias", (columns * form.nr,), "int32")
        arrays = [parameter(role, (columns * form.nr,), dtype) for role, dtype in form.parameters]
        patches = parameter("patches", (PATCH_WORDS * form.patches,), "int32") if form.patches else None
        y = parameter("output", (form.m * form.n,), form.epilogue.dtype)
        acc = local("acc", (form.mr * form.nr,), "int32")
        with grid("gemm", {"oc_0": columns, "row_0": rows}) as (oc_0, row_0):
            first_row, first = start(row_0, form.m, form.mr), start(oc_0, form.n, form.nr)
            T.reads(*(buffer[0 : buffer.shape[0]] for buffer in (x, w, bias, *arrays)))
            T.writes(y[0 : form.m * form.n])
            for i in range(form.mr):
                for j in range(form.nr):
                    T.buffer_store(acc, bias[oc_0 * form.nr + j], [i * form.nr + j])
            source = tirx.address_of(x[first_row * form.k])
            given = source, tirx.address_of(w[oc_0 * (form.k * form.nr)]), form.k
            T.evaluate(helper_statement(name, tirx.address_of(acc[0]), *given))
            for i in range(form.mr):
                for j in range(form.nr):
                    entries = tuple(array[oc_0 * form.nr + j] for array in arrays)
                    place = (first_row + i) * form.n + first + j
                    T.buffer_store(y, form.finish(acc[i * form.nr + j], entries), [place])
        if patches is not None:
            with grid("patches", {}):
                T.reads(*(buffer[0 : buffer.shape[0]] for buffer in (x, w, patches)))
                T.writes(y[0 : form.m * form.n])
                sizes = form.patches, form.m, form.n, form.k, STEP * form.nr
                run(f"byte_patches_{short(form.dtype)}", y.data, x.data, w.data, patches.data, *sizes)

    return build(body)
