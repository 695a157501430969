"""Tiny networks with kernels written by hand, so that tests of the library need neither TVM nor a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from mbgen import reference
from mbgen.graph import (
    INTEGER_RANGE,
    NO_CLAMP,
    NO_PADDING,
    Array,
    AveragePool2D,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Numerics,
    Padding,
    Quantization,
    Reshape,
    Shape,
    Tensor,
    window_output,
)
from mbgen.library import ModelInfo, Network, Rewrites
from mbgen.planning import Objective, plan
from mbgen.target import load_target
from tests.support.naive_kernels import lower_naively

Form = Literal["whole", "rows", "direct"]

ALL_SIDES = Padding(1, 1, 1, 1)


def make_network(
    dtype: DType = "int8", form: Form = "whole", *, name: str = "tiny", target: str = "host", **changes: Any
) -> Network:
    """A network in int8, uint8 or float32; `changes` are fields of Network.

    `whole`: a pointwise, which takes the input whole, a depthwise, a pool and a reshape. `rows`: a row pipeline of a
    convolution, a depthwise and a pointwise, and after it a depthwise, a pool and a reshape; odd sizes, SAME padding.
    `direct`: the same on wider images, as for speed, where rows come straight into the next stage's ring.
    """
    graph = whole_graph(dtype) if form == "whole" else rows_graph(dtype, 19 if form == "rows" else 99)
    options = {"alpha": 0.25, "preprocess": "x/127.5-1" if dtype != "float32" else None}
    cache = 0 if form == "direct" else None
    network = network_of(graph, random_input(graph, 7), "ram" if form == "rows" else "speed", name, target, cache)
    return dataclasses.replace(network, **{"options": options, **changes})


def network_of(
    graph: Graph, image: Array, objective: Objective, name: str, target: str = "host", cache: int | None = None
) -> Network:
    """Any graph that the naive kernels cover, planned, with `image` and the reference's answer as its self-test."""
    planned = plan(graph, objective, cache)
    return Network(
        name=name,
        graph=graph,
        rewrites=Rewrites.none(graph),
        target=load_target(target),
        plan=planned,
        lowered=lower_naively(graph, planned, name),
        model=ModelInfo(source="builtin", alpha=0.25, resolution=4, classes=8, weights="random", random_weights=True),
        options={},
        test_input=image,
        test_output=reference.execute(graph, image)[graph.output],
    )


def random_input(graph: Graph, seed: int) -> Array:
    """An input that the graph takes."""
    random, tensor = np.random.default_rng(seed), graph.tensors[graph.input]
    if tensor.dtype == "float32":
        return random.uniform(-1, 1, tensor.shape).astype(np.float32)
    return random.integers(*INTEGER_RANGE[tensor.dtype], tensor.shape, tensor.dtype, endpoint=True)


def whole_graph(dtype: DType) -> Graph:
    builder = _Builder(dtype, (4, 4, 3))
    relu6 = Clamp(0.0, 6.0) if dtype == "float32" else NO_CLAMP
    builder.conv("pointwise_1", 8, 1, clamp=relu6, zero_point=-128)
    builder.depthwise("depthwise_1", padding=ALL_SIDES, zero_point=3)
    return builder.head()


def rows_graph(dtype: DType, width: int = 19) -> Graph:
    builder = _Builder(dtype, (25, width, 3))
    builder.conv("conv_1", 4, 3, stride=2, padding=ALL_SIDES, zero_point=-128)
    builder.depthwise("depthwise_1", padding=ALL_SIDES, zero_point=-1)
    builder.conv("pointwise_1", 6, 1, zero_point=3)
    builder.depthwise("depthwise_2", stride=2, padding=ALL_SIDES, zero_point=3)
    builder.conv("pointwise_2", 4, 1, zero_point=-20)
    builder.depthwise("depthwise_3", padding=ALL_SIDES, zero_point=3)
    return builder.head()


class _Builder:
    """Writes a chain layer by layer, with seeded random weights; zero points are those of int8."""

    def __init__(self, dtype: DType, shape: Shape) -> None:
        self.dtype: DType = dtype
        self.random = np.random.default_rng(3)
        self.tensors: list[Tensor] = []
        self.layers: list[Layer] = []
        self.activation("input", shape, 1 / 128, 0)

    @property
    def floating(self) -> bool:
        return self.dtype == "float32"

    def activation(self, name: str, shape: Sequence[int], scale: float, zero_point: int) -> None:
        zero_point += 128 if self.dtype == "uint8" else 0
        quantization = None if self.floating else Quantization((scale,), (zero_point,))
        self.last = Tensor(name, (1, *shape), self.dtype, quantization)
        self.tensors.append(self.last)

    def constants(self, name: str, shape: Shape, axis: int) -> dict[str, Any]:
        oc, random = shape[axis], self.random
        names = {"weights": f"{name}.weights", "bias": f"{name}.bias"}
        if self.floating:
            weights, bias = random.normal(0, 0.5, shape), random.normal(0, 0.1, oc)
            self.tensors.append(Tensor(names["weights"], shape, "float32", data=weights.astype(np.float32)))
            self.tensors.append(Tensor(names["bias"], (oc,), "float32", data=bias.astype(np.float32)))
            return names
        scales = tuple(float(scale) for scale in random.uniform(0.005, 0.02, oc).astype(np.float32))
        data = random.integers(-127, 128, shape).astype(np.int8)
        bias_data = random.integers(-500, 500, oc).astype(np.int32)
        self.tensors.append(Tensor(names["weights"], shape, "int8", Quantization(scales, (0,) * oc, axis), data))
        self.tensors.append(Tensor(names["bias"], (oc,), "int32", data=bias_data))
        return names

    def conv(self, name: str, oc: int, kernel: int, *, zero_point: int, **window: Any) -> None:
        window |= self.constants(name, (oc, kernel, kernel, self.last.shape[3]), 0)
        self.window(Conv2D, name, (kernel, oc), (0.02 * kernel, zero_point), window)

    def depthwise(self, name: str, *, zero_point: int, **window: Any) -> None:
        channels = self.last.shape[3]
        window |= self.constants(name, (3, 3, channels), 2)
        self.window(DepthwiseConv2D, name, (3, channels), (0.05, zero_point), window)

    def window(
        self,
        kind: type[Conv2D | DepthwiseConv2D],
        name: str,
        size: tuple[int, int],
        quantization: tuple[float, int],
        fields: Any,
    ) -> None:
        kernel, oc = size
        stride, padding = fields.pop("stride", 1), fields.get("padding", NO_PADDING)
        wiring: dict[str, Any] = {"name": name, "inputs": (self.last.name,), "output": name}
        self.layers.append(kind(**wiring, **fields, stride=(stride, stride)))
        oh = window_output(self.last.shape[1], kernel, stride, 1, padding.top + padding.bottom)
        ow = window_output(self.last.shape[2], kernel, stride, 1, padding.left + padding.right)
        self.activation(name, (oh, ow, oc), *quantization)

    def head(self) -> Graph:
        _, height, width, channels = self.last.shape
        source, quantization = self.last.name, self.last.quantization
        for name, shape in (("pool_1", (1, 1, 1, channels)), ("reshape_1", (1, channels))):
            self.tensors.append(Tensor(name, shape, self.dtype, quantization))
        self.layers.append(AveragePool2D(name="pool_1", inputs=(source,), output="pool_1", kernel=(height, width)))
        self.layers.append(Reshape(name="reshape_1", inputs=("pool_1",), output="reshape_1"))
        return Graph(
            "tiny",
            Numerics.FLOAT32 if self.floating else Numerics.TFLITE,
            {tensor.name: tensor for tensor in self.tensors},
            tuple(self.layers),
            "input",
            "reshape_1",
        )
