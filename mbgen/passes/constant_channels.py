"""Channels that are one value for every input go into the biases of the layers that read them.

Proof. Let channel k of a convolution's or dense layer's input be the stored value v wherever it is read (mbgen.passes.
ranges). Its products are (v - zp_x) * w for each of its weights w less their zero point, so output channel o gets
(v - zp_x) * sum(w[o, ..., k]) from it at every place. Adding this number to the bias and setting the weights to zero
leaves every sum as it was, hence every output. The places that padding adds hold zp_x, where k adds nothing; so a
window that reaches into the padding would lose part of that number. Therefore k is folded if no window does, or if
v = zp_x, when the number is zero anyway.

Other layers keep their constant channels: a depthwise convolution, a pool or an addition passes them on, and where the
result is constant too (for every set of taps that a border leaves, which the ranges tell), the next layer folds it.

Integers: exact, where int32 holds the sums in any order; a layer where it may not keeps its bias, so that the rewrite
cannot be what makes it overflow. float32: the products are added first instead of in their place, in double.
"""

from __future__ import annotations

import numpy as np

from mbgen import numerics
from mbgen.graph import INTEGER_RANGE, Array, Conv2D, Dense, Graph
from mbgen.passes.edit import bias_of, largest_sums, weights_of, with_constants
from mbgen.passes.ranges import Range, ranges
from mbgen.passes.windows import patterns


def fold_constant_channels(graph: Graph) -> Graph:
    """The graph whose convolutions and dense layers no longer read constant channels: their weights are zero.

    Returns the graph itself if there is none to fold.
    """
    found = ranges(graph)
    for layer in graph.layers:
        if isinstance(layer, Conv2D | Dense):
            graph = _folded(layer, graph, found[layer.inputs[0]])
    return graph


def _folded(layer: Conv2D | Dense, graph: Graph, x: Range) -> Graph:
    weights, bias = weights_of(layer, graph), bias_of(layer, graph)
    offset = x.low - _zero_point(layer, graph)
    foldable = x.constant & np.any(weights, axis=tuple(range(weights.ndim - 1)))
    if not (_unpadded(layer, graph) and _bias_may_change(layer, graph)):
        foldable &= offset == 0
    if not foldable.any():
        return graph
    over_taps = weights.sum(axis=tuple(range(1, weights.ndim - 1)), dtype=np.promote_types(weights.dtype, np.int64))
    bias = bias + over_taps[:, foldable] @ offset[foldable]
    return with_constants(graph, layer, np.where(foldable, 0, weights), bias)


def _zero_point(layer: Conv2D | Dense, graph: Graph) -> int:
    (x,) = graph.layer_inputs(layer)
    return 0 if x.quantization is None else numerics.zero_point(x)


def _unpadded(layer: Conv2D | Dense, graph: Graph) -> bool:
    """Whether every window lies inside the image."""
    return all(bool(seen.all()) for seen in patterns(layer, graph))


def _bias_may_change(layer: Conv2D | Dense, graph: Graph) -> bool:
    if graph.layer_output(layer).dtype == "float32":
        return True
    largest: Array = largest_sums(layer, graph)
    return bool(np.all(largest <= INTEGER_RANGE["int32"][1]))
