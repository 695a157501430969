"""The layers of a plan's bands as kernels with packed sums: their forms and their constants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mbgen.graph import INTEGER_RANGE, Array, Conv2D, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.intrinsics.dsp import CHANNELS, FIELD, depthwise_words
from mbgen.intrinsics.dsp_runs import FARTHEST_STORE
from mbgen.lowering import packed, streams
from mbgen.lowering.epilogue import weighted_epilogue
from mbgen.lowering.packed import (
    DepthwiseRun,
    DepthwiseTile,
    ExactDepthwise,
    ExactGemm,
    Finish,
    GemmTile,
    PackedRuns,
    PackRow,
    Run,
)
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.rescale import Levels, Sums, levels, sums
from mbgen.lowering.streams import Group, block_words, depthwise_stream, run_words
from mbgen.numerics import bounds
from mbgen.plan import Band, Plan
from mbgen.planning.bands import image_row_bytes, lowest
from mbgen.schedules.packed import packed_depthwise_space, packed_space, packed_steps
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


def _exact(layer: WeightedLayer, graph: Graph, made: Levels) -> tuple[Finish, Mapping[str, Array]]:
    """How a layer whose levels no multiplier and addend makes is rescaled, and the arrays that this reads."""
    epilogue, arrays = weighted_epilogue(layer, graph)
    least = lowest(layer, graph.layer_output(layer))
    return Finish(epilogue, least), arrays | {"offset": made.offset.astype(np.int32)}


def _kind(made: Levels) -> str:
    """Of code: levels by multiplier and addend, with patches, or by the exact form."""
    return "exact" if made.scales is None else "patched" if any(made.patches) else "line"


def _patched(made: Levels) -> str:
    """Words about patches, for a summary."""
    count = sum(len(patches) for patches in made.patches)
    return f", {count} patches" if count else ""


def _depthwise(layer: DepthwiseConv2D, graph: Graph, plan: Plan, band: Band, context: Context) -> Prepared:
    (x,) = graph.layer_inputs(layer)
    storage, columns = plan.storage[x.name], band.tiles.columns
    over = sums(layer, graph, *_stored_range(layer, graph))
    count = x.shape[3]
    made = levels(layer, graph, over)
    tile = DepthwiseTile(count, columns, layer.stride[0], storage.row, storage.channel)
    words = depthwise_words(over.weights.reshape(count, 3, 3))
    start = (over.constant + made.offset).astype(np.int32)
    turns = [
        np.concatenate([start[:, np.newaxis], np.roll(words, turn, axis=1).reshape(count, 6)], axis=1)
        for turn in range(3 if band.streamed else 1)
    ]
    schedule = f"packed depthwise, {columns} columns"
    if made.scales is None:
        finish, arrays = _exact(layer, graph, made)
        exact = ExactDepthwise(tile, finish)
        constants = {"weights": (np.stack(turns), f"start and taps of each of {count} channels")}
        constants |= {role: (values, role) for role, values in arrays.items()}
        return Prepared("depthwise", exact, schedule, lambda: packed.define_exact_depthwise(exact), constants)
    stream = np.stack([depthwise_stream(turn, made) for turn in turns])
    facts: dict[str, Choice] = {
        "channels": count,
        "outputs": columns,
        "stride": str(tile.stride),
        "finish": _kind(made),
    }
    chosen = context.choose(packed_depthwise_space(facts))
    form = DepthwiseRun(tile, stream.shape[1], any(made.patches), made.shift, chosen.point["loads"] == "single")
    summary = f"start, taps and scale of each of {count} channels{_patched(made)}"
    return Prepared(
        "depthwise",
        form,
        f"{schedule}{', single loads' if form.single else ''}",
        lambda: packed.define_depthwise_run(form),
        {"weights": (stream, summary)},
        chosen.source,
    )


def _gemm(layer: WeightedLayer, graph: Graph, plan: Plan, band: Band, context: Context) -> Prepared:
    output, source = graph.layer_output(layer), plan.storage[layer.inputs[0]]
    target = plan.storage.get(layer.output)
    over = sums(layer, graph, *_stored_range(layer, graph))
    n, k = over.weights.shape
    parts, m = source.slots, band.tiles.columns
    groups = streams.groups(over, MOST) if parts == 1 else [Group(np.arange(n), 1, k)]
    reach = np.empty(n, np.int64)
    for group in groups:
        low, high = over.bounds(over.weights[group.channels, group.cuts[0]])
        reach[group.channels] = MOST - (high - low)
    made = levels(layer, graph, over, -over.low, reach)
    facts: dict[str, Choice] = {
        "m": m,
        "n": n,
        "k": k,
        "parts": str(parts),
        "sums": "whole" if groups[-1].splits == 1 else "split",
        "finish": _kind(made),
    }
    chosen = context.choose(packed_space(facts, context.target))
    steps = packed_steps(chosen.point)
    tile = GemmTile(
        m=m,
        n=n,
        k=k,
        parts=parts,
        pitch=source.row // 4 if parts > 1 else 0,
        triple=source.column // 4,
        ahead=steps.ahead,
        pixel=output.shape[3] if target is None else target.column // ITEM_BYTES[target.item],
        plane=1 if target is None else target.channel // ITEM_BYTES[target.item],
        dtype=output.dtype if target is None else target.item,
    )
    family = "pointwise" if parts == 1 else "conv2d"
    schedule = f"packed sums of 4 channels by 3 pixels{{}}{steps}"
    if made.scales is None:
        group = streams.one_group(over, MOST) if parts == 1 else groups[0]
        finish, arrays = _exact(layer, graph, made)
        starts = _starts(over, group, made)
        exact = ExactGemm(tile, tuple(cut.stop - cut.start for cut in group.cuts), _wide(over, group, starts), finish)
        blocks = [
            np.concatenate(
                [block_words(*_filled(w[:, cut], start)) for cut, start in zip(group.cuts, starts, strict=True)], axis=1
            )
            for w in _turns(over, parts)
        ]
        constants = {"weights": (np.stack(blocks), f"[{n}][{k}] and starts in blocks of {CHANNELS} channels")}
        constants |= {role: (_filled(values)[0], role) for role, values in arrays.items()}
        words = schedule.format(_split([group]))
        return Prepared(family, exact, words, lambda: packed.define_exact_gemm(exact), constants, chosen.source)
    scattered = (
        len(groups) > 1
        or (target is None and n % CHANNELS != 0)
        or ((CHANNELS - 1) * tile.plane + 2 * tile.pixel) * tile.item > FARTHEST_STORE
    )
    offsets = np.arange(n) * tile.plane * tile.item if scattered else None
    made_runs: list[Run] = []
    turns: list[list[Array]] = [[] for _ in range(parts)]
    for group in groups:
        starts = _starts(over, group, made)
        for turn, weights in zip(turns, _turns(over, parts), strict=True):
            turn.append(run_words(group, weights, starts, made, offsets))
        patched = any(made.patches[channel] for channel in group.channels)
        kind = _wide(over, group, starts), patched
        made_runs.append(Run(len(turns[0][-1]), group.size, group.last, group.splits, *kind))
    least = lowest(layer, output) if target is None else 0
    form = PackedRuns(tile, tuple(made_runs), scattered, least, made.shift, steps.straight)
    split = _split(groups)
    summary = f"[{n}][{k}], starts and scales in blocks of {CHANNELS} channels{split}{_patched(made)}"
    return Prepared(
        family,
        form,
        schedule.format(split),
        lambda: packed.define_runs(form),
        {"weights": (np.stack([np.concatenate(turn) for turn in turns]), summary)},
        chosen.source,
    )


def _turns(over: Sums, parts: int) -> list[Array]:
    """The weights for each slot of a ring of `parts` rows that a window may begin in."""
    rows = over.weights.reshape(len(over.weights), parts, -1)
    return [np.roll(rows, turn, axis=1).reshape(over.weights.shape) for turn in range(parts)]


def _starts(over: Sums, group: Group, made: Levels) -> list[Array]:
    """What the sums of each part of k start from, `[n]`, so that no part's is negative."""
    others = [-over.bounds(over.weights[:, cut])[0] for cut in group.cuts[1:]]
    return [over.constant + made.offset - sum(others), *others]


def _wide(over: Sums, group: Group, starts: list[Array]) -> bool:
    """Whether the sums of two channels of a pair may need more than a field together."""
    channels = _filled(group.channels)[0]
    greatest = (over.bounds(over.weights[:, cut])[1] + start for cut, start in zip(group.cuts, starts, strict=True))
    return any(bool(np.any(sums[channels].reshape(-1, 2).sum(axis=1) >= FIELD)) for sums in greatest)


def _filled(*arrays: Array) -> tuple[Array, ...]:
    """The arrays with their last entry repeated up to a whole block."""
    return tuple(np.concatenate([one, np.repeat(one[-1:], -len(one) % CHANNELS, axis=0)]) for one in arrays)


def _split(groups: list[Group]) -> str:
    """Words about how k is cut, for a schedule."""
    if groups[-1].splits == 1:
        return ""
    if len(groups) == 1:
        return f", k in {groups[0].splits} parts"
    counts = [f"{group.splits} for {len(group.channels)} channels" for group in groups]
    return f", k in parts: {', '.join(counts)}"
