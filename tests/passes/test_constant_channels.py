"""Constant channels: what goes into which bias, and where it may not."""

from __future__ import annotations

import numpy as np
import pytest

from mbgen.graph import (
    NO_PADDING,
    Add,
    Clamp,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Numerics,
    Padding,
    Quantization,
    Reshape,
    WeightedLayer,
)
from mbgen.passes.constant_channels import fold_constant_channels
from mbgen.passes.edit import bias_of, weights_of
from tests.passes.networks import Builder
from tests.support.layers import per_tensor

BORDER = Padding(1, 1, 1, 1)


def two_channels(value: int, zero_point: int = -128, numerics: Numerics = Numerics.TFLITE) -> Builder:
    """`conv_1` with a channel that depends on the input and one that is `value` everywhere."""
    net = Builder((1, 3, 3, 1), numerics)
    weights = np.array([64, 0]).reshape(2, 1, 1, 1)
    bias = np.array([0, value - zero_point])
    net.weighted(Conv2D, "input", weights, bias, quantization=per_tensor(1 / 8, zero_point))
    return net


def last(graph: Graph) -> WeightedLayer:
    layer = graph.layers[-1]
    assert isinstance(layer, WeightedLayer)
    return layer


def folded(net: Builder) -> tuple[object, list[int]]:
    """Weights less their zero point, and bias, of the last layer after the rewrite."""
    graph = fold_constant_channels(net.graph())
    return weights_of(last(graph), graph).squeeze().tolist(), bias_of(last(graph), graph).tolist()


@pytest.mark.parametrize("numerics", [Numerics.TFLITE, Numerics.QDQ])
def test_a_pointwise_layer_takes_a_constant_into_its_bias(numerics: Numerics) -> None:
    net = two_channels(40, numerics=numerics)
    net.weighted(Conv2D, "conv_1", np.array([[3, 5], [7, -11]]).reshape(2, 1, 1, 2), np.array([100, 200]))
    assert folded(net) == ([[3, 0], [7, 0]], [100 + 168 * 5, 200 - 168 * 11])


def test_a_layer_without_a_bias_gets_one() -> None:
    net = two_channels(40)
    net.weighted(Conv2D, "conv_1", np.array([3, 5]).reshape(1, 1, 1, 2))
    assert folded(net) == ([3, 0], [168 * 5])


def test_a_dense_layer_behind_a_flattened_image() -> None:
    net = two_channels(-100)
    net.layer(Reshape, "conv_1", shape=(1, 18))
    net.weighted(Dense, "reshape_1", np.arange(1, 19).reshape(1, 18), np.array([1]))
    odd = list(range(1, 19, 2))
    assert folded(net) == ([value for one in odd for value in (one, 0)], [1 + 28 * sum(range(2, 19, 2))])


def test_weights_with_a_zero_point_are_set_to_it() -> None:
    net = Builder((1, 1, 1, 1), dtype="uint8", zero_point=128)
    quantization = Quantization((0.25,), (10,))
    for weights in ([[74], [10]], [[13, 15]]):
        stored = np.array(weights, np.uint8).reshape(len(weights), 1, 1, -1)
        net.weighted(Conv2D, net.layers[-1].output if net.layers else "input", stored, weight_quantization=quantization)
    graph = fold_constant_channels(net.graph())
    assert graph.constant("conv_2.weights").ravel().tolist() == [13, 10]
    assert last(graph).bias is None


@pytest.mark.parametrize(
    ("value", "padding", "is_folded"),
    [(40, NO_PADDING, True), (40, BORDER, False), (-128, NO_PADDING, True), (-128, BORDER, True)],
)
def test_a_padded_window_loses_part_of_a_constant_that_is_not_zero(
    value: int, padding: Padding, is_folded: bool
) -> None:
    net = two_channels(value)
    net.weighted(Conv2D, "conv_1", np.full((1, 3, 3, 2), 2), np.array([7]), padding=padding)
    graph = net.graph()
    if not is_folded:
        assert fold_constant_channels(graph) is graph
        return
    weights, bias = folded(net)
    assert np.array(weights)[..., 1].tolist() == [[0] * 3] * 3
    assert bias == [7 + 9 * 2 * (value + 128)]


def test_padding_that_no_window_reaches_does_not_matter() -> None:
    net = two_channels(40)
    # rows and columns 0 and 1 of 3: a fourth, padded, would start the next window
    weights, padding = np.full((1, 2, 2, 2), 2), Padding(bottom=1, right=1)
    net.weighted(Conv2D, "conv_1", weights, np.array([7]), stride=(3, 3), padding=padding)
    assert folded(net)[1] == [7 + 4 * 2 * 168]


def test_constants_pass_through_layers_that_work_channel_by_channel() -> None:
    net = two_channels(-128)
    weights, bias = np.ones((3, 3, 2)), np.array([0, 64])
    net.weighted(DepthwiseConv2D, "conv_1", weights, bias, padding=BORDER, quantization=per_tensor(1 / 8, -128))
    net.layer(Add, "depthwise_1", "conv_1", quantization=per_tensor(1 / 8, -100))
    net.layer(Concat, "add_1", "add_1", axis=-1)
    net.weighted(Conv2D, "concat_1", np.array([1, 2, 3, 4]).reshape(1, 1, 1, 4))
    # depthwise_1: 64 / 4 = 16 above its zero point; add_1: the same above its own
    assert folded(net) == ([1, 0, 3, 0], [16 * (2 + 4)])


def test_saturated_channels_are_constant() -> None:
    net = Builder((1, 1, 1, 1))
    weights, bias = np.array([100, 100, 100]).reshape(3, 1, 1, 1), np.array([0, -20000, 20000])
    net.weighted(Conv2D, "input", weights, bias, clamp=Clamp(-128, 100), quantization=per_tensor(1 / 8, -128))
    net.weighted(Conv2D, "conv_1", np.array([1, 2, 3]).reshape(1, 1, 1, 3))
    assert folded(net) == ([1, 0, 0], [228 * 3])


def test_a_bias_near_the_end_of_int32_is_left_alone() -> None:
    net = two_channels(40)
    net.weighted(Conv2D, "conv_1", np.array([3, 5]).reshape(1, 1, 1, 2), np.array([2**31 - 1000]))
    graph = net.graph()
    assert fold_constant_channels(graph) is graph


def test_a_constant_zero_needs_no_bias() -> None:
    net = two_channels(-128)
    net.weighted(Conv2D, "conv_1", np.array([3, 5]).reshape(1, 1, 1, 2), np.array([2**31 - 1000]))
    assert folded(net) == ([3, 0], [2**31 - 1000])


def test_float_constants() -> None:
    net = Builder((1, 1, 1, 1), Numerics.FLOAT32, "float32")
    net.weighted(
        Conv2D, "input", np.array([1.0, 0.0, 0.0]).reshape(3, 1, 1, 1), np.array([0.0, 0.5, -1.0]), clamp=Clamp(0, 6)
    )
    net.weighted(Conv2D, "conv_1", np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3), np.array([0.25]))
    assert folded(net) == ([1.0, 0.0, 0.0], [1.25])


def test_nothing_to_fold_gives_the_graph_itself() -> None:
    net = Builder((1, 1, 1, 2))
    net.weighted(Conv2D, "input", np.ones((2, 1, 1, 2)))
    net.weighted(Conv2D, "conv_1", np.ones((2, 1, 1, 2)))
    graph = net.graph()
    assert fold_constant_channels(graph) is graph
