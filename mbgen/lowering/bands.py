"""The layers of a plan's bands as kernels with packed sums: their forms and their constants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mbgen.graph import INTEGER_RANGE, Array, Conv2D, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.intrinsics.dsp import depthwise_words
from mbgen.lowering import packed
from mbgen.lowering.epilogue import weighted_epilogue
from mbgen.lowering.packed import BLOCK, FIELD, START_WORDS, Finish, PackedDepthwise, PackedGemm, PackRow
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.rescale import Levels, Sums, levels, sums
from mbgen.numerics import bounds
from mbgen.plan import Band, Plan
from mbgen.planning.bands import image_row_bytes, lowest
from mbgen.schedules.packed import packed_depthwise_space, packed_loops, packed_space
from mbgen.schedules.space import Choice

ITEM_BYTES = {"uint16": 2, "int32": 4}
MOST = FIELD  # what a field must stay below


def prepare_rows(layer: Conv2D, graph: Graph) -> Prepared:
    """The kernel that packs one row of the image for the first convolution."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    kw, channels = graph.tensors[layer.weights].shape[2], x.shape[3]
    width = image_row_bytes(layer, graph)
    form = PackRow(width, output.shape[2], kw * channels, layer.stride[1] * channels, x.dtype)
    return Prepared(
        "conv2d", form, "a triple of pixels at a time", lambda: packed.schedule_pack(packed.define_pack(form)), {}
    )


def prepare_banded(layer: WeightedLayer, graph: Graph, plan: Plan, context: Context) -> Prepared:
    """A layer of a band."""
    band = next(band for band in plan.bands if layer.name in band.layers)
    if isinstance(layer, DepthwiseConv2D):
        return _depthwise(layer, graph, plan, band, context)
    return _gemm(layer, graph, plan, band, context)


def _stored_range(layer: WeightedLayer, graph: Graph) -> tuple[int, int, int]:
    """What is taken off the input where it is stored, and the least and greatest value that is then there."""
    (x,) = graph.layer_inputs(layer)
    if x.name == graph.input:
        return (0, *INTEGER_RANGE[x.dtype])
    producer = next(one for one in graph.layers if one.output == x.name)
    assert isinstance(producer, WeightedLayer)
    low, high = bounds(producer.clamp, x)
    return lowest(producer, x), 0, int(high - low)


def _finish(layer: WeightedLayer, graph: Graph, made: Levels) -> tuple[Finish, Mapping[str, Array]]:
    least = lowest(layer, graph.layer_output(layer))
    if made.scales is not None:
        count = made.patches.shape[1]
        return Finish(made.shift, None, least, count), {"patches": made.patches} if count else {}
    epilogue, arrays = weighted_epilogue(layer, graph)
    return Finish(0, epilogue, least), arrays | {"offset": made.offset.astype(np.int32)}


def _depthwise(layer: DepthwiseConv2D, graph: Graph, plan: Plan, band: Band, context: Context) -> Prepared:
    (x,) = graph.layer_inputs(layer)
    storage = plan.storage[x.name]
    over = sums(layer, graph, *_stored_range(layer, graph))
    count = x.shape[3]
    made = levels(layer, graph, over, np.zeros(count, np.int64), np.full(count, 1 << 18))
    finish, arrays = _finish(layer, graph, made)
    form = PackedDepthwise(count, band.tiles.columns, layer.stride[0], storage.row, storage.channel, finish)
    words = depthwise_words(over.weights.reshape(count, 3, 3))
    start = (over.constant + made.offset).astype(np.int32)
    scales = np.zeros((count, 2), np.int32) if made.scales is None else made.scales
    turns = [
        np.concatenate([start[:, np.newaxis], np.roll(words, turn, axis=1).reshape(count, 6), scales], axis=1)
        for turn in range(3 if band.streamed else 1)
    ]
    constants = {"weights": (np.stack(turns), f"start, taps and scale of each of {count} channels")}
    facts: dict[str, Choice] = {
        "channels": count,
        "outputs": form.outputs,
        "stride": str(form.stride),
        "finish": finish.kind,
    }
    chosen = context.choose(packed_depthwise_space(facts))
    unroll = int(chosen.point["unroll"])
    return Prepared(
        "depthwise",
        form,
        f"packed depthwise, {form.outputs} columns{f', {unroll} channels a turn' if unroll > 1 else ''}",
        lambda: packed.schedule_depthwise(packed.define_depthwise(form), unroll),
        constants | {role: (values, role) for role, values in arrays.items()},
        chosen.source,
    )


def _gemm(layer: WeightedLayer, graph: Graph, plan: Plan, band: Band, context: Context) -> Prepared:
    output, source = graph.layer_output(layer), plan.storage[layer.inputs[0]]
    over = sums(layer, graph, *_stored_range(layer, graph))
    n, k = over.weights.shape
    parts = source.slots
    cuts = _cuts(over, parts)
    pieces = [over.weights[:, first:last] for first, last in cuts]
    lows, highs = zip(*(over.bounds(piece) for piece in pieces), strict=True)
    made = levels(layer, graph, over, -over.low, MOST - (highs[0] - lows[0]))
    finish, arrays = _finish(layer, graph, made)
    starts = [-low for low in lows]
    starts[0] = over.constant + made.offset - sum(starts[1:])
    greatest = [_paired(high + start, 0) for high, start in zip(highs, starts, strict=True)]
    target = plan.storage.get(layer.output)
    rows = band.tiles.columns
    sums_of = "whole" if len(cuts) == 1 else "split"
    facts: dict[str, Choice] = {"m": rows, "n": n, "k": k, "parts": str(parts), "sums": sums_of, "finish": finish.kind}
    chosen = context.choose(packed_space(facts, context.target))
    loops = packed_loops(chosen.point)
    form = PackedGemm(
        rows,
        n,
        k,
        parts,
        source.row // 4 if parts > 1 else 0,
        source.column // 4,
        tuple(last - first for first, last in cuts),
        any(bool(np.any(pair.sum(axis=-1) >= FIELD)) for pair in greatest),
        loops.ahead,
        output.shape[3] if target is None else target.column // ITEM_BYTES[target.item],
        1 if target is None else target.channel // ITEM_BYTES[target.item],
        output.dtype if target is None else target.item,
        finish,
    )
    scales = np.zeros((n, 2), np.int32) if made.scales is None else made.scales
    turns = []
    for turn in range(parts):
        turned = [np.roll(piece.reshape(n, parts, -1), turn, axis=1).reshape(n, -1) for piece in pieces]
        turns.append(_blocks(turned, starts, scales))
    split = "" if len(cuts) == 1 else f", k in {len(cuts)} parts"
    constants = {"weights": (np.stack(turns), f"[{n}][{k}], starts and scales in blocks of {BLOCK} channels{split}")}
    padded = {
        role: (np.concatenate([values, np.repeat(values[-1:], -n % BLOCK, axis=0)]), role)
        for role, values in arrays.items()
    }
    if finish.patches:
        blocks = np.any(padded["patches"][0][..., 1].reshape(len(padded["patches"][0]) // BLOCK, -1) != 0, axis=1)
        padded["patched"] = blocks.astype(np.int8), "blocks with patches"
    family = "pointwise" if parts == 1 else "conv2d"
    return Prepared(
        family,
        form,
        f"packed sums of 4 channels by 3 pixels{split}{loops}",
        lambda: packed.schedule_gemm(packed.define_gemm(form), loops),
        constants | padded,
        chosen.source,
    )


def _cuts(over: Sums, parts: int) -> list[tuple[int, int]]:
    """As few runs of k as keep every field within its bits."""
    k = over.weights.shape[1]
    for count in range(1, k + 1):
        size = -(-k // count)
        cuts = [(first, min(first + size, k)) for first in range(0, k, size)]
        ranges = [over.bounds(over.weights[:, first:last]) for first, last in cuts]
        if (parts > 1 and count == 1) or all(np.all(high - low < MOST) for low, high in ranges):
            return cuts
    raise AssertionError("one product always fits")


def _paired(values: Array, fill: int) -> Array:
    """`[n, ...]` to `[blocks * 2, 2, ...]`, the rest filled up."""
    padding = np.full((-len(values) % BLOCK, *values.shape[1:]), fill, values.dtype)
    return np.concatenate([values, padding]).reshape(-1, 2, *values.shape[1:])


def _blocks(pieces: list[Array], starts: list[Array], scales: Array) -> Array:
    """The words of all blocks: for each piece of k the starts and then the weights; behind all pieces the scales."""
    words = []
    for weights, start in zip(pieces, starts, strict=True):
        first, second = np.moveaxis(_paired(start.astype(np.uint64), 0), 1, 0)  # wraps around as the sums do
        bits = np.uint64(21)
        packed_start = first + ((first + second) << bits) + (second << bits << bits)
        twice = np.repeat(packed_start.reshape(-1, 2), 2, axis=1)  # for pixels 0, 1 and for 1, 2
        words.append(twice.view(np.int32).reshape(-1, START_WORDS))
        pairs = _paired(weights, 0)  # [pairs, 2, k]
        joined = (pairs[:, 0] + pairs[:, 1] * FIELD).astype(np.int32).reshape(-1, 2, weights.shape[1])
        words.append(np.ascontiguousarray(joined.transpose(0, 2, 1)).reshape(len(joined), -1))
    words.append(_paired(scales, 0).reshape(-1, 2 * BLOCK))
    return np.concatenate(words, axis=1)
