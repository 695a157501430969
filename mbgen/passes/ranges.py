"""Between which stored values each channel of each activation lies, whatever the network's input is.

Interval arithmetic over the definitions of mbgen.numerics. Each quantised operation but softmax rises or falls with
every element it reads, whatever the others hold, and its roundings keep order; so its extremes lie at the ends of the
elements' intervals:

- A sum of products is least where each positive weight meets its input's least value and each negative weight the
  greatest. At a border some taps are outside the image and add nothing; each set of taps that occurs (mbgen.passes.
  windows) gives an interval, and the channel's is their hull. For inputs that vary freely in their intervals this is
  exact.
- Rescaling multiplies by something positive and rounds. Additions, averages, means, quantisation and dequantisation do
  the same with sums of what they read.
- Tables are looked up over the whole interval.

A quantised sum that int32 may not hold has no order; its channel gets the whole range of its type. In float32 networks
the bounds are widened by what rounding can do in any order of summation, and hold for finite inputs whose sums stay
finite. Knows one layer at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mbgen import numerics
from mbgen.graph import (
    INTEGER_RANGE,
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
    Quantize,
    Requantize,
    Reshape,
    Tensor,
)
from mbgen.passes.channels import ties
from mbgen.passes.edit import bias_of, largest_sums, weights_of
from mbgen.passes.windows import patterns

FLOAT_MAX, FLOAT_TINY = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
# of n terms' magnitudes, over n: twice what n products and n sums rounded to float32 can be off (Higham's gamma)
ROUNDING = 2.0**-22
PROBABILITY = Clamp(0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Range:
    """Inclusive bounds of each channel, `[c]`: stored integers as int64, or float32 values as float64."""

    low: Array
    high: Array

    @property
    def constant(self) -> Array:
        """Which channels are one value, bool `[c]`."""
        return np.asarray(self.low == self.high)


def ranges(graph: Graph) -> Mapping[str, Range]:
    """The range of every activation, by tensor name."""
    found = {graph.input: of_type(graph.tensors[graph.input])}
    for layer in graph.layers:
        found[layer.output] = output_range(layer, graph, [found[name] for name in layer.inputs])
    return found


def of_type(tensor: Tensor, clamp: Clamp = NO_CLAMP) -> Range:
    """All that the tensor's type can hold within a clamp."""
    low, high = max(-FLOAT_MAX, clamp.low), min(FLOAT_MAX, clamp.high)
    if tensor.dtype != "float32":
        low, high = numerics.bounds(clamp, tensor)
    return _range(np.full(tensor.shape[-1], low), np.full(tensor.shape[-1], high), tensor)


def _range(low: Array, high: Array, tensor: Tensor) -> Range:
    dtype = np.float64 if tensor.dtype == "float32" else np.int64
    return Range(low.astype(dtype), high.astype(dtype))


def _cut(low: Array, high: Array, tensor: Tensor, clamp: Clamp) -> Range:
    """The interval cut to the clamp as the layer cuts its output."""
    ends = of_type(tensor, Clamp(*(float(np.float32(bound)) for bound in clamp)))
    return _range(np.clip(low, ends.low, ends.high), np.clip(high, ends.low, ends.high), tensor)


@functools.singledispatch
def output_range(layer: Layer, graph: Graph, inputs: list[Range]) -> Range:
    """The range of one layer's output, from those of its inputs; its type's where nothing better is known."""
    return of_type(graph.layer_output(layer))


# --- layers with weights -------------------------------------------------------------------------------------------


@output_range.register(Conv2D)
@output_range.register(DepthwiseConv2D)
@output_range.register(Dense)
def _(layer: Conv2D | DepthwiseConv2D | Dense, graph: Graph, inputs: list[Range]) -> Range:
    output = graph.layer_output(layer)
    if output.dtype == "float32":
        return _float_sums(layer, graph, inputs[0])
    zero_point = numerics.zero_point(graph.layer_inputs(layer)[0])
    bias, scale = bias_of(layer, graph), numerics.output_scale(layer, graph)
    largest = largest_sums(layer, graph).astype(np.float64)
    if isinstance(scale, numerics.FixedPoint):
        largest = np.ldexp(largest, np.maximum(scale.shift, 0))
    fits, whole = largest <= INTEGER_RANGE["int32"][1], of_type(output, layer.clamp)
    low, high = (
        np.where(fits, numerics.requantize(np.where(fits, sums + bias, 0), scale, output, layer.clamp), end)
        for sums, end in zip(
            _sums(layer, graph, inputs[0].low - zero_point, inputs[0].high - zero_point),
            (whole.low, whole.high),
            strict=True,
        )
    )
    return _range(low, high, output)


def _sums(layer: Conv2D | DepthwiseConv2D | Dense, graph: Graph, low: Array, high: Array) -> tuple[Array, Array]:
    """The least and greatest sum of products over all windows, `[oc]`, of inputs less their zero point.

    In float64, which holds integer sums exactly.
    """
    weights = weights_of(layer, graph).astype(np.float64)
    if isinstance(layer, Dense):
        weights = weights[:, np.newaxis, np.newaxis, :]
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    if isinstance(layer, DepthwiseConv2D):
        low, high = (np.repeat(end, weights.shape[-1] // len(end)) for end in (low, high))
        least, greatest = positive * low + negative * high, positive * high + negative * low
    else:
        least, greatest = positive @ low + negative @ high, positive @ high + negative @ low
        least, greatest = (np.moveaxis(taps, 0, -1) for taps in (least, greatest))
    rows, columns = (seen.astype(np.float64) for seen in patterns(layer, graph))
    at_borders = [np.einsum("ri,cj,ijo->rco", rows, columns, taps, optimize=True) for taps in (least, greatest)]
    dtype = np.float64 if graph.tensors[layer.weights].dtype == "float32" else np.int64
    return at_borders[0].min(axis=(0, 1)).astype(dtype), at_borders[1].max(axis=(0, 1)).astype(dtype)


def _float_sums(layer: Conv2D | DepthwiseConv2D | Dense, graph: Graph, x: Range) -> Range:
    weights, bias = weights_of(layer, graph).astype(np.float64), bias_of(layer, graph).astype(np.float64)
    axes = (0, 1) if isinstance(layer, DepthwiseConv2D) else tuple(range(1, weights.ndim))
    magnitude = np.maximum(np.abs(x.low), np.abs(x.high))
    if isinstance(layer, DepthwiseConv2D):
        magnitude = np.repeat(magnitude, weights.shape[-1] // len(magnitude))
    terms = np.count_nonzero(weights, axis=axes)  # adding a zero rounds nothing
    slack = terms * (ROUNDING * ((np.abs(weights) * magnitude).sum(axis=axes) + np.abs(bias)) + FLOAT_TINY)
    least, greatest = _sums(layer, graph, x.low, x.high)
    return _cut(least + bias - slack, greatest + bias + slack, graph.layer_output(layer), layer.clamp)


# --- layers without weights ----------------------------------------------------------------------------------------


@output_range.register
def _(layer: AveragePool2D, graph: Graph, inputs: list[Range]) -> Range:
    (x,), (source,), output = inputs, graph.layer_inputs(layer), graph.layer_output(layer)
    rows, columns = patterns(layer, graph)
    counts = np.unique(np.outer(rows.sum(axis=1), columns.sum(axis=1)))[:, np.newaxis]
    if output.dtype == "float32":
        slack = counts.max() * ROUNDING * np.maximum(np.abs(x.low), np.abs(x.high))
        return _cut(x.low - slack, x.high + slack, output, layer.clamp)
    if graph.numerics is not Numerics.QDQ:
        return _cut(x.low, x.high, output, layer.clamp)
    scale = numerics.FloatScale(numerics.average_pool_scale(layer, graph, counts))
    low, high = (
        numerics.requantize(counts * (end - numerics.zero_point(source)), scale, output, layer.clamp)
        for end in (x.low, x.high)
    )
    return _range(low.min(axis=0), high.max(axis=0), output)


@output_range.register
def _(layer: Mean, graph: Graph, inputs: list[Range]) -> Range:
    (x,), (source,), output = inputs, graph.layer_inputs(layer), graph.layer_output(layer)
    count, scale = source.shape[1] * source.shape[2], numerics.mean_scale(layer, graph)
    low, high = (
        numerics.requantize(count * (end - numerics.zero_point(source)), scale, output, NO_CLAMP)
        for end in (x.low, x.high)
    )
    return _range(low, high, output)


@output_range.register
def _(layer: Add, graph: Graph, inputs: list[Range]) -> Range:
    (a, b), (left, right), output = inputs, graph.layer_inputs(layer), graph.layer_output(layer)
    if output.dtype == "float32":
        low, high = (
            np.clip(sums, -FLOAT_MAX, FLOAT_MAX).astype(np.float32) for sums in (a.low + b.low, a.high + b.high)
        )
        return _cut(low, high, output, layer.clamp)
    parameters = numerics.add_parameters(layer, graph)
    low, high = (
        numerics.add(p - numerics.zero_point(left), q - numerics.zero_point(right), parameters, output, layer.clamp)
        for p, q in ((a.low, b.low), (a.high, b.high))
    )
    return _range(low, high, output)


@output_range.register
def _(layer: Pad, graph: Graph, inputs: list[Range]) -> Range:
    (x,), output = inputs, graph.layer_output(layer)
    if not any(layer.padding):
        return x
    zero = 0 if output.quantization is None else numerics.zero_point(output)
    return _range(np.minimum(x.low, zero), np.maximum(x.high, zero), output)


@output_range.register(Concat)
@output_range.register(Reshape)
def _(layer: Concat | Reshape, graph: Graph, inputs: list[Range]) -> Range:
    output, tied = graph.layer_output(layer), ties(layer, graph)
    channels = output.shape[-1]
    if tied is None:
        (x,) = inputs
        return _range(np.full(channels, x.low.min()), np.full(channels, x.high.max()), output)
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    for x, (read, written) in zip(inputs, tied, strict=True):
        np.minimum.at(low, written, x.low[read])
        np.maximum.at(high, written, x.high[read])
    return _range(low, high, output)


@output_range.register
def _(layer: Clip, graph: Graph, inputs: list[Range]) -> Range:
    return _cut(inputs[0].low, inputs[0].high, graph.layer_output(layer), layer.clamp)


@output_range.register(Logistic)
@output_range.register(Requantize)
def _(layer: Logistic | Requantize, graph: Graph, inputs: list[Range]) -> Range:
    (x,), (source,), output = inputs, graph.layer_inputs(layer), graph.layer_output(layer)
    if output.dtype == "float32":
        return of_type(output, PROBABILITY)
    table, lowest = numerics.lookup_table(layer, graph), INTEGER_RANGE[source.dtype][0]
    reached = [table[low : high + 1] for low, high in zip(x.low - lowest, x.high - lowest, strict=True)]
    low, high = (np.array([end(values) for values in reached]) for end in (np.min, np.max))
    return _range(low, high, output)


@output_range.register
def _(layer: Quantize, graph: Graph, inputs: list[Range]) -> Range:
    (x,), output = inputs, graph.layer_output(layer)
    far = 2.0**16 * numerics.tensor_scale(output)  # saturates, without an infinite quotient
    low, high = (numerics.quantize(np.clip(end, -far, far), output, graph.numerics) for end in (x.low, x.high))
    return _range(low, high, output)


@output_range.register
def _(layer: Dequantize, graph: Graph, inputs: list[Range]) -> Range:
    (x,), (source,), output = inputs, graph.layer_inputs(layer), graph.layer_output(layer)
    return _range(numerics.dequantize(x.low, source), numerics.dequantize(x.high, source), output)
