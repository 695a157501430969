"""The built-in network against the paper's tables and the exact counts, and the errors its description may have."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from mbgen.errors import InputError
from mbgen.graph import Clamp, DepthwiseConv2D, Graph, Padding, WeightedLayer, is_pointwise, macs, parameters
from mbgen.images import preprocess, synthetic_pixels
from mbgen.mobilenet import (
    MobileNetV1,
    build,
    channels,
    parameters_with_batch_norm,
    random_weights,
    resolution_from_rho,
    same_padding,
    weight_shapes,
)
from mbgen.onnx_export import to_onnx


def network(alpha: float, resolution: int, classes: int = 1000, softmax: bool = True) -> Graph:
    net = MobileNetV1(alpha, resolution, classes, softmax)
    return build(net, {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(net).items()})


def total_macs(graph: Graph) -> int:
    return sum(macs(layer, graph) for layer in graph.layers)


@pytest.mark.parametrize(
    ("alpha", "resolution", "expected"),
    [
        (1.0, 224, 568_740_352),
        (1.0, 192, 418_121_728),
        (1.0, 160, 290_675_200),
        (1.0, 128, 186_400_768),
        (0.75, 224, 325_400_448),
        (0.75, 192, 239_273_472),
        (0.75, 160, 166_396_800),
        (0.75, 128, 106_770_432),
        (0.5, 224, 149_497_088),
        (0.5, 192, 109_970_432),
        (0.5, 160, 76_524_800),
        (0.5, 128, 49_160_192),
        (0.25, 224, 41_030_272),
        (0.25, 192, 30_212_608),
        (0.25, 160, 21_059_200),
        (0.25, 128, 13_570_048),
        (0.25, 96, 7_745_152),
    ],
)
def test_multiply_accumulates_are_exact(alpha: float, resolution: int, expected: int) -> None:
    assert total_macs(network(alpha, resolution)) == expected


@pytest.mark.parametrize(
    ("alpha", "normalised", "folded"),
    [
        (1.0, 4_231_976, 4_221_032),
        (0.75, 2_585_560, 2_577_352),
        (0.5, 1_331_592, 1_326_120),
        (0.25, 470_072, 467_336),
    ],
)
def test_parameters_are_exact(alpha: float, normalised: int, folded: int) -> None:
    assert parameters_with_batch_norm(MobileNetV1(alpha, 224)) == normalised
    assert parameters(network(alpha, 224)) == folded


def test_table_1_shapes_and_strides() -> None:
    graph = network(1.0, 224)
    shapes = {layer.name: graph.layer_output(layer).shape[1:] for layer in graph.layers}
    assert shapes["conv_1"] == (112, 112, 32)
    assert shapes["pointwise_1"] == (112, 112, 64)
    assert shapes["depthwise_2"] == (56, 56, 64)
    assert shapes["pointwise_3"] == (56, 56, 128)
    assert shapes["pointwise_5"] == (28, 28, 256)
    assert shapes["pointwise_11"] == (14, 14, 512)
    assert shapes["depthwise_12"] == (7, 7, 512)
    assert shapes["pointwise_13"] == (7, 7, 1024)
    assert shapes["pool_1"] == (1, 1, 1024)
    assert shapes["reshape_1"] == (1024,)
    assert shapes["dense_1"] == shapes["softmax_1"] == (1000,)
    strides = [layer.stride[0] for layer in graph.layers if isinstance(layer, DepthwiseConv2D)]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    assert sum(isinstance(layer, WeightedLayer) for layer in graph.layers) == 28
    assert sum(is_pointwise(layer, graph) for layer in graph.layers) == 13


def test_every_convolution_is_followed_by_relu6_and_the_classifier_is_not() -> None:
    graph = network(0.25, 96)
    clamps = {layer.name: layer.clamp for layer in graph.layers if isinstance(layer, WeightedLayer)}
    assert clamps.pop("dense_1") == Clamp(-math.inf, math.inf)
    assert set(clamps.values()) == {Clamp(0, 6)}


def test_classes_and_softmax() -> None:
    graph = network(0.25, 96, classes=2, softmax=False)
    assert graph.output == "dense_1"
    assert graph.tensors["dense_1"].shape == (1, 2)
    assert network(0.25, 96, classes=2).output == "softmax_1"


@pytest.mark.parametrize(
    ("size", "stride", "expected"),
    [(224, 2, (0, 1)), (7, 2, (1, 1)), (7, 1, (1, 1)), (1, 2, (1, 1)), (112, 1, (1, 1))],
)
def test_same_padding_puts_the_odd_row_at_the_bottom_and_right(
    size: int, stride: int, expected: tuple[int, int]
) -> None:
    assert same_padding(size, size, 3, stride) == Padding(*expected, *expected)
    assert same_padding(size, size, 1, stride) == Padding()


def test_same_padding_of_an_odd_resolution() -> None:
    graph = network(0.25, 113)
    by_name = {layer.name: layer for layer in graph.layers}
    second = by_name["depthwise_2"]
    assert isinstance(second, DepthwiseConv2D)
    assert graph.layer_output(by_name["conv_1"]).shape == (1, 57, 57, 8)
    assert second.padding == Padding(1, 1, 1, 1)
    assert graph.layer_output(second).shape == (1, 29, 29, 16)


@pytest.mark.parametrize(
    ("base", "alpha", "expected"),
    [(32, 1.0, 32), (32, 0.75, 24), (32, 0.25, 8), (32, 0.2, 8), (32, 0.01, 8), (64, 0.35, 22), (1024, 1.4, 1433)],
)
def test_channels_round_down_to_at_least_eight(base: int, alpha: float, expected: int) -> None:
    assert channels(base, alpha) == expected


@pytest.mark.parametrize("resolution", [17, 32, 33, 224, 320])
@pytest.mark.parametrize("alpha", [0.05, 0.35, 1.3])
def test_other_alphas_and_resolutions_build(alpha: float, resolution: int) -> None:
    assert network(alpha, resolution, classes=1).tensors["softmax_1"].shape == (1, 1)


@pytest.mark.parametrize(
    ("rho", "expected"),
    [(1.0, 224), (6 / 7, 192), (0.857, 192), (5 / 7, 160), (0.714, 160), (4 / 7, 128), (0.571, 128), (0.5, 112)],
)
def test_rho_multiplies_224(rho: float, expected: int) -> None:
    assert resolution_from_rho(rho) == expected


@pytest.mark.parametrize("rho", [0.0, -0.5, math.nan, math.inf])
def test_rho_that_is_no_positive_number(rho: float) -> None:
    with pytest.raises(InputError) as error:
        resolution_from_rho(rho)
    assert str(error.value) == f"rho is {rho:g}; the resolution multiplier must be a positive number such as 0.714"


@pytest.mark.parametrize(("alpha", "shown"), [(0.0, "0"), (-0.25, "-0.25"), (math.nan, "nan"), (math.inf, "inf")])
def test_alpha_that_is_no_positive_number(alpha: float, shown: str) -> None:
    with pytest.raises(InputError) as error:
        MobileNetV1(alpha, 224)
    assert str(error.value) == f"alpha is {shown}; the width multiplier must be a positive number such as 0.25"


@pytest.mark.parametrize("resolution", [16, 0, -224])
def test_resolution_too_small(resolution: int) -> None:
    with pytest.raises(InputError) as error:
        MobileNetV1(1.0, resolution)
    assert str(error.value) == (
        f"resolution {resolution} is too small: the five layers of stride 2 need at least 17 pixels; "
        "the paper uses 128 to 224"
    )


def test_no_classes() -> None:
    with pytest.raises(InputError) as error:
        MobileNetV1(1.0, 224, classes=0)
    assert str(error.value) == "the network has 0 classes; it needs at least 1"


@pytest.mark.parametrize(
    ("alpha", "resolution", "classes", "needed"),
    [
        (50.0, 224, 1000, "7,902,983,400"),
        (1.0, 224, 3_000_000, "3,078,196,032"),
        (0.25, 40_000, 10, "6,400,000,000"),
    ],
)
def test_sizes_that_no_library_can_hold(alpha: float, resolution: int, classes: int, needed: str) -> None:
    with pytest.raises(InputError) as error:
        MobileNetV1(alpha, resolution, classes)
    assert str(error.value) == (
        f"alpha {alpha:g} with {classes} classes at {resolution}x{resolution} needs {needed} weights or activations at "
        "once; generated code indexes at most 2,147,483,647"
    )


def test_random_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    net = MobileNetV1(0.25, 96, 10)
    first, again, other = random_weights(net), random_weights(net), random_weights(net, seed=1)
    assert {name: array.shape for name, array in first.items()} == weight_shapes(net)
    assert all(array.dtype == np.float32 for array in first.values())
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)
    at_224 = random_weights(MobileNetV1(0.25, 224, 10, softmax=False))
    assert all(np.array_equal(first[name], at_224[name]) for name in first)


def test_random_weights_are_the_same_bits_on_every_machine() -> None:
    """A change here changes every library made without weights: say so in the changelog."""
    digest = hashlib.sha256()
    for name, array in random_weights(MobileNetV1(0.25, 96)).items():
        digest.update(name.encode() + array.astype("<f4").tobytes())
    assert digest.hexdigest() == "c6bb4eefd72b2d43f5f2aac702a667a5fa4e4786a1b51a43453447122893c3cf"


def test_random_network_is_alive_through_all_layers_and_tells_images_apart() -> None:
    net = MobileNetV1(0.25, 128)
    graph = build(net, random_weights(net))
    model = onnx.load_from_string(to_onnx(graph))
    layers = [layer.name for layer in graph.layers]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in layers[:-1])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    images = preprocess(synthetic_pixels(8, 128, 128, 3), "x/127.5-1").transpose(0, 3, 1, 2)
    outputs = [session.run(layers, {"input": image[np.newaxis]}) for image in images]
    seen = {name: np.concatenate(arrays) for name, arrays in zip(layers, zip(*outputs, strict=True), strict=True)}

    for name in layers[:27]:
        by_channel = seen[name].transpose(1, 0, 2, 3).reshape(seen[name].shape[1], -1)
        assert (by_channel.max(axis=1) > by_channel.min(axis=1)).mean() > 0.98, name
        assert 0.3 < seen[name].std() < 2, name
        assert 0.05 < (seen[name] == 0).mean() < 0.65, name
    assert any((seen[name] == 6).any() for name in layers[:27])
    logits = seen["dense_1"]
    assert logits.std(axis=0).mean() > 0.2 * logits.std(axis=1).mean()
    assert len(set(logits.argmax(axis=1))) > 2
