"""What is read stays, what is tied to it too, and nothing else."""

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
    Quantization,
    Reshape,
    Softmax,
)
from mbgen.passes.dead_channels import keep_channels, live_channels
from tests.passes.networks import Builder
from tests.support.layers import per_tensor


def live(net: Builder, multiple: int = 1) -> dict[str, list[int]]:
    """The live channels of each activation."""
    return {name: np.flatnonzero(channels).tolist() for name, channels in live_channels(net.graph(), multiple).items()}


def kept(net: Builder) -> Graph:
    graph = net.graph()
    return keep_channels(graph, live_channels(graph))


def pointwise(net: Builder, x: str, weights: list[list[int]], **fields: object) -> str:
    rows = np.array(weights)
    return net.weighted(Conv2D, x, rows.reshape(len(rows), 1, 1, -1), np.arange(len(rows)), **fields)  # type: ignore[arg-type]


def test_unread_channels_go_all_the_way_back() -> None:
    net = Builder((1, 3, 3, 1))
    pointwise(net, "input", [[1], [2], [3]])
    net.weighted(DepthwiseConv2D, "conv_1", np.arange(27).reshape(3, 3, 3) % 5, np.array([4, 5, 6]))
    pointwise(net, "depthwise_1", [[0, 7, 0], [0, 0, 8]])
    pointwise(net, "conv_2", [[0, 9]])
    assert live(net) == {"input": [0], "conv_1": [2], "depthwise_1": [2], "conv_2": [1], "conv_3": [0]}
    graph = kept(net)
    assert graph.constant("conv_1.weights").ravel().tolist() == [3]
    assert graph.constant("conv_1.bias").tolist() == [2]
    assert graph.constant("depthwise_1.weights").ravel().tolist() == (np.arange(27).reshape(9, 3) % 5)[:, 2].tolist()
    assert graph.constant("conv_2.weights").ravel().tolist() == [8]
    assert graph.tensors["conv_2"].shape == (1, 1, 1, 1)


def test_scales_of_channels_go_with_them() -> None:
    net = Builder((1, 3, 3, 1))
    quantization = Quantization((0.1, 0.2, 0.3), (0, 0, 0), 0)
    pointwise(net, "input", [[1], [2], [3]], weight_quantization=quantization)
    scales = Quantization((0.4, 0.5, 0.6), (0, 0, 0), 2)
    net.weighted(DepthwiseConv2D, "conv_1", np.ones((1, 1, 3)), weight_quantization=scales)
    pointwise(net, "depthwise_1", [[7, 0, 8]])
    graph = kept(net)
    assert graph.tensors["conv_1.weights"].quantization == Quantization((0.1, 0.3), (0, 0), 0)
    assert graph.tensors["depthwise_1.weights"].quantization == Quantization((0.4, 0.6), (0, 0), 2)


def test_the_networks_ends_keep_their_channels() -> None:
    net = Builder((1, 2, 2, 3))
    pointwise(net, "input", [[0, 1, 0], [0, 0, 0]])
    assert live(net) == {"input": [0, 1, 2], "conv_1": [0, 1]}
    graph = net.graph()
    assert keep_channels(graph, live_channels(graph)) is graph


def test_a_depthwise_layer_on_the_input_keeps_all_channels() -> None:
    net = Builder((1, 2, 2, 2))
    net.weighted(DepthwiseConv2D, "input", np.ones((1, 1, 4)))
    pointwise(net, "depthwise_1", [[0, 0, 0, 1]])
    assert live(net)["depthwise_1"] == [0, 1, 2, 3]


def test_a_depth_multiplier_keeps_groups_whole() -> None:
    net = Builder((1, 2, 2, 1))
    pointwise(net, "input", [[1], [2], [3]])
    net.weighted(DepthwiseConv2D, "conv_1", np.ones((1, 1, 6)))
    pointwise(net, "depthwise_1", [[0, 0, 0, 1, 0, 0]])
    assert live(net) | {"conv_2": []} == {"input": [0], "conv_1": [1], "depthwise_1": [2, 3], "conv_2": []}


def test_a_branch_that_needs_a_channel_keeps_it_in_the_other() -> None:
    net = Builder((1, 2, 2, 1))
    pointwise(net, "input", [[1], [2], [3]])
    net.weighted(DepthwiseConv2D, "conv_1", np.ones((1, 1, 3)))
    net.layer(Add, "conv_1", "depthwise_1", quantization=per_tensor(4.0, 0))
    pointwise(net, "add_1", [[1, 0, 0]])
    pointwise(net, "conv_1", [[0, 1, 0]])
    net.layer(Add, "conv_2", "conv_3", quantization=per_tensor(4.0, 0))
    found = live(net)
    assert [found[name] for name in ("conv_1", "depthwise_1", "add_1")] == [[0, 1]] * 3


def test_concatenated_channels_go_from_their_own_branch() -> None:
    net = Builder((1, 2, 2, 1))
    pointwise(net, "input", [[1], [2]])
    pointwise(net, "input", [[1], [2], [3]])
    net.layer(Concat, "conv_1", "conv_2", axis=3)
    pointwise(net, "concat_1", [[0, 1, 1, 0, 0]])
    found = live(net)
    assert (found["conv_1"], found["conv_2"], found["concat_1"]) == ([1], [0], [1, 2])


def test_an_image_flattened_for_a_dense_layer() -> None:
    net = Builder((1, 2, 1, 1))
    pointwise(net, "input", [[1], [2], [3]])
    net.layer(AveragePool2D, "conv_1", kernel=(1, 1))
    net.layer(Reshape, "pool_1", shape=(1, 6))
    net.weighted(Dense, "reshape_1", np.array([[0, 1, 0, 2, 3, 0]]))
    found = live(net)
    assert (found["conv_1"], found["pool_1"], found["reshape_1"]) == ([0, 1], [0, 1], [0, 1, 3, 4])
    graph = kept(net)
    assert graph.tensors["reshape_1"].shape == (1, 4)
    assert graph.constant("dense_1.weights").tolist() == [[0, 1, 2, 3]]


def test_a_reshape_that_mixes_channels_keeps_them() -> None:
    net = Builder((1, 2, 1, 1))
    pointwise(net, "input", [[1], [2], [3]])
    net.layer(Reshape, "conv_1", shape=(1, 3, 1, 2))
    pointwise(net, "reshape_1", [[1, 0]])
    assert live(net)["conv_1"] == [0, 1, 2]


def test_softmax_reads_everything() -> None:
    net = Builder((1, 2))
    net.weighted(Dense, "input", np.ones((3, 2)))
    net.layer(Softmax, "dense_1", quantization=Quantization((1 / 256,), (-128,)))
    net.weighted(Dense, "softmax_1", np.array([[1, 0, 0]]))
    assert live(net)["dense_1"] == [0, 1, 2]


@pytest.mark.parametrize("width", [1, 3])
def test_a_layer_that_nobody_reads_keeps_one_channel(width: int) -> None:
    net = Builder((1, 2, 2, 1))
    pointwise(net, "input", [[1]] * width)
    net.weighted(DepthwiseConv2D, "conv_1", np.ones((1, 1, width)))
    pointwise(net, "depthwise_1", [[0] * width, [0] * width])
    assert live(net) == {"input": [0], "conv_1": [0], "depthwise_1": [0], "conv_2": [0, 1]}


@pytest.mark.parametrize(
    ("multiple", "first", "second"),
    [(1, [1], [1]), (2, [1, 3], [1, 2]), (3, [0, 1, 2, 3], [0, 1, 2]), (4, [0, 1, 2, 3], [0, 1, 2, 3])],
)
def test_channels_that_fill_up_bring_few_others(multiple: int, first: list[int], second: list[int]) -> None:
    net = Builder((1, 2, 2, 1))
    pointwise(net, "input", [[1]] * 4)
    pointwise(net, "conv_1", [[1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1]])
    net.weighted(DepthwiseConv2D, "conv_2", np.ones((1, 1, 4)))
    pointwise(net, "depthwise_1", [[0, 1, 0, 0]])
    assert live(net, multiple) == {
        "input": [0],
        "conv_1": first,
        "conv_2": second,
        "depthwise_1": second,
        "conv_3": [0],
    }


def test_branches_that_are_filled_up_stay_alike() -> None:
    net = Builder((1, 2, 2, 1))
    pointwise(net, "input", [[1]] * 3)
    pointwise(net, "input", [[1]] * 3)
    net.layer(Concat, "conv_1", "conv_2", axis=3)
    pointwise(net, "input", [[1]] * 6)
    net.layer(Add, "concat_1", "conv_3", quantization=per_tensor(8.0, 0))
    pointwise(net, "add_1", [[1, 0, 0, 0, 0, 0]])
    found = live(net, 2)
    assert (found["conv_1"], found["conv_2"]) == ([0, 1], [0, 1])
    assert found["conv_3"] == found["concat_1"] == found["add_1"] == [0, 1, 3, 4]
