"""ONNX models become graphs that compute, layer by layer, what ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from mbgen.errors import InputError, UnsupportedError
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
    Numerics,
    Pad,
    Padding,
    Quantize,
    Requantize,
    Reshape,
    Softmax,
    WeightedLayer,
)
from mbgen.importers import import_onnx
from mbgen.reference import execute
from tests.support.onnx_builder import OnnxBuilder, mobilenet_v1, mobilenet_v2, run_values

FLOAT_TOLERANCE = 1e-4  # of the layer's greatest value: sums in another order, handed on from layer to layer


def kinds(graph: Graph) -> list[type[Layer]]:
    return [type(layer) for layer in graph.layers]


def check(content: bytes, channels_last: bool = False, seed: int = 0) -> Graph:
    """Import, and compare every layer that has a source with ONNX Runtime; integers must be equal."""
    graph = import_onnx(content, "net.onnx")
    image = graph.tensors[graph.input]
    rng = np.random.default_rng(seed)
    if image.dtype == "float32":
        values = rng.normal(0, 1, image.shape).astype(np.float32)
    else:
        values = rng.integers(np.iinfo(image.dtype).min, np.iinfo(image.dtype).max + 1, image.shape).astype(image.dtype)
    sources = {layer.output: layer.source for layer in graph.layers if layer.source}
    expected = run_values(content, values if channels_last else values.transpose(0, 3, 1, 2), list(sources.values()))
    actual = execute(graph, values)
    for output, source in sources.items():
        compare(actual[output], expected[source], source)
    return graph


def compare(actual: Array, expected: Array, what: str) -> None:
    if expected.ndim == 4:
        expected = expected.transpose(0, 2, 3, 1)
    assert expected.shape == actual.shape, what
    assert expected.dtype == actual.dtype, what
    if expected.dtype == np.float32:
        assert np.abs(actual - expected).max() <= FLOAT_TOLERANCE * np.abs(expected).max(), what
    else:
        np.testing.assert_array_equal(actual, expected, what)


def layer_of(graph: Graph, kind: type[Any]) -> Any:
    (found,) = (layer for layer in graph.layers if isinstance(layer, kind))
    return found


# --- whole networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_float_mobilenet_v1(batch_norm: bool) -> None:
    graph = check(mobilenet_v1(batch_norm))
    assert graph.numerics is Numerics.FLOAT32
    assert graph.tensors["input"].shape == (1, 12, 12, 3)
    assert [layer.name for layer in graph.layers] == [
        "conv_1",
        *("depthwise_1", "pointwise_1", "depthwise_2", "pointwise_2"),
        *("pool_1", "reshape_1", "dense_1", "softmax_1"),
    ]
    assert all(isinstance(layer, WeightedLayer) and layer.clamp == Clamp(0, 6) for layer in graph.layers[:5])
    assert layer_of(graph, Softmax).source == "probabilities"


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_float_mobilenet_v2(batch_norm: bool) -> None:
    graph = check(mobilenet_v2(batch_norm))
    block = [Conv2D, DepthwiseConv2D, Conv2D]
    assert kinds(graph) == [Conv2D, *block, Add, *block, Conv2D, AveragePool2D, Reshape, Dense]
    assert layer_of(graph, Add).inputs == ("conv_1", "pointwise_2")


@pytest.mark.parametrize("model", [mobilenet_v1, mobilenet_v2])
def test_a_network_quantised_by_onnx_runtime(model: Callable[..., bytes]) -> None:
    from mbgen.quantize import quantize

    samples = np.random.default_rng(1).normal(0, 1, (4, 12, 12, 3)).astype(np.float32)
    graph = check(quantize(model(), samples))
    assert graph.numerics is Numerics.QDQ
    assert graph.tensors["input"].dtype == "int8"
    weights = graph.tensors["conv_1.weights"]
    assert weights.dtype == "int8"
    assert weights.quantization is not None
    assert weights.quantization.axis == 0
    assert graph.tensors["conv_1.bias"].dtype == "int32"


def test_the_built_in_network_comes_back_as_it_was() -> None:
    from mbgen.mobilenet import MobileNetV1, build, random_weights
    from mbgen.onnx_export import to_onnx

    net = MobileNetV1(0.25, 32, classes=10)
    built = build(net, random_weights(net))
    graph = check(to_onnx(built))
    assert kinds(graph) == kinds(built)
    assert [layer.source for layer in graph.layers] == [layer.output for layer in built.layers]
    for name, tensor in graph.tensors.items():
        assert (tensor.shape, tensor.dtype) == (built.tensors[name].shape, built.tensors[name].dtype)
        if tensor.data is not None:
            np.testing.assert_array_equal(tensor.data, built.constant(name))


def test_importing_twice_gives_the_same_graph() -> None:
    first, second = (import_onnx(mobilenet_v2(True), "net.onnx") for _ in range(2))
    assert first.layers == second.layers
    assert list(first.tensors) == list(second.tensors)


# --- layouts and shapes --------------------------------------------------------------------------------------------


def test_an_image_that_is_turned_to_nchw_first_stays_nhwc() -> None:
    net = OnnxBuilder([1, 7, 6, 3])
    x = net.node("Transpose", ["image"], perm=[0, 3, 1, 2])
    x = net.node("Relu", [net.conv(x, [4, 3, 3, 3], pads=[1, 1, 1, 1])])
    x = net.node("Transpose", [x], perm=[0, 2, 3, 1])
    x = net.node("ReduceMean", [x], axes=[1, 2], keepdims=0)
    matrix = net.constant(net.rng.normal(size=(4, 5)))
    x = net.node("Add", [net.node("MatMul", [x, matrix]), net.constant(net.rng.normal(size=5))])
    graph = check(net.build(x), channels_last=True)
    assert graph.tensors["input"].shape == (1, 7, 6, 3)
    assert kinds(graph) == [Conv2D, AveragePool2D, Reshape, Dense]


def test_a_quantised_image_that_is_turned_round_stays_nhwc() -> None:
    net = OnnxBuilder([1, 7, 6, 3])
    x = net.node("Transpose", [net.qdq("image", 0.02, 3)], perm=[0, 3, 1, 2])
    x = net.qdq(net.quantized_conv(x, [4, 3, 3, 3], 0.02), 0.05, -7)
    graph = check(net.build(x), channels_last=True)
    assert kinds(graph) == [Quantize, Conv2D, Dequantize]


def test_dense_weights_follow_a_flattened_map_from_chw_to_hwc() -> None:
    net = OnnxBuilder([1, 3, 6, 8])
    x = net.clip(net.conv("image", [4, 3, 3, 3], strides=[2, 2]), 0, 6)
    graph = check(net.build(net.gemm(net.node("Flatten", [x]), 4 * 2 * 3, 5)))
    assert kinds(graph) == [Conv2D, Reshape, Dense]
    assert graph.layers[1].source == ""  # the file's flattened value has another order


def test_quantised_dense_weights_follow_a_flattened_map_too() -> None:
    net = OnnxBuilder([1, 3, 6, 8])
    x = net.qdq(net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02, strides=[2, 2]), 0.05, -7)
    x = net.qdq(net.node("Flatten", [x]), 0.05, -7)
    weights = net.constant(net.rng.integers(-127, 128, (24, 5)), "int8")
    scales = net.rng.uniform(0.005, 0.01, 5)
    x = net.node("MatMul", [x, net.dequantize(weights, scales, np.zeros(5), axis=1)])
    graph = check(net.build(net.qdq(x, 0.4, 5)))
    assert kinds(graph) == [Quantize, Conv2D, Reshape, Dense, Dequantize]


def test_a_reshape_whose_shape_is_computed_from_the_batch() -> None:
    net = OnnxBuilder(["N", 3, 6, 6])
    x = net.node("GlobalAveragePool", [net.conv("image", [4, 3, 3, 3])])
    batch = net.node("Gather", [net.node("Shape", [x]), net.constant(0, "int64")], axis=0)
    batch = net.node("Unsqueeze", [batch, net.constant([0], "int64")])
    shape = net.node("Concat", [batch, net.constant([-1], "int64")], axis=0)
    graph = check(net.build(net.gemm(net.node("Reshape", [x, shape]), 4, 5)))
    assert kinds(graph) == [Conv2D, AveragePool2D, Reshape, Dense]


def test_shape_operators_in_a_row_become_one_reshape() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("GlobalAveragePool", [net.conv("image", [4, 3, 3, 3])])
    x = net.node("Squeeze", [x, net.constant([2, 3], "int64")])
    x = net.node("Unsqueeze", [x, net.constant([1], "int64")])
    x = net.node("Reshape", [x, net.constant([1, -1], "int64")], "flat")
    graph = check(net.build(net.gemm(x, 4, 5)))
    assert kinds(graph) == [Conv2D, AveragePool2D, Reshape, Dense]
    assert graph.layers[2].source == "flat"


def test_a_vector_made_an_image_again() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Flatten", [net.node("GlobalAveragePool", [net.conv("image", [4, 3, 3, 3])])])
    x = net.node("Reshape", [x, net.constant([1, 4, 1, 1], "int64")])
    graph = check(net.build(net.conv(x, [5, 4, 1, 1])))
    assert kinds(graph) == [Conv2D, AveragePool2D, Conv2D]


def test_a_vector_made_an_nhwc_image_that_is_turned_to_nchw() -> None:
    net = OnnxBuilder([1, 6, 6, 3])
    x = net.conv(net.node("Transpose", ["image"], perm=[0, 3, 1, 2]), [4, 3, 3, 3])
    x = net.node("Squeeze", [net.node("GlobalAveragePool", [x]), net.constant([2, 3], "int64")])
    x = net.node("Reshape", [x, net.constant([1, 1, 1, 4], "int64")])
    x = net.conv(net.node("Transpose", [x], perm=[0, 3, 1, 2]), [5, 4, 1, 1])
    graph = check(net.build(net.node("Flatten", [x])), channels_last=True)
    assert kinds(graph) == [Conv2D, AveragePool2D, Conv2D, Reshape]


# --- single operators ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_becomes_explicit(mode: str) -> None:
    net = OnnxBuilder([1, 3, 9, 8])
    x = net.conv("image", [4, 3, 3, 3], strides=[2, 2], auto_pad=mode)
    x = net.conv(x, [4, 1, 3, 2], group=4, auto_pad=mode)
    check(net.build(net.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 1], auto_pad=mode)))


def test_asymmetric_padding_keeps_its_sides() -> None:
    net = OnnxBuilder([1, 3, 9, 8])
    graph = check(net.build(net.conv("image", [4, 3, 3, 3], pads=[0, 1, 2, 3])))
    assert layer_of(graph, Conv2D).padding == Padding(top=0, bottom=2, left=1, right=3)


def test_depthwise_with_a_multiplier() -> None:
    net = OnnxBuilder([1, 3, 9, 8])
    graph = check(net.build(net.conv("image", [6, 1, 3, 3], group=3)))
    assert graph.tensors["depthwise_1.weights"].shape == (3, 3, 6)


@pytest.mark.parametrize("opset", [10, 17])
def test_clip_bounds_as_attributes_and_as_inputs(opset: int) -> None:
    net = OnnxBuilder([1, 3, 6, 6], opset=opset)
    x = net.conv("image", [4, 3, 3, 3])
    x = net.node("Clip", [x], min=-0.5, max=0.75) if opset < 11 else net.clip(x, -0.5, 0.75)
    assert layer_of(check(net.build(x)), Conv2D).clamp == Clamp(-0.5, 0.75)


def test_a_clip_open_at_one_side_and_clips_in_a_row() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Clip", [net.conv("image", [4, 3, 3, 3]), net.constant(-1)])
    x = net.node("Clip", [x, "", net.constant(2)])
    assert layer_of(check(net.build(net.node("Relu", [x]))), Conv2D).clamp == Clamp(0, 2)


def test_a_clip_without_bounds_is_nothing() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    graph = check(net.build(net.node("Clip", [net.conv("image", [4, 3, 3, 3])])))
    assert layer_of(graph, Conv2D).clamp == NO_CLAMP


def test_a_clip_that_no_layer_can_take_in() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.conv("image", [4, 3, 3, 3])
    graph = check(net.build(net.node("Add", [x, net.node("Relu", [x])])))
    assert kinds(graph) == [Conv2D, Clip, Add]
    assert layer_of(graph, Conv2D).clamp == NO_CLAMP


@pytest.mark.parametrize("opset", [10, 13, 18])
def test_pad_in_its_three_forms(opset: int) -> None:
    net = OnnxBuilder([1, 3, 6, 6], opset=opset)
    widths = [0, 0, 0, 1, 0, 0, 1, 2]
    if opset == 10:
        x = net.node("Pad", ["image"], pads=widths)
    elif opset == 13:
        x = net.node("Pad", ["image", net.constant(widths, "int64"), net.constant(0)])
    else:
        x = net.node("Pad", ["image", net.constant([0, 1, 1, 2], "int64"), "", net.constant([2, -1], "int64")])
    graph = check(net.build(net.conv(x, [4, 3, 3, 3], strides=[2, 2])))
    assert layer_of(graph, Pad).padding == Padding(top=0, bottom=1, left=1, right=2)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [13, 18])
def test_mean_over_height_and_width(opset: int, keepdims: int) -> None:
    net = OnnxBuilder([1, 3, 6, 5], opset=opset)
    x = net.conv("image", [4, 3, 3, 3])
    if opset == 13:
        x = net.node("ReduceMean", [x], axes=[2, 3], keepdims=keepdims)
    else:
        x = net.node("ReduceMean", [x, net.constant([-2, -1], "int64")], keepdims=keepdims)
    graph = check(net.build(x))
    assert kinds(graph) == [Conv2D, AveragePool2D] + [Reshape] * (1 - keepdims)
    assert layer_of(graph, AveragePool2D).kernel == (4, 3)


def test_average_pool_with_padding_not_counted() -> None:
    net = OnnxBuilder([1, 3, 7, 6])
    x = net.node("AveragePool", ["image"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1])
    check(net.build(net.node("Relu", [x])))


def test_what_means_nothing_at_inference_leaves_no_layer() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Identity", [net.conv("image", [4, 3, 3, 3])])
    x = net.node("Dropout", [x, net.constant(0.5), net.constant(False, "bool")])
    assert kinds(check(net.build(net.node("Sigmoid", [x])))) == [Conv2D, Logistic]


def test_constant_nodes_serve_as_initialisers() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    low = net.node("Constant", [], value_float=-0.25)
    high = net.node("Constant", [], value=onnx.numpy_helper.from_array(np.array(0.5, np.float32)))
    x = net.node("Clip", [net.conv("image", [4, 3, 3, 3]), low, high])
    assert layer_of(check(net.build(x)), Conv2D).clamp == Clamp(-0.25, 0.5)


def test_batch_norm_after_a_dense_layer() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Flatten", [net.node("GlobalAveragePool", ["image"])])
    assert kinds(check(net.build(net.batch_norm(net.gemm(x, 3, 5), 5)))) == [AveragePool2D, Reshape, Dense]


def test_softmax_over_channels_of_an_nchw_map() -> None:
    net = OnnxBuilder([1, 3, 4, 4])
    check(net.build(net.node("Softmax", [net.conv("image", [5, 3, 1, 1])], axis=1)))


def test_concatenated_channels() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    branches = [net.conv("image", [n, 3, 1, 1]) for n in (4, 5)]
    graph = check(net.build(net.node("Concat", [*branches, "image"], axis=1)))
    assert layer_of(graph, Concat).axis == 3


def test_one_initialiser_may_serve_two_layers() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    weights = net.constant(net.rng.normal(size=(3, 3, 1, 1)))
    x = net.node("Conv", [net.node("Conv", ["image", weights]), weights])
    graph = check(net.build(x))
    np.testing.assert_array_equal(graph.constant("pointwise_1.weights"), graph.constant("pointwise_2.weights"))


def test_nodes_that_the_output_does_not_need_are_left_out() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.conv("image", [4, 3, 3, 3])
    net.node("MaxPool", [x], kernel_shape=[2, 2])
    assert kinds(check(net.build(x))) == [Conv2D]


# --- QDQ -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_activations_of_both_byte_types(dtype: str) -> None:
    zero = 0 if dtype == "int8" else 128
    net = OnnxBuilder([1, 3, 9, 9])
    x = net.qdq("image", 0.02, zero - 3, dtype)
    x = net.qdq(net.node("Relu", [net.quantized_conv(x, [4, 3, 3, 3], 0.02)]), 0.03, zero - 20, dtype)
    x = net.qdq(net.quantized_conv(x, [4, 1, 3, 3], 0.03, group=4, strides=[2, 2]), 0.04, zero + 9, dtype)
    x = net.qdq(net.node("GlobalAveragePool", [x]), 0.01, zero + 4, dtype)
    graph = check(net.build(x))
    assert kinds(graph) == [Quantize, Conv2D, DepthwiseConv2D, AveragePool2D, Dequantize]
    assert layer_of(graph, Conv2D).clamp == Clamp(zero - 20, zero + 127)


def test_a_clamp_that_the_quantisation_makes_anyway_is_none() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02)
    graph = check(net.build(net.qdq(net.clip(x, 0, 6), 6 / 255, -128)))
    assert layer_of(graph, Conv2D).clamp == NO_CLAMP


def test_a_clamp_between_two_equal_quantisations_goes_into_the_layer_before() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq(net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02), 0.05, -7)
    graph = check(net.build(net.qdq(net.clip(x, 0, 2.12), 0.05, -7, name="clipped")))
    assert kinds(graph) == [Quantize, Conv2D, Dequantize]
    assert layer_of(graph, Conv2D).clamp == Clamp(-7, 35)
    assert layer_of(graph, Conv2D).source == "clipped"


def test_a_clamp_between_two_quantisations_is_a_requantisation_and_a_clip() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq(net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02), 0.05, -7)
    graph = check(net.build(net.qdq(net.node("Relu", [x]), 0.03, 11, name="clipped")))
    assert kinds(graph) == [Quantize, Conv2D, Requantize, Clip, Dequantize]
    assert layer_of(graph, Clip).source == "clipped"


def test_a_clamp_on_integers_that_others_read_is_a_layer() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq(net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02), 0.05, -7)
    y = net.qdq(net.node("Relu", [x]), 0.05, -7)
    graph = check(net.build(net.qdq(net.node("Add", [x, y]), 0.08, -5)))
    assert kinds(graph) == [Quantize, Conv2D, Clip, Add, Dequantize]


def test_a_residual_addition_with_a_clamp() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq("image", 0.02, 0)
    y = net.qdq(net.quantized_conv(x, [3, 3, 1, 1], 0.02), 0.03, 4)
    graph = check(net.build(net.qdq(net.clip(net.node("Add", [x, y]), 0, 2), 0.04, -10)))
    assert layer_of(graph, Add).clamp == Clamp(-10, 40)


def test_concatenation_brings_its_inputs_to_one_scale() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq("image", 0.02, 0)
    y = net.qdq(net.quantized_conv(x, [4, 3, 1, 1], 0.02), 0.03, 4)
    graph = check(net.build(net.qdq(net.node("Concat", [x, y], axis=1), 0.03, 4)))
    assert kinds(graph) == [Quantize, Conv2D, Requantize, Concat, Dequantize]


def test_concatenation_of_one_scale_to_another() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq("image", 0.02, 0)
    graph = check(net.build(net.qdq(net.node("Concat", [x, x], axis=1), 0.03, 4)))
    assert kinds(graph) == [Quantize, Concat, Requantize, Dequantize]


def test_padding_of_integers_uses_the_zero_point() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Pad", [net.qdq("image", 0.02, 17), net.constant([0, 0, 0, 0, 0, 0, 1, 1], "int64")])
    graph = check(net.build(net.quantize(x, 0.02, 17), "int8"))
    assert kinds(graph) == [Quantize, Pad]


def test_weights_that_the_file_keeps_in_float32() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    weights = net.constant(net.rng.normal(0, 0.3, (4, 3, 3, 3)))
    scales, points = net.constant([0.01, 0.02, 0.003, 0.004]), net.constant([0, 0, 0, 0], "int8")
    weights = net.node("QuantizeLinear", [weights, scales, points], axis=0)
    weights = net.node("DequantizeLinear", [weights, scales, points], axis=0)
    x = net.node("Conv", [net.qdq("image", 0.02, 0), weights])
    graph = check(net.build(net.qdq(x, 0.05, -7)))
    assert graph.tensors["conv_1.weights"].dtype == "int8"
    assert layer_of(graph, Conv2D).bias is None


def test_integer_input_and_output() -> None:
    net = OnnxBuilder([1, 3, 6, 6], dtype="uint8")
    x = net.quantized_conv(net.dequantize("image", 0.02, 130, "uint8"), [4, 3, 3, 3], 0.02)
    graph = check(net.build(net.quantize(x, 0.05, 90, "uint8", "result"), "uint8"))
    assert kinds(graph) == [Conv2D]
    assert (graph.tensors["input"].dtype, graph.layers[0].source) == ("uint8", "result")


def test_a_float_layer_behind_integers() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq(net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02), 0.05, -7)
    graph = check(net.build(net.node("Softmax", [net.node("Flatten", [net.node("GlobalAveragePool", [x])])])))
    assert kinds(graph) == [Quantize, Conv2D, Dequantize, AveragePool2D, Reshape, Softmax]


def test_a_value_read_as_integers_and_as_real_numbers() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.qdq("image", 0.02, 0)
    y = net.qdq(net.quantized_conv(x, [3, 3, 1, 1], 0.02), 0.03, 4)
    graph = check(net.build(net.node("Add", [x, y])))
    assert kinds(graph) == [Quantize, Conv2D, Dequantize, Dequantize, Add]


# --- what is refused -----------------------------------------------------------------------------------------------


def refused(net: OnnxBuilder, output: str, dtype: str = "float32") -> str:
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(net.build(output, dtype), "net.onnx")
    return str(caught.value)


def test_a_convolution_in_groups_is_refused() -> None:
    net = OnnxBuilder([1, 4, 6, 6])
    assert refused(net, net.conv("image", [4, 2, 3, 3], "grouped", bias=False, group=2)) == (
        "net.onnx: node 'grouped' (Conv, output 'grouped'): it is a convolution in 2 groups of 4 channels; "
        "mbgen compiles standard (1 group) and depthwise (one group a channel) convolutions"
    )


def test_batch_norm_without_a_layer_before_it_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.conv(net.batch_norm("image", 3), [4, 3, 3, 3])) == (
        "net.onnx: node 'batchnormalization_0' (BatchNormalization, output 'batchnormalization_0'): "
        "it does not follow a convolution or dense layer of its own; "
        "mbgen folds batch normalisation into the layer just before it"
    )


def test_batch_norm_behind_a_clamp_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.batch_norm(net.node("Relu", [net.conv("image", [4, 3, 3, 3])]), 4)
    assert "it does not follow a convolution or dense layer of its own" in refused(net, x)


def test_batch_norm_on_quantised_weights_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.batch_norm(net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02), 4)
    assert "it follows quantised weights; fold batch normalisation before quantising the model" in refused(net, x)


def test_damaged_statistics_name_the_node() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.batch_norm(net.conv("image", [2, 3, 3, 3]), 2)
    net.constants[-1].CopyFrom(onnx.numpy_helper.from_array(np.array([1, -2], np.float32), net.constants[-1].name))
    with pytest.raises(InputError, match=r"net.onnx: node 'batchnormalization_1' \(BatchNormalization.*variance"):
        import_onnx(net.build(x), "net.onnx")


@pytest.mark.parametrize("role", ["weights", "bias"])
def test_weights_that_are_not_finite_are_refused(role: str) -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.conv("image", [2, 3, 1, 1], "first")
    broken = net.constants[0 if role == "weights" else 1]
    values = onnx.numpy_helper.to_array(broken).copy()
    values.flat[1] = np.nan
    broken.CopyFrom(onnx.numpy_helper.from_array(values, broken.name))
    with pytest.raises(InputError) as caught:
        import_onnx(net.build(x), "net.onnx")
    assert str(caught.value) == (
        f"net.onnx: node 'first' (Conv, output 'first'): its {role} hold NaN or infinity; "
        "the file is damaged or the training diverged"
    )


def test_batch_norm_parameters_that_are_not_finite_name_the_node() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.batch_norm(net.conv("image", [2, 3, 3, 3]), 2)
    net.constants[2].CopyFrom(onnx.numpy_helper.from_array(np.array([1, np.inf], np.float32), net.constants[2].name))
    with pytest.raises(InputError) as caught:
        import_onnx(net.build(x), "net.onnx")
    assert str(caught.value) == (
        "net.onnx: node 'batchnormalization_1' (BatchNormalization, output 'batchnormalization_1'): "
        "its constants hold NaN or infinity; the file is damaged or the training diverged"
    )


def test_float_weights_with_a_quantised_result_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], "conv", bias=False)
    assert refused(net, net.qdq(x, 0.05, 0)) == (
        "net.onnx: node 'conv' (Conv, output 'conv'): its output is int8 but its weights are float32; "
        "quantise the weights too"
    )


def test_integers_concatenated_with_real_numbers_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6], "int8")
    x = net.node("Concat", ["image", net.node("Identity", ["image"])], "joined", axis=1)
    y = net.node("Concat", [x, net.quantize(net.dequantize("image", 0.1, 0), 0.2, 0)], "both", axis=1)
    with pytest.raises(InputError, match=r"^net.onnx: the model contradicts itself: concat_1: "):
        import_onnx(net.build(y, "int8"), "net.onnx")


def test_training_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Dropout", ["image", net.constant(0.5), net.constant(True, "bool")], "dropped")
    assert refused(net, net.node("Relu", [x])) == (
        "net.onnx: node 'dropped' (Dropout, output 'dropped'): it drops values as in training; "
        "export the model for inference"
    )


def test_bounds_that_are_no_number_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.node("Clip", ["image", net.constant(np.nan)], "clipped")) == (
        "net.onnx: node 'clipped' (Clip, output 'clipped'): its lower bound is not one number; "
        "export the model with a constant lower bound"
    )


def test_computed_bounds_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    low = net.node(
        "Reshape", [net.node("GlobalAveragePool", [net.conv("image", [1, 3, 1, 1])]), net.constant([], "int64")]
    )
    assert refused(net, net.node("Clip", ["image", low], "clipped")) == (
        "net.onnx: node 'clipped' (Clip, output 'clipped'): its lower bound is computed, not constant; "
        "export the model with a constant lower bound"
    )


def test_negative_padding_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Pad", ["image", net.constant([0, 0, -1, 0, 0, 0, 0, 0], "int64")], "pad")
    assert refused(net, x) == (
        "net.onnx: node 'pad' (Pad, output 'pad'): its paddings are [0, 0, -1, 0, 0, 0, 0, 0]; "
        "mbgen compiles paddings from 0 to 32768"
    )


def test_two_computed_factors_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.node("MatMul", ["image", "image"], "product")) == (
        "net.onnx: node 'product' (MatMul, output 'product'): its second factor is computed, not constant; "
        "export the model with a constant second factor"
    )


def test_a_product_of_maps_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.node("MatMul", ["image", net.constant(np.ones((6, 6)))], "product")) == (
        "net.onnx: node 'product' (MatMul, output 'product'): it multiplies [1, 6, 6, 3] by [6, 6]; "
        "mbgen compiles the product of one vector with a constant matrix"
    )


def test_work_on_constants_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Add", ["image", net.node("Relu", [net.constant(np.ones((1, 3, 6, 6)))], "fixed")])
    assert refused(net, x) == (
        "net.onnx: node 'fixed' (Relu, output 'fixed'): it works on a constant; "
        "fold the constant in the model, for example with onnxsim"
    )


def test_activations_quantised_per_channel_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    scales, points = net.constant([0.1, 0.2, 0.3]), net.constant([0, 0, 0], "int8")
    x = net.node("QuantizeLinear", ["image", scales, points], "channels", axis=1)
    assert refused(net, x, "int8") == (
        "net.onnx: node 'channels' (QuantizeLinear, output 'channels'): it quantises an activation per channel; "
        "quantise activations per tensor"
    )


def test_a_scale_that_cannot_be_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.quantize("image", 0.0, 0, name="quantised"), "int8") == (
        "net.onnx: node 'quantised' (QuantizeLinear, output 'quantised'): "
        "a quantisation scale is not a positive finite number; the file is damaged"
    )


def test_means_over_other_axes_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.node("ReduceMean", ["image"], "mean", axes=[1])) == (
        "net.onnx: node 'mean' (ReduceMean, output 'mean'): it averages over other axes than height and width; "
        "mbgen compiles global pooling"
    )


def test_softmax_over_rows_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.node("Softmax", ["image"], "classes", axis=2)) == (
        "net.onnx: node 'classes' (Softmax, output 'classes'): it does not run over the channels; "
        "apply softmax over the classes"
    )


def test_concatenation_of_two_layouts_is_refused() -> None:
    net = OnnxBuilder([1, 6, 6, 6])
    x = net.node("Concat", ["image", net.node("Transpose", ["image"], perm=[0, 2, 3, 1])], "both", axis=1)
    assert refused(net, x) == (
        "net.onnx: node 'both' (Concat, output 'both'): its inputs lie in different layouts; transpose them alike"
    )


def test_a_constant_added_elsewhere_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.node("Add", ["image", net.constant(np.ones((3, 1, 1)))], "shift")) == (
        "net.onnx: node 'shift' (Add, output 'shift'): it adds a constant of shape [3, 1, 1]; "
        "mbgen takes a constant in as the bias of the convolution or dense layer just before it only"
    )


def test_an_addition_that_broadcasts_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Add", ["image", net.node("GlobalAveragePool", ["image"])], "sum")
    assert refused(net, x) == (
        "net.onnx: node 'sum' (Add, output 'sum'): it adds [1, 6, 6, 3] to [1, 1, 1, 3]; "
        "mbgen adds activations of one shape only"
    )


def test_quantised_weights_with_a_float_result_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.02, name="conv")
    assert refused(net, x) == (
        "net.onnx: node 'conv' (Conv, output 'conv'): its weights are int8 but it computes in float32; "
        "quantise its input and output too, or keep the weights in float32"
    )


def test_a_float_bias_among_integers_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    weights = net.dequantize(net.constant(np.ones((1, 3, 1, 1)), "int8"), 0.1, 0)
    x = net.node("Conv", [net.qdq("image", 0.02, 0), weights, net.constant([0.5])], "conv")
    assert refused(net, net.qdq(x, 0.05, 0)) == (
        "net.onnx: node 'conv' (Conv, output 'conv'): its bias is float32 without quantisation; "
        "quantise the bias to int32 with the scale of input times weights and zero point 0"
    )


def test_a_bias_of_another_scale_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.quantized_conv(net.qdq("image", 0.02, 0), [4, 3, 3, 3], 0.021, name="conv")
    assert refused(net, net.qdq(x, 0.05, 0)) == (
        "net.onnx: node 'conv' (Conv, output 'conv'): its bias has another scale than input scale times weight scale; "
        "quantise the bias with that product"
    )


def test_a_flattened_map_that_no_dense_layer_reads_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("Flatten", [net.conv("image", [4, 3, 3, 3])])
    assert refused(net, net.node("Softmax", [x], "classes")) == (
        "net.onnx: node 'classes' (Softmax, output 'classes'): "
        "it reads a map of 4 channels, 4 rows and 4 columns flattened in that order; "
        "pool the map to 1x1 first, or flatten it only before a dense layer"
    )


def test_a_reshape_that_mixes_axes_is_refused() -> None:
    net = OnnxBuilder([1, 4, 6, 6])
    assert refused(net, net.node("Reshape", ["image", net.constant([1, 2, 2, 36], "int64")], "shuffle")) == (
        "net.onnx: node 'shuffle' (Reshape, output 'shuffle'): it reshapes [1, 4, 6, 6] to [1, 2, 2, 36], "
        "which mixes channels with rows and columns; mbgen flattens a map only before a dense layer"
    )


def test_a_transpose_in_the_middle_is_refused() -> None:
    net = OnnxBuilder([1, 4, 6, 6])
    x = net.node("Transpose", [net.conv("image", [6, 4, 1, 1])], perm=[0, 2, 1, 3])
    assert refused(net, net.conv(x, [4, 6, 1, 1], "second")) == (
        "net.onnx: node 'second' (Conv, output 'second'): "
        "it reads its input as NCHW after a transpose that cannot be removed; remove the transpose"
    )


def test_counted_padding_is_refused() -> None:
    net = OnnxBuilder([1, 4, 6, 6])
    attributes: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    assert refused(net, net.node("AveragePool", ["image"], "pool", **attributes)) == (
        "net.onnx: node 'pool' (AveragePool, output 'pool'): it counts padded places; export with count_include_pad = 0"
    )


def test_padding_with_other_values_is_refused() -> None:
    net = OnnxBuilder([1, 4, 6, 6])
    x = net.node("Pad", ["image", net.constant([0, 0, 1, 1, 0, 0, 1, 1], "int64")], "pad", mode="reflect")
    assert refused(net, x) == (
        "net.onnx: node 'pad' (Pad, output 'pad'): it pads by [0, 0, 0, 0, 1, 1, 1, 1] with 0 (mode reflect); "
        "mbgen compiles padding of height and width with zeros"
    )


def test_a_result_beyond_all_memory_is_refused() -> None:
    net = OnnxBuilder([1, 4, 6, 6])
    x = net.node("Pad", ["image", net.constant([0, 0, 30000, 30000, 0, 0, 0, 0], "int64")], "pad")
    assert refused(net, x) == (
        "net.onnx: node 'pad' (Pad, output 'pad'): the shape [1, 4, 30006, 30006] is empty or beyond 2,147,483,648 "
        "elements; the file is damaged or the resolution absurd"
    )


def test_sixteen_bit_activations_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6], opset=21)
    x = net.node("QuantizeLinear", ["image", net.constant(0.1)], "quantise", output_dtype=onnx.TensorProto.INT16)
    x = net.node("DequantizeLinear", [x, net.constant(0.1)])
    assert refused(net, x) == (
        "net.onnx: node 'quantise' (QuantizeLinear, output 'quantise'): it is quantised to int16; "
        "quantise activations and weights to int8 or uint8"
    )


def test_integers_read_with_another_scale_are_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.dequantize(net.quantize("image", 0.02, 0), 0.03, 0)
    assert "it reads integers with another scale or zero point than they were written with" in refused(net, x)


def test_what_tvm_refuses_names_the_node() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.conv("image", [4, 2, 3, 3], "conv")
    with pytest.raises(InputError, match=r"^net.onnx: node 'conv' \(Conv, output 'conv'\): TVM cannot import it \("):
        import_onnx(net.build(x), "net.onnx")


def test_a_network_of_nothing_is_refused() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    assert refused(net, net.node("Identity", ["image"])) == (
        "net.onnx: no layer lies between the input and the output; there is nothing to compile"
    )
