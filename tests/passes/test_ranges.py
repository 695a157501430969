"""Ranges hold for every input, and are reached where inputs vary freely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen import numerics
from mbgen.graph import (
    INTEGER_RANGE,
    Add,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantization,
    Requantize,
    Reshape,
    Softmax,
    Tensor,
)
from mbgen.passes.ranges import ranges
from mbgen.reference import execute
from tests.passes.networks import NETWORKS, Builder, extreme_inputs, networks
from tests.support.layers import SEEDS, convolutions, dense_layers, graph_of, per_tensor

INT32_MAX = 2**31 - 1
BORDER = Padding(1, 1, 1, 1)


def spelled(graph: Graph, tensor: str | None = None) -> list[tuple[float, float]]:
    """(low, high) of each channel."""
    found = ranges(graph)[tensor or graph.output]
    return list(zip(found.low.tolist(), found.high.tolist(), strict=True))


@pytest.mark.parametrize(("numerics", "dtype"), NETWORKS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_input_leaves_the_ranges(numerics: Numerics, dtype: DType, data: st.DataObject) -> None:
    graph = data.draw(networks(numerics, dtype))
    found = ranges(graph)
    for image in extreme_inputs(data.draw(SEEDS), graph.tensors[graph.input]):
        for name, values in execute(graph, image).items():
            channels = values.reshape(-1, values.shape[-1]).astype(np.float64)
            assert np.all(channels.min(axis=0) >= found[name].low), name
            assert np.all(channels.max(axis=0) <= found[name].high), name


# --- exactness -----------------------------------------------------------------------------------------------------


def assert_reached(graph: Graph) -> None:
    """For each end of each channel's range some input, found by its influence on each output element, gives it."""
    (layer,) = graph.layers
    tensor = graph.tensors[graph.input]
    low, high = INTEGER_RANGE[tensor.dtype]
    found = ranges(graph)[layer.output]
    influence = influences(graph)
    outputs = np.stack(
        [
            execute(graph, np.where(sign * row > 0, high, low).astype(tensor.dtype).reshape(tensor.shape))[layer.output]
            for row in influence
            for sign in (1, -1)
        ]
    ).reshape(-1, graph.layer_output(layer).shape[-1])
    assert outputs.min(axis=0).tolist() == found.low.tolist()
    assert outputs.max(axis=0).tolist() == found.high.tolist()


def influences(graph: Graph) -> Array:
    """The sum of the weights through which each input element reaches each output element, `[outputs, inputs]`.

    Taken from a float32 layer with the same weights less their zero points, one input element at a time.
    """
    (layer,) = graph.layers
    assert isinstance(layer, Conv2D | DepthwiseConv2D | Dense)
    x, y = graph.tensors[graph.input], graph.layer_output(layer)
    weights = numerics.centered_weights(layer, graph).astype(np.float32)
    tensors = [Tensor(t.name, t.shape, "float32") for t in (x, y)]
    tensors.append(Tensor(layer.weights, weights.shape, "float32", None, weights))
    linear = graph_of([type(layer)(**{**vars(layer), "bias": None, "clamp": Clamp()})], tensors, Numerics.FLOAT32)
    units = np.eye(x.elements, dtype=np.float32)
    return np.stack([execute(linear, unit.reshape(x.shape))[y.name].reshape(-1) for unit in units], axis=1)


@pytest.mark.parametrize("numerics", [Numerics.TFLITE, Numerics.QDQ])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_ranges_of_one_layer_are_exact(numerics: Numerics, data: st.DataObject) -> None:
    small = convolutions(numerics).filter(lambda case: case[1].size * execute(*case)["output"].size < 3000)
    graph, _ = data.draw(st.one_of(small, dense_layers(numerics)))
    assert_reached(graph)


# --- by hand -------------------------------------------------------------------------------------------------------


def constant_image(value: int, zero_point: int = 0, numerics: Numerics = Numerics.TFLITE) -> Builder:
    """A pointwise layer `conv_1` of one channel whose every element is `value`."""
    net = Builder((1, 3, 3, 1), numerics)
    weights = np.zeros((1, 1, 1, 1), np.int8)
    net.weighted(Conv2D, "input", weights, np.array([value - zero_point]), quantization=per_tensor(1 / 8, zero_point))
    assert spelled(net.graph()) == [(value, value)]
    return net


def test_a_border_changes_a_constant_that_is_not_zero() -> None:
    net = constant_image(40)
    net.weighted(DepthwiseConv2D, "conv_1", np.full((3, 3, 1), 2), padding=BORDER, quantization=per_tensor(1.0, 0))
    # 40 * 2 in steps of 1 / 32: 4 taps in a corner, 9 inside
    assert spelled(net.graph()) == [(10, 23)]


def test_a_border_does_not_change_a_constant_zero() -> None:
    net = constant_image(-9, zero_point=-9)
    weights, bias = np.full((3, 3, 1), 2), np.array([96])
    net.weighted(DepthwiseConv2D, "conv_1", weights, bias, padding=BORDER, quantization=per_tensor(1.0, 5))
    assert spelled(net.graph()) == [(5 + 3, 5 + 3)]


def test_a_border_may_vanish_in_the_rounding() -> None:
    net = constant_image(1)
    net.weighted(DepthwiseConv2D, "conv_1", np.ones((3, 3, 1)), padding=BORDER, quantization=per_tensor(1.0, 5))
    assert spelled(net.graph()) == [(5, 5)]


@pytest.mark.parametrize("numerics", [Numerics.TFLITE, Numerics.QDQ])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (AveragePool2D, {"kernel": (2, 2), "padding": BORDER}),
        (Add, {}),
        (Concat, {"axis": 3}),
        (Concat, {"axis": 1}),
        (Reshape, {"shape": (1, 9)}),
        (Clip, {"clamp": Clamp(-5, 50)}),
        (Requantize, {"quantization": per_tensor(0.1, -20)}),
        (Logistic, {"quantization": per_tensor(1 / 256, -128)}),
    ],
)
def test_a_constant_stays_one(numerics: Numerics, kind: type[Layer], fields: dict[str, Any]) -> None:
    net = constant_image(40, numerics=numerics)
    net.layer(kind, *["conv_1"] * (2 if kind in (Add, Concat) else 1), **fields)
    graph = net.graph()
    found = ranges(graph)[graph.output]
    value = execute(graph, np.zeros((1, 3, 3, 1), np.int8))[graph.output]
    assert np.all(found.low == value.min())
    assert np.all(found.high == value.max())


def test_a_constant_stays_one_in_tflites_mean() -> None:
    net = constant_image(40)
    net.layer(Mean, "conv_1")
    assert spelled(net.graph()) == [(40, 40)]


def test_padding_adds_the_zero_point() -> None:
    net = constant_image(40, zero_point=-9)
    net.layer(Pad, "conv_1", padding=Padding(0, 0, 0, 0))
    assert spelled(net.graph()) == [(40, 40)]
    net.layer(Pad, "pad_1", padding=Padding(0, 1, 0, 0))
    assert spelled(net.graph()) == [(-9, 40)]


def test_a_clamp_bounds_every_channel() -> None:
    net = Builder((1, 1, 1, 1))
    weights = np.array([100, -100]).reshape(2, 1, 1, 1)
    net.weighted(Conv2D, "input", weights, clamp=Clamp(-100, 20), quantization=per_tensor(1.0, 0))
    # 127 and -128 times 100, times 1 / 8
    assert spelled(net.graph()) == [(-100, 20), (-100, 20)]


def test_channels_that_a_reshape_mixes_share_one_range() -> None:
    net = Builder((1, 3, 1, 1))
    weights = np.zeros((2, 1, 1, 1), np.int8)
    net.weighted(Conv2D, "input", weights, np.array([8, 80]), quantization=per_tensor(1.0, 0))
    assert spelled(net.graph()) == [(1, 1), (10, 10)]
    net.layer(Reshape, "conv_1", shape=(1, 2, 1, 3))
    assert spelled(net.graph()) == [(1, 10)] * 3


def test_softmax_may_give_anything() -> None:
    net = Builder((1, 2))
    net.layer(Softmax, "input", quantization=Quantization((1 / 256,), (-128,)))
    assert spelled(net.graph()) == [(-128, 127)] * 2


@pytest.mark.parametrize("bias", [INT32_MAX - 1, -INT32_MAX])
def test_sums_beyond_int32_may_give_anything(bias: int) -> None:
    net = Builder((1, 1, 1, 1))
    weights = np.array([1, 0]).reshape(2, 1, 1, 1)
    net.weighted(Conv2D, "input", weights, np.array([bias, bias]))
    saturated = 127 if bias > 0 else -128
    assert spelled(net.graph()) == [(-128, 127), (saturated, saturated)]


# --- float32 -------------------------------------------------------------------------------------------------------


def float_conv(weights: list[float], bias: float, clamp: Clamp, source: str = "input") -> Builder:
    net = Builder((1, 2, 2, 1), Numerics.FLOAT32, "float32")
    net.layer(Clip, "input", clamp=Clamp(0.0, 6.0))
    taps = np.array(weights).reshape(1, 1, 1, 1)
    net.weighted(Conv2D, source, taps, np.array([bias]), clamp=clamp)
    return net


def test_a_float_input_is_bounded_by_its_type_alone() -> None:
    graph = float_conv([1.0], 0.0, Clamp(0.0, 6.0)).graph()
    greatest = float(np.finfo(np.float32).max)
    assert spelled(graph, "input") == [(-greatest, greatest)]
    assert spelled(graph) == [(0.0, 6.0)]


def test_a_float_channel_without_weights_is_its_bias() -> None:
    bias = float(np.float32(0.1))
    assert spelled(float_conv([0.0], 0.1, Clamp()).graph()) == [(bias, bias)]
    assert spelled(float_conv([0.0], 0.1, Clamp(0.3, 6.0)).graph()) == [(float(np.float32(0.3)),) * 2]


def test_a_float_channel_saturates_only_beyond_its_rounding() -> None:
    relu = Clamp(0.0, 6.0)
    assert spelled(float_conv([1.0], -6.001, relu, "clip_1").graph()) == [(0.0, 0.0)]
    ((low, high),) = spelled(float_conv([1.0], -6.0, relu, "clip_1").graph())
    assert low == 0.0
    assert 0 < high < 1e-4


def test_a_float_logistic_is_a_probability() -> None:
    net = Builder((1, 2), Numerics.FLOAT32, "float32")
    net.layer(Logistic, "input")
    assert spelled(net.graph()) == [(0.0, 1.0)] * 2
