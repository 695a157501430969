"""Chooses the plan of a network: how far the row pipeline reaches, and a place for everything."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from mbgen.graph import ITEM_BYTES, Conv2D, DepthwiseConv2D, Graph, Layer, Reshape, is_pointwise
from mbgen.plan import Buffer, Plan
from mbgen.planning.lifetimes import Lifetime, aliases, lifetimes
from mbgen.planning.overlap import UPWARDS, WHOLE, Link, link, place_chain
from mbgen.planning.pipeline import Layout, compact, direct
from mbgen.planning.place import place, pressure
from mbgen.planning.rows import rows_of, streamable
from mbgen.planning.sizes import aligned

Objective = Literal["speed", "ram", "threads"]
Stages = Sequence[Sequence[Layer]]

PIPELINE = "row pipeline"
LONG = 24  # columns: a kernel covers fewer with small tiles, which cost more than the cache saves


def plan(graph: Graph, objective: Objective, cache: int | None = None) -> Plan:
    """The plan of least arena (`ram`), or one that streams as little and runs layers as whole as it can (`speed`).

    For speed, early tensors larger than `cache` bytes are streamed too, so that a row is read while it is still there.
    For `threads` nothing is streamed, so that every layer has all of its rows to share among them; of such tensors
    pointwise layers make rows too, so that a thread reads those that it has written.
    """
    beyond = [] if cache is None else _beyond(cache, streamable(graph), graph)
    if objective == "threads":
        by_row = {layer.name for stage in beyond for layer in stage}
        return _plan(graph, [], direct([], graph), overlap=False, by_row=by_row)
    choices = list(_prefixes(streamable(graph), graph)) or [[]]
    if objective == "speed":
        stages = beyond if beyond in choices else choices[0]
        return _plan(graph, stages, direct(stages, graph), overlap=False)
    return min(
        (_plan(graph, stages, _least(stages, graph), overlap=True) for stages in choices),
        key=lambda made: made.arena_bytes,
    )


def _least(stages: Stages, graph: Graph) -> Layout:
    """The layout of fewest bytes: of a short pipeline it may be the one of fewest moves."""
    return min(direct(stages, graph), compact(stages, graph), key=lambda made: made.size)


def _beyond(cache: int, stages: Stages, graph: Graph) -> list[list[Layer]]:
    """The first stages, as far as their outputs are larger than `cache` bytes and their rows long."""

    def large(stage: Sequence[Layer]) -> bool:
        output = graph.layer_output(stage[-1])
        return output.nbytes > cache and output.shape[2] >= LONG

    return [list(stage) for stage in itertools.takewhile(large, stages)]


def _prefixes(stages: Stages, graph: Graph) -> Iterator[list[list[Layer]]]:
    """Every pipeline that ends after some layer of `stages`, shortest first, with a tensor in the arena at its end."""
    alias = aliases(graph)
    for index, stage in enumerate(stages):
        for count, layer in enumerate(stage, 1):
            if alias.get(layer.output, layer.output) != alias.get(graph.output, graph.output):
                yield [*(list(one) for one in stages[:index]), list(stage[:count])]


def _plan(
    graph: Graph, stages: Stages, pipeline: Layout, *, overlap: bool, by_row: Collection[str] = frozenset()
) -> Plan:
    """The plan with these stages; `by_row` are further layers that run row by row though they need not."""
    alias = aliases(graph)
    streamed = sum(len(stage) for stage in stages)
    alive = lifetimes(graph, alias, streamed)
    last = max(streamed - 1, 0)
    tail = [layer for layer in graph.layers[streamed:] if not isinstance(layer, Reshape)]
    links = _chain(alive, tail, graph, overlap=overlap)
    walks = {layer.name: UPWARDS for layer in tail if layer.name in by_row or _is_window(layer, graph)}
    if links is not None:
        size, offsets = place_chain(links, alive[0].size, pipeline.size)
        buffers = [
            Buffer(life.name, offset, life.size, life.first, life.last)
            for life, offset in zip(alive, offsets, strict=True)
        ]
        base = aligned(alive[0].size) if offsets[0] == 0 else 0
        for layer, one, (source, target) in zip(tail, links, itertools.pairwise(offsets), strict=False):
            walk = one.walk(source, target)
            if walk is not None and walk != WHOLE:
                walks[layer.name] = walk
        peaks = [aligned(alive[0].size) + pipeline.size, *(one.union for one in links)]
        names = [graph.layers[last].name, *(layer.name for layer in tail)]
    else:
        made = place([Lifetime(PIPELINE, pipeline.size, 0, last), *alive])
        base, buffers = made[0].offset, list(made[1:])
        size = max(aligned(buffer.offset + buffer.size) for buffer in made)
        peaks = pressure([Lifetime(PIPELINE, pipeline.size, 0, last), *alive])
        names = [layer.name for layer in graph.layers]
    tensor = buffers[0].offset if stages else 0
    moved, parts = pipeline.moved(base, tensor)
    by_row = {layer.name: rows_of(layer, graph) for layer in graph.layers}
    wanted = {*walks, *(layer.name for stage in stages for layer in stage)}
    return Plan(
        stages=moved,
        rows={name: rows for name, rows in by_row.items() if rows is not None and name in wanted},
        walks=walks,
        buffers=(*parts, *buffers),
        alias=alias,
        state=pipeline.state + base,
        arena_bytes=size,
        lower_bound=max(peaks),
        peak_layer=names[peaks.index(max(peaks))],
    )


def _is_window(layer: Layer, graph: Graph) -> bool:
    """Its kernel makes one row at a time, wherever it runs."""
    return isinstance(layer, Conv2D | DepthwiseConv2D) and not is_pointwise(layer, graph)


def _chain(alive: Sequence[Lifetime], tail: Sequence[Layer], graph: Graph, *, overlap: bool) -> list[Link] | None:
    """The links between the tensors of the tail; None if some layer reads other than the tensor before it."""
    if len(alive) != len(tail) or any(len(layer.inputs) != 1 for layer in tail):
        return None
    if any(a.last != b.first for a, b in itertools.pairwise(alive)):
        return None
    links = []
    for layer, before, after in zip(tail, alive, alive[1:], strict=False):
        (source,), target = graph.layer_inputs(layer), graph.layer_output(layer)
        rows = rows_of(layer, graph) if overlap else None
        items = (ITEM_BYTES[source.dtype], ITEM_BYTES[target.dtype])
        links.append(link(before.size, after.size, rows, items))
    return links
