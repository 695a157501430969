"""Clips that never bind go: Clip layers, and the bounds of fused clamps.

Proof. If every value that a layer can give (mbgen.passes.ranges) is at or above a clamp's lower bound, the clamp leaves
it as it is at that end; likewise at the upper. A Clip layer that leaves everything as it is has an output equal to its
input, in every element and in quantisation, so what read the one may read the other. The bound of a fused clamp is
taken away; what then remains is the saturation of the output's type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from mbgen.graph import NO_CLAMP, Add, AveragePool2D, Clamp, Clip, Graph, Layer, WeightedLayer
from mbgen.passes.edit import bypassable, bypassed, replaced
from mbgen.passes.ranges import Range, output_range, ranges


def drop_idle_clips(graph: Graph) -> Graph:
    """The graph without the clips that never bind; the graph itself if there is none."""
    found = ranges(graph)
    widened = list(_widened(graph, found))
    graph = replaced(graph, widened) if widened else graph
    while idle := next((layer for layer in graph.layers if _is_idle(layer, graph, found)), None):
        graph = bypassed(graph, idle)
    return graph


def _is_idle(layer: Layer, graph: Graph, found: Mapping[str, Range]) -> bool:
    return (
        isinstance(layer, Clip)
        and bypassable(graph, layer)
        and _binding(layer.clamp, found[layer.inputs[0]]) == NO_CLAMP
    )


def _widened(graph: Graph, found: Mapping[str, Range]) -> Iterator[Layer]:
    """The layers with a fused clamp that can lose a bound, without it."""
    for layer in graph.layers:
        if isinstance(layer, WeightedLayer | AveragePool2D | Add):
            unclamped = replace(layer, clamp=NO_CLAMP)
            free = output_range(unclamped, graph, [found[name] for name in layer.inputs])
            clamp = _binding(layer.clamp, free)
            if clamp != layer.clamp:
                yield replace(layer, clamp=clamp)


def _binding(clamp: Clamp, free: Range) -> Clamp:
    """The clamp without the bounds that values in `free` do not reach."""
    low, high = clamp
    return Clamp(-math.inf if low <= free.low.min() else low, math.inf if high >= free.high.max() else high)
