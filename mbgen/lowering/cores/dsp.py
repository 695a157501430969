"""Int8 layers on Cortex-M with the DSP extension, outside of bands: bytes in memory, packed where they are used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mbgen import numerics
from mbgen.graph import INTEGER_RANGE, Array, Conv2D, Dense, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.intrinsics import dsp_byte_depthwise, dsp_byte_gemm, dsp_bytes
from mbgen.intrinsics.dsp import CHANNELS, FIELD
from mbgen.intrinsics.dsp_byte_patches import Patch, depthwise_places, pack_patches
from mbgen.lowering import byte_depthwise, byte_gemm, byte_row, byte_triples
from mbgen.lowering.allowance import constant_bytes
from mbgen.lowering.cores import portable
from mbgen.lowering.epilogue import weighted_epilogue
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.rescale import MAX_PATCHES, Levels, Sums, levels, sums
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
from mbgen.schedules.triples import PIXELS, chunks, triple_space, triples_of

# instructions that a byte more of constants saves: of an output of a channel with four bytes, of a weight with three
PATCHED_WORTH, WIDENED_WORTH = 15.0, 0.6
# cycles: of a product in pairs and in triples, of a weight to be widened, of an output to be looked at for a patch
PAIRED, TRIPLED, WIDENED, PATCHING = 1.8, 1.1, 3.0, 6.0
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

    calls = math.prod(graph.layer_output(layer).shape[:-1]) // int(facts["m"])
    if triples.form.part is None or context.optimize == "speed":
        return _or_larger(prepared, triples.form, calls, context)
    return _with_parts(_pairs(layer, graph, context), prepared(triples.form), triples.form, calls)


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
    if triples is None or triples.scaled.patches:
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
    form = replace(form, shift=scaled.shift, patches=len(scaled.patches))
    words = dsp_byte_depthwise.pack(graph.constant(layer.weights), scaled.start, scaled.multiplier, scaled.addend)
    prepared = Prepared(
        "depthwise",
        form,
        f"depthwise of bytes in planes of {form.width} columns",
        lambda: byte_depthwise.define(form),
        {"weights": (words, f"start, rows of taps and scale of each of {channels} channels")}
        | _patch_constants(scaled.patches, depthwise_places(channels)),
    )
    if not scaled.patches or context.optimize == "speed":
        return prepared
    _, oh, ow, _ = graph.layer_output(layer).shape
    return replace(portable.prepare_depthwise(layer, graph, context), larger=prepared, worth=PATCHED_WORTH * oh * ow)


def _serves(layer: WeightedLayer, graph: Graph, context: Context) -> bool:
    """Whether the core has these kernels and they take the layer's weights."""
    plain = {"dsp", "mve"} & context.target.instruction_set == {"dsp"}
    return plain and graph.tensors[layer.weights].dtype == "int8" and weight_zero_point(layer, graph) == 0


@dataclass(frozen=True, eq=False)
class Rescaled:
    """Where a layer's sums start, and how they become bytes: a shift, and per channel a multiplier and an addend.

    Saturation to the type comes last. Of the sums without their start, `patches` are those that this gets wrong.
    """

    shift: int
    start: Array = field(repr=False)
    multiplier: Array = field(repr=False)
    addend: Array = field(repr=False)
    patches: tuple[Patch, ...] = field(repr=False)


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
    made = _fewest_patches(lambda shift, most: levels(layer, graph, over, offset, reach, at_shift=shift, most=most))
    if made.scales is None:
        return None
    start = (over.constant + made.offset).astype(np.int32)
    addend = made.scales[:, 1] + (least << made.shift)
    return Rescaled(made.shift, start, made.scales[:, 0], addend, _patches(made, start, least))


def _fewest_patches(at: Callable[[int, int], Levels]) -> Levels:
    """Constants with the first shift of the helpers, or with another if that needs no patches."""
    first, *others = dsp_byte_gemm.SHIFTS
    made = at(first, MAX_PATCHES)
    if made.scales is not None and not any(made.patches):
        return made
    exact = (at(shift, 0) for shift in others)
    return next((one for one in exact if one.scales is not None), made)


def _patches(made: Levels, start: Array, least: int) -> tuple[Patch, ...]:
    """The patches of sums from `start` on, whose levels are stored from `least` on."""
    found = []
    for channel, moves in enumerate(made.patches):
        for total, move in moves:
            wrong, right = (made.level(channel, one) + least for one in (total, total + move))
            found.append(Patch(channel, wrong, right, total - int(start[channel])))
    return tuple(found)


def _schedule(form: byte_triples.TripleGemm) -> str:
    return f"packed sums of 4 channels by 3 pixels, {form.triples} packed at a time"


@dataclass(frozen=True, eq=False)
class Cut:
    """How k is cut so that no part's sums leave their fields: in `later` parts of `part`, and a first of what is left.

    Where all of k fits, that is the first. The whole sums' offsets are from `offset` on, and less than `reach` above.
    """

    part: int
    later: int
    offset: Array = field(repr=False)
    reach: Array = field(repr=False)


def _cut(over: Sums) -> Cut:
    """In as few parts as serve each channel."""
    k = over.weights.shape[1]
    for splits in range(1, k + 1):
        part = -(-k // (splits * dsp_byte_gemm.PART_STEP)) * dsp_byte_gemm.PART_STEP
        begin = (k - 1) % part + 1
        low, high = over.bounds(over.weights[:, :begin])
        later = [over.bounds(over.weights[:, first : first + part]) for first in range(begin, k, part)]
        if np.all(high - low < FIELD) and all(np.all(_in_fields(*bounds)) for bounds in later):
            offset = len(later) * dsp_byte_gemm.PART_START - low - over.constant
            return Cut(part, len(later), offset, FIELD - (high - low))
    raise AssertionError("sums of 16 products always fit")


def _in_fields(low: Array, high: Array) -> Array:
    """Whether the sums of a part but the first, with the start that these have, do not leave their fields."""
    return np.asarray((low >= -dsp_byte_gemm.PART_START) & (high < FIELD - dsp_byte_gemm.PART_START))


@dataclass(frozen=True, eq=False)
class Triples:
    """A GEMM of packed triples, what its constants are made of, and where its schedule is from.

    `start` is that of the first part of k. Where k is in parts and weights are bytes, `packed` are start and scales.
    """

    form: byte_triples.TripleGemm
    weights: Array = field(repr=False)
    start: Array = field(repr=False)
    scaled: Rescaled
    packed: Array | None = field(repr=False)
    source: str

    @property
    def scales(self) -> tuple[Array, Array, Array]:
        """Start, multiplier and addend of each channel."""
        return self.start, self.scaled.multiplier, self.scaled.addend

    def constants(self, form: byte_triples.TripleGemm) -> dict[str, tuple[Array, str]]:
        """As `form` reads them: words, or bytes."""
        scales = self.scales
        if form.widened:
            words = scaled_blocks(*(panels(values, CHANNELS) for values in (self.weights, *scales)))
            found = {"weights": (words, f"[{form.n}][{form.k}], starts, weights and scales of blocks of 4 channels")}
        else:
            found = {"weights": (self.weights, f"weights [{form.n}][{form.k}]")}
            if self.packed is not None:
                found["constants"] = self.packed, f"start and scale of each of {form.n} channels"
            else:
                found["constants"] = dsp_byte_gemm.pack_constants(*scales), f"starts, then scales of {form.n} channels"
        return found | _patch_constants(self.scaled.patches, dsp_byte_gemm.channel_places(form.n, form.k, form.widened))


def _patch_constants(patches: Sequence[Patch], places: Array) -> dict[str, tuple[Array, str]]:
    """Patches of channels whose weights begin at `places`, if there are any."""
    return {"patches": (pack_patches(patches, places), f"{len(patches)} patches")} if patches else {}


def _or_larger(
    prepared: Callable[[byte_triples.TripleGemm], Prepared], form: byte_triples.TripleGemm, calls: int, context: Context
) -> Prepared:
    """A layer whose weights are widened as often as an inference calls its kernel, or are words where that may be."""
    if form.widened or context.optimize == "flash":
        return prepared(form)
    larger = prepared(replace(form, widened=True))
    return replace(prepared(form), larger=larger, worth=WIDENED_WORTH * calls * chunks(form.m, form.triples))


def _with_parts(pairs: Prepared, parts: Prepared, form: byte_triples.TripleGemm, calls: int) -> Prepared:
    """A layer whose products are made two at a time, or with k in parts where the constants that takes may be."""
    pixels, runs = PIXELS * -(-form.m // PIXELS), chunks(form.m, form.triples)
    products = PAIRED * form.m - TRIPLED * pixels - WIDENED * runs
    saved = calls * (products * form.n * form.k - PATCHING * form.m * form.patches)
    extra = constant_bytes(parts) - constant_bytes(pairs)
    if saved <= 0:
        return pairs
    return parts if extra <= 0 else replace(pairs, larger=parts, worth=saved / extra)


def _triples(layer: WeightedLayer, graph: Graph, facts: dict[str, Choice], context: Context) -> Triples | None:
    """A GEMM of packed triples; None where there are too few pixels, or no exact constants rescale its sums."""
    m, n, k = (int(facts[extent]) for extent in "mnk")
    (x,) = graph.layer_inputs(layer)
    over = sums(layer, graph, 0, *INTEGER_RANGE[x.dtype])
    cut = _cut(over)
    space = triple_space(facts, context.optimize, cut.later > 0)
    if space is None or n < CHANNELS:
        return None
    scaled = _rescaled(layer, graph, over, cut.offset, cut.reach)
    if scaled is None:
        return None
    chosen = context.choose(space)
    greatest = panels(over.high - over.constant + scaled.start, CHANNELS)
    wide = cut.later > 0 or bool(np.any(greatest.reshape(-1, 2).sum(axis=1) >= FIELD))
    triples, widened = triples_of(chosen.point)
    kind = triples, x.dtype, scaled.shift, wide, widened, len(scaled.patches)
    form = byte_triples.TripleGemm(m, n, k, *kind, cut.part if cut.later else None)
    start, packed = scaled.start - cut.later * dsp_byte_gemm.PART_START, None
    if cut.later and not widened:
        packed = dsp_byte_gemm.pack_part_constants(start, scaled.multiplier, scaled.addend, cut.later)
        if packed is None:
            return None
    return Triples(form, over.weights.astype(np.int8), start, scaled, packed, chosen.source)


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
    patches: tuple[Patch, ...] = ()
    if epilogue.kind != "single":
        made = levels(layer, graph, over)
        # long sums need many patches, which take flash; and the rest of k does not lie as they have it
        patchable = context.optimize == "speed" and k % dsp_bytes.STEP == 0
        if made.scales is not None and (patchable or not any(made.patches)):
            shift, start = made.shift, (start.astype(np.int64) + made.offset).astype(np.int32)
            arrays = {"multiplier": made.scales[:, 0], "addend": made.scales[:, 1]}
            patches = _patches(made, start, lowest(layer, output))
    form = byte_gemm.ByteGemm(rows, n, k, mr, nr, x.dtype, shift, lowest(layer, output), epilogue, len(patches))
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
        )
        | _patch_constants(patches, dsp_bytes.channel_places(n, k, nr)),
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
