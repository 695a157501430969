"""Random layers, each as a graph of one operation with an input for it, in every arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
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
    Conv2D,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Numerics,
    Padding,
    Quantization,
    Shape,
    Tensor,
    window_output,
)

Case = tuple[Graph, Array]
Draw = Callable[[st.SearchStrategy[Any]], Any]
SCALES = st.floats(2**-12, 4.0, width=32)
SEEDS = st.integers(0, 2**32 - 1).map(np.random.default_rng)
BYTES: st.SearchStrategy[DType] = st.sampled_from(["int8", "uint8"])
TYPES: dict[Numerics, st.SearchStrategy[DType]] = {
    Numerics.TFLITE: BYTES,
    Numerics.QDQ: BYTES,
    Numerics.FLOAT32: st.just("float32"),
}


def per_tensor(scale: float, zero_point: int) -> Quantization:
    return Quantization((float(np.float32(scale)),), (zero_point,))


def scale_of(tensor: Tensor) -> float:
    return 1.0 if tensor.quantization is None else tensor.quantization.scale[0]


def graph_of(layers: list[Layer], tensors: list[Tensor], numerics: Numerics = Numerics.TFLITE) -> Graph:
    return Graph("model", numerics, {t.name: t for t in tensors}, tuple(layers), layers[0].inputs[0], layers[-1].output)


def random_values(rng: np.random.Generator, shape: Shape, dtype: DType) -> Array:
    if dtype == "float32":
        return rng.normal(0, 3, shape).astype(np.float32)
    low, high = INTEGER_RANGE[dtype]
    return rng.integers(low, high + 1, shape).astype(dtype)


def random_input(rng: np.random.Generator, tensor: Tensor) -> Array:
    return random_values(rng, tensor.shape, tensor.dtype)


def every_byte(tensor: Tensor) -> Array:
    """All 256 values of a byte type, for a tensor of 256 elements."""
    low, high = INTEGER_RANGE[tensor.dtype]
    return np.arange(low, high + 1).astype(tensor.dtype).reshape(tensor.shape)


def activation(draw: Draw, name: str, shape: Shape, dtype: DType, scale: float | None = None) -> Tensor:
    """A tensor of the type, with random quantisation where it has any."""
    if dtype == "float32":
        return Tensor(name, shape, dtype)
    scale = draw(SCALES) if scale is None else scale
    return Tensor(name, shape, dtype, per_tensor(scale, draw(st.integers(*INTEGER_RANGE[dtype]))))


def relu(tensor: Tensor, top: float = math.inf) -> Clamp:
    """The clamp of ReLU or ReLU6 on a tensor, in its own units, as TFLite rounds it."""
    if tensor.quantization is None:
        return Clamp(0.0, top)
    (scale,), (zero_point,) = tensor.quantization.scale, tensor.quantization.zero_point
    highest = INTEGER_RANGE[tensor.dtype][1]
    if math.isfinite(top):
        highest = min(highest, zero_point + math.floor(float(np.float32(top) / np.float32(scale)) + 0.5))
    return Clamp(zero_point, highest)


def clamps(tensor: Tensor) -> st.SearchStrategy[Clamp]:
    return st.sampled_from([NO_CLAMP, relu(tensor), relu(tensor, 6.0)])


def same_padding(
    image: Shape, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> Padding:
    """TFLite's SAME: ceil(size / stride) outputs, the odd place at the bottom or right."""
    sides: list[int] = []
    for size, k, s, d in zip(image[1:3], kernel, stride, dilation, strict=True):
        padded = max((math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size, 0)
        sides += [padded // 2, padded - padded // 2]
    return Padding(*sides)


def _weights(draw: Draw, shape: Shape, axis: int, x: Tensor, numerics: Numerics) -> Tensor:
    """Weights as each contract has them: TFLite's uint8 with a zero point, else int8 by tensor or channel; float32."""
    rng = draw(SEEDS)
    if x.dtype == "float32":
        return Tensor("weights", shape, "float32", None, random_values(rng, shape, "float32"))
    if x.dtype == "uint8" and numerics is Numerics.TFLITE:
        quantization = per_tensor(rng.uniform(0.001, 0.02), draw(st.integers(0, 255)))
        return Tensor("weights", shape, "uint8", quantization, random_values(rng, shape, "uint8"))
    channels = shape[axis] if draw(st.booleans()) else None
    scales = rng.uniform(0.001, 0.02, channels or 1).astype(np.float32).tolist()
    quantization = Quantization(tuple(scales), (0,) * len(scales), axis if channels else None)
    return Tensor("weights", shape, "int8", quantization, random_values(rng, shape, "int8"))


def _bias(draw: Draw, channels: int, x: Tensor) -> Tensor:
    values = draw(SEEDS).integers(-9000, 9000, channels)
    if x.dtype == "float32":
        return Tensor("bias", (channels,), "float32", None, (values / 1000).astype(np.float32))
    return Tensor("bias", (channels,), "int32", None, values.astype(np.int32))


def _output(draw: Draw, shape: Shape, x: Tensor, weights: Tensor, fan_in: int) -> Tensor:
    """An output whose scale suits sums of `fan_in` random products."""
    scales = (1.0,) if weights.quantization is None else weights.quantization.scale
    wanted = scale_of(x) * float(np.mean(scales)) * 74 * 74 * math.sqrt(fan_in) / 50
    return activation(draw, "output", shape, x.dtype, wanted * draw(st.floats(0.3, 3)))


def _one(layer: Layer, tensors: list[Tensor], numerics: Numerics, draw: Draw) -> Case:
    return graph_of([layer], tensors, numerics), random_input(draw(SEEDS), tensors[0])


@st.composite
def convolutions(draw: st.DrawFn, numerics: Numerics) -> Case:
    """One convolution or depthwise convolution of any stride, dilation and depth multiplier, SAME or VALID."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    ic, depthwise = draw(st.integers(1, 9)), draw(st.booleans())
    sizes = [draw(st.integers((k - 1) * d + 1, 11)) for k, d in zip(kernel, dilation, strict=True)]
    oc = ic * draw(st.integers(1, 3)) if depthwise else draw(st.integers(1, 9))
    x = activation(draw, "input", (1, *sizes, ic), draw(TYPES[numerics]))
    padding = draw(st.sampled_from([NO_PADDING, same_padding(x.shape, kernel, stride, dilation)]))
    if depthwise:
        weights = _weights(draw, (*kernel, oc), 2, x, numerics)
    else:
        weights = _weights(draw, (oc, *kernel, ic), 0, x, numerics)
    places = [
        window_output(sizes[i], kernel[i], stride[i], dilation[i], padding[2 * i] + padding[2 * i + 1]) for i in (0, 1)
    ]
    y = _output(draw, (1, *places, oc), x, weights, math.prod(kernel) * (1 if depthwise else ic))
    layer = (DepthwiseConv2D if depthwise else Conv2D)(
        name="layer",
        inputs=("input",),
        output="output",
        weights="weights",
        bias="bias",
        clamp=draw(clamps(y)),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    return _one(layer, [x, weights, _bias(draw, oc, x), y], numerics, draw)


@st.composite
def dense_layers(draw: st.DrawFn, numerics: Numerics) -> Case:
    """One fully connected layer."""
    ic, oc = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    x = activation(draw, "input", (1, ic), draw(TYPES[numerics]))
    weights = _weights(draw, (oc, ic), 0, x, numerics)
    y = _output(draw, (1, oc), x, weights, ic)
    layer = Dense(
        name="layer", inputs=("input",), output="output", weights="weights", bias="bias", clamp=draw(clamps(y))
    )
    return _one(layer, [x, weights, _bias(draw, oc, x), y], numerics, draw)


@st.composite
def average_pools(draw: st.DrawFn, numerics: Numerics) -> Case:
    """One average pool; TFLite's keeps the quantisation of its input."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    sizes = [draw(st.integers(k, 9)) for k in kernel]
    x = activation(draw, "input", (1, *sizes, 3), draw(TYPES[numerics]))
    padding = draw(st.sampled_from([NO_PADDING, same_padding(x.shape, kernel, stride)]))
    places = [window_output(sizes[i], kernel[i], stride[i], 1, padding[2 * i] + padding[2 * i + 1]) for i in (0, 1)]
    y = Tensor("output", (1, *places, 3), x.dtype, x.quantization)
    if numerics is Numerics.QDQ:
        y = activation(draw, "output", y.shape, y.dtype, scale_of(x) * draw(st.floats(0.3, 2)))
    layer = AveragePool2D(
        name="layer",
        inputs=("input",),
        output="output",
        kernel=kernel,
        stride=stride,
        padding=padding,
        clamp=draw(clamps(y)),
    )
    return _one(layer, [x, y], numerics, draw)


@st.composite
def additions(draw: st.DrawFn, numerics: Numerics, other: Callable[[str, str], Layer]) -> Case:
    """The input plus what `other`, a layer from one tensor to another, makes of it."""
    x = activation(draw, "input", (1, 5, 4, 3), draw(TYPES[numerics]))
    z = activation(draw, "other", x.shape, x.dtype)
    y = activation(draw, "output", x.shape, x.dtype, max(scale_of(x), scale_of(z)) * draw(st.floats(0.2, 4)))
    layer = Add(name="layer", inputs=("input", "other"), output="output", clamp=draw(clamps(y)))
    return graph_of([other("input", "other"), layer], [x, z, y], numerics), random_input(draw(SEEDS), x)
