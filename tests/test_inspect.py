"""What inspect reports is the paper's arithmetic, for the built-in network and for any other graph."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

import mbgen.graph
from mbgen.graph import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Layer,
    Numerics,
    Padding,
    Quantization,
    Tensor,
)
from mbgen.inspect import OPERATIONS, Saving, Value, Weights, summarise
from mbgen.mobilenet import MobileNetV1, build, weight_shapes


def mobilenet(alpha: float, resolution: int) -> Graph:
    net = MobileNetV1(alpha, resolution)
    return build(net, {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(net).items()})


def test_totals_and_shares_of_table_2() -> None:
    summary = summarise(mobilenet(1.0, 224))
    assert (summary.macs, summary.parameters, summary.constant_bytes) == (568_740_352, 4_221_032, 4 * 4_221_032)
    shares: dict[str, float] = {}
    for row in summary.layers:
        shares[row.op] = shares.get(row.op, 0) + 100 * row.share
    assert {op: round(share, 2) for op, share in shares.items() if share} == {
        "conv2d": 1.91,
        "depthwise": 3.06,
        "pointwise": 94.86,
        "dense": 0.18,
    }
    assert sum(row.macs for row in summary.layers) == summary.macs
    assert sum(row.parameters for row in summary.layers) == summary.parameters


def test_standard_convolutions_would_cost_what_table_4_says() -> None:
    """4866 million multiply-adds and a ratio of 1/N + 1/9 in every pair."""
    summary = summarise(mobilenet(1.0, 224))
    assert summary.standard_macs == 4_867_293_184
    pairs = [row for row in summary.layers if row.saving]
    assert [row.name for row in pairs] == [f"pointwise_{index}" for index in range(1, 14)]
    for row in pairs:
        assert row.saving is not None
        assert row.saving.depthwise == row.name.replace("pointwise", "depthwise")
        assert row.saving.ratio == pytest.approx(1 / row.output.shape[3] + 1 / 9)
    first = pairs[0].saving
    assert first == Saving("depthwise_1", 112 * 112 * 32 * (9 + 64), 112 * 112 * 32 * 64 * 9, first.ratio)  # type: ignore[union-attr]


def test_rows_of_a_float_network() -> None:
    row = summarise(mobilenet(0.25, 96)).layers[0]
    assert (row.name, row.op, row.macs, row.parameters) == ("conv_1", "conv2d", 48 * 48 * 8 * 27, 8 * 28)
    assert row.inputs == (Value("input", (1, 96, 96, 3), "float32", None, None),)
    assert row.output == Value("conv_1", (1, 48, 48, 8), "float32", None, None)
    assert row.weights == Weights((8, 3, 3, 3), "float32", per_channel=False, zero_point=False)
    assert row.saving is None


def quantised() -> Graph:
    """An imported graph: depthwise with multiplier 2, a pointwise on it, a sum, and a float output."""
    step = Quantization((0.5,), (3,))
    tensors = {name: Tensor(name, (1, 4, 4, 4), "uint8", step) for name in ("pointwise_1", "add_1")}
    tensors["input"] = Tensor("input", (1, 4, 4, 2), "uint8", step)
    tensors["depthwise_1"] = Tensor("depthwise_1", (1, 4, 4, 4), "uint8", Quantization((0.25,), (0,)))
    tensors["dequantize_1"] = Tensor("dequantize_1", (1, 4, 4, 4), "float32")
    tensors["d"] = Tensor("d", (3, 3, 4), "uint8", Quantization((0.1,), (120,)), np.zeros((3, 3, 4), np.uint8))
    per_channel = Quantization((0.1, 0.2, 0.3, 0.4), (0,) * 4, axis=0)
    tensors["p"] = Tensor("p", (4, 1, 1, 4), "int8", per_channel, np.zeros((4, 1, 1, 4), np.int8))
    tensors["b"] = Tensor("b", (4,), "int32", None, np.zeros(4, np.int32))
    layers: tuple[Layer, ...] = (
        DepthwiseConv2D(
            name="depthwise_1", inputs=("input",), output="depthwise_1", weights="d", padding=Padding(1, 1, 1, 1)
        ),
        Conv2D(name="pointwise_1", inputs=("depthwise_1",), output="pointwise_1", weights="p", bias="b", source="a/b"),
        Add(name="add_1", inputs=("pointwise_1", "pointwise_1"), output="add_1"),
        Dequantize(name="dequantize_1", inputs=("add_1",), output="dequantize_1"),
    )
    return Graph("model", Numerics.TFLITE, tensors, layers, "input", "dequantize_1")


def test_rows_of_a_quantised_network() -> None:
    summary = summarise(quantised())
    depthwise, pointwise, add, dequantize = summary.layers
    assert (summary.name, summary.numerics, summary.macs) == ("model", "tflite", 16 * 4 * 9 + 16 * 16)
    assert summary.constant_bytes == 36 + 16 + 16
    assert depthwise.output == Value("depthwise_1", (1, 4, 4, 4), "uint8", 0.25, 0)
    assert depthwise.weights == Weights((3, 3, 4), "uint8", per_channel=False, zero_point=True)
    assert pointwise.weights == Weights((4, 1, 1, 4), "int8", per_channel=True, zero_point=False)
    assert (pointwise.op, pointwise.source, pointwise.parameters) == ("pointwise", "a/b", 20)
    assert pointwise.saving is None  # two filters for each channel: no standard convolution has this shape
    assert [value.name for value in add.inputs] == ["pointwise_1", "pointwise_1"]
    assert (add.weights, add.macs, add.share) == (None, 0, 0.0)
    assert summary.output == dequantize.output == Value("dequantize_1", (1, 4, 4, 4), "float32", None, None)


def test_summary_is_ready_for_json() -> None:
    summary = summarise(quantised())
    read = json.loads(json.dumps(asdict(summary), allow_nan=False))
    assert read["layers"][1]["output"] == {
        "name": "pointwise_1",
        "shape": [1, 4, 4, 4],
        "dtype": "uint8",
        "scale": 0.5,
        "zero_point": 3,
    }


def test_every_kind_of_layer_has_a_name() -> None:
    def concrete(kind: type[Layer]) -> set[type[Layer]]:
        below = kind.__subclasses__()
        return {kind} if not below else {leaf for each in below for leaf in concrete(each)}

    kinds = {kind for kind in concrete(Layer) if kind.__module__ == mbgen.graph.__name__}
    assert set(OPERATIONS) == kinds
