"""Channels that are equal for every input are read as one.

Proof. Number the channels of each activation so that equal numbers mean equal values, from the network's input on, all
of whose channels differ. Two output channels of a convolution or dense layer are equal if their biases and rescaling
are, and for each number the weights of the input channels that have it add up to the same; of a depthwise convolution,
if they read channels of one number with equal weights, bias and rescaling; of any other layer that works channel by
channel, if what they read has the same numbers.

A convolution or dense layer that reads channels a and b of one number computes x * w_a + x * w_b = x * (w_a + w_b) at
every tap, padding included. So w_a + w_b may stand for a and zero for b. It is done where the sums fit the weights'
type (for int8 without -128, which TFLite does not use), else b is read as before. The magnitude that int32 has to hold
does not grow, because |w_a + w_b| <= |w_a| + |w_b|.

float32 layers are left alone: there the sum of two weights would be rounded once more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping

import numpy as np

from mbgen import numerics
from mbgen.graph import (
    INTEGER_RANGE,
    Array,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Reshape,
    WeightedLayer,
)
from mbgen.passes.channels import ties
from mbgen.passes.edit import bias_of, weights_of, with_constants


def merge_duplicate_channels(graph: Graph) -> Graph:
    """The graph whose convolutions and dense layers read only the first of equal channels, where the weights can add.

    Returns the graph itself if there is none to merge.
    """
    numbers = equal_channels(graph)
    for layer in graph.layers:
        if isinstance(layer, Conv2D | Dense) and graph.layer_output(layer).dtype != "float32":
            graph = _merged(layer, graph, numbers[layer.inputs[0]])
    return graph


def _merged(layer: Conv2D | Dense, graph: Graph, first: Array) -> Graph:
    weights = weights_of(layer, graph)
    zero = graph.constant(layer.weights) - weights
    dtype = graph.tensors[layer.weights].dtype
    low, high = (-127, 127) if dtype == "int8" else INTEGER_RANGE[dtype]
    merged = weights.copy()
    for channel in np.flatnonzero(first != np.arange(len(first))):
        total = merged[..., first[channel]] + merged[..., channel]
        stored = total + zero[..., channel]
        if np.any(merged[..., channel]) and stored.min() >= low and stored.max() <= high:
            merged[..., first[channel]] = total
            merged[..., channel] = 0
    return graph if np.array_equal(merged, weights) else with_constants(graph, layer, merged, bias_of(layer, graph))


def equal_channels(graph: Graph) -> Mapping[str, Array]:
    """For each activation, the first channel that is equal to each channel for every input: int `[c]`.

    Of a float32 activation every channel is its own.
    """
    numbers = {graph.input: np.arange(graph.tensors[graph.input].shape[-1])}
    for layer in graph.layers:
        numbers[layer.output] = _first_of_equals(_values(layer, graph, numbers))
    return numbers


def _first_of_equals(values: list[Hashable]) -> Array:
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(value, channel) for channel, value in enumerate(values)])


def _values(layer: Layer, graph: Graph, numbers: Mapping[str, Array]) -> list[Hashable]:
    """For each channel of the layer's output something that is equal where the channels are."""
    output, tied = graph.layer_output(layer), ties(layer, graph)
    channels = range(output.shape[-1])
    if output.dtype == "float32":
        return list(channels)
    if isinstance(layer, Conv2D | Dense):
        return _rows(layer, graph, _added(weights_of(layer, graph), numbers[layer.inputs[0]]))
    if tied is None or (isinstance(layer, Reshape) and len(channels) != graph.layer_inputs(layer)[0].shape[-1]):
        return list(channels)
    read: list[list[Hashable]] = [[] for _ in channels]
    for name, (before, behind) in zip(layer.inputs, tied, strict=True):
        for source, channel in zip(numbers[name][before].tolist(), behind.tolist(), strict=True):
            read[channel].append((name, source))
    own: list[Hashable] = [None for _ in channels]
    if isinstance(layer, DepthwiseConv2D):
        own = _rows(layer, graph, np.moveaxis(weights_of(layer, graph), -1, 0))
    return [(*sources, value) for sources, value in zip(read, own, strict=True)]


def _added(weights: Array, first: Array) -> Array:
    """The weights with those for equal input channels added up in the first of them."""
    added = weights.copy()
    for channel in np.flatnonzero(first != np.arange(len(first))):
        added[..., first[channel]] += added[..., channel]
        added[..., channel] = 0
    return added


def _rows(layer: WeightedLayer, graph: Graph, weights: Array) -> list[Hashable]:
    """Weights `[oc, ...]`, bias and rescaling of each output channel."""
    scale = numerics.output_scale(layer, graph)
    rescaling = [getattr(scale, field.name).tolist() for field in dataclasses.fields(scale)]
    rows = [row.tobytes() for row in np.ascontiguousarray(weights)]
    return list(zip(rows, bias_of(layer, graph).tolist(), *rescaling, strict=True))
