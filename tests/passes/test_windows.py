"""The patterns of taps inside the image, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mbgen.graph import NO_PADDING, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, Graph, Padding, WeightedLayer
from mbgen.passes.windows import kernel_size, patterns
from tests.passes.networks import Builder
from tests.support.layers import same_padding


def depthwise(height: int, width: int, stride: int, padding: Padding, dilation: int = 1) -> Graph:
    net = Builder((1, height, width, 1))
    weights = np.ones((3, 3, 1), np.int8)
    options: dict[str, Any] = {"stride": (stride, stride), "padding": padding, "dilation": (dilation, dilation)}
    net.weighted(DepthwiseConv2D, "input", weights, **options)
    return net.graph()


def spelled(graph: Graph) -> list[list[str]]:
    """Each pattern as a string, x for a tap inside the image."""
    (layer,) = graph.layers
    assert isinstance(layer, DepthwiseConv2D)
    return [["".join("x" if tap else "." for tap in pattern) for pattern in seen] for seen in patterns(layer, graph)]


def test_borders_of_a_padded_window() -> None:
    assert spelled(depthwise(5, 2, 1, Padding(1, 1, 1, 1))) == [[".xx", "xx.", "xxx"], [".xx", "xx."]]


def test_a_window_larger_than_the_image() -> None:
    assert spelled(depthwise(1, 1, 1, Padding(1, 1, 1, 1))) == [[".x."], [".x."]]


def test_same_padding_at_stride_2_is_only_behind_even_sizes() -> None:
    padding = same_padding((1, 6, 7, 1), (3, 3), (2, 2))
    assert spelled(depthwise(6, 7, 2, padding)) == [["xx.", "xxx"], [".xx", "xx.", "xxx"]]


def test_without_padding_everything_is_inside() -> None:
    assert spelled(depthwise(5, 5, 2, NO_PADDING)) == [["xxx"], ["xxx"]]


def test_dilation_spreads_the_taps() -> None:
    assert spelled(depthwise(5, 9, 1, Padding(2, 2, 2, 2), dilation=2)) == [
        [".xx", "xx.", "xxx"],
        [".xx", "xx.", "xxx"],
    ]


@pytest.mark.parametrize(("kind", "shape"), [(Conv2D, (4, 2, 3, 1)), (DepthwiseConv2D, (2, 3, 1))])
def test_kernel_size_of_layers_with_weights(kind: type[WeightedLayer], shape: tuple[int, ...]) -> None:
    net = Builder((1, 4, 4, 1))
    net.weighted(kind, "input", np.ones(shape, np.int8))
    (layer,) = net.layers
    assert isinstance(layer, Conv2D | DepthwiseConv2D)
    assert kernel_size(layer, net.graph()) == (2, 3)


def test_pools_and_dense_layers() -> None:
    net = Builder((1, 3, 3, 1))
    net.layer(AveragePool2D, "input", kernel=(2, 3), stride=(2, 2), padding=Padding(0, 1, 0, 0))
    (pool,) = net.layers
    assert isinstance(pool, AveragePool2D)
    assert kernel_size(pool, net.graph()) == (2, 3)
    assert [seen.tolist() for seen in patterns(pool, net.graph())] == [[[True, False], [True, True]], [[True] * 3]]
    net = Builder((1, 5))
    net.weighted(Dense, "input", np.ones((2, 5), np.int8))
    (dense,) = net.layers
    assert isinstance(dense, Dense)
    assert [seen.tolist() for seen in patterns(dense, net.graph())] == [[[True]], [[True]]]
