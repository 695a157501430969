"""Simplified networks compute what the originals do, channel by channel, and the account of it adds up."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen.errors import GraphError
from mbgen.graph import (
    Array,
    Clamp,
    Clip,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Numerics,
    Pad,
    Padding,
    Requantize,
    is_pointwise,
    macs,
    parameters,
)
from mbgen.images import load_pixels, preprocess, quantize_pixels, synthetic_pixels
from mbgen.mobilenet import MobileNetV1, build, random_weights
from mbgen.onnx_export import to_onnx
from mbgen.passes import Removal, Simplified, simplify
from mbgen.quantize import quantize
from mbgen.reference import execute
from mbgen.weights import load_weights
from tests.passes.networks import NETWORKS, Builder, extreme_inputs, networks
from tests.support.layers import SEEDS, per_tensor, random_input

FLOAT_BOUND = 1e-4  # of the greatest value of a layer, as in mbgen.verify: sums run in another order


def assert_same(original: Graph, simplified: Simplified, image: Array) -> None:
    """Every layer's channels that are left, and the output in full."""
    expected, actual = execute(original, image), execute(simplified.graph, image)
    for layer in simplified.graph.layers:
        channels = list(simplified.kept[layer.name])
        compare(actual[layer.output], expected[layer.output][..., channels], layer.name)
    compare(actual[simplified.graph.output], expected[original.output], "the output")


def compare(actual: Array, expected: Array, where: str) -> None:
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape), where
    if expected.dtype == np.float32:
        bound = FLOAT_BOUND * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=bound, err_msg=where)
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=where)


def total_macs(graph: Graph) -> int:
    return sum(macs(layer, graph) for layer in graph.layers)


def counted(simplified: Simplified) -> dict[str, int]:
    """Channels removed for each reason."""
    counts: dict[str, int] = {}
    for removal in simplified.removals:
        counts[removal.reason] = counts.get(removal.reason, 0) + removal.channels
    return counts


# --- at random -----------------------------------------------------------------------------------------------------


def check_random_network(numerics: Numerics, dtype: DType, data: st.DataObject) -> None:
    graph = data.draw(networks(numerics, dtype))
    multiple = data.draw(st.sampled_from([1, 1, 2, 4]))
    simplified = simplify(graph, multiple)
    assert simplified.graph.tensors[simplified.graph.input] is graph.tensors[graph.input]
    for layer in simplified.graph.layers:
        count, whole = (one.tensors[layer.output].shape[-1] for one in (simplified.graph, graph))
        assert count % multiple == 0 or count == whole or not isinstance(layer, Conv2D | Dense)
    for image in extreme_inputs(data.draw(SEEDS), graph.tensors[graph.input]):
        assert_same(graph, simplified, image)
    assert total_macs(graph) - total_macs(simplified.graph) == sum(removal.macs for removal in simplified.removals)
    again = simplify(simplified.graph, multiple)
    assert again.graph is simplified.graph
    assert again.removals == ()


@pytest.mark.parametrize(("numerics", "dtype"), NETWORKS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_random_network_computes_the_same(numerics: Numerics, dtype: DType, data: st.DataObject) -> None:
    check_random_network(numerics, dtype, data)


@pytest.mark.slow
@pytest.mark.parametrize(("numerics", "dtype"), NETWORKS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_many_random_networks_compute_the_same(numerics: Numerics, dtype: DType, data: st.DataObject) -> None:
    check_random_network(numerics, dtype, data)


# --- the account ---------------------------------------------------------------------------------------------------


def rich_network() -> Graph:
    """Every reason once: an idle clip, a pad, an identity, a constant channel, a duplicate and an unread one."""
    net = Builder((1, 4, 4, 1))
    net.layer(Clip, "input", clamp=Clamp(-200, 200))
    net.layer(Pad, "clip_1", padding=Padding(0, 1, 0, 1))
    weights = np.zeros((5, 3, 3, 1), np.int64)
    weights[[0, 1, 3, 4], 1, 1, 0] = [1, 2, 1, 3]
    net.weighted(Conv2D, "pad_1", weights, np.array([0, 0, 640, 0, 0]), stride=(2, 2), quantization=per_tensor(0.5, 3))
    net.layer(Requantize, "conv_1")
    net.weighted(DepthwiseConv2D, "requantize_1", np.full((1, 1, 5), 4), quantization=per_tensor(0.5, -128))
    net.weighted(Conv2D, "depthwise_1", np.array([[1, 2, 3, 4, 0], [5, 6, 7, 8, 0]]).reshape(2, 1, 1, 5))
    return net.graph()


def test_what_goes_is_accounted_for() -> None:
    graph = rich_network()
    simplified = simplify(graph)
    assert [layer.name for layer in simplified.graph.layers] == ["conv_1", "depthwise_1", "conv_2"]
    # 2 x 2 places: 9 multiply-accumulates each for a channel of conv_1, 1 for depthwise_1's, 2 for its readers'
    assert simplified.removals == (
        Removal("clip_1", "clip"),
        Removal("pad_1", "pad"),
        Removal("conv_1", "constant", 1, 36),
        Removal("conv_1", "duplicate", 1, 36),
        Removal("conv_1", "dead", 1, 36),
        Removal("requantize_1", "requantize"),
        Removal("depthwise_1", "constant", 1, 12),
        Removal("depthwise_1", "duplicate", 1, 12),
        Removal("depthwise_1", "dead", 1, 12),
    )
    assert simplified.kept == {"conv_1": (0, 1), "depthwise_1": (0, 1), "conv_2": (0, 1)}
    assert simplified.graph.constant("conv_2.weights").ravel().tolist() == [1 + 4, 2, 5 + 8, 6]
    assert [layer.source for layer in simplified.graph.layers] == ["conv_1/value", "depthwise_1/value", "conv_2/value"]
    for image in extreme_inputs(np.random.default_rng(0), graph.tensors[graph.input]):
        assert_same(graph, simplified, image)


def test_equal_channels_that_nobody_reads_are_dead() -> None:
    net = Builder((1, 1, 1, 1))
    net.weighted(Conv2D, "input", np.array([1, 1, 2]).reshape(3, 1, 1, 1))
    net.weighted(Conv2D, "conv_1", np.array([0, 0, 5]).reshape(1, 1, 1, 3))
    assert simplify(net.graph()).removals == (Removal("conv_1", "dead", 2, 4),)


def test_a_clamp_that_never_binds_is_mentioned() -> None:
    net = Builder((1, 1, 1, 1))
    weights = np.array([1, 2]).reshape(2, 1, 1, 1)
    net.weighted(Conv2D, "input", weights, clamp=Clamp(-100, 100), quantization=per_tensor(1.0, 0))
    simplified = simplify(net.graph())
    assert simplified.removals == (Removal("conv_1", "clip"),)
    assert simplified.kept == {"conv_1": (0, 1)}


def test_one_round_can_make_work_for_the_next() -> None:
    """Weights of equal channels that cancel leave a constant, which is seen when they have been added up."""
    net = Builder((1, 1, 1, 1))
    net.weighted(Conv2D, "input", np.array([1, 1, 2]).reshape(3, 1, 1, 1))
    net.weighted(Conv2D, "conv_1", np.array([[3, -3, 0], [0, 0, 4]]).reshape(2, 1, 1, 3), np.array([64, 0]))
    net.weighted(Conv2D, "conv_2", np.array([[1, 2], [3, 4]]).reshape(2, 1, 1, 2))
    simplified = simplify(net.graph())
    assert simplified.kept == {"conv_1": (2,), "conv_2": (1,), "conv_3": (0, 1)}


def test_kept_channels_must_be_the_graphs() -> None:
    graph = rich_network()
    with pytest.raises(GraphError, match=f"^{re.escape('the channels kept are not those of the layers')}$"):
        Simplified(graph, (), {"conv_1": (0,)})


# --- whole networks ------------------------------------------------------------------------------------------------


def test_a_network_without_slack_stays_as_it_is() -> None:
    net = MobileNetV1(0.25, 96, classes=3)
    graph = build(net, random_weights(net))
    simplified = simplify(graph)
    assert simplified.removals == ()
    assert simplified.graph is graph


def test_a_depthwise_layer_on_one_pixel_has_one_tap() -> None:
    """At 32x32 the last depthwise layer sees one pixel and its padding: ReLU6 leaves 0 of many channels."""
    net = MobileNetV1(0.25, 32, classes=3)
    graph = build(net, random_weights(net))
    simplified = simplify(graph)
    middle = graph.constant("depthwise_13.weights")[1, 1]
    greatest = np.maximum(6 * middle, 0) + graph.constant("depthwise_13.bias")
    assert Removal("depthwise_13", "constant", 31, 8215) in simplified.removals
    assert simplified.kept["depthwise_13"] == tuple(np.flatnonzero(greatest > 0).tolist())
    for image in extreme_inputs(np.random.default_rng(0), graph.tensors[graph.input]):
        assert_same(graph, simplified, image)


def test_a_quantised_network() -> None:
    from mbgen.importers import import_onnx

    net = MobileNetV1(0.25, 32, classes=3)
    samples = preprocess(synthetic_pixels(8, 32, 32, 3), "x/127.5-1")
    graph = import_onnx(quantize(to_onnx(build(net, random_weights(net))), samples), "the quantised model")
    simplified = simplify(graph)
    assert counted(simplified)["constant"] >= 31
    for image in extreme_inputs(np.random.default_rng(0), graph.tensors[graph.input]):
        assert_same(graph, simplified, image)


def read(shared_data: Path, name: str) -> Graph:
    from mbgen.importers import import_model

    return import_model(shared_data / "weights" / name)


def test_visual_wake_words_is_half_the_network(shared_data: Path) -> None:
    graph = read(shared_data, "vww_96_int8.tflite")
    simplified = simplify(graph)
    assert total_macs(graph) == 7_489_664
    assert total_macs(simplified.graph) == 3_727_313
    assert parameters(simplified.graph) == 30_080
    pointwise = [layer for layer in simplified.graph.layers if is_pointwise(layer, simplified.graph)]
    counts = [simplified.graph.layer_output(layer).shape[3] for layer in pointwise]
    assert counts == [16, 32, 32, 64, 60, 106, 57, 30, 19, 15, 25, 31, 22]
    assert counted(simplified) == {"constant": 2183, "dead": 9}
    for image in extreme_inputs(np.random.default_rng(0), graph.tensors[graph.input]):
        assert_same(graph, simplified, image)


@pytest.mark.parametrize(
    ("multiple", "expected"),
    [
        (4, [16, 32, 32, 64, 60, 108, 60, 32, 20, 16, 28, 32, 24]),
        (8, [16, 32, 32, 64, 64, 112, 64, 32, 24, 16, 32, 32, 24]),
    ],
)
def test_visual_wake_words_in_whole_vectors(shared_data: Path, multiple: int, expected: list[int]) -> None:
    graph = read(shared_data, "vww_96_int8.tflite")
    simplified = simplify(graph, multiple)
    pointwise = [layer for layer in simplified.graph.layers if is_pointwise(layer, simplified.graph)]
    assert [simplified.graph.layer_output(layer).shape[3] for layer in pointwise] == expected
    assert_same(graph, simplified, random_input(np.random.default_rng(0), graph.tensors[graph.input]))


@pytest.mark.slow
def test_visual_wake_words_on_every_image(shared_data: Path) -> None:
    graph = read(shared_data, "vww_96_int8.tflite")
    simplified = simplify(graph)
    tensor = graph.tensors[graph.input]
    _, pixels = load_pixels(shared_data / "person_train2017_192", 96, 96, 3)
    assert len(pixels) == 128
    rng = np.random.default_rng(1)
    images = [*quantize_pixels(pixels, tensor, "x/255"), *(random_input(rng, tensor)[0] for _ in range(1000))]
    for image in images:
        assert_same(graph, simplified, image[np.newaxis])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("mobilenet_v1_0.25_128_quant.tflite", 13_570_304, 12_868_864),
        ("mobilenet_v1_0.5_160_quant.tflite", 76_525_312, 72_792_512),
    ],
)
def test_uint8_networks(shared_data: Path, name: str, before: int, after: int) -> None:
    graph = read(shared_data, name)
    simplified = simplify(graph)
    assert (total_macs(graph), total_macs(simplified.graph)) == (before, after)
    tensor = graph.tensors[graph.input]
    _, height, width, channels = tensor.shape
    _, pixels = load_pixels(shared_data / "imagenet_dev", height, width, channels, limit=8)
    for image in [*pixels[:, np.newaxis], *extreme_inputs(np.random.default_rng(0), tensor)]:
        assert_same(graph, simplified, image)


@pytest.mark.slow
@pytest.mark.parametrize("quantised", [False, True])
def test_trained_imagenet_weights(shared_data: Path, quantised: bool) -> None:
    from mbgen.importers import import_onnx

    net = MobileNetV1(0.25, 224)
    graph = build(net, load_weights(shared_data / "weights" / "imagenet_v1_0.25_224_keras_float.h5", net))
    _, pixels = load_pixels(shared_data / "imagenet_dev", 224, 224, 3, limit=16)
    if quantised:
        graph = import_onnx(quantize(to_onnx(graph), preprocess(pixels, "x/127.5-1")), "the quantised model")
    simplified = simplify(graph)
    assert total_macs(simplified.graph) < 0.985 * total_macs(graph)
    tensor = graph.tensors[graph.input]
    images = [image[np.newaxis] for image in quantize_pixels(pixels[:4], tensor, "x/127.5-1")]
    for image in [*images, *extreme_inputs(np.random.default_rng(0), tensor)]:
        assert_same(graph, simplified, image)
