"""Small networks, by hand and at random, rich in what the rewrites look for."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mbgen.graph import (
    INTEGER_RANGE,
    NO_CLAMP,
    NO_PADDING,
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
    DType,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantization,
    Quantize,
    Requantize,
    Reshape,
    Shape,
    Softmax,
    Tensor,
    WeightedLayer,
    infer_shape,
)
from tests.support.layers import SEEDS, Draw, per_tensor, random_values, relu, same_padding

Rng = np.random.Generator

PREFIXES: dict[type[Layer], str] = {
    Conv2D: "conv",
    DepthwiseConv2D: "depthwise",
    Dense: "dense",
    AveragePool2D: "pool",
    Mean: "mean",
    Add: "add",
    Pad: "pad",
    Concat: "concat",
    Reshape: "reshape",
    Softmax: "softmax",
    Logistic: "logistic",
    Clip: "clip",
    Requantize: "requantize",
}


class Builder:
    """Adds layers one by one; each method returns the layer's name, which is its output's too."""

    def __init__(
        self, shape: Shape, numerics: Numerics = Numerics.TFLITE, dtype: DType = "int8", zero_point: int = 0
    ) -> None:
        self.numerics, self.dtype = numerics, dtype
        quantization = None if dtype == "float32" else per_tensor(0.5, zero_point)
        self.tensors = {"input": Tensor("input", shape, dtype, quantization)}
        self.layers: list[Layer] = []
        self.counts: Counter[str] = Counter()

    def graph(self) -> Graph:
        return Graph("model", self.numerics, self.tensors, tuple(self.layers), "input", self.layers[-1].output)

    def quantize(self, quantization: Quantization) -> str:
        """The input becomes float32, and this layer its quantised form."""
        image = self.tensors["input"]
        self.tensors["input"] = Tensor("input", image.shape, "float32")
        self.tensors["quantize_1"] = replace(image, name="quantize_1", quantization=quantization)
        self.layers.append(Quantize(name="quantize_1", inputs=("input",), output="quantize_1"))
        return "quantize_1"

    def dequantize(self, x: str) -> str:
        self.tensors["dequantize_1"] = Tensor("dequantize_1", self.tensors[x].shape, "float32")
        self.layers.append(Dequantize(name="dequantize_1", inputs=(x,), output="dequantize_1"))
        return "dequantize_1"

    def layer(
        self,
        kind: type[Layer],
        *inputs: str,
        quantization: Quantization | None = None,
        shape: Shape | None = None,
        **fields: Any,
    ) -> str:
        """Without `quantization` the output has that of the first input; `shape` is for a Reshape."""
        name = self.fresh(PREFIXES[kind])
        layer = kind(name=name, inputs=inputs, output=name, source=f"{name}/value", **fields)
        output = replace(self.tensors[inputs[0]], name=name)
        if quantization is not None:
            output = replace(output, quantization=quantization)
        if shape is None:
            shape = infer_shape(layer, Graph("shapes", self.numerics, self.tensors, (), "input", "input"))
        self.tensors[name] = replace(output, shape=shape)
        self.layers.append(layer)
        return name

    def weighted(
        self,
        kind: type[WeightedLayer],
        x: str,
        weights: Array,
        bias: Array | None = None,
        *,
        weight_quantization: Quantization | None = None,
        quantization: Quantization | None = None,
        **fields: Any,
    ) -> str:
        """A layer with stored weights of its type's layout; quantised by 0.25 and the output by 4 unless said."""
        name = f"{PREFIXES[kind]}_{self.counts[PREFIXES[kind]] + 1}"
        dtype: DType = "float32" if self.dtype == "float32" else "uint8" if weights.dtype == np.uint8 else "int8"
        if self.dtype != "float32":
            weight_quantization = weight_quantization or per_tensor(0.25, 0)
            quantization = quantization or per_tensor(4.0, -128 if self.dtype == "int8" else 0)
        data = weights.astype(dtype)
        self.tensors[f"{name}.weights"] = Tensor(f"{name}.weights", data.shape, dtype, weight_quantization, data)
        if bias is not None:
            bias_type: DType = "float32" if self.dtype == "float32" else "int32"
            data = np.asarray(bias, bias_type)
            self.tensors[f"{name}.bias"] = Tensor(f"{name}.bias", data.shape, bias_type, None, data)
            fields["bias"] = f"{name}.bias"
        return self.layer(kind, x, quantization=quantization, weights=f"{name}.weights", **fields)

    def fresh(self, prefix: str) -> str:
        self.counts[prefix] += 1
        return f"{prefix}_{self.counts[prefix]}"


# --- at random -----------------------------------------------------------------------------------------------------

NETWORKS: list[tuple[Numerics, DType]] = [
    (Numerics.TFLITE, "int8"),
    (Numerics.TFLITE, "uint8"),
    (Numerics.QDQ, "int8"),
    (Numerics.QDQ, "uint8"),
    (Numerics.FLOAT32, "float32"),
]


@st.composite
def networks(draw: st.DrawFn, numerics: Numerics, dtype: DType) -> Graph:
    """One to seven layers, branches among them, with zero, equal and saturating channels in most."""
    rng = draw(SEEDS)
    sizes = st.integers(1, 6)
    low, high = INTEGER_RANGE.get(dtype, (0, 0))
    net = Builder((1, draw(sizes), draw(sizes), draw(st.integers(1, 4))), numerics, dtype, draw(st.integers(low, high)))
    x = "input"
    float_ends = dtype != "float32" and draw(st.integers(0, 4)) == 0
    if float_ends:
        x = net.quantize(per_tensor(0.05, draw(st.integers(low, high))))
    common = ["conv", "pointwise", "pointwise", "depthwise", "depthwise"]
    steps = [*common, *common, "pool", "add", "concat", "pad", "clip", "logistic", "requantize"]
    for step in draw(st.lists(st.sampled_from(steps), min_size=1, max_size=6)):
        x = _random_layer(draw, rng, net, x, step)
    tail = draw(st.sampled_from(["none", "pool", "flatten"]))
    if tail == "pool":
        x = _global_mean(net, x)
    if tail != "none":
        x = net.layer(Reshape, x, shape=(1, net.tensors[x].elements))
        x = _random_weights(draw, rng, net, x, Dense, (draw(st.integers(1, 4)), net.tensors[x].shape[-1]))
        if draw(st.booleans()):
            x = net.layer(Softmax, x, quantization=None if dtype == "float32" else per_tensor(1 / 256, low))
    if float_ends:
        net.dequantize(x)
    return net.graph()


def _random_layer(draw: Draw, rng: Rng, net: Builder, x: str, step: str) -> str:
    tensor = net.tensors[x]
    _, height, width, _ = tensor.shape
    if step in ("conv", "pointwise", "depthwise"):
        return _random_convolution(draw, rng, net, x, step)
    if step == "pool":
        kernel = (draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width))))
        stride = draw(st.sampled_from([(1, 1), (2, 2)]))
        padding = draw(st.sampled_from([NO_PADDING, same_padding(tensor.shape, kernel, stride)]))
        quantization = _random_quantization(rng, tensor) if net.numerics is Numerics.QDQ else None
        return net.layer(AveragePool2D, x, quantization=quantization, kernel=kernel, stride=stride, padding=padding)
    if step == "add":
        alike = [
            name
            for name, other in net.tensors.items()
            if (other.shape, other.dtype) == (tensor.shape, tensor.dtype) and other.data is None
        ]
        name = net.layer(Add, x, draw(st.sampled_from(alike)), quantization=_random_quantization(rng, tensor))
        return _clamped(draw, net, name)
    if step == "concat":
        alike = [
            name
            for name, other in net.tensors.items()
            if (other.shape, other.dtype, other.quantization) == (tensor.shape, tensor.dtype, tensor.quantization)
            and other.data is None
        ]
        return net.layer(Concat, x, draw(st.sampled_from(alike)), axis=draw(st.sampled_from([1, 2, 3, -1])))
    if step == "pad":
        return net.layer(Pad, x, padding=Padding(*(draw(st.integers(0, 1)) for _ in range(4))))
    if step == "logistic":
        quantization = None if tensor.quantization is None else per_tensor(1 / 256, INTEGER_RANGE[tensor.dtype][0])
        return net.layer(Logistic, x, quantization=quantization)
    if step == "clip" or tensor.quantization is None:
        return net.layer(Clip, x, clamp=draw(st.sampled_from([relu(tensor), relu(tensor, 6.0), Clamp(-300, 300)])))
    return net.layer(Requantize, x, quantization=draw(st.sampled_from([None, _random_quantization(rng, tensor)])))


def _random_quantization(rng: Rng, like: Tensor) -> Quantization | None:
    """A scale within a factor of two of the tensor's, and any zero point."""
    if like.quantization is None:
        return None
    low, high = INTEGER_RANGE[like.dtype]
    scale = like.quantization.scale[0] * float(rng.uniform(0.5, 2))
    return per_tensor(scale, int(rng.choice([low, high, int(rng.integers(low, high + 1))])))


def _global_mean(net: Builder, x: str) -> str:
    if net.numerics is Numerics.TFLITE:
        return net.layer(Mean, x)
    _, height, width, _ = net.tensors[x].shape
    return net.layer(AveragePool2D, x, kernel=(height, width))


def _random_convolution(draw: Draw, rng: Rng, net: Builder, x: str, step: str) -> str:
    shape = net.tensors[x].shape
    kernel, stride, dilation = (1, 1), (1, 1), (1, 1)
    if step != "pointwise":
        dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 2)]))
        kernel = tuple(draw(st.integers(1, 3)) for _ in range(2))
        stride = tuple(draw(st.integers(1, 2)) for _ in range(2))
    padding = same_padding(shape, kernel, stride, dilation)
    if draw(st.booleans()) and all((k - 1) * d < size for k, d, size in zip(kernel, dilation, shape[1:3], strict=True)):
        padding = NO_PADDING
    fields = {"stride": stride, "dilation": dilation, "padding": padding}
    if step == "depthwise":
        oc = shape[3] * draw(st.sampled_from([1, 1, 2]))
        return _random_weights(draw, rng, net, x, DepthwiseConv2D, (*kernel, oc), **fields)
    oc = draw(st.integers(1, 6))
    return _random_weights(draw, rng, net, x, Conv2D, (oc, *kernel, shape[3]), **fields)


def _random_weights(
    draw: Draw, rng: Rng, net: Builder, x: str, kind: type[WeightedLayer], shape: Shape, **fields: Any
) -> str:
    """Weights of which many are zero, whole rows and columns among them, equal rows, and biases that saturate."""
    axis = len(shape) - 1 if kind is DepthwiseConv2D else 0
    oc, fan_in = shape[axis], math.prod(shape) // shape[axis]
    weights = np.moveaxis(
        rng.normal(0, 1, shape) if net.dtype == "float32" else rng.integers(-127, 128, shape), axis, 0
    )
    weights = weights * (rng.random(weights.shape) < rng.choice([0.5, 1.0]))
    weights = weights * (rng.random((oc, *[1] * (len(shape) - 1))) < 0.8)
    if axis == 0:
        weights = weights * (rng.random(shape[-1]) < 0.8)
    greatest = np.abs(weights).reshape(oc, -1).sum(axis=1) * (3 if net.dtype == "float32" else 255)
    bias = rng.uniform(-0.2, 0.2, oc) * greatest.max() + rng.choice([0, 0, 0, -2, 2], oc) * greatest
    scales = rng.uniform(0.5, 2, oc if draw(st.booleans()) and net.dtype != "uint8" else 1) / 8
    copied = np.where(rng.random(oc) < 0.7, np.arange(oc), rng.integers(0, oc, oc))
    weights, bias = np.moveaxis(weights[copied], 0, axis), bias[copied]
    if net.dtype == "float32":
        return _clamped(draw, net, net.weighted(kind, x, weights, bias, **fields))
    scales = scales if len(scales) == 1 else scales[copied]
    stored, zero = weights, 0
    if net.numerics is Numerics.TFLITE and net.dtype == "uint8":
        zero = draw(st.integers(0, 255))
        stored = np.clip(weights + zero, 0, 255).astype(np.uint8)
    if draw(st.integers(0, 9)) == 0:
        bias = bias + rng.choice([-(2.0**31), 2.0**31 - 1], oc)  # sums that int32 does not hold
    per_channel = None if len(scales) == 1 else axis
    name = net.weighted(
        kind,
        x,
        stored,
        np.clip(np.rint(bias), -(2**31), 2**31 - 1) if draw(st.integers(0, 5)) else None,
        weight_quantization=Quantization(
            tuple(np.float32(scales).astype(float).tolist()), (zero,) * len(scales), per_channel
        ),
        quantization=_sums_quantization(rng, net.tensors[x], float(scales.mean()), fan_in),
        **fields,
    )
    return _clamped(draw, net, name)


def _sums_quantization(rng: Rng, x: Tensor, scale: float, fan_in: int) -> Quantization:
    """A scale under which random sums fill the type about once, and a zero point that ReLU or none suits."""
    assert x.quantization is not None
    low, high = INTEGER_RANGE[x.dtype]
    wanted = x.quantization.scale[0] * scale * 74 * 74 * math.sqrt(fan_in) / 50 * float(rng.uniform(0.3, 3))
    return per_tensor(wanted, int(rng.choice([low, low, int(rng.integers(low, high + 1))])))


def _clamped(draw: Draw, net: Builder, name: str) -> str:
    """The last layer with a clamp, or without one."""
    clamp = draw(st.sampled_from([NO_CLAMP, relu(net.tensors[name]), relu(net.tensors[name], 6.0)]))
    net.layers[-1] = replace(net.layers[-1], clamp=clamp)  # type: ignore[call-arg]
    return name


def extreme_inputs(rng: Rng, tensor: Tensor) -> list[Array]:
    """Noise, the least and the greatest value everywhere, both at random, and the zero point with single spikes."""
    low, high = INTEGER_RANGE.get(tensor.dtype, (-3, 3))
    zero = 0 if tensor.quantization is None else tensor.quantization.zero_point[0]
    ends = np.where(rng.random(tensor.shape) < 0.5, low, high)
    spikes = np.where(rng.random(tensor.shape) < 0.1, ends, zero)
    values = [np.full(tensor.shape, low), np.full(tensor.shape, high), ends, spikes]
    return [random_values(rng, tensor.shape, tensor.dtype), *(value.astype(tensor.dtype) for value in values)]
