"""Equal channels are found by what they compute, and read as one where the weights can add."""

from __future__ import annotations

import numpy as np
import pytest

from mbgen.graph import (
    Add,
    AveragePool2D,
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
from mbgen.passes.duplicate_channels import equal_channels, merge_duplicate_channels
from mbgen.passes.edit import weights_of
from tests.passes.networks import Builder
from tests.support.layers import per_tensor


def pointwise(net: Builder, x: str, weights: list[list[int]], bias: list[int] | None = None, **fields: object) -> str:
    rows = np.array(weights).reshape(len(weights), 1, 1, -1)
    return net.weighted(Conv2D, x, rows, None if bias is None else np.array(bias), **fields)  # type: ignore[arg-type]


def twins(numerics: Numerics = Numerics.TFLITE) -> Builder:
    """`conv_1` with three channels of which the first and the last are equal."""
    net = Builder((1, 3, 3, 2), numerics)
    pointwise(net, "input", [[1, 2], [3, 4], [1, 2]], [5, 6, 5])
    return net


def numbers(net: Builder, name: str | None = None) -> list[int]:
    graph = net.graph()
    return list(equal_channels(graph)[name or graph.output].tolist())


def merged(net: Builder) -> list[int]:
    """The last layer's weights less their zero point, after the rewrite."""
    graph = merge_duplicate_channels(net.graph())
    layer = graph.layers[-1]
    assert isinstance(layer, WeightedLayer)
    return list(weights_of(layer, graph).ravel().tolist())


@pytest.mark.parametrize("numerics", [Numerics.TFLITE, Numerics.QDQ])
def test_equal_rows_are_read_as_one(numerics: Numerics) -> None:
    net = twins(numerics)
    assert numbers(net) == [0, 1, 0]
    pointwise(net, "conv_1", [[10, 20, 30], [40, 50, -60]])
    assert merged(net) == [40, 20, 0, -20, 50, 0]


@pytest.mark.parametrize(
    ("weights", "bias", "scales"),
    [([[1], [2]], [5, 5], (0.5, 0.5)), ([[1], [1]], [5, 6], (0.5, 0.5)), ([[1], [1]], [5, 5], (0.5, 0.25))],
)
def test_other_weights_biases_or_scales_are_other_channels(
    weights: list[list[int]], bias: list[int], scales: tuple[float, ...]
) -> None:
    net = Builder((1, 1, 1, 1))
    pointwise(net, "input", weights, bias, weight_quantization=Quantization(scales, (0, 0), 0))
    assert numbers(net) == [0, 1]


@pytest.mark.parametrize(("second", "expected"), [(27, [127, 0]), (28, [100, 28])])
def test_a_sum_that_does_not_fit_is_left(second: int, expected: list[int]) -> None:
    net = Builder((1, 1, 1, 1))
    pointwise(net, "input", [[1], [1]])
    pointwise(net, "conv_1", [[100, second]])
    assert merged(net) == expected


def test_minus_128_is_no_weight() -> None:
    net = Builder((1, 1, 1, 1))
    pointwise(net, "input", [[1], [1]])
    pointwise(net, "conv_1", [[-100, -28]])
    assert merged(net) == [-100, -28]


def test_sums_of_weights_with_a_zero_point() -> None:
    net = Builder((1, 1, 1, 1), dtype="uint8")
    quantization = Quantization((0.25,), (100,))
    weights = np.array([120, 120, 120], np.uint8).reshape(3, 1, 1, 1)
    net.weighted(Conv2D, "input", weights, weight_quantization=quantization)
    weights = np.array([150, 205, 101], np.uint8).reshape(1, 1, 1, 3)
    net.weighted(Conv2D, "conv_1", weights, weight_quantization=quantization)
    # 50 + 105 = 155 is stored as 255; one more does not fit
    assert merged(net) == [155, 0, 1]


def test_equal_through_a_depthwise_layer() -> None:
    net = twins()
    weights = np.moveaxis(np.array([[1] * 9, [2] * 9, [1] * 9]).reshape(3, 3, 3), 0, -1)
    net.weighted(DepthwiseConv2D, "conv_1", weights, np.array([7, 8, 7]), padding=Padding(1, 1, 1, 1))
    assert numbers(net) == [0, 1, 0]
    net.weighted(DepthwiseConv2D, "depthwise_1", weights + np.array([0, 0, 1]), np.array([7, 8, 7]))
    assert numbers(net) == [0, 1, 2]


def test_a_depth_multiplier_can_compute_the_same_twice() -> None:
    net = Builder((1, 2, 2, 2))
    net.weighted(DepthwiseConv2D, "input", np.array([3, 3, 3, 4]).reshape(1, 1, 4))
    assert numbers(net) == [0, 0, 2, 3]


def test_equal_because_weights_of_equal_channels_add_up() -> None:
    net = twins()
    pointwise(net, "conv_1", [[1, 5, 3], [4, 5, 0], [2, 5, 3]])
    assert numbers(net) == [0, 0, 2]


def test_equal_through_layers_without_weights() -> None:
    net = twins()
    net.layer(AveragePool2D, "conv_1", kernel=(3, 3))
    net.layer(Add, "pool_1", "pool_1", quantization=per_tensor(8.0, 0))
    net.layer(Concat, "add_1", "add_1", axis=-1)
    net.layer(Reshape, "concat_1", shape=(1, 6))
    assert numbers(net) == [0, 1, 0, 0, 1, 0]
    net.weighted(Dense, "reshape_1", np.array([[1, 2, 3, 4, 5, 6]]))
    assert merged(net) == [1 + 3 + 4 + 6, 2 + 5, 0, 0, 0, 0]


def test_an_addition_of_two_differs_where_one_does() -> None:
    net = twins()
    pointwise(net, "input", [[1, 2], [1, 2], [1, 2]])
    net.layer(Add, "conv_1", "conv_2", quantization=per_tensor(8.0, 0))
    assert numbers(net) == [0, 1, 0]
    pointwise(net, "input", [[1, 2], [1, 2], [1, 3]])
    net.layer(Add, "conv_1", "conv_3", quantization=per_tensor(8.0, 0))
    assert numbers(net) == [0, 1, 2]


def test_flattened_channels_are_not_compared() -> None:
    net = twins()
    net.layer(Reshape, "conv_1", shape=(1, 27))
    assert numbers(net) == list(range(27))


def test_float_networks_are_left_alone() -> None:
    net = Builder((1, 1, 1, 1), Numerics.FLOAT32, "float32")
    pointwise(net, "input", [[1], [1]])
    pointwise(net, "conv_1", [[1, 1]])
    graph: Graph = net.graph()
    assert merge_duplicate_channels(graph) is graph


def test_nothing_to_merge_gives_the_graph_itself() -> None:
    net = twins()
    pointwise(net, "conv_1", [[1, 2, 0]])
    graph = net.graph()
    assert merge_duplicate_channels(graph) is graph
