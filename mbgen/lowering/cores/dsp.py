"""Int8 layers on Cortex-M with the DSP extension, outside of bands: bytes in memory, packed where they are used."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from mbgen import numerics
from mbgen.graph import INTEGER_RANGE, Array, Conv2D, Dense, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.intrinsics import dsp_byte_depthwise, dsp_byte_gemm
from mbgen.intrinsics.dsp import CHANNELS, FIELD
from mbgen.lowering import byte_depthwise, byte_gemm, byte_row, byte_triples
from mbgen.lowering.epilogue import weighted_epilogue
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.rescale import Sums, levels, sums
from mbgen.lowering.streams import scaled_blocks
from mbgen.lowering.tiling import panels
from mbgen.lowering.weighted import (
    bias,
    channel_multiplier,
    constants,
    gemm_facts,
    gemm_family,
    gemm_rows,
    matrix,
    row_window,
    weight_zero_point,
    window_facts,
)
from mbgen.planning.bands import lowest
from mbgen.schedules.byte_gemm import byte_space, byte_tile
from mbgen.schedules.space import Choice
from mbgen.schedules.triples import chunks, triple_space, triples_of

LOOPED = 1024  # weights of a dense layer for which a plain loop will do, except for speed


def prepare_gemm(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared | None:
    """A pointwise or dense layer; None where its weights are not int8 without a zero point."""
    if not _serves(layer, graph, context):
        return None
    if context.optimize != "speed" and isinstance(layer, Dense) and graph.constant(layer.weights).size <= LOOPED:
        return None
    facts = gemm_facts(layer, graph, context)
    triples = _triples(layer, graph, facts, context)
    if triples is None:
        return _pairs(layer, graph, context)

    def prepared(form: byte_triples.TripleGemm) -> Prepared:
        schedule, found = _schedule(form), triples.constants(form)
        return Prepared(gemm_family(layer), form, schedule, lambda: byte_triples.define(form), found, triples.source)

    shape = graph.layer_output(layer).shape
    return _or_larger(prepared, triples.form, math.prod(shape[:-1]) // int(facts["m"]), context)


def prepare_conv(layer: Conv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a convolution over windows; None where the window is dilated or no exact constants rescale its sums."""
    (x,), window = graph.layer_inputs(layer), row_window(layer, graph)
    if not _serves(layer, graph, context) or layer.dilation != (1, 1):
        return None
    if max(window.kw, window.stride) * x.shape[3] > dsp_byte_gemm.MAX_TAPS:
        return None
    n, k = graph.constant(layer.weights).reshape(graph.layer_output(layer).shape[3], -1).shape
    facts = window_facts(layer, graph) | {"m": window.ow, "n": n, "k": k}
    triples = _triples(layer, graph, facts, context)
    if triples is None:
        return None

    def prepared(gemm: byte_triples.TripleGemm) -> Prepared:
        form = byte_triples.TripleConvolution(window, x.shape[3], numerics.zero_point(x), gemm)
        schedule, found = f"windows to {_schedule(gemm)}", triples.constants(gemm)
        return Prepared("conv2d", form, schedule, lambda: byte_triples.define_convolution(form), found, triples.source)

    return _or_larger(prepared, triples.form, graph.layer_output(layer).shape[1], context)


def prepare_depthwise(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a 3x3 depthwise convolution; None where no helper has such a window or no constants rescale its sums."""
    if not _serves(layer, graph, context) or channel_multiplier(layer, graph) != 1:
        return None
    (x,) = graph.layer_inputs(layer)
    channels = x.shape[3]
    form = byte_depthwise.ByteDepthwise(row_window(layer, graph), channels, x.dtype, numerics.zero_point(x), 0)
    if form.width is None:
        return None
    over = sums(layer, graph, 0, *INTEGER_RANGE[x.dtype])
    scaled = _rescaled(layer, graph, over)
    if scaled is None or np.any(scaled.addend != scaled.addend.astype(np.int16)):
        return None
    form = replace(form, shift=scaled.shift)
    words = dsp_byte_depthwise.pack(graph.constant(layer.weights), scaled.start, scaled.multiplier, scaled.addend)
    return Prepared(
        "depthwise",
        form,
        f"depthwise of bytes in planes of {form.width} columns",
        lambda: byte_depthwise.define(form),
        {"weights": (words, f"start, rows of taps and scale of each of {channels} channels")},
    )


def _serves(layer: WeightedLayer, graph: Graph, context: Context) -> bool:
    """Whether the core has these kernels and they take the layer's weights."""
    plain = {"dsp", "mve"} & context.target.instruction_set == {"dsp"}
    return plain and graph.tensors[layer.weights].dtype == "int8" and weight_zero_point(layer, graph) == 0


@dataclass(frozen=True, eq=False)
class Rescaled:
    """Where a layer's sums start, and how they become bytes: a shift, and per channel a multiplier and an addend."""

    shift: int
    start: Array = field(repr=False)
    multiplier: Array = field(repr=False)
    addend: Array = field(repr=False)


def _rescaled(
    layer: WeightedLayer, graph: Graph, over: Sums, offset: Array | None = None, reach: Array | None = None
) -> Rescaled | None:
    """Constants with a shift that the helpers have; None where there are none that are exact.

    Saturation cuts to the type's own range, so that must be where the layer's clamp begins.
    """
    (x, *_), output = graph.layer_inputs(layer), graph.layer_output(layer)
    least = lowest(layer, output)
    if x.dtype != output.dtype or least != INTEGER_RANGE[output.dtype][0]:
        return None
    for shift in dsp_byte_gemm.SHIFTS:
        made = levels(layer, graph, over, offset, reach, at_shift=shift, most=0)
        if made.scales is not None:
            start = (over.constant + made.offset).astype(np.int32)
            return Rescaled(shift, start, made.scales[:, 0], made.scales[:, 1] + (least << shift))
    return None


def _schedule(form: byte_triples.TripleGemm) -> str:
    return f"packed sums of 4 channels by 3 pixels, {form.triples} packed at a time"


@dataclass(frozen=True, eq=False)
class Triples:
    """A GEMM of packed triples, what its constants are made of, and where its schedule is from."""

    form: byte_triples.TripleGemm
    weights: Array = field(repr=False)
    scaled: Rescaled
    source: str

    def constants(self, form: byte_triples.TripleGemm) -> dict[str, tuple[Array, str]]:
        """As `form` reads them: words, or bytes."""
        scales = self.scaled.start, self.scaled.multiplier, self.scaled.addend
        if form.widened:
            words = scaled_blocks(*(panels(values, CHANNELS) for values in (self.weights, *scales)))
            return {"weights": (words, f"[{form.n}][{form.k}], starts, weights and scales of blocks of 4 channels")}
        return {
            "weights": (self.weights, f"weights [{form.n}][{form.k}]"),
            "constants": (dsp_byte_gemm.pack_constants(*scales), f"starts, then scales of {form.n} channels"),
        }


def _or_larger(
    prepared: Callable[[byte_triples.TripleGemm], Prepared], form: byte_triples.TripleGemm, calls: int, context: Context
) -> Prepared:
    """A layer whose weights are widened as often as an inference calls its kernel, or are words where that may be."""
    if form.widened or context.optimize == "flash":
        return prepared(form)
    larger = prepared(replace(form, widened=True))
    return replace(prepared(form), larger=larger, repeats=calls * chunks(form.m, form.triples))


def _triples(layer: WeightedLayer, graph: Graph, facts: dict[str, Choice], context: Context) -> Triples | None:
    """A GEMM of packed triples; None where the sums do not fit fields."""
    m, n, k = (int(facts[extent]) for extent in "mnk")
    (x,) = graph.layer_inputs(layer)
    space = triple_space(facts, context.optimize)
    over = sums(layer, graph, 0, *INTEGER_RANGE[x.dtype])
    span = over.high - over.low
    if space is None or n < CHANNELS or np.any(span >= FIELD):
        return None
    scaled = _rescaled(layer, graph, over, -over.low, FIELD - span)
    if scaled is None:
        return None
    chosen = context.choose(space)
    greatest = panels(over.high - over.constant + scaled.start, CHANNELS)
    wide = bool(np.any(greatest.reshape(-1, 2).sum(axis=1) >= FIELD))
    triples, widened = triples_of(chosen.point)
    form = byte_triples.TripleGemm(m, n, k, triples, x.dtype, scaled.shift, wide, widened)
    return Triples(form, over.weights.astype(np.int8), scaled, chosen.source)


def _pairs(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared:
    """A GEMM whose products are made two at a time."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    weights = matrix(layer, graph)
    n, k = weights.shape
    over, rows = sums(layer, graph, 0, *INTEGER_RANGE[x.dtype]), gemm_rows(layer, graph, context)
    if byte_row.serves(over, rows):
        return _row(layer, graph, weights)
    chosen = context.choose(byte_space(gemm_facts(layer, graph, context)))
    mr, nr = byte_tile(chosen.point)
    epilogue, arrays = weighted_epilogue(layer, graph)
    shift, start = None, bias(layer, graph, folded=True)
    if epilogue.kind != "single":
        made = levels(layer, graph, over)
        if made.scales is not None and not any(made.patches):
            shift, start = made.shift, (start.astype(np.int64) + made.offset).astype(np.int32)
            arrays = {"multiplier": made.scales[:, 0], "addend": made.scales[:, 1]}
    form = byte_gemm.ByteGemm(rows, n, k, mr, nr, x.dtype, shift, lowest(layer, output), epilogue)
    return Prepared(
        gemm_family(layer),
        form,
        f"gemm of bytes mr={mr} nr={nr}",
        lambda: byte_gemm.define(form),
        constants(
            byte_gemm.pack_weights(weights, nr),
            f"[{n}][{k}] in panels of {nr} output channels, four k a step",
            start,
            arrays,
            lambda values: panels(values, nr),
        ),
        chosen.source,
    )


def _row(layer: WeightedLayer, graph: Graph, weights: Array) -> Prepared:
    """A dense layer on one row."""
    (x,) = graph.layer_inputs(layer)
    n, k = weights.shape
    epilogue, arrays = weighted_epilogue(layer, graph)
    form = byte_row.ByteRow(n, k, x.dtype, epilogue)
    words, starts = byte_row.pack(weights, bias(layer, graph, folded=True), x.dtype)
    found = {
        "weights": (words, f"weights [{n}][{k}] in panels of 4 output channels, eight k a step"),
        "bias": (starts, "starts"),
    }
    found |= {role: (panels(values, CHANNELS), role) for role, values in arrays.items()}
    schedule = "a row of bytes, 4 channels at a time"
    return Prepared(gemm_family(layer), form, schedule, lambda: byte_row.define(form), found)
