"""Channels that nobody reads are taken out.

Proof. A channel of the network's output is read. A channel of a convolution's or dense layer's input is read if some
weight for it, less its zero point, is not zero in an output channel that is there; else all its products are zero,
whatever it holds. A depthwise convolution, a pool, an addition or any other layer that works channel by channel reads
the channels of what is there of its output. Whatever is read by nobody can be left out of the sums and of memory
without another value changing, because no value depends on it.

A layer that works channel by channel has as many channels before as behind it (mbgen.passes.channels), and the
network's input keeps its shape; so a channel that is read in one of the tensors that such layers tie together stays in
all of them. A layer has to have a channel, and a kernel whose vectors hold several wants a multiple of them; so
channels that nobody reads may stay to fill up, with all that they read in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mbgen.graph import (
    Array,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Quantization,
    Tensor,
    WeightedLayer,
)
from mbgen.passes.channels import ties
from mbgen.passes.edit import own_name, replaced, weights_of


def live_channels(graph: Graph, multiple: int = 1) -> Mapping[str, Array]:
    """For each activation, which of its channels stay: bool `[c]`.

    Convolutions and dense layers keep a multiple of `multiple` channels, or all they have.
    """
    activations = (graph.input, *(layer.output for layer in graph.layers))
    live = {name: np.zeros(graph.tensors[name].shape[-1], bool) for name in activations}
    live[graph.input][:] = live[graph.output][:] = True
    reads = {layer.name: _reads(layer, graph) for layer in graph.layers if isinstance(layer, Conv2D | Dense)}
    _spread(live, graph, reads)
    mixing = [layer for layer in reversed(graph.layers) if layer.name in reads]
    while short := next((layer for layer in mixing if _missing(live[layer.output], multiple)), None):
        _fill_up(live[short.output], reads[short.name] & ~live[short.inputs[0]], multiple)
        _spread(live, graph, reads)
    return live


def _missing(channels: Array, multiple: int) -> int:
    """How many more have to be marked for the next multiple, at least one, or for all."""
    marked = int(channels.sum())
    return min(-(-max(marked, 1) // multiple) * multiple, len(channels)) - marked


def _fill_up(channels: Array, brings: Array, multiple: int) -> None:
    """Mark what is missing, those channels first that bring fewest input channels with them (`brings`, `[oc, ic]`)."""
    unmarked = np.flatnonzero(~channels)
    order = np.argsort(brings[unmarked].sum(axis=1), kind="stable")
    channels[unmarked[order][: _missing(channels, multiple)]] = True


def _reads(layer: Conv2D | Dense, graph: Graph) -> Array:
    """Which input channels each output channel depends on, bool `[oc, ic]`."""
    weights = weights_of(layer, graph)
    return np.asarray(np.any(weights, axis=tuple(range(1, weights.ndim - 1))))


def _spread(live: Mapping[str, Array], graph: Graph, reads: Mapping[str, Array]) -> None:
    """Mark in `live` what is read by, or tied to, what is marked, until nothing is added."""
    before = -1
    while (marked := sum(int(channels.sum()) for channels in live.values())) != before:
        before = marked
        for layer in reversed(graph.layers):
            if layer.name in reads:
                live[layer.inputs[0]] |= reads[layer.name][live[layer.output]].any(axis=0)
            else:
                _tie(live, layer, graph)


def _tie(live: Mapping[str, Array], layer: Layer, graph: Graph) -> None:
    output, tied = live[layer.output], ties(layer, graph)
    if tied is None:
        for name in (*layer.inputs, layer.output):
            live[name][:] = True
        return
    for name, (read, written) in zip(layer.inputs, tied, strict=True):
        live[name][read[output[written]]] = True
        output[written[live[name][read]]] = True


def keep_channels(graph: Graph, live: Mapping[str, Array]) -> Graph:
    """The graph with these channels of each activation, bool `[c]` by tensor name; the graph itself if that is all."""
    if all(channels.all() for channels in live.values()):
        return graph
    tensors = [
        _kept(graph.tensors[name], len(graph.tensors[name].shape) - 1, channels) for name, channels in live.items()
    ]
    layers = []
    for layer in graph.layers:
        if isinstance(layer, WeightedLayer):
            changed, constants = _sliced(layer, graph, live[layer.inputs[0]], live[layer.output])
            layers.append(changed)
            tensors += constants
    return replaced(graph, layers, tensors)


def _sliced(layer: WeightedLayer, graph: Graph, read: Array, written: Array) -> tuple[WeightedLayer, list[Tensor]]:
    """The layer with the weights and bias of the channels kept of its input and output, and these constants."""
    weights = graph.tensors[layer.weights]
    if isinstance(layer, DepthwiseConv2D):
        weights = _kept(weights, 2, written)
    else:
        weights = _kept(_kept(weights, 0, written), len(weights.shape) - 1, read)
    constants = [replace(weights, name=own_name(graph, layer, "weights"))]
    layer = replace(layer, weights=constants[0].name)
    if layer.bias is not None:
        bias = _kept(graph.tensors[layer.bias], 0, written)
        constants.append(replace(bias, name=own_name(graph, layer, "bias")))
        layer = replace(layer, bias=constants[1].name)
    return layer, constants


def _kept(tensor: Tensor, axis: int, channels: Array) -> Tensor:
    """The tensor with some indices along an axis, and their scales where it has one for each."""
    if channels.all():
        return tensor
    shape = (*tensor.shape[:axis], int(channels.sum()), *tensor.shape[axis + 1 :])
    data = None if tensor.data is None else np.compress(channels, tensor.data, axis)
    quantization = tensor.quantization
    if quantization is not None and quantization.axis is not None and quantization.axis % len(tensor.shape) == axis:
        kept = np.flatnonzero(channels)
        quantization = Quantization(
            tuple(quantization.scale[index] for index in kept),
            tuple(quantization.zero_point[index] for index in kept),
            quantization.axis,
        )
    return replace(tensor, shape=shape, data=data, quantization=quantization)
