"""Constants and layers are replaced without touching what others read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mbgen.graph import NO_CLAMP, Clamp, Clip, Conv2D, Graph, Quantization, Tensor
from mbgen.passes.edit import bias_of, bypassable, bypassed, largest_sums, readers, weights_of, with_constants
from tests.passes.networks import Builder


def two_pointwise(shared: bool = False) -> Graph:
    net = Builder((1, 1, 1, 2), dtype="uint8", zero_point=100)
    quantization = Quantization((0.25,), (10,))
    for x in ("input", "conv_1"):
        weights = np.array([[11, 12], [13, 14]], np.uint8).reshape(2, 1, 1, 2)
        net.weighted(Conv2D, x, weights, np.array([5, -6]), weight_quantization=quantization)
    if shared:
        net.layers[1] = replace(net.layers[1], weights="conv_1.weights", bias="conv_1.bias")  # type: ignore[call-arg]
        del net.tensors["conv_2.weights"], net.tensors["conv_2.bias"]
    return net.graph()


def conv(graph: Graph, index: int) -> Conv2D:
    layer = graph.layers[index]
    assert isinstance(layer, Conv2D)
    return layer


def test_weights_and_bias_come_without_zero_points() -> None:
    graph = two_pointwise()
    assert weights_of(conv(graph, 0), graph).reshape(2, 2).tolist() == [[1, 2], [3, 4]]
    assert bias_of(conv(graph, 0), graph).tolist() == [5, -6]
    # |w| * (255 + 100) + |bias|
    assert largest_sums(conv(graph, 0), graph).tolist() == [3 * 355 + 5, 7 * 355 + 6]


def test_new_constants_keep_the_zero_point_and_the_name() -> None:
    graph = two_pointwise()
    changed = with_constants(graph, conv(graph, 0), np.zeros((2, 1, 1, 2), np.int64), np.array([7, 8]))
    assert changed.constant("conv_1.weights").tolist() == np.full((2, 1, 1, 2), 10).tolist()
    assert changed.constant("conv_1.bias").tolist() == [7, 8]
    assert changed.constant("conv_1.bias").dtype == np.int32
    assert changed.tensors["conv_2.weights"] is graph.tensors["conv_2.weights"]


def test_constants_that_others_read_are_copied() -> None:
    graph = two_pointwise(shared=True)
    ones = np.ones((2, 1, 1, 2), np.int64)
    first = with_constants(graph, conv(graph, 0), ones, np.array([0, 0]))
    second = with_constants(graph, conv(graph, 1), ones, np.array([0, 0]))
    assert conv(first, 0).constants == ("conv_1.weights'", "conv_1.bias'")
    assert conv(second, 1).constants == ("conv_2.weights", "conv_2.bias")
    for changed, other in ((first, 1), (second, 0)):
        assert conv(changed, other).constants == ("conv_1.weights", "conv_1.bias")
        assert changed.tensors["conv_1.weights"] is graph.tensors["conv_1.weights"]
    both = with_constants(first, conv(first, 1), ones, np.array([0, 0]))
    assert sorted(name for name in both.tensors if "." in name) == sorted(
        ("conv_1.weights'", "conv_1.bias'", "conv_1.weights", "conv_1.bias")
    )


def test_a_bias_appears_only_where_one_is_needed() -> None:
    net = Builder((1, 1, 1, 1))
    net.weighted(Conv2D, "input", np.ones((1, 1, 1, 1), np.int8))
    graph = net.graph()
    weights = weights_of(conv(graph, 0), graph)
    assert conv(with_constants(graph, conv(graph, 0), weights, np.array([0])), 0).bias is None
    changed = with_constants(graph, conv(graph, 0), weights, np.array([3]))
    assert changed.constant("conv_1.bias").tolist() == [3]


def test_a_bypassed_layer_is_gone_with_its_tensor() -> None:
    net = Builder((1, 1, 1, 1))
    net.layer(Clip, "input", clamp=Clamp(0, 9))
    net.layer(Clip, "clip_1", clamp=NO_CLAMP)
    graph = net.graph()
    assert [layer.name for layer in readers(graph, "clip_1")] == ["clip_2"]
    first = bypassed(graph, graph.layers[0])
    assert (first.layers[0].inputs, first.output, sorted(first.tensors)) == (("input",), "clip_2", ["clip_2", "input"])
    second = bypassed(graph, graph.layers[1])
    assert (second.output, [layer.name for layer in second.layers]) == ("clip_1", ["clip_1"])
    assert not bypassable(second, second.layers[0])
    assert bypassable(graph, graph.layers[0])


def test_tensors_may_change_with_a_bypass() -> None:
    net = Builder((1, 1, 1, 1))
    net.layer(Clip, "input", clamp=Clamp(0, 9))
    net.layer(Clip, "clip_1", clamp=NO_CLAMP)
    other = Tensor("clip_2", (1, 1, 1, 1), "int8", net.tensors["clip_2"].quantization)
    graph = bypassed(net.graph(), net.layers[0], [replace(net.layers[1], source="elsewhere")], [other])
    assert graph.tensors["clip_2"] is other
    assert graph.layers[0].source == "elsewhere"
