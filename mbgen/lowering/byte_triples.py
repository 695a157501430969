"""Pointwise layers and convolutions on NHWC bytes with packed sums: triples of pixels are packed, then multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from mbgen.graph import DType
from mbgen.intrinsics.dsp import CHANNELS
from mbgen.intrinsics.dsp_byte_gemm import CONSTANT_WORDS, PART_CONSTANT_WORDS, block_words, gemm_name, short
from mbgen.intrinsics.dsp_byte_patches import PATCH_WORDS
from mbgen.intrinsics.dsp_bytes import STEP
from mbgen.lowering.builder import T, build, constant, grid, local, parameter, run, scalar
from mbgen.lowering.conv import RowWindow
from mbgen.lowering.tiling import start
from mbgen.schedules.tile import tiles
from mbgen.schedules.triples import PIXELS, runs


@dataclass(frozen=True)
class TripleGemm:
    """output[m, n] = rescaled sum over k of input[m, k] * weights[n, k], `triples` of pixels at a time.

    `wide`: the sums of two channels may need 22 bits together. Weights are `widened` constants, or bytes. So many
    `patches` put right what the line of a channel makes wrong; convolutions over windows have none. Where sums would
    not fit, k is cut in parts of `part`, the first of what is left.
    """

    m: int
    n: int
    k: int
    triples: int
    dtype: DType
    shift: int
    wide: bool
    widened: bool
    patches: int = 0
    part: int | None = None


@dataclass(frozen=True)
class TripleConvolution:
    """A row of a convolution without dilation, whose windows `gemm` multiplies; padding reads as `zero_point`."""

    window: RowWindow
    channels: int
    zero_point: int
    gemm: TripleGemm


def define(form: TripleGemm) -> tirx.PrimFunc:
    """The compute definition of a pointwise layer."""

    def body() -> None:
        x = parameter("input", (form.m * form.k,), form.dtype)
        weights = _constants(form)
        patches = parameter("patches", (PATCH_WORDS * form.patches,), "int32") if form.patches else None
        y = parameter("output", (form.m * form.n,), form.dtype)
        scratch = _scratch(form)
        for first, triples in _runs(form):
            T.reads(x[0 : form.m * form.k], *(buffer[0 : buffer.shape[0]] for buffer in weights))
            T.writes(y[0 : form.m * form.n])
            source = tirx.address_of(x[first * form.k])
            run(f"byte_triples_{short(form.dtype)}", scratch[0].data, source, form.k, form.k, triples, 0)
            _multiply(form, y, first, triples, scratch, weights)
        if patches is not None:
            kind, step = ("words_", ()) if form.widened else ("", (STEP,))
            with grid("patches", {}):
                T.reads(x[0 : form.m * form.k], *(buffer[0 : buffer.shape[0]] for buffer in (weights[0], patches)))
                T.writes(y[0 : form.m * form.n])
                given = patches.data, form.patches, form.m, form.n, form.k, *step
                run(f"byte_patches_{kind}{short(form.dtype)}", y.data, x.data, weights[0].data, *given)

    return build(body)


def define_convolution(form: TripleConvolution) -> tirx.PrimFunc:
    """The compute definition of a convolution's row, with the parameters of `mbgen.lowering.conv`."""
    window, gemm = form.window, form.gemm
    reach = window.kh * window.width * form.channels  # nominal: rows may lie further apart

    def body() -> None:
        x = parameter("input", (reach,), gemm.dtype)
        rows = parameter("rows", (window.kh,), "int32")
        begin = scalar("kh_begin") if window.padded_rows else constant(0, "int32")
        end = scalar("kh_end") if window.padded_rows else constant(window.kh, "int32")
        weights = _constants(gemm)
        y = parameter("output", (gemm.m * gemm.n,), gemm.dtype)
        scratch = _scratch(gemm)
        for first, triples in _runs(gemm):
            T.reads(x[0:reach], rows[0 : window.kh], *(buffer[0 : buffer.shape[0]] for buffer in weights))
            T.writes(y[0 : gemm.m * gemm.n])
            run(
                f"byte_windows_{short(gemm.dtype)}",
                scratch[0].data,
                x.data,
                rows.data,
                begin,
                end,
                window.kh,
                window.kw,
                window.stride,
                window.column(first, 0),
                window.width,
                form.channels,
                form.zero_point,
                triples,
            )
            _multiply(gemm, y, first, triples, scratch, weights)

    return build(body)


def _runs(form: TripleGemm) -> Iterator[tuple[Any, int]]:
    """Loops over runs of triples, each with its first pixel and its count: as the scratch has them, then the rest."""
    whole, rest = runs(form.m, form.triples)
    size, covered = PIXELS * form.triples, form.m - PIXELS * rest
    with grid("gemm", {"chunk": whole}) as (chunk,):
        yield (chunk * size if rest else start(chunk, form.m, size)), form.triples
    if rest:
        with grid("rest", {}):
            yield covered, rest


def _constants(form: TripleGemm) -> tuple[Any, ...]:
    """Blocks of channels: all their words, or weights and constants."""
    if form.widened:
        return (parameter("weights", (tiles(form.n, CHANNELS) * block_words(form.k),), "int32"),)
    weights = parameter("weights", (form.n * form.k,), "int8")
    words = CONSTANT_WORDS if form.part is None else PART_CONSTANT_WORDS
    return weights, parameter("constants", (form.n * words,), "int32")


def _scratch(form: TripleGemm) -> tuple[Any, ...]:
    """Room for packed pixels and for a block whose weights are bytes."""
    pixels = local("pixels", (form.triples * form.k * 2,), "int32")
    return (pixels,) if form.widened else (pixels, local("block", (block_words(form.k),), "int32"))


def _multiply(
    form: TripleGemm, y: Any, first: Any, triples: int, scratch: tuple[Any, ...], weights: tuple[Any, ...]
) -> None:
    """Statement: the output of some triples from pixel `first` on."""
    pixels, *block = (buffer.data for buffer in scratch)
    cut, target = form.part is not None, tirx.address_of(y[first * form.n])
    name = gemm_name(form.dtype, form.shift, form.widened, form.wide, cut)
    kind = (form.part,) if cut else () if form.widened else (int(form.wide),)
    run(name, target, form.n, pixels, triples, form.k, *(buffer.data for buffer in weights), *kind, *block)
