"""Dense layers on one row of bytes for cores with the DSP extension: four output channels at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import tirx

from mbgen.graph import Array, DType
from mbgen.intrinsics import dsp_row
from mbgen.intrinsics.dsp import CHANNELS
from mbgen.intrinsics.dsp_row import STEP, UNIT
from mbgen.lowering.builder import T, build, grid, local, parameter, run
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.rescale import Sums
from mbgen.lowering.tiling import panels, start
from mbgen.schedules.tile import tiles

MOST_WORDS = 512  # on the stack, of the row
FEWEST = 16  # channels that are worth the words of the row


@dataclass(frozen=True)
class ByteRow:
    """output[n] = finish(sum over k of input[k] * weights[n, k] + start[n]), four channels at a time."""

    n: int
    k: int
    dtype: DType
    epilogue: Epilogue


def serves(over: Sums, rows: int) -> bool:
    """Whether sums, in units of 1 / 256, fit int32, and the row its place, in whole steps."""
    n, k = over.weights.shape
    fits = max(np.abs(over.low).max(), np.abs(over.high).max()) < 2**31 // UNIT
    whole = k % STEP == 0 and k // 2 <= MOST_WORDS and n >= FEWEST
    return bool(rows == 1 and whole and fits and over.weights.min() > -128)


def pack(weights: Array, bias: Array, dtype: DType) -> tuple[Array, Array]:
    """Words `[tiles, k]` of the weights `[n, k]`, and what sums start from `[tiles, 4]`."""
    starts = UNIT * bias.astype(np.int64) - dsp_row.shifted(weights, dtype)
    wrapped = starts.astype(np.uint64).astype(np.uint32).view(np.int32)  # as the sums do
    return np.stack([dsp_row.row_weights(panel) for panel in panels(weights, CHANNELS)]), panels(wrapped, CHANNELS)


def define(form: ByteRow) -> tirx.PrimFunc:
    """The compute definition."""
    count = tiles(form.n, CHANNELS)
    short = "u8" if form.dtype == "uint8" else "s8"

    def body() -> None:
        x = parameter("input", (form.k,), form.dtype)
        w = parameter("weights", (count * form.k,), "int32")
        bias = parameter("bias", (count * CHANNELS,), "int32")
        arrays = [parameter(role, (count * CHANNELS,), dtype) for role, dtype in form.epilogue.parameters]
        y = parameter("output", (form.n,), form.epilogue.dtype)
        words = local("words", (form.k // 2,), "int32")
        acc = local("acc", (CHANNELS,), "int32")
        with grid("row", {}):
            T.reads(x[0 : form.k])
            T.writes(words[0 : form.k // 2])
            run(f"row_words_{short}", words.data, x.data, form.k)
        with grid("gemm", {"oc_0": count}) as (oc_0,):
            T.reads(*(buffer[0 : buffer.shape[0]] for buffer in (words, w, bias, *arrays)))
            T.writes(y[0 : form.n])
            for j in range(CHANNELS):
                T.buffer_store(acc, bias[oc_0 * CHANNELS + j], [j])
            run("row_sums", acc.data, words.data, tirx.address_of(w[oc_0 * form.k]), form.k)
            for j in range(CHANNELS):
                entries = tuple(array[oc_0 * CHANNELS + j] for array in arrays)
                T.buffer_store(y, form.epilogue.finish(acc[j], entries), [start(oc_0, form.n, CHANNELS) + j])

    return build(body)
