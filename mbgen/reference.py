"""Runs a graph with NumPy: the definition of what the generated C must compute, layer by layer.

Integer layers are exact; float32 layers are ordinary NumPy, whose sums run in an order of its own. Knows graphs and
their arithmetic (mbgen.numerics). May not know model files, other runtimes, TVM or C.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from mbgen import numerics
from mbgen.errors import GraphError, InputError
from mbgen.graph import (
    NO_CLAMP,
    Add,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantize,
    Requantize,
    Reshape,
    Softmax,
    WeightedLayer,
)


def execute(graph: Graph, image: Array) -> dict[str, Array]:
    """Every layer's output by tensor name, for one `image` of the input tensor's shape (batch of 1) and type.

    Raises InputError where shape or type differ.
    """
    tensor = graph.tensors[graph.input]
    if image.shape != tensor.shape or image.dtype != tensor.dtype:
        raise InputError(
            f"the network reads {tensor.dtype}{list(tensor.shape)}, the input given is {image.dtype}{list(image.shape)}"
        )
    values = {graph.input: image}
    for layer in graph.layers:
        values[layer.output] = compute(layer, graph, [values[name] for name in layer.inputs])
    del values[graph.input]
    return values


@functools.singledispatch
def compute(layer: Layer, graph: Graph, inputs: list[Array]) -> Array:
    """One layer's output from its inputs' values."""
    raise GraphError(f"{layer.name}: {type(layer).__name__} has no definition in NumPy")


# --- windows -------------------------------------------------------------------------------------------------------


def _padded(image: Array, padding: Padding, value: float) -> Array:
    rows, columns = (padding.top, padding.bottom), (padding.left, padding.right)
    return np.pad(image, ((0, 0), rows, columns, (0, 0)), constant_values=value)


def _taps(
    image: Array, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], size: tuple[int, ...]
) -> Iterator[tuple[int, int, Array]]:
    """For each place (i, j) of a window, what all `size` = (oh, ow) windows see there: a view `[1, oh, ow, c]`."""
    (oh, ow), (sh, sw) = size, stride
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            yield i, j, image[:, top : top + (oh - 1) * sh + 1 : sh, left : left + (ow - 1) * sw + 1 : sw]


# --- layers with weights -------------------------------------------------------------------------------------------


def _operands(layer: WeightedLayer, graph: Graph, x: Array) -> tuple[Array, Array]:
    """Input and weights as real numbers, or as integers less their zero points: int32 values, padding is 0 in both."""
    if x.dtype == np.float32:
        return x, graph.constant(layer.weights)
    zero_point = numerics.zero_point(graph.layer_inputs(layer)[0])
    return x.astype(np.int32) - np.int32(zero_point), numerics.centered_weights(layer, graph)


def _finish(layer: WeightedLayer, graph: Graph, sums: Array) -> Array:
    """Bias, rescaling and clamp."""
    output = graph.layer_output(layer)
    if layer.bias is not None:
        sums = sums + graph.constant(layer.bias)
    if output.dtype == "float32":
        return _clamped(sums, layer.clamp)
    return numerics.requantize(sums, numerics.output_scale(layer, graph), output, layer.clamp)


def _clamped(x: Array, clamp: Clamp) -> Array:
    return np.clip(x, np.float32(clamp.low), np.float32(clamp.high))


def _matmul(x: Array, weights: Array) -> Array:
    """`[..., k]` times `[n, k]`, by NumPy's own loops: the threads of BLAS starve where processes share the cores."""
    return np.asarray(np.einsum("...k,nk->...n", x, weights))


@compute.register
def _(layer: Conv2D, graph: Graph, inputs: list[Array]) -> Array:
    x, weights = _operands(layer, graph, inputs[0])
    image = _padded(x, layer.padding, 0)
    _, oh, ow, oc = graph.layer_output(layer).shape
    _, kh, kw, _ = weights.shape
    sums = np.zeros((1, oh, ow, oc), x.dtype)
    for i, j, view in _taps(image, (kh, kw), layer.stride, layer.dilation, (oh, ow)):
        sums += _matmul(view, weights[:, i, j, :])
    return _finish(layer, graph, sums)


@compute.register
def _(layer: DepthwiseConv2D, graph: Graph, inputs: list[Array]) -> Array:
    x, weights = _operands(layer, graph, inputs[0])
    kh, kw, oc = weights.shape
    image = np.repeat(_padded(x, layer.padding, 0), oc // x.shape[-1], axis=-1)
    _, oh, ow, _ = graph.layer_output(layer).shape
    sums = np.zeros((1, oh, ow, oc), x.dtype)
    for i, j, view in _taps(image, (kh, kw), layer.stride, layer.dilation, (oh, ow)):
        sums += view * weights[i, j]
    return _finish(layer, graph, sums)


@compute.register
def _(layer: Dense, graph: Graph, inputs: list[Array]) -> Array:
    return _finish(layer, graph, _matmul(*_operands(layer, graph, inputs[0])))


# --- layers without weights ----------------------------------------------------------------------------------------


@compute.register
def _(layer: AveragePool2D, graph: Graph, inputs: list[Array]) -> Array:
    x, (source,), output = inputs[0], graph.layer_inputs(layer), graph.layer_output(layer)

    def total(values: Array) -> Array:
        views = _taps(_padded(values, layer.padding, 0), layer.kernel, layer.stride, (1, 1), output.shape[1:3])
        return functools.reduce(np.add, (view for _, _, view in views))

    counts = total(np.ones((1, *x.shape[1:3], 1), np.int32))
    if output.dtype == "float32":
        return _clamped(total(x) / counts.astype(np.float32), layer.clamp)
    if graph.numerics is Numerics.QDQ:
        sums = total(x.astype(np.int32) - np.int32(numerics.zero_point(source)))
        scale = numerics.average_pool_scale(layer, graph, counts)
        return numerics.requantize(sums, numerics.FloatScale(scale), output, layer.clamp)
    sums = total(x.astype(np.int32))
    # C's division truncates, so half the count rounds to nearest, half away from zero
    average = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
    return numerics.saturate(average, output, layer.clamp)


@compute.register
def _(layer: Mean, graph: Graph, inputs: list[Array]) -> Array:
    (source,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    sums = (inputs[0].astype(np.int32) - np.int32(numerics.zero_point(source))).sum(axis=(1, 2), keepdims=True)
    return numerics.requantize(sums, numerics.mean_scale(layer, graph), output, NO_CLAMP)


@compute.register
def _(layer: Add, graph: Graph, inputs: list[Array]) -> Array:
    output = graph.layer_output(layer)
    if output.dtype == "float32":
        return _clamped(inputs[0] + inputs[1], layer.clamp)
    a, b = (
        value.astype(np.int32) - np.int32(numerics.zero_point(tensor))
        for value, tensor in zip(inputs, graph.layer_inputs(layer), strict=True)
    )
    return numerics.add(a, b, numerics.add_parameters(layer, graph), output, layer.clamp)


@compute.register
def _(layer: Pad, graph: Graph, inputs: list[Array]) -> Array:
    output = graph.layer_output(layer)
    return _padded(inputs[0], layer.padding, 0 if output.quantization is None else numerics.zero_point(output))


@compute.register
def _(layer: Concat, graph: Graph, inputs: list[Array]) -> Array:
    return np.concatenate(inputs, axis=layer.axis)


@compute.register
def _(layer: Reshape, graph: Graph, inputs: list[Array]) -> Array:
    return inputs[0].reshape(graph.layer_output(layer).shape)


@compute.register
def _(layer: Softmax, graph: Graph, inputs: list[Array]) -> Array:
    output = graph.layer_output(layer)
    if output.dtype == "float32":
        x = inputs[0]
        e: Array = np.exp((x - x.max(axis=-1, keepdims=True)) * np.float32(layer.beta))
        e /= e.sum(axis=-1, keepdims=True)
        return e
    row_softmax = numerics.qdq_softmax if graph.numerics is Numerics.QDQ else numerics.tflite_softmax
    table = numerics.softmax_table(layer, graph)
    rows = [row_softmax(row, table, output) for row in inputs[0].reshape(-1, output.shape[-1])]
    return np.stack(rows).reshape(output.shape)


@compute.register
def _(layer: Logistic, graph: Graph, inputs: list[Array]) -> Array:
    return numerics.sigmoid(inputs[0]) if inputs[0].dtype == np.float32 else _looked_up(layer, graph, inputs[0])


@compute.register
def _(layer: Clip, graph: Graph, inputs: list[Array]) -> Array:
    return _clamped(inputs[0], layer.clamp) if inputs[0].dtype == np.float32 else _looked_up(layer, graph, inputs[0])


@compute.register
def _(layer: Requantize, graph: Graph, inputs: list[Array]) -> Array:
    return _looked_up(layer, graph, inputs[0])


def _looked_up(layer: Layer, graph: Graph, q: Array) -> Array:
    return np.asarray(numerics.lookup_table(layer, graph)[q.astype(np.int32) - np.iinfo(q.dtype).min])


@compute.register
def _(layer: Quantize, graph: Graph, inputs: list[Array]) -> Array:
    return numerics.quantize(inputs[0], graph.layer_output(layer), graph.numerics)


@compute.register
def _(layer: Dequantize, graph: Graph, inputs: list[Array]) -> Array:
    return numerics.dequantize(inputs[0], graph.layer_inputs(layer)[0])
