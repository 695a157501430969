"""How a rewrite puts other constants into a layer, and how it takes a layer out.

Knows the graph and how weights are stored. May not know why anything is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import numpy as np

from mbgen import numerics
from mbgen.graph import (
    INTEGER_RANGE,
    Array,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Tensor,
    WeightedLayer,
)


def readers(graph: Graph, tensor: str) -> tuple[Layer, ...]:
    """The layers that read an activation or a constant."""
    return tuple(layer for layer in graph.layers if tensor in (*layer.inputs, *layer.constants))


# --- constants -----------------------------------------------------------------------------------------------------


def weights_of(layer: WeightedLayer, graph: Graph) -> Array:
    """The weights less their zero points, in the layer's own layout: float32, or int64."""
    if graph.tensors[layer.weights].dtype == "float32":
        return graph.constant(layer.weights)
    return numerics.centered_weights(layer, graph).astype(np.int64)


def bias_of(layer: WeightedLayer, graph: Graph) -> Array:
    """The bias `[oc]`, zeros where the layer has none: float32, or int64."""
    output = graph.layer_output(layer)
    bias = np.zeros(output.shape[-1]) if layer.bias is None else graph.constant(layer.bias)
    return bias.astype(np.float32 if output.dtype == "float32" else np.int64)


def largest_sums(layer: WeightedLayer, graph: Graph) -> Array:
    """A bound on what a quantised layer's sums, in any order, and its folded bias can reach; int64 `[oc]`."""
    x, weights = graph.layer_inputs(layer)[0], np.abs(weights_of(layer, graph))
    axes = (0, 1) if isinstance(layer, DepthwiseConv2D) else tuple(range(1, weights.ndim))
    greatest = max(abs(bound) for bound in INTEGER_RANGE[x.dtype]) + abs(numerics.zero_point(x))
    return np.asarray(weights.sum(axis=axes) * greatest + np.abs(bias_of(layer, graph)), np.int64)


def own_name(graph: Graph, layer: WeightedLayer, role: Literal["weights", "bias"]) -> str:
    """The name of a layer's new constant: the old one's, or one that no other layer reads."""
    old: str | None = getattr(layer, role)
    if old is not None and not _others_read(graph, old, layer):
        return old
    name = f"{layer.name}.{role}"
    while _others_read(graph, name, layer):
        name += "'"
    return name


def _others_read(graph: Graph, tensor: str, layer: Layer) -> bool:
    return any(reader.name != layer.name for reader in readers(graph, tensor))


def with_constants(graph: Graph, layer: WeightedLayer, weights: Array, bias: Array) -> Graph:
    """The graph with other weights (less their zero points, which stay) and another bias in one layer."""
    old = graph.tensors[layer.weights]
    stored = weights + (graph.constant(layer.weights) - weights_of(layer, graph))
    tensors = [replace(old, name=own_name(graph, layer, "weights"), data=stored.astype(old.dtype))]
    changed = replace(layer, weights=tensors[0].name)
    if layer.bias is not None or np.any(bias):
        dtype: DType = "float32" if old.dtype == "float32" else "int32"
        quantization = None if layer.bias is None else graph.tensors[layer.bias].quantization
        name = own_name(graph, layer, "bias")
        tensors.append(Tensor(name, bias.shape, dtype, quantization, bias.astype(dtype)))
        changed = replace(changed, bias=name)
    return replaced(graph, [changed], tensors)


# --- layers --------------------------------------------------------------------------------------------------------


def replaced(graph: Graph, layers: Iterable[Layer], tensors: Iterable[Tensor] = ()) -> Graph:
    """The graph with these layers and tensors in the places of those of the same names."""
    new = {layer.name: layer for layer in layers}
    return _assembled(graph, tuple(new.get(layer.name, layer) for layer in graph.layers), tensors, graph.output)


def bypassable(graph: Graph, layer: Layer) -> bool:
    """Whether something is left of the network without this layer."""
    return (layer.inputs[0], layer.output) != (graph.input, graph.output)


def bypassed(graph: Graph, layer: Layer, changed: Iterable[Layer] = (), tensors: Iterable[Tensor] = ()) -> Graph:
    """The graph without a layer of one input: what read its output reads its input.

    Other layers and tensors may change at the same time, as in `replaced`.
    """
    (source,) = layer.inputs
    new = {other.name: other for other in changed}
    rest = (new.get(other.name, other) for other in graph.layers if other.name != layer.name)
    layers = tuple(
        replace(other, inputs=tuple(source if name == layer.output else name for name in other.inputs))
        for other in rest
    )
    output = source if graph.output == layer.output else graph.output
    return _assembled(graph, layers, tensors, output)


def _assembled(graph: Graph, layers: tuple[Layer, ...], changed: Iterable[Tensor], output: str) -> Graph:
    """The graph with these layers, and of its tensors and the changed ones those that the layers name."""
    tensors = {**graph.tensors, **{tensor.name: tensor for tensor in changed}}
    used = {name for layer in layers for name in (*layer.inputs, *layer.constants, layer.output)}
    named = {name: tensor for name, tensor in tensors.items() if name in used | {graph.input, output}}
    return replace(graph, layers=layers, tensors=named, output=output)
