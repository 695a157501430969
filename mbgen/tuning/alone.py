"""Small networks that run one kernel of a large one: its layer alone, or its band between the tensors around it.

Knows graphs and plans. May not know spaces, or how a kernel is built or measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mbgen.graph import (
    INTEGER_RANGE,
    Array,
    Conv2D,
    DType,
    Graph,
    Layer,
    Quantization,
    Requantize,
    Tensor,
    WeightedLayer,
    is_pointwise,
)
from mbgen.plan import Plan

FEED, IMAGE = "feed", "feed_image"  # the layer that makes a band's input, and what it makes it from
FEED_TAPS = 2  # columns of its window; with one it would be a pointwise, which begins no plan of bands
TAIL = "tail"
DEVIATION = 74.0  # of bytes at random
FILLED = 50  # a deviation of the feed's output that fills a byte, with some values cut off


@dataclass(frozen=True, eq=False)
class Alone:
    """A network in which `layer` has the kernel that it has in the large one, which one inference calls `calls` times.

    `runs`: how many calls one inference of the large network makes for the layer.
    """

    layer: str
    graph: Graph = field(repr=False)
    calls: int
    runs: int


def alone(layer: Layer, graph: Graph, plan: Plan) -> Alone:
    """The small network of a layer that `plan` runs whole, by itself row by row, or in a band.

    A pointwise layer that runs row by row is one on an image of one row.
    """
    if layer.name in plan.banded:
        return _in_band(layer, graph, plan)
    tensors = {name: graph.tensors[name] for name in (*layer.inputs, *layer.constants, layer.output)}
    runs = 1
    if layer.name in plan.rows and isinstance(layer, Conv2D) and is_pointwise(layer, graph):
        runs = tensors[layer.output].shape[1]
        for name in (*layer.inputs, layer.output):
            _, _, width, channels = tensors[name].shape
            tensors[name] = replace(tensors[name], shape=(1, 1, width, channels))
    return Alone(layer.name, Graph("task", graph.numerics, tensors, (layer,), layer.inputs[0], layer.output), 1, runs)


def _in_band(layer: Layer, graph: Graph, plan: Plan) -> Alone:
    """The layer's band and the one behind it, which has a say in how tensors lie in memory.

    A convolution on made-up bytes feeds the first layer, unless it is the network's first. The last band's output goes
    through a layer that keeps its values, because the network's own output is never a band's.
    """
    number = next(index for index, band in enumerate(plan.bands) if layer.name in band.layers)
    names = [name for band in plan.bands[number : number + 2] for name in band.layers]
    layers: list[Layer] = [one for one in graph.layers if one.name in names]
    wanted = {name for one in layers for name in (*one.inputs, *one.constants, one.output)}
    tensors = {name: graph.tensors[name] for name in graph.tensors if name in wanted}
    source = layers[0].inputs[0]
    if source != graph.input:
        producer = next(one for one in graph.layers if one.output == source)
        feed, made = _feed(tensors[source], producer)
        layers, source = [feed, *layers], IMAGE
        tensors |= {tensor.name: tensor for tensor in made}
    tail, output = _tail(tensors[layers[-1].output])
    small = Graph("task", graph.numerics, {**tensors, output.name: output}, (*layers, tail), source, output.name)
    calls = plan.bands[number].tiles.count * plan.rows[layer.name].oh
    return Alone(layer.name, small, calls, calls)


def _feed(x: Tensor, producer: Layer) -> tuple[Layer, Sequence[Tensor]]:
    """A convolution that makes `x`, clamped as its producer does, and the tensors that it needs."""
    assert isinstance(producer, WeightedLayer)
    assert x.quantization is not None
    _, height, width, channels = x.shape
    image = Tensor(IMAGE, (1, height, width + FEED_TAPS - 1, 1), x.dtype, Quantization((1.0,), (_middle(x.dtype),)))
    random = np.random.default_rng(0)
    values = random.integers(-127, 127, (channels, 1, FEED_TAPS, 1), np.int8, endpoint=True)
    scale = float(np.float32(x.quantization.scale[0] * FILLED / (DEVIATION**2 * math.sqrt(FEED_TAPS))))
    weights = Tensor(f"{FEED}.weights", values.shape, "int8", Quantization((scale,), (0,)), values)
    layer = Conv2D(name=FEED, inputs=(IMAGE,), output=x.name, weights=weights.name, clamp=producer.clamp)
    return layer, (image, weights)


def _tail(x: Tensor) -> tuple[Layer, Tensor]:
    """The same values as the other type of bytes."""
    assert x.quantization is not None
    dtype: DType = "uint8" if x.dtype == "int8" else "int8"
    zero_point = x.quantization.zero_point[0] - _middle(x.dtype) + _middle(dtype)
    output = Tensor(TAIL, x.shape, dtype, Quantization(x.quantization.scale, (zero_point,)))
    return Requantize(name=TAIL, inputs=(x.name,), output=TAIL), output


def _middle(dtype: DType) -> int:
    low, high = INTEGER_RANGE[dtype]
    return (low + high + 1) // 2


def random_input(tensor: Tensor) -> Array:
    """Values that make a network's layers work as real ones do."""
    random = np.random.default_rng(0)
    if tensor.dtype == "float32":
        return random.uniform(-1, 1, tensor.shape).astype(np.float32)
    return random.integers(*INTEGER_RANGE[tensor.dtype], tensor.shape, tensor.dtype, endpoint=True)
