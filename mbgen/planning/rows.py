"""Which layers can run row by row, and how their rows follow from each other."""

from __future__ import annotations

import functools

from mbgen.graph import Conv2D, DepthwiseConv2D, Graph, Layer, is_pointwise
from mbgen.plan import Rows


@functools.singledispatch
def rows_of(layer: Layer, graph: Graph) -> Rows | None:
    """The layer's rows; None if its kernel takes the whole tensor only."""
    return None


@rows_of.register(Conv2D)
@rows_of.register(DepthwiseConv2D)
def _(layer: Conv2D | DepthwiseConv2D, graph: Graph) -> Rows | None:
    _, height, width, ic = graph.tensors[layer.inputs[0]].shape
    _, oh, ow, oc = graph.layer_output(layer).shape
    weights = graph.tensors[layer.weights].shape
    kh = weights[0] if isinstance(layer, DepthwiseConv2D) else weights[1]
    return Rows(height, oh, kh, layer.stride[0], layer.dilation[0], layer.padding.top, width * ic, ow * oc)


def streamable(graph: Graph) -> list[list[Layer]]:
    """The stages that a row pipeline may consist of, from the input on: a window, then pointwise layers.

    They end where a layer needs a whole tensor, where a tensor has two readers, and before a window of one row with
    padding above: it keeps no row in a ring, but its first row that comes completes more than one.
    """
    readers: dict[str, int] = {}
    for layer in graph.layers:
        for name in layer.inputs:
            readers[name] = readers.get(name, 0) + 1
    stages: list[list[Layer]] = []
    current = graph.input
    for layer in graph.layers:
        rows = rows_of(layer, graph)
        if layer.inputs != (current,) or readers[current] != 1 or rows is None or (rows.span == 1 and rows.top > 0):
            break
        if not is_pointwise(layer, graph):
            stages.append([layer])
        elif stages:
            stages[-1].append(layer)
        else:
            break
        current = layer.output
        if current == graph.output:
            break
    return stages
