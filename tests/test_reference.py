"""The NumPy executor against the runtimes whose arithmetic it defines, layer by layer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen.errors import GraphError, InputError
from mbgen.graph import (
    INTEGER_RANGE,
    Array,
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
    Quantize,
    Requantize,
    Reshape,
    Shape,
    Softmax,
    Tensor,
)
from mbgen.images import load_pixels, quantize_pixels
from mbgen.importers import import_model
from mbgen.reference import execute
from mbgen.runtimes import litert
from tests.support.layers import (
    BYTES,
    SCALES,
    SEEDS,
    Case,
    activation,
    additions,
    average_pools,
    convolutions,
    dense_layers,
    every_byte,
    graph_of,
    per_tensor,
    random_input,
    relu,
    scale_of,
)
from tests.support.qdq_export import run_onnx, to_qdq
from tests.support.tflite_export import run_litert, to_tflite

FEW, MANY = (settings(max_examples=n, deadline=None) for n in (40, 150))
TFLITE, QDQ, FLOAT32 = Numerics.TFLITE, Numerics.QDQ, Numerics.FLOAT32
FLOAT_BOUND = 1e-6  # of the greatest sum on the way: some units in the last place


def requantize(source: str, target: str) -> Layer:
    return Requantize(name="other", inputs=(source,), output=target)


def logistic(source: str, target: str) -> Layer:
    return Logistic(name="other", inputs=(source,), output=target)


def assert_close(actual: Array, expected: Array, greatest: float) -> None:
    assert actual.dtype == np.float32
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=FLOAT_BOUND * max(float(np.abs(expected).max()), greatest)
    )


# --- TFLite, bit for bit -------------------------------------------------------------------------------------------


def assert_same_as_litert(graph: Graph, image: Array) -> None:
    expected = run_litert(to_tflite(graph), image)
    for name, actual in execute(graph, image).items():
        assert actual.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(actual, expected[name], err_msg=name)


@MANY
@given(convolutions(TFLITE))
def test_convolution_is_tflites(case: Case) -> None:
    assert_same_as_litert(*case)


@MANY
@given(dense_layers(TFLITE))
def test_dense_is_tflites(case: Case) -> None:
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
@given(average_pools(TFLITE))
def test_average_pool_is_tflites(case: Case) -> None:
    assert_same_as_litert(*case)


@MANY
@given(st.data())
def test_mean_is_tflites(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    x = activation(data.draw, "input", (1, height, width, 5), data.draw(BYTES))
    y = activation(data.draw, "output", (1, 1, 1, 5), x.dtype, scale_of(x) * data.draw(st.floats(0.1, 2)))
    layer = Mean(name="layer", inputs=("input",), output="output")
    assert_same_as_litert(graph_of([layer], [x, y]), random_input(data.draw(SEEDS), x))


@FEW
@given(additions(TFLITE, requantize))
def test_add_is_tflites(case: Case) -> None:
    assert_same_as_litert(*case)


@FEW
@given(st.data())
def test_requantize_between_byte_types_is_tflites(data: st.DataObject) -> None:
    x = activation(data.draw, "input", (1, 256), data.draw(BYTES))
    y = activation(data.draw, "output", x.shape, data.draw(BYTES))
    assert_same_as_litert(graph_of([requantize("input", "output")], [x, y]), every_byte(x))


def quantize_and_dequantize(draw: st.DataObject, numerics: Numerics) -> Case:
    """From float32 to bytes and back, with many values half way between two bytes."""
    rng = draw.draw(SEEDS)
    x, z = Tensor("input", (1, 400), "float32"), Tensor("dequantize", (1, 400), "float32")
    y = activation(draw.draw, "quantize", x.shape, draw.draw(BYTES))
    layers: list[Layer] = [
        Quantize(name="quantize", inputs=("input",), output="quantize"),
        Dequantize(name="dequantize", inputs=("quantize",), output="dequantize"),
    ]
    ties = (rng.integers(-300, 300, x.shape) + 0.5).astype(np.float32) * np.float32(scale_of(y))
    return graph_of(layers, [x, y, z], numerics), np.where(rng.random(x.shape) < 0.5, ties, random_input(rng, x))


@FEW
@given(st.data())
def test_quantize_and_dequantize_are_tflites(data: st.DataObject) -> None:
    assert_same_as_litert(*quantize_and_dequantize(data, TFLITE))


@FEW
@given(st.data())
def test_logistic_is_tflites(data: st.DataObject) -> None:
    dtype = data.draw(BYTES)
    x = activation(data.draw, "input", (1, 256), dtype)
    y = Tensor("output", x.shape, dtype, per_tensor(1 / 256, INTEGER_RANGE[dtype][0]))
    assert_same_as_litert(graph_of([logistic("input", "output")], [x, y]), every_byte(x))


@pytest.mark.parametrize("top", [math.inf, 6.0])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_clip_is_tflites(dtype: DType, top: float) -> None:
    x = Tensor("input", (1, 256), dtype, per_tensor(0.1, INTEGER_RANGE[dtype][0] + 99))
    y = Tensor("clip", x.shape, dtype, x.quantization)
    layer = Clip(name="clip", inputs=("input",), output="clip", clamp=relu(y, top))
    assert_same_as_litert(graph_of([layer], [x, y]), every_byte(x))


def softmax(data: st.DataObject, numerics: Numerics, classes: int, beta: float) -> Case:
    """Classes that lie close together, far apart, or anything between."""
    rng, dtype = data.draw(SEEDS), data.draw(BYTES)
    low, high = INTEGER_RANGE[dtype]
    x = activation(data.draw, "input", (1, classes), dtype, 2.0 ** data.draw(st.floats(-12, 6)))
    y = Tensor("softmax", x.shape, dtype, per_tensor(1 / 256, low))
    spread, middle = data.draw(st.integers(0, 128)), data.draw(st.integers(low, high))
    image = np.clip(rng.integers(middle - spread, middle + spread + 1, x.shape), low, high).astype(dtype)
    layer = Softmax(name="softmax", inputs=("input",), output="softmax", beta=beta)
    return graph_of([layer], [x, y], numerics), image


@settings(max_examples=200, deadline=None)
@given(st.data(), st.one_of(st.integers(1, 12), st.integers(13, 511)), st.sampled_from([1.0, 0.3, 2.5, 10.0]))
def test_softmax_is_tflites(data: st.DataObject, classes: int, beta: float) -> None:
    """Fewer than 512 classes: LiteRT aborts the process when that many are close to equal."""
    assert_same_as_litert(*softmax(data, TFLITE, classes, beta))


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
    numerics = FLOAT32 if dtype == "float32" else TFLITE
    assert_same_as_litert(graph_of(layers, tensors, numerics), random_input(np.random.default_rng(1), tensors[0]))


# --- QDQ, against the ONNX operators one by one --------------------------------------------------------------------


def assert_same_as_onnx(graph: Graph, image: Array, by_one: float = 0.0) -> None:
    """Equal but for a share `by_one` of the elements, which may differ by 1, beside one element in all."""
    expected = run_onnx(to_qdq(graph), image, optimised=False)
    for name, actual in execute(graph, image).items():
        assert (actual.dtype, actual.shape) == (expected[name].dtype, expected[name].shape), name
        if actual.dtype == np.float32:
            assert_close(actual, expected[name], greatest=0)
            continue
        difference = np.abs(actual.astype(int) - expected[name].astype(int))
        assert difference.max() <= 1, name
        assert difference.sum() <= 1 + by_one * difference.size, name


@MANY
@given(convolutions(QDQ))
def test_convolution_is_onnxs(case: Case) -> None:
    """ONNX Runtime's float32 products and sums round where ours are integers."""
    assert_same_as_onnx(*case, by_one=0.01)


@MANY
@given(dense_layers(QDQ))
def test_dense_is_onnxs(case: Case) -> None:
    assert_same_as_onnx(*case, by_one=0.01)


@FEW
@given(average_pools(QDQ))
def test_average_pool_is_onnxs(case: Case) -> None:
    """Up to half the means are ties where s_x / (s_y * count) is a simple fraction; ONNX Runtime rounds before them."""
    assert_same_as_onnx(*case, by_one=0.5)


@FEW
@given(additions(QDQ, requantize))
def test_add_is_onnxs(case: Case) -> None:
    assert_same_as_onnx(*case)


@FEW
@given(st.data())
def test_requantize_between_byte_types_is_onnxs(data: st.DataObject) -> None:
    x = activation(data.draw, "input", (1, 256), data.draw(BYTES))
    y = activation(data.draw, "output", x.shape, data.draw(BYTES))
    assert_same_as_onnx(graph_of([requantize("input", "output")], [x, y], QDQ), every_byte(x))


@FEW
@given(st.data())
def test_quantize_and_dequantize_are_onnxs(data: st.DataObject) -> None:
    assert_same_as_onnx(*quantize_and_dequantize(data, QDQ))


@FEW
@given(st.data())
def test_logistic_is_onnxs(data: st.DataObject) -> None:
    dtype = data.draw(BYTES)
    x = activation(data.draw, "input", (1, 256), dtype)
    y = Tensor("output", x.shape, dtype, per_tensor(1 / 256, INTEGER_RANGE[dtype][0]))
    assert_same_as_onnx(graph_of([logistic("input", "output")], [x, y], QDQ), every_byte(x))


@FEW
@given(st.data(), st.integers(1, 1200))
def test_softmax_is_onnxs(data: st.DataObject, classes: int) -> None:
    assert_same_as_onnx(*softmax(data, QDQ, classes, 1.0), by_one=0.002)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_layers_that_move_data_are_onnxs(dtype: DType) -> None:
    shapes = {"input": (1, 3, 4, 2), "pad": (1, 6, 5, 2), "concat": (1, 6, 5, 4), "clip": (1, 6, 5, 4)}
    tensors = [Tensor(name, shape, dtype, per_tensor(0.5, 100)) for name, shape in shapes.items()]
    layers: list[Layer] = [
        Pad(name="pad", inputs=("input",), output="pad", padding=Padding(1, 2, 0, 1)),
        Concat(name="concat", inputs=("pad", "pad"), output="concat", axis=3),
        Clip(name="clip", inputs=("concat",), output="clip", clamp=relu(tensors[3], 6.0)),
    ]
    assert_same_as_onnx(graph_of(layers, tensors, QDQ), random_input(np.random.default_rng(1), tensors[0]))


# --- float32, within rounding --------------------------------------------------------------------------------------


def assert_close_to_both(graph: Graph, image: Array, greatest: float = 0) -> None:
    litert, onnx = run_litert(to_tflite(graph), image), run_onnx(to_qdq(graph), image, optimised=True)
    for name, actual in execute(graph, image).items():
        assert_close(actual, litert[name], greatest)
        assert_close(actual, onnx[name], greatest)


@FEW
@given(convolutions(FLOAT32))
def test_float_convolution_is_close(case: Case) -> None:
    assert_close_to_both(*case, greatest=300)


@FEW
@given(dense_layers(FLOAT32))
def test_float_dense_is_close(case: Case) -> None:
    assert_close_to_both(*case, greatest=300)


@FEW
@given(average_pools(FLOAT32))
def test_float_average_pool_is_close(case: Case) -> None:
    assert_close_to_both(*case, greatest=30)


@FEW
@given(additions(FLOAT32, logistic))
def test_float_add_and_logistic_are_close(case: Case) -> None:
    assert_close_to_both(*case)


def test_float_clip_and_softmax_are_close() -> None:
    x, z, y = (Tensor(name, (1, 50), "float32") for name in ("input", "clip", "softmax"))
    layers: list[Layer] = [
        Clip(name="clip", inputs=("input",), output="clip", clamp=relu(z, 6.0)),
        Softmax(name="softmax", inputs=("clip",), output="softmax"),
    ]
    assert_close_to_both(graph_of(layers, [x, z, y], FLOAT32), random_input(np.random.default_rng(2), x))


# --- refusals ------------------------------------------------------------------------------------------------------


def test_an_input_of_another_shape_or_type_is_refused() -> None:
    x, y = Tensor("input", (1, 4), "float32"), Tensor("softmax", (1, 4), "float32")
    graph = graph_of([Softmax(name="softmax", inputs=("input",), output="softmax")], [x, y], FLOAT32)
    with pytest.raises(InputError) as caught:
        execute(graph, np.zeros((1, 5), np.int8))
    assert str(caught.value) == "the network reads float32[1, 4], the input given is int8[1, 5]"


def test_a_layer_without_a_definition_is_refused() -> None:
    x, y = Tensor("input", (1, 4), "float32"), Tensor("output", (1, 4), "float32")
    graph = graph_of([Layer(name="strange_1", inputs=("input",), output="output")], [x, y], FLOAT32)
    with pytest.raises(GraphError) as caught:
        execute(graph, np.zeros((1, 4), np.float32))
    assert str(caught.value) == "strange_1: Layer has no definition in NumPy"


# --- real models ---------------------------------------------------------------------------------------------------

REAL_MODELS = {
    "vww_96_int8": ("person_train2017_192", "x-128"),
    "vww_96_float": ("person_train2017_192", "x/255"),
    "mobilenet_v1_0.25_128_quant": ("imagenet_dev", "x/127.5-1"),
    "mobilenet_v1_0.5_160_quant": ("imagenet_dev", "x/127.5-1"),
}


@pytest.mark.parametrize("name", REAL_MODELS)
def test_every_layer_of_a_real_model_is_tflites(shared_data: Path, name: str) -> None:
    """On four photographs and two images of noise: bit for bit, or within rounding for the float model."""
    folder, preprocessing = REAL_MODELS[name]
    path = shared_data / "weights" / f"{name}.tflite"
    graph = import_model(path)
    tensor = graph.tensors[graph.input]
    _, height, width, channels = tensor.shape
    _, photographs = load_pixels(shared_data / folder, height, width, channels, limit=4)
    noise = np.random.default_rng(0).integers(0, 256, (2, *tensor.shape[1:])).astype(np.uint8)
    images = quantize_pixels(np.concatenate([photographs, noise]), tensor, preprocessing)
    with litert(path.read_bytes(), [layer.source for layer in graph.layers]) as runtime:
        for image in images:
            actual = execute(graph, image[np.newaxis])
            known = {layer.source: actual[layer.output] for layer in graph.layers}
            expected, output = runtime.values(image[np.newaxis], known)
            for source, value in [*known.items(), ("the output", actual[graph.output])]:
                right = expected.get(source, output)
                if graph.numerics is FLOAT32:
                    assert_close(value, right, greatest=5)
                else:
                    np.testing.assert_array_equal(value, right, err_msg=source)
