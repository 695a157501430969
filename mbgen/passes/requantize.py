"""Requantisations that change nothing go.

Proof. Where input and output have one type, scale and zero point, and the layer's table gives back every value that the
type holds, the output equals the input in every element and means the same; so what read the one may read the other.
With another scale or type the stored values may be equal too, but what reads them would be rescaled by other constants.
"""

from __future__ import annotations

import numpy as np

from mbgen import numerics
from mbgen.graph import INTEGER_RANGE, Graph, Layer, Requantize
from mbgen.passes.edit import bypassable, bypassed


def drop_identities(graph: Graph) -> Graph:
    """The graph without requantisations that change nothing; the graph itself if there is none."""
    while identity := next((layer for layer in graph.layers if _is_identity(layer, graph)), None):
        graph = bypassed(graph, identity)
    return graph


def _is_identity(layer: Layer, graph: Graph) -> bool:
    if not isinstance(layer, Requantize) or not bypassable(graph, layer):
        return False
    (x,), y = graph.layer_inputs(layer), graph.layer_output(layer)
    low, high = INTEGER_RANGE[x.dtype]
    return (x.dtype, x.quantization) == (y.dtype, y.quantization) and np.array_equal(
        numerics.lookup_table(layer, graph), np.arange(low, high + 1)
    )
