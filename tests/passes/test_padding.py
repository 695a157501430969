"""A Pad goes into convolutions, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from mbgen.graph import Add, AveragePool2D, Conv2D, DepthwiseConv2D, Layer, Pad, Padding
from mbgen.passes.padding import fold_padding
from mbgen.reference import execute
from tests.passes.networks import Builder
from tests.support.layers import per_tensor


def padded(padding: Padding) -> Builder:
    net = Builder((1, 4, 4, 1), zero_point=-7)
    net.layer(Pad, "input", padding=padding)
    return net


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kind", "shape"), [(Conv2D, (1, 3, 3, 1)), (DepthwiseConv2D, (3, 3, 1))])
def test_a_convolution_takes_it_in(
    kind: type[Conv2D] | type[DepthwiseConv2D], shape: tuple[int, ...], stride: int
) -> None:
    net = padded(Padding(0, 1, 0, 2))
    weights = np.arange(1, 10).reshape(shape)
    net.weighted(kind, "pad_1", weights, stride=(stride, stride), padding=Padding(1, 1, 1, 0))
    graph = net.graph()
    folded = fold_padding(graph)
    (layer,) = folded.layers
    assert isinstance(layer, Conv2D | DepthwiseConv2D)
    assert (layer.inputs, layer.padding) == (("input",), Padding(1, 2, 1, 2))
    image = np.random.default_rng(0).integers(-128, 128, (1, 4, 4, 1)).astype(np.int8)
    assert np.array_equal(execute(folded, image)[folded.output], execute(graph, image)[graph.output])


@pytest.mark.parametrize(
    ("kernel", "dilation", "fits"), [((1, 1), (1, 1), False), ((2, 1), (1, 1), True), ((2, 1), (2, 1), True)]
)
def test_padding_stays_smaller_than_the_window(kernel: tuple[int, int], dilation: tuple[int, int], fits: bool) -> None:
    net = padded(Padding(1, 1, 0, 0))
    net.weighted(Conv2D, "pad_1", np.ones((1, *kernel, 1)), dilation=dilation)
    graph = net.graph()
    assert (fold_padding(graph) is not graph) == fits


def test_a_pool_would_not_count_it() -> None:
    net = padded(Padding(1, 1, 1, 1))
    net.layer(AveragePool2D, "pad_1", kernel=(3, 3))
    graph = net.graph()
    assert fold_padding(graph) is graph


def test_one_reader_that_needs_it_keeps_it_for_all() -> None:
    net = padded(Padding(1, 1, 1, 1))
    for _ in range(2):
        net.weighted(Conv2D, "pad_1", np.ones((1, 3, 3, 1)))
    net.layer(AveragePool2D, "pad_1", kernel=(3, 3), quantization=per_tensor(4.0, -128))
    net.layer(Add, "conv_1", "conv_2", quantization=per_tensor(8.0, 0))
    net.layer(Add, "add_1", "pool_1", quantization=per_tensor(8.0, 0))
    graph = net.graph()
    assert fold_padding(graph) is graph


def test_all_readers_take_it_in() -> None:
    net = padded(Padding(1, 1, 1, 1))
    for _ in range(2):
        net.weighted(Conv2D, "pad_1", np.ones((1, 3, 3, 1)))
    net.layer(Add, "conv_1", "conv_2", quantization=per_tensor(8.0, 0))
    assert [layer.name for layer in fold_padding(net.graph()).layers] == ["conv_1", "conv_2", "add_1"]


def test_a_padded_output_stays() -> None:
    graph = padded(Padding(1, 1, 1, 1)).graph()
    assert fold_padding(graph) is graph


def test_every_pad_of_a_network_is_looked_at() -> None:
    net = padded(Padding(0, 1, 0, 1))
    net.weighted(DepthwiseConv2D, "pad_1", np.ones((3, 3, 1)))
    net.layer(Pad, "depthwise_1", padding=Padding(1, 1, 1, 1))
    net.weighted(DepthwiseConv2D, "pad_2", np.ones((3, 3, 1)))
    kinds: list[type[Layer]] = [type(layer) for layer in fold_padding(net.graph()).layers]
    assert kinds == [DepthwiseConv2D, DepthwiseConv2D]
