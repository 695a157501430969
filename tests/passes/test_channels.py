"""Which channels belong together, checked by what each output channel reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mbgen.graph import (
    Add,
    AveragePool2D,
    Clamp,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Layer,
    Mean,
    Pad,
    Padding,
    Quantization,
    Requantize,
    Reshape,
    Shape,
    Softmax,
)
from mbgen.passes.channels import ties
from tests.passes.networks import Builder

Pairs = list[list[int]]


def pairs(net: Builder) -> list[Pairs] | None:
    """[input channels, output channels] of each input of the last layer."""
    tied = ties(net.layers[-1], net.graph())
    return None if tied is None else [[read.tolist(), written.tolist()] for read, written in tied]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AveragePool2D, {"kernel": (1, 1)}),
        (Mean, {}),
        (Pad, {"padding": Padding(1, 0, 0, 0)}),
        (Clip, {"clamp": Clamp(0, 9)}),
        (Requantize, {}),
    ],
)
def test_channel_by_channel(kind: type[Layer], fields: dict[str, Any]) -> None:
    net = Builder((1, 2, 2, 3))
    net.layer(kind, "input", **fields)
    assert pairs(net) == [[[0, 1, 2], [0, 1, 2]]]


def test_addition_ties_both_inputs() -> None:
    net = Builder((1, 2, 2, 2))
    net.layer(Add, "input", "input")
    assert pairs(net) == [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]


def test_a_depth_multiplier_ties_neighbours() -> None:
    net = Builder((1, 2, 2, 2))
    net.weighted(DepthwiseConv2D, "input", np.ones((1, 1, 6), np.int8))
    assert pairs(net) == [[[0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5]]]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (-1, [[[0, 1], [0, 1]], [[0, 1], [2, 3]]]),
        (3, [[[0, 1], [0, 1]], [[0, 1], [2, 3]]]),
        (1, [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]),
    ],
)
def test_concatenation(axis: int, expected: list[Pairs]) -> None:
    net = Builder((1, 2, 2, 2))
    net.layer(Concat, "input", "input", axis=axis)
    assert pairs(net) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((1, 1, 1, 3), (1, 3), [[[0, 1, 2], [0, 1, 2]]]),
        ((1, 2, 1, 2), (1, 4), [[[0, 1, 0, 1], [0, 1, 2, 3]]]),
        ((1, 4), (1, 2, 1, 2), [[[0, 1, 2, 3], [0, 1, 0, 1]]]),
        ((1, 3, 1, 2), (1, 2, 1, 3), None),
    ],
)
def test_a_reshape_keeps_running_numbers(before: Shape, after: Shape, expected: list[Pairs] | None) -> None:
    net = Builder(before)
    net.layer(Reshape, "input", shape=after)
    assert pairs(net) == expected


def test_what_mixes_channels_ties_none() -> None:
    net = Builder((1, 1, 1, 2))
    net.weighted(Conv2D, "input", np.ones((2, 1, 1, 2), np.int8))
    assert pairs(net) is None
    net.layer(Softmax, "conv_1", quantization=Quantization((1 / 256,), (-128,)))
    assert pairs(net) is None
    net = Builder((1, 2))
    net.weighted(Dense, "input", np.ones((2, 2), np.int8))
    assert pairs(net) is None
