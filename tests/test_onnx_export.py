"""The ONNX model computes what the graph says: every float layer against its definition in NumPy, by ONNX Runtime."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from mbgen.errors import UnsupportedError
from mbgen.graph import (
    Add,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantization,
    Reshape,
    Softmax,
    Tensor,
)
from mbgen.mobilenet import MobileNetV1, build, random_weights
from mbgen.onnx_export import to_onnx

IMAGE = (1, 5, 6, 4)


def values(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def graph_of(
    *layers: Layer, shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, Array] | None = None
) -> Graph:
    """A float graph from the layers; `shapes` gives the input's and every layer's output shape."""
    tensors = {name: Tensor(name, shape, "float32") for name, shape in shapes.items()}
    tensors |= {name: Tensor(name, data.shape, "float32", data=data) for name, data in (constants or {}).items()}
    return Graph("test", Numerics.FLOAT32, tensors, layers, "input", layers[-1].output)


def run(graph: Graph, image: Array) -> Array:
    """ONNX Runtime's output for an NHWC image, as NHWC."""
    encoded = to_onnx(graph)
    onnx.checker.check_model(onnx.load_from_string(encoded), full_check=True)
    session = onnxruntime.InferenceSession(encoded)
    fed = image.transpose(0, 3, 1, 2) if image.ndim == 4 else image
    (output,) = session.run([graph.output], {graph.input: fed})
    assert isinstance(output, np.ndarray)
    return output.transpose(0, 2, 3, 1) if output.ndim == 4 else output


def windows(image: Array, kh: int, kw: int, stride: tuple[int, int], padding: Padding, dilation: int = 1) -> Array:
    """Every window of the padded image: [oh, ow, kh, kw, c], padded places NaN."""
    padded = np.pad(
        image[0], ((padding.top, padding.bottom), (padding.left, padding.right), (0, 0)), constant_values=np.nan
    )
    span = (kh - 1) * dilation + 1, (kw - 1) * dilation + 1
    view = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(0, 1))
    return view[:: stride[0], :: stride[1], :, ::dilation, ::dilation].transpose(0, 1, 3, 4, 2)


@pytest.mark.parametrize("clamp", [Clamp(), Clamp(0), Clamp(0, 6), Clamp(high=1), Clamp(-1, 1)])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [((1, 1), Padding(), 1), ((2, 1), Padding(0, 1, 2, 1), 1), ((1, 2), Padding(2, 2, 2, 2), 2)],
)
def test_convolution(clamp: Clamp, stride: tuple[int, int], padding: Padding, dilation: int) -> None:
    image, weights, bias = 4 * values(*IMAGE), values(7, 3, 2, 4), values(7)
    expected = np.einsum("hwijc,oijc->hwo", np.nan_to_num(windows(image, 3, 2, stride, padding, dilation)), weights)
    expected = np.clip(expected + bias, *clamp)[np.newaxis]
    layer = Conv2D(
        name="conv_1",
        inputs=("input",),
        output="conv_1",
        weights="w",
        bias="b",
        clamp=clamp,
        stride=stride,
        padding=padding,
        dilation=(dilation, dilation),
    )
    graph = graph_of(layer, shapes={"input": IMAGE, "conv_1": expected.shape}, constants={"w": weights, "b": bias})
    np.testing.assert_allclose(run(graph, image), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise(multiplier: int) -> None:
    image, weights = values(*IMAGE), values(3, 3, 4 * multiplier)
    padding = Padding(0, 1, 1, 0)
    seen = np.nan_to_num(windows(image, 3, 3, (2, 2), padding)).repeat(multiplier, axis=-1)
    expected = np.maximum((seen * weights).sum(axis=(2, 3)), 0)[np.newaxis]
    layer = DepthwiseConv2D(
        name="depthwise_1",
        inputs=("input",),
        output="depthwise_1",
        weights="w",
        clamp=Clamp(0),
        stride=(2, 2),
        padding=padding,
    )
    graph = graph_of(layer, shapes={"input": IMAGE, "depthwise_1": expected.shape}, constants={"w": weights})
    np.testing.assert_allclose(run(graph, image), expected, rtol=1e-5, atol=1e-5)


def test_dense_on_a_vector() -> None:
    vector, weights, bias = values(1, 9), values(3, 9), values(3)
    layer = Dense(name="dense_1", inputs=("input",), output="dense_1", weights="w", bias="b", clamp=Clamp(0, 1))
    graph = graph_of(layer, shapes={"input": (1, 9), "dense_1": (1, 3)}, constants={"w": weights, "b": bias})
    np.testing.assert_allclose(run(graph, vector), np.clip(vector @ weights.T + bias, 0, 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((5, 6), (1, 1), Padding()), ((3, 2), (2, 3), Padding()), ((3, 3), (2, 2), Padding(1, 1, 0, 1))],
)
def test_average_pool_does_not_count_padding(
    kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
) -> None:
    image = values(*IMAGE)
    expected = np.nanmean(windows(image, *kernel, stride, padding), axis=(2, 3))[np.newaxis]
    layer = AveragePool2D(
        name="pool_1", inputs=("input",), output="pool_1", kernel=kernel, stride=stride, padding=padding
    )
    graph = graph_of(layer, shapes={"input": IMAGE, "pool_1": expected.shape})
    np.testing.assert_allclose(run(graph, image), expected, rtol=1e-5, atol=1e-6)


def test_mean() -> None:
    image = values(*IMAGE)
    graph = graph_of(Mean(name="m", inputs=("input",), output="m"), shapes={"input": IMAGE, "m": (1, 1, 1, 4)})
    np.testing.assert_allclose(run(graph, image), image.mean(axis=(1, 2), keepdims=True), rtol=1e-5, atol=1e-6)


def test_add_pad_concat_clip_and_logistic() -> None:
    image = 4 * values(*IMAGE)
    layers = (
        Add(name="add_1", inputs=("input", "input"), output="add_1", clamp=Clamp(-2, 2)),
        Clip(name="clip_1", inputs=("add_1",), output="clip_1", clamp=Clamp(high=1)),
        Logistic(name="logistic_1", inputs=("input",), output="logistic_1"),
        Concat(name="concat_1", inputs=("clip_1", "logistic_1"), output="concat_1", axis=3),
        Concat(name="concat_2", inputs=("concat_1", "concat_1"), output="concat_2", axis=-3),
        Pad(name="pad_1", inputs=("concat_2",), output="pad_1", padding=Padding(1, 0, 0, 2)),
    )
    shapes = dict.fromkeys(("input", "add_1", "clip_1", "logistic_1"), IMAGE)
    shapes |= {"concat_1": (1, 5, 6, 8), "concat_2": (1, 10, 6, 8), "pad_1": (1, 11, 8, 8)}
    joined = np.concatenate([np.minimum(np.clip(image + image, -2, 2), 1), 1 / (1 + np.exp(-image))], axis=3)
    expected = np.pad(np.concatenate([joined, joined], axis=1), ((0, 0), (1, 0), (0, 2), (0, 0)))
    np.testing.assert_allclose(run(graph_of(*layers, shapes=shapes), image), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beta", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(1, 9), IMAGE])
def test_softmax_is_over_the_last_axis(shape: tuple[int, ...], beta: float) -> None:
    x = values(*shape)
    expected = np.exp(beta * x) / np.exp(beta * x).sum(axis=-1, keepdims=True)
    layer = Softmax(name="softmax_1", inputs=("input",), output="softmax_1", beta=beta)
    graph = graph_of(layer, shapes={"input": shape, "softmax_1": shape})
    np.testing.assert_allclose(run(graph, x), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "shapes",
    [
        [IMAGE, (1, 120)],
        [(1, 1, 1, 12), (1, 12)],
        [(1, 12), (1, 1, 1, 12)],
        [(1, 12), (1, 2, 3, 2)],
        [IMAGE, (1, 6, 5, 4)],
        [IMAGE, (1, 30, 4), (1, 2, 60)],
    ],
)
def test_reshape_keeps_the_order_of_nhwc(shapes: list[tuple[int, ...]]) -> None:
    names = ["input", *(f"reshape_{index}" for index in range(1, len(shapes)))]
    layers = [Reshape(name=name, inputs=(source,), output=name) for source, name in itertools.pairwise(names)]
    x = values(*shapes[0])
    graph = graph_of(*layers, shapes=dict(zip(names, shapes, strict=True)))
    np.testing.assert_array_equal(run(graph, x), x.reshape(shapes[-1]))


def test_mobilenet_keeps_its_names_and_explicit_asymmetric_padding() -> None:
    net = MobileNetV1(0.25, 32, classes=5)
    graph = build(net, random_weights(net))
    encoded = to_onnx(graph)
    assert encoded == to_onnx(build(net, random_weights(net)))
    model = onnx.load_from_string(encoded)
    onnx.checker.check_model(model, full_check=True)
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)
    produced = {name for node in model.graph.node for name in node.output}
    assert {layer.output for layer in graph.layers} <= produced
    attributes = {
        node.name: {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in model.graph.node
    }
    assert attributes["conv_1.unclamped"]["pads"] == [0, 0, 1, 1]
    assert attributes["depthwise_1.unclamped"]["pads"] == [1, 1, 1, 1]
    assert attributes["depthwise_1.unclamped"]["group"] == 8
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    np.testing.assert_array_equal(stored["conv_1.weights"], graph.constant("conv_1.weights").transpose(0, 3, 1, 2))
    image = values(1, 32, 32, 3)
    assert math.isclose(run(graph, image).sum(), 1, rel_tol=1e-5)


def test_tvm_reads_it() -> None:
    """The pipeline sends every quantised model through TVM's importer: opset and operators must suit it."""
    from tvm.relax.frontend.onnx import from_onnx

    net = MobileNetV1(0.25, 32, classes=5)
    module = from_onnx(onnx.load_from_string(to_onnx(build(net, random_weights(net)))))
    assert "conv2d" in module.script()


def test_quantised_graph_is_refused() -> None:
    quantization = Quantization((1.0,), (0,))
    tensors = {name: Tensor(name, (1, 4), "int8", quantization) for name in ("input", "reshape_1")}
    layer = Reshape(name="reshape_1", inputs=("input",), output="reshape_1")
    graph = Graph("person", Numerics.TFLITE, tensors, (layer,), "input", "reshape_1")
    with pytest.raises(UnsupportedError) as error:
        to_onnx(graph)
    assert str(error.value) == ("person is quantised already (tflite); only a float32 network can be written as ONNX")
