"""The NumPy executor against the runtimes whose arithmetic it defines, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen.errors import InputError
from mbgen.graph import (
    INTEGER_RANGE,
    NO_CLAMP,
    NO_PADDING,
    Add,
    Array,
    AveragePool2D,
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
    window_output,
)
from mbgen.reference import execute
from tests.support.tflite_export import relu, run_litert, same_padding, to_tflite

Draw = Callable[[st.SearchStrategy[Any]], Any]
BYTES: st.SearchStrategy[DType] = st.sampled_from(["int8", "uint8"])
SCALES = st.floats(2**-12, 4.0, width=32)
FEW = settings(max_examples=40, deadline=None)


def per_tensor(scale: float, zero_point: int) -> Quantization:
    return Quantization((float(np.float32(scale)),), (zero_point,))


def zero_points(dtype: str) -> st.SearchStrategy[int]:
    return st.integers(*INTEGER_RANGE[dtype])


def tensor_from(draw: Draw, name: str, shape: Shape, dtype: DType, scale: float | None = None) -> Tensor:
    scale = draw(SCALES) if scale is None else scale
    return Tensor(name, shape, dtype, per_tensor(scale, draw(zero_points(dtype))))


def random_values(rng: np.random.Generator, tensor: Tensor) -> Array:
    if tensor.dtype == "float32":
        return rng.normal(0, 3, tensor.shape).astype(np.float32)
    low, high = INTEGER_RANGE[tensor.dtype]
    return rng.integers(low, high + 1, tensor.shape).astype(tensor.dtype)


def graph_of(layers: list[Layer], tensors: list[Tensor], numerics: Numerics = Numerics.TFLITE) -> Graph:
    return Graph("model", numerics, {t.name: t for t in tensors}, tuple(layers), layers[0].inputs[0], layers[-1].output)


def assert_same_as_litert(graph: Graph, image: Array) -> None:
    expected = run_litert(to_tflite(graph), image)
    for name, actual in execute(graph, image).items():
        assert actual.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(actual, expected[name], err_msg=name)


def seeds() -> st.SearchStrategy[np.random.Generator]:
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Graph, Array]:
    """One convolution or depthwise convolution, int8 per channel or per tensor, or uint8 with weight zero points."""
    rng, dtype = draw(seeds()), draw(BYTES)
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    smallest = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    ic = draw(st.integers(1, 9))
    shape = (1, *(draw(st.integers(s, 11)) for s in smallest), ic)
    depthwise = draw(st.booleans())
    oc = ic * draw(st.integers(1, 3)) if depthwise else draw(st.integers(1, 9))
    padding = draw(st.sampled_from([NO_PADDING, same_padding(shape, kernel, stride, dilation)]))

    x = tensor_from(draw, "input", shape, dtype)
    per_channel = dtype == "int8" and draw(st.booleans())
    scales = rng.uniform(0.001, 0.02, oc if per_channel else 1).astype(np.float32)
    points = [0] if dtype == "int8" else [draw(zero_points(dtype))]
    weight_shape = (*kernel, oc) if depthwise else (oc, *kernel, ic)
    axis = (2 if depthwise else 0) if per_channel else None
    quantization = Quantization(tuple(scales.tolist()), tuple(points * len(scales)), axis)
    values = random_values(rng, Tensor("w", weight_shape, dtype))
    weights = Tensor("conv.weights", weight_shape, dtype, quantization, values)
    bias = Tensor("conv.bias", (oc,), "int32", None, rng.integers(-9000, 9000, oc).astype(np.int32))

    fan_in = math.prod(kernel) * (1 if depthwise else ic)
    assert x.quantization is not None
    wanted = x.quantization.scale[0] * float(scales.mean()) * 74 * 74 * math.sqrt(fan_in) / 50
    oh, ow = (
        window_output(shape[1 + i], kernel[i], stride[i], dilation[i], padding[2 * i] + padding[2 * i + 1])
        for i in (0, 1)
    )
    y = tensor_from(draw, "conv", (1, oh, ow, oc), dtype, wanted * draw(st.floats(0.3, 3)))
    clamp = draw(st.sampled_from([NO_CLAMP, relu(y), relu(y, 6.0)]))
    layer = (DepthwiseConv2D if depthwise else Conv2D)(
        name="conv",
        inputs=("input",),
        output="conv",
        weights=weights.name,
        bias=bias.name,
        clamp=clamp,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    return graph_of([layer], [x, weights, bias, y]), random_values(rng, x)


@settings(max_examples=150, deadline=None)
@given(convolutions())
def test_convolution_is_tflites(case: tuple[Graph, Array]) -> None:
    assert_same_as_litert(*case)


@st.composite
def dense_layers(draw: st.DrawFn) -> tuple[Graph, Array]:
    rng, dtype = draw(seeds()), draw(BYTES)
    ic, oc = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    x = tensor_from(draw, "input", (1, ic), dtype)
    per_channel = dtype == "int8" and draw(st.booleans())
    scales = rng.uniform(0.001, 0.02, oc if per_channel else 1).astype(np.float32)
    points = [0] if dtype == "int8" else [draw(zero_points(dtype))]
    quantization = Quantization(tuple(scales.tolist()), tuple(points * len(scales)), 0 if per_channel else None)
    weights = Tensor("dense.weights", (oc, ic), dtype, quantization, random_values(rng, Tensor("w", (oc, ic), dtype)))
    bias = Tensor("dense.bias", (oc,), "int32", None, rng.integers(-9000, 9000, oc).astype(np.int32))
    assert x.quantization is not None
    wanted = x.quantization.scale[0] * float(scales.mean()) * 74 * 74 * math.sqrt(ic) / 50
    y = tensor_from(draw, "dense", (1, oc), dtype, wanted * draw(st.floats(0.3, 3)))
    clamp = draw(st.sampled_from([NO_CLAMP, relu(y), relu(y, 6.0)]))
    layer = Dense(name="dense", inputs=("input",), output="dense", weights=weights.name, bias=bias.name, clamp=clamp)
    return graph_of([layer], [x, weights, bias, y]), random_values(rng, x)


@settings(max_examples=150, deadline=None)
@given(dense_layers())
def test_dense_is_tflites(case: tuple[Graph, Array]) -> None:
    assert_same_as_litert(*case)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D, Dense])
@settings(max_examples=20, deadline=None)
@given(s_x=SCALES, s_w=SCALES, magnitude=st.floats(3, 22))
def test_sums_near_a_tie_are_rescaled_as_tflite_does(
    kind: type[Conv2D] | type[DepthwiseConv2D] | type[Dense], dtype: DType, s_x: float, s_w: float, magnitude: float
) -> None:
    """Weights of zero and biases on both sides of each step of the output, for sums up to 2^30."""
    low, high = INTEGER_RANGE[dtype]
    s_y = float(np.float32(s_x * s_w * 2**magnitude))
    steps = np.floor((np.arange(low, high + 1) - 0.5) * s_y / (s_x * s_w)).astype(np.int32)
    sums = np.unique(steps + np.arange(-3, 5, dtype=np.int32)[:, np.newaxis])
    count = len(sums)
    spatial = () if kind is Dense else (1, 1)
    shapes: dict[type[Layer], Shape] = {Dense: (count, 1), Conv2D: (count, 1, 1, 1), DepthwiseConv2D: (1, 1, count)}
    x = Tensor("input", (1, *spatial, 1), dtype, per_tensor(s_x, 0))
    weights = Tensor("w", shapes[kind], dtype, per_tensor(s_w, 0), np.zeros(shapes[kind], dtype))
    bias = Tensor("b", (count,), "int32", None, sums)
    y = Tensor("y", (1, *spatial, count), dtype, per_tensor(s_y, 0))
    layer = kind(name="y", inputs=("input",), output="y", weights="w", bias="b")
    assert_same_as_litert(graph_of([layer], [x, weights, bias, y]), np.zeros(x.shape, dtype))


@FEW
@given(st.data())
def test_average_pool_is_tflites(data: st.DataObject) -> None:
    rng, dtype = data.draw(seeds()), data.draw(BYTES)
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    shape = (1, data.draw(st.integers(kernel[0], 9)), data.draw(st.integers(kernel[1], 9)), 3)
    padding = data.draw(st.sampled_from([NO_PADDING, same_padding(shape, kernel, stride, (1, 1))]))
    x = tensor_from(data.draw, "input", shape, dtype)
    oh, ow = (window_output(shape[1 + i], kernel[i], stride[i], 1, padding[2 * i] + padding[2 * i + 1]) for i in (0, 1))
    y = Tensor("pool", (1, oh, ow, 3), dtype, x.quantization)
    clamp = data.draw(st.sampled_from([NO_CLAMP, relu(y), relu(y, 6.0)]))
    layer = AveragePool2D(
        name="pool", inputs=("input",), output="pool", kernel=kernel, stride=stride, padding=padding, clamp=clamp
    )
    assert_same_as_litert(graph_of([layer], [x, y]), random_values(rng, x))


@FEW
@given(st.data())
def test_add_is_tflites(data: st.DataObject) -> None:
    rng, dtype = data.draw(seeds()), data.draw(BYTES)
    x = tensor_from(data.draw, "input", (1, 5, 4, 3), dtype)
    other = tensor_from(data.draw, "other", x.shape, dtype)
    assert x.quantization is not None
    assert other.quantization is not None
    larger = max(x.quantization.scale[0], other.quantization.scale[0])
    y = tensor_from(data.draw, "add", x.shape, dtype, larger * data.draw(st.floats(0.2, 4)))
    clamp = data.draw(st.sampled_from([NO_CLAMP, relu(y), relu(y, 6.0)]))
    layers = [
        Requantize(name="other", inputs=("input",), output="other"),
        Add(name="add", inputs=("input", "other"), output="add", clamp=clamp),
    ]
    assert_same_as_litert(graph_of(layers, [x, other, y]), random_values(rng, x))


@FEW
@given(st.data())
def test_requantize_between_byte_types_is_tflites(data: st.DataObject) -> None:
    x = tensor_from(data.draw, "input", (1, 256), data.draw(BYTES))
    y = tensor_from(data.draw, "requantize", x.shape, data.draw(BYTES))
    layer = Requantize(name="requantize", inputs=("input",), output="requantize")
    assert_same_as_litert(graph_of([layer], [x, y]), every_byte(x))


def every_byte(tensor: Tensor) -> Array:
    low, high = INTEGER_RANGE[tensor.dtype]
    return np.arange(low, high + 1).astype(tensor.dtype).reshape(tensor.shape)


@FEW
@given(st.data())
def test_quantize_and_dequantize_are_tflites(data: st.DataObject) -> None:
    rng, dtype = data.draw(seeds()), data.draw(BYTES)
    x, z = Tensor("input", (1, 400), "float32"), Tensor("dequantize", (1, 400), "float32")
    y = tensor_from(data.draw, "quantize", x.shape, dtype)
    layers = [
        Quantize(name="quantize", inputs=("input",), output="quantize"),
        Dequantize(name="dequantize", inputs=("quantize",), output="dequantize"),
    ]
    assert y.quantization is not None
    ties = (rng.integers(-300, 300, x.shape) + 0.5).astype(np.float32) * np.float32(y.quantization.scale[0])
    image = np.where(rng.random(x.shape) < 0.5, ties, random_values(rng, x))
    assert_same_as_litert(graph_of(layers, [x, y, z]), image)


@FEW
@given(st.data())
def test_logistic_is_tflites(data: st.DataObject) -> None:
    dtype = data.draw(BYTES)
    x = tensor_from(data.draw, "input", (1, 256), dtype)
    y = Tensor("logistic", x.shape, dtype, per_tensor(1 / 256, INTEGER_RANGE[dtype][0]))
    layer = Logistic(name="logistic", inputs=("input",), output="logistic")
    assert_same_as_litert(graph_of([layer], [x, y]), every_byte(x))


@pytest.mark.parametrize("top", [math.inf, 6.0])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_clip_is_tflites(dtype: DType, top: float) -> None:
    x = Tensor("input", (1, 256), dtype, per_tensor(0.1, INTEGER_RANGE[dtype][0] + 99))
    y = Tensor("clip", x.shape, dtype, x.quantization)
    layer = Clip(name="clip", inputs=("input",), output="clip", clamp=relu(y, top))
    assert_same_as_litert(graph_of([layer], [x, y]), every_byte(x))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_softmax_is_tflites(data: st.DataObject) -> None:
    """Fewer than 512 classes: LiteRT aborts the process when that many are close to equal."""
    rng, dtype = data.draw(seeds()), data.draw(BYTES)
    classes = data.draw(st.one_of(st.integers(1, 12), st.integers(13, 511)))
    x = tensor_from(data.draw, "input", (1, classes), dtype, 2.0 ** data.draw(st.floats(-12, 6)))
    y = Tensor("softmax", x.shape, dtype, per_tensor(1 / 256, INTEGER_RANGE[dtype][0]))
    beta = data.draw(st.sampled_from([1.0, 0.3, 2.5, 10.0]))
    layer = Softmax(name="softmax", inputs=("input",), output="softmax", beta=beta)
    spread = data.draw(st.integers(0, 128))
    low, high = INTEGER_RANGE[dtype]
    middle = data.draw(st.integers(low, high))
    image = np.clip(rng.integers(middle - spread, middle + spread + 1, x.shape), low, high).astype(dtype)
    assert_same_as_litert(graph_of([layer], [x, y]), image)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_layers_that_move_data_are_tflites(dtype: DType) -> None:
    quantization = None if dtype == "float32" else per_tensor(0.5, 100)
    shapes = {"input": (1, 3, 4, 2), "pad": (1, 6, 5, 2), "concat": (1, 6, 5, 4), "reshape": (1, 120)}
    tensors = [Tensor(name, shape, dtype, quantization) for name, shape in shapes.items()]
    layers: list[Layer] = [
        Pad(name="pad", inputs=("input",), output="pad", padding=Padding(1, 2, 0, 1)),
        Concat(name="concat", inputs=("pad", "pad"), output="concat", axis=3),
        Reshape(name="reshape", inputs=("concat",), output="reshape"),
    ]
    numerics = Numerics.FLOAT32 if dtype == "float32" else Numerics.TFLITE
    assert_same_as_litert(graph_of(layers, tensors, numerics), random_values(np.random.default_rng(1), tensors[0]))


def test_an_input_of_another_shape_or_type_is_refused() -> None:
    x, y = Tensor("input", (1, 4), "float32"), Tensor("softmax", (1, 4), "float32")
    graph = graph_of([Softmax(name="softmax", inputs=("input",), output="softmax")], [x, y], Numerics.FLOAT32)
    with pytest.raises(InputError) as caught:
        execute(graph, np.zeros((1, 5), np.int8))
    assert str(caught.value) == "the network reads float32[1, 4], the input given is int8[1, 5]"
