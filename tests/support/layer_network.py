"""Networks of many unrelated layers, so that one build on a target tries them all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mbgen import reference
from mbgen.graph import (
    NO_CLAMP,
    NO_PADDING,
    Array,
    Clamp,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Numerics,
    Padding,
    Quantization,
    Requantize,
    Reshape,
    Shape,
    Tensor,
    WeightedLayer,
    window_output,
)
from mbgen.library import render, write
from mbgen.plan import Plan
from mbgen.planning import Objective, plan
from mbgen.running import run_layers
from mbgen.schedules.space import Choose, default_schedule
from mbgen.target import Target
from mbgen.tuning.trial import bare_network
from tests.support.layers import Case, per_tensor, random_input, scale_of

SIDE, CHANNELS = 13, 3  # of the network's input
FLOAT_BOUND = 1e-6  # of the greatest sum of magnitudes: sums run in another order
SPREAD = 74.0 * 74.0 / 50  # products of random bytes against the step that lets their sums fill a byte


@dataclasses.dataclass
class LayerNetwork:
    """Layers are added to a graph one by one; each reads a tensor of its own shape, made from the network's input.

    Every layer is kept: no other needs to read it. Random values come from one seeded generator. The input has the
    type of the numerics that is most usual, unless another is given.
    """

    numerics: Numerics
    seed: int = 0
    shape: Shape = (1, SIDE, SIDE, CHANNELS)
    input_dtype: dataclasses.InitVar[DType | None] = None
    tensors: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    layers: list[Layer] = dataclasses.field(default_factory=list)

    def __post_init__(self, input_dtype: DType | None) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.dtype: DType = input_dtype or ("float32" if self.numerics is Numerics.FLOAT32 else "int8")
        self.input = self.tensor("input", self.shape, self.dtype)

    @property
    def graph(self) -> Graph:
        return Graph("layers", self.numerics, self.tensors, tuple(self.layers), "input", self.layers[-1].output)

    def tensor(
        self, name: str, shape: Shape, dtype: DType, scale: float = 0.05, zero_point: int | None = None
    ) -> Tensor:
        """An activation, with a random zero point where it is quantised and none is given."""
        quantization = None
        if dtype != "float32":
            quantization = per_tensor(scale, self.zero_point(dtype) if zero_point is None else zero_point)
        return self.declare(Tensor(name, shape, dtype, quantization))

    def zero_point(self, dtype: DType) -> int:
        return {"int8": 0, "uint8": 128}[dtype] + int(self.rng.integers(-9, 10))

    def declare(self, tensor: Tensor) -> Tensor:
        assert tensor.name not in self.tensors, tensor.name
        self.tensors[tensor.name] = tensor
        return tensor

    def add(self, layer: Layer) -> Tensor:
        """A layer whose tensors are declared; gives its output."""
        self.layers.append(layer)
        return self.tensors[layer.output]

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.layers)}"

    # --- inputs ----------------------------------------------------------------------------------------------------

    def feed(self, shape: Shape, dtype: DType | None = None, quantization: Quantization | None = None) -> Tensor:
        """Random values of that shape, from the network's input by a convolution (and a reshape)."""
        spatial = shape[1:] if len(shape) == 4 else (1, 1, math.prod(shape[1:]))
        height, width, channels = spatial
        source = self.source(dtype or self.dtype)
        if quantization is None and source.quantization is not None:
            quantization = per_tensor(0.05, self.zero_point(source.dtype))
        kernel = (SIDE - height + 1, SIDE - width + 1)
        image = self.convolution(source, kernel, channels, quantization=quantization, kind="feed", bias=False)
        if image.shape == shape:
            return image
        name = self.name("flat")
        self.declare(dataclasses.replace(image, name=name, shape=shape))
        return self.add(Reshape(name=name, inputs=(image.name,), output=name))

    def source(self, dtype: DType) -> Tensor:
        """The network's input in another byte type."""
        if dtype == self.dtype:
            return self.input
        if dtype not in self.tensors:
            self.tensor(dtype, self.input.shape, dtype)
            self.add(Requantize(name=dtype, inputs=("input",), output=dtype))
        return self.tensors[dtype]

    # --- layers with weights ---------------------------------------------------------------------------------------

    def convolution(
        self,
        x: Tensor,
        kernel: tuple[int, int],
        channels: int,
        *,
        depthwise: bool = False,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = NO_PADDING,
        dilation: tuple[int, int] = (1, 1),
        kind: str = "conv",
        **changes: Any,
    ) -> Tensor:
        """A convolution or depthwise convolution; `changes` as in `weighted`."""
        name = self.name(kind)
        places = [
            window_output(x.shape[1 + i], kernel[i], stride[i], dilation[i], padding[2 * i] + padding[2 * i + 1])
            for i in (0, 1)
        ]
        layer = (DepthwiseConv2D if depthwise else Conv2D)(
            name=name,
            inputs=(x.name,),
            output=name,
            weights=f"{name}.weights",
            stride=stride,
            padding=padding,
            dilation=dilation,
        )
        shape = (*kernel, channels) if depthwise else (channels, *kernel, x.shape[3])
        return self.weighted(layer, x, shape, 2 if depthwise else 0, (1, *places, channels), **changes)

    def dense(self, x: Tensor, channels: int, **changes: Any) -> Tensor:
        """A fully connected layer; `changes` as in `weighted`."""
        name = self.name("dense")
        layer = Dense(name=name, inputs=(x.name,), output=name, weights=f"{name}.weights")
        return self.weighted(layer, x, (channels, x.shape[1]), 0, (1, channels), **changes)

    def weighted(
        self,
        layer: Conv2D | DepthwiseConv2D | Dense,
        x: Tensor,
        shape: Shape,
        axis: int,
        output: Shape,
        *,
        bias: bool = True,
        per_channel: bool = True,
        multiplier: float | None = None,
        clamp: str = "none",
        quantization: Quantization | None = None,
    ) -> Tensor:
        """Random weights and bias, and an output whose values spread over its type.

        With a `multiplier` of sums to output steps, which may be above 1, the weights are a few steps only.
        """
        largest, taps = 127 if multiplier is None else 2, math.prod(shape) // output[-1]
        step = multiplier or 1 / (SPREAD * math.sqrt(taps))  # of the output, for one step of the sums
        weight_scale = 0.01 if quantization is None else quantization.scale[0] * step / scale_of(x)
        self.declare(self._weights(layer.weights, shape, axis, x, per_channel, largest, weight_scale))
        y = self.tensor(layer.output, output, x.dtype, scale_of(x) * weight_scale / step)
        if quantization is not None:
            y = self.tensors[y.name] = dataclasses.replace(y, quantization=quantization)
        if bias:
            layer = dataclasses.replace(layer, bias=f"{layer.name}.bias")
            self.declare(self._bias(f"{layer.name}.bias", output[-1], x, 20 * largest * math.sqrt(taps)))
        return self.add(dataclasses.replace(layer, clamp=self.clamp(clamp, y)))

    def _weights(
        self, name: str, shape: Shape, axis: int, x: Tensor, per_channel: bool, largest: int, scale: float
    ) -> Tensor:
        if x.dtype == "float32":
            return Tensor(name, shape, "float32", None, self.rng.normal(0, 0.3, shape).astype(np.float32))
        steps = self.rng.integers(-largest, largest, shape, np.int32, endpoint=True)
        if x.dtype == "uint8" and self.numerics is Numerics.TFLITE:
            zero_point = int(self.rng.integers(120, 137))
            data = np.clip(steps + zero_point, 0, 255).astype(np.uint8)
            return Tensor(name, shape, "uint8", per_tensor(scale, zero_point), data)
        channels = shape[axis] if per_channel else 1
        scales = tuple((scale * self.rng.uniform(0.7, 1.3, channels)).astype(np.float32).tolist())
        quantization = Quantization(scales, (0,) * channels, axis if per_channel else None)
        return Tensor(name, shape, "int8", quantization, steps.astype(np.int8))

    def _bias(self, name: str, channels: int, x: Tensor, largest: float) -> Tensor:
        if x.dtype == "float32":
            return Tensor(name, (channels,), "float32", None, self.rng.normal(0, 1, channels).astype(np.float32))
        values = self.rng.integers(-round(largest), round(largest), channels, np.int32)
        return Tensor(name, (channels,), "int32", None, values)

    def clamp(self, kind: str, y: Tensor) -> Clamp:
        """No clamp, or what ReLU and ReLU6 are where a quarter of the type's range is below zero."""
        if kind == "none":
            return NO_CLAMP
        if y.quantization is None:
            return Clamp(0.0) if kind == "relu" else Clamp(0.0, 6.0)
        zero = y.quantization.zero_point[0]
        return Clamp(zero - 60) if kind == "relu" else Clamp(zero - 60, zero + 70)

    # --- whole cases -----------------------------------------------------------------------------------------------

    def take_in(self, case: Case) -> None:
        """All layers of a graph of its own; instead of the graph's input they read one made from this network's."""
        graph, _ = case
        prefix = f"case{len(self.layers)}"
        source = graph.tensors[graph.input]
        fed = self.feed(source.shape, source.dtype, source.quantization)
        renamed = {name: f"{prefix}_{name}" for name in graph.tensors} | {graph.input: fed.name}
        for tensor in graph.tensors.values():
            if tensor.name != graph.input:
                self.declare(dataclasses.replace(tensor, name=renamed[tensor.name]))
        for layer in graph.layers:
            names = {field: renamed[getattr(layer, field)] for field in ("weights", "bias") if hasattr(layer, field)}
            self.add(
                dataclasses.replace(
                    layer,
                    name=f"{prefix}_{layer.name}",
                    inputs=tuple(renamed[name] for name in layer.inputs),
                    output=renamed[layer.output],
                    **names,
                )
            )


def library(
    graph: Graph,
    target: Target,
    folder: Path,
    objective: Objective = "speed",
    name: str = "net",
    choose: Choose = default_schedule,
    planned: Plan | None = None,
) -> Path:
    """Plan unless that is done, lower, render and write a graph; gives the library's folder."""
    planned = planned or plan(graph, objective)
    image = random_input(np.random.default_rng(1), graph.tensors[graph.input])
    network = bare_network(graph, planned, target, name, choose, image)
    write(render(network), folder / name)
    return folder / name


class Computed(NamedTuple):
    """One layer on one image: what its C made of its inputs, and what it should have made of them."""

    layer: Layer
    inputs: list[Array]
    actual: Array
    expected: Array


def run(
    graph: Graph,
    target: Target,
    folder: Path,
    objective: Objective = "speed",
    count: int = 2,
    choose: Choose = default_schedule,
    planned: Plan | None = None,
) -> Iterator[Computed]:
    """Every layer on the target, for `count` random images.

    The right answer is the reference's for the values that C gave the layer to read, so that each is judged alone.
    """
    source = graph.tensors[graph.input]
    rng = np.random.default_rng(2)
    images = np.concatenate([random_input(rng, source) for _ in range(count)])
    directory = library(graph, target, folder, objective, choose=choose, planned=planned)
    for image, outputs in zip(images, run_layers(directory, images), strict=True):
        values = {graph.input: image[np.newaxis]} | {layer.output: outputs[layer.name] for layer in graph.layers}
        for layer in graph.layers:
            inputs = [values[name] for name in layer.inputs]
            yield Computed(layer, inputs, values[layer.output], reference.compute(layer, graph, inputs))


def assert_right(one: Computed, graph: Graph) -> None:
    name = one.layer.name
    assert (one.actual.dtype, one.actual.shape) == (one.expected.dtype, one.expected.shape), name
    if one.actual.dtype == np.float32:
        bound = FLOAT_BOUND * greatest_sum(one, graph)
        np.testing.assert_allclose(one.actual, one.expected, rtol=0, atol=bound, err_msg=name)
    else:
        np.testing.assert_array_equal(one.actual, one.expected, err_msg=str(one.layer))


def greatest_sum(one: Computed, graph: Graph) -> float:
    """The greatest sum of magnitudes behind an output element."""
    if not isinstance(one.layer, WeightedLayer):
        return float(np.abs(one.expected).max())
    magnitudes = {name: graph.tensors[name] for name in one.layer.constants}
    magnitudes = {name: dataclasses.replace(t, data=np.abs(graph.constant(name))) for name, t in magnitudes.items()}
    layer = dataclasses.replace(one.layer, clamp=NO_CLAMP)
    sums = reference.compute(
        layer, dataclasses.replace(graph, tensors={**graph.tensors, **magnitudes}), [np.abs(x) for x in one.inputs]
    )
    return float(sums.max())


def check(
    graph: Graph,
    target: Target,
    folder: Path,
    objective: Objective = "speed",
    choose: Choose = default_schedule,
    planned: Plan | None = None,
) -> dict[str, Array]:
    """Run a graph's library: every layer is right. Gives the values that each took, image by image."""
    seen: dict[str, list[Array]] = {}
    for one in run(graph, target, folder, objective, choose=choose, planned=planned):
        assert_right(one, graph)
        seen.setdefault(one.layer.name, []).append(one.actual)
    return {name: np.stack(arrays) for name, arrays in seen.items()}


def assert_telling(graph: Graph, seen: dict[str, Array]) -> None:
    """No layer hides a mistake by giving the same few values everywhere."""
    for layer in graph.layers:
        values = seen[layer.name]
        if values.size >= 20:
            assert len(np.unique(values)) >= 8, layer.name
