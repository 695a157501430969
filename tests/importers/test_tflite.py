"""TFLite files become graphs that compute, layer by layer, what LiteRT's reference kernels compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mbgen.errors import InputError, UnsupportedError
from mbgen.graph import (
    NO_CLAMP,
    Add,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantize,
    Requantize,
    Reshape,
    Softmax,
)
from mbgen.importers import import_model, import_tflite
from mbgen.reference import execute
from tests.support.tflite_builder import TFLiteBuilder
from tests.support.tflite_models import mobilenet_v1, mobilenet_v2

FLOAT_TOLERANCE = 1e-4  # of the layer's greatest value: sums in another order, handed on from layer to layer
SAME: dict[str, Any] = {"Padding": "SAME", "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}


def kinds(graph: Graph) -> list[type[Layer]]:
    return [type(layer) for layer in graph.layers]


def layer_of(graph: Graph, kind: type[Any]) -> Any:
    (found,) = (layer for layer in graph.layers if isinstance(layer, kind))
    return found


def run_litert(content: bytes, image: Array) -> Callable[[int], Array]:
    """LiteRT's value of each tensor, by index."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor  # type: ignore[no-any-return]


def check(content: bytes, seed: int = 0) -> Graph:
    """Import, and compare every layer that has a source with LiteRT; integers must be equal."""
    graph = import_tflite(content, "net.tflite")
    image = graph.tensors[graph.input]
    rng = np.random.default_rng(seed)
    if image.dtype == "float32":
        values = rng.normal(0, 1, image.shape).astype(np.float32)
    else:
        values = rng.integers(np.iinfo(image.dtype).min, np.iinfo(image.dtype).max + 1, image.shape).astype(image.dtype)
    expected, actual = run_litert(content, values), execute(graph, values)
    compared = [layer for layer in graph.layers if layer.source]
    assert graph.layers[-1] in compared
    for layer in compared:
        compare(actual[layer.output], expected(int(layer.source)), layer.name)
    return graph


def compare(actual: Array, expected: Array, what: str) -> None:
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype), what
    if expected.dtype == np.float32:
        assert np.abs(actual - expected).max() <= FLOAT_TOLERANCE * np.abs(expected).max(), what
    else:
        np.testing.assert_array_equal(actual, expected, what)


class Net(TFLiteBuilder):
    """One int8 image, and layers with random weights on it."""

    def __init__(self, shape: list[int], dtype: str = "int8", scale: float | None = 0.02, zero_point: int = 5) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.image = self.tensor("image", shape, dtype, scale=scale, zero_point=zero_point)

    def conv(self, x: int, oc: int, k: int = 1, *, scale: float = 0.05, zero_point: int = -7, **options: Any) -> int:
        """Convolution to an int8 map of the same size."""
        n, h, w, ic = self.tensors[x].shape
        scales = self.rng.uniform(0.004, 0.01, oc).astype(np.float32)
        weights = self.constant("w", self.rng.integers(-127, 128, (oc, k, k, ic)).astype(np.int8), scale=scales)
        bias_scales = (scales * np.float32(self.tensors[x].scale[0])).tolist()
        bias = self.constant("b", self.rng.integers(-900, 900, oc).astype(np.int32), scale=bias_scales)
        out = self.tensor("conv", [n, h, w, oc], "int8", scale=scale, zero_point=zero_point)
        self.operator("CONV_2D", [x, weights, bias], [out], **{**SAME, **options})
        return out

    def layer(self, kind: str, inputs: list[int], shape: list[int], dtype: str = "int8", **rest: Any) -> int:
        """Any operator; quantisation is that of the first input where none is given. Options start in capitals."""
        first = self.tensors[inputs[0]]
        quantization: dict[str, Any] = {"scale": first.scale or None, "zero_point": first.zero_point or 0}
        quantization.update({key: value for key, value in rest.items() if key.islower()})
        out = self.tensor(kind.lower(), shape, dtype, **quantization)
        self.operator(kind, inputs, [out], **{key: value for key, value in rest.items() if not key.islower()})
        return out

    def integers(self, values: object) -> int:
        return self.constant("integers", np.array(values, np.int32))


# --- whole networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_a_mobilenet_v1(dtype: str) -> None:
    graph = check(mobilenet_v1(dtype))
    block = [DepthwiseConv2D, Conv2D]
    assert kinds(graph) == [Conv2D, *block, *block, *block, AveragePool2D, Reshape, Dense, Softmax]
    assert graph.numerics is (Numerics.FLOAT32 if dtype == "float32" else Numerics.TFLITE)
    assert [layer.name for layer in graph.layers[:3]] == ["conv_1", "depthwise_1", "pointwise_1"]
    assert all(layer.source.isdecimal() for layer in graph.layers)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_a_mobilenet_v2(dtype: str) -> None:
    graph = check(mobilenet_v2(dtype))
    block = [Conv2D, DepthwiseConv2D, Conv2D]
    mean = AveragePool2D if dtype == "float32" else Mean
    assert kinds(graph) == [
        *block,
        *block,
        Add,
        *[Conv2D, Pad, DepthwiseConv2D, Conv2D],
        *[Conv2D, mean, Reshape, Dense, Softmax],
    ]
    assert layer_of(graph, Add).inputs == ("pointwise_1", "pointwise_3")


@pytest.mark.parametrize(
    ("file", "numerics"),
    [
        ("vww_96_int8", Numerics.TFLITE),
        ("vww_96_float", Numerics.FLOAT32),
        ("mobilenet_v1_0.25_128_quant", Numerics.TFLITE),
        ("mobilenet_v1_0.5_160_quant", Numerics.TFLITE),
    ],
)
def test_a_real_network(shared_data: Path, file: str, numerics: Numerics) -> None:
    path = shared_data / "weights" / f"{file}.tflite"
    graph = import_model(path)
    assert graph.numerics is numerics
    assert len(graph.layers) == 31
    assert check(path.read_bytes()).layers == graph.layers


def test_uint8_weights_keep_their_zero_points() -> None:
    graph = import_tflite(mobilenet_v1("uint8"), "net.tflite")
    weights = graph.tensors["depthwise_1.weights"]
    assert (weights.shape, weights.dtype) == ((3, 3, 8), "uint8")
    assert weights.quantization is not None
    assert (weights.quantization.zero_point, weights.quantization.axis) == ((121,), None)


def test_int8_weights_are_quantised_per_output_channel() -> None:
    graph = import_tflite(mobilenet_v1("int8"), "net.tflite")
    axes = {name: t.quantization.axis for name, t in graph.tensors.items() if t.data is not None and t.quantization}
    assert axes["conv_1.weights"] == axes["dense_1.weights"] == axes["conv_1.bias"] == 0
    assert axes["depthwise_1.weights"] == 2


def test_importing_twice_gives_the_same_graph() -> None:
    first, second = (import_tflite(mobilenet_v2("int8"), "net.tflite") for _ in range(2))
    assert first.layers == second.layers
    assert list(first.tensors) == list(second.tensors)


# --- single operators ----------------------------------------------------------------------------------------------


def test_same_padding_keeps_its_sides() -> None:
    net = Net([1, 6, 7, 3])
    weights = net.constant("w", np.ones((2, 3, 3, 3), np.int8), scale=0.1)
    bias = net.constant("b", np.zeros(2, np.int32), scale=0.002)
    out = net.layer("CONV_2D", [net.image, weights, bias], [1, 3, 4, 2], **{**SAME, "StrideH": 2, "StrideW": 2})
    graph = check(net.build([net.image], [out]))
    assert layer_of(graph, Conv2D).padding == Padding(top=0, bottom=1, left=1, right=1)


def test_dilation() -> None:
    net = Net([1, 9, 9, 3])
    out = net.conv(net.image, 4, 3, DilationHFactor=2, DilationWFactor=3)
    assert layer_of(check(net.build([net.image], [out])), Conv2D).dilation == (2, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_depthwise_with_a_multiplier(channels: int) -> None:
    net = Net([1, 6, 6, channels])
    oc = 2 * channels
    scales = net.rng.uniform(0.004, 0.01, oc).astype(np.float32)
    integers = net.rng.integers(-127, 128, (1, 3, 3, oc)).astype(np.int8)
    weights = net.constant("w", integers, scale=scales, axis=3)
    options: dict[str, Any] = {**SAME, "DepthMultiplier": 2, "FusedActivationFunction": "RELU"}
    out = net.layer("DEPTHWISE_CONV_2D", [net.image, weights], [1, 6, 6, oc], scale=0.03, zero_point=-9, **options)
    graph = check(net.build([net.image], [out]))
    # a depthwise convolution of one channel is a standard one
    assert kinds(graph) == [Conv2D if channels == 1 else DepthwiseConv2D]
    assert graph.layers[0].name == ("conv_1" if channels == 1 else "depthwise_1")


@pytest.mark.parametrize(
    ("activation", "clamp"),
    [
        ("NONE", NO_CLAMP),
        ("RELU", Clamp(-7, 127)),
        ("RELU6", Clamp(-7, 113)),
        ("RELU_N1_TO_1", Clamp(-27, 13)),
    ],
)
def test_fused_activations_become_clamps(activation: str, clamp: Clamp) -> None:
    net = Net([1, 6, 6, 3])
    out = net.conv(net.image, 4, FusedActivationFunction=activation)
    assert layer_of(check(net.build([net.image], [out])), Conv2D).clamp == clamp


def test_a_bound_that_lies_half_way_is_rounded_away_from_zero() -> None:
    net = Net([1, 6, 6, 3])
    out = net.conv(net.image, 4, scale=6 / 100.5, zero_point=-128, FusedActivationFunction="RELU6")
    assert np.float32(6) / np.float32(6 / 100.5) == 100.5
    assert layer_of(check(net.build([net.image], [out])), Conv2D).clamp == Clamp(-128, -27)


def test_a_bias_without_quantisation() -> None:
    net = Net([1, 6, 6, 3])
    weights = net.constant("w", np.ones((2, 1, 1, 3), np.int8), scale=0.1)
    bias = net.constant("b", np.array([100, -50], np.int32))
    out = net.layer("CONV_2D", [net.image, weights, bias], [1, 6, 6, 2], **SAME)
    check(net.build([net.image], [out]))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_average_pool(padding: str) -> None:
    net = Net([1, 7, 6, 3])
    shape = [1, 4, 6, 3] if padding == "SAME" else [1, 3, 5, 3]
    options: dict[str, Any] = {"Padding": padding, "StrideH": 2, "StrideW": 1, "FilterHeight": 3, "FilterWidth": 2}
    out = net.layer("AVERAGE_POOL_2D", [net.image], shape, FusedActivationFunction="RELU", **options)
    graph = check(net.build([net.image], [out]))
    assert layer_of(graph, AveragePool2D).clamp == Clamp(5, 127)
    assert layer_of(graph, AveragePool2D).padding == (Padding(1, 1, 0, 1) if padding == "SAME" else Padding())


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("axes", [[1, 2], [-2, -3]])
def test_mean(keep: bool, axes: list[int]) -> None:
    net = Net([1, 5, 6, 3])
    shape = [1, 1, 1, 3] if keep else [1, 3]
    out = net.layer("MEAN", [net.image, net.integers(axes)], shape, scale=0.015, zero_point=9, KeepDims=keep)
    graph = check(net.build([net.image], [out]))
    assert kinds(graph) == [Mean] + [Reshape] * (not keep)


def test_addition_with_a_clamp() -> None:
    net = Net([1, 6, 6, 3])
    y = net.conv(net.image, 3)
    options: dict[str, Any] = {"scale": 0.07, "zero_point": -20, "FusedActivationFunction": "RELU6"}
    out = net.layer("ADD", [net.image, y], [1, 6, 6, 3], **options)
    assert layer_of(check(net.build([net.image], [out])), Add).clamp == Clamp(-20, 66)


def test_padding_of_integers_uses_the_zero_point() -> None:
    net = Net([1, 6, 6, 3])
    padded = net.layer("PAD", [net.image, net.integers([[0, 0], [1, 0], [0, 2], [0, 0]])], [1, 7, 8, 3])
    graph = check(net.build([net.image], [net.conv(padded, 4)]))
    assert layer_of(graph, Pad).padding == Padding(top=1, right=2)


def test_concatenation() -> None:
    net = Net([1, 6, 6, 3])
    y = net.conv(net.image, 4, scale=0.02, zero_point=5)
    out = net.layer("CONCATENATION", [net.image, y], [1, 6, 6, 7], Axis=3)
    assert layer_of(check(net.build([net.image], [out])), Concat).axis == 3


@pytest.mark.parametrize("kind", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_an_activation_of_its_own_goes_into_the_layer_before(kind: str) -> None:
    net = Net([1, 6, 6, 3])
    out = net.layer(kind, [net.conv(net.image, 4)], [1, 6, 6, 4])
    graph = check(net.build([net.image], [out]))
    assert kinds(graph) == [Conv2D]
    assert layer_of(graph, Conv2D).clamp != NO_CLAMP


def test_an_activation_with_another_scale_is_a_requantisation_and_a_clip() -> None:
    net = Net([1, 6, 6, 3])
    out = net.layer("RELU6", [net.conv(net.image, 4)], [1, 6, 6, 4], scale=0.03, zero_point=-90)
    assert kinds(check(net.build([net.image], [out]))) == [Conv2D, Requantize, Clip]


def test_logistic_and_softmax() -> None:
    net = Net([1, 6, 6, 3])
    x = net.layer("LOGISTIC", [net.image], [1, 6, 6, 3], scale=1 / 256, zero_point=-128)
    x = net.layer("SOFTMAX", [x], [1, 6, 6, 3], scale=1 / 256, zero_point=-128, Beta=1.0)
    assert kinds(check(net.build([net.image], [x]))) == [Logistic, Softmax]


def test_float_ends_of_an_integer_network() -> None:
    net = Net([1, 6, 6, 3], "float32", None)
    x = net.layer("QUANTIZE", [net.image], [1, 6, 6, 3], scale=0.02, zero_point=3)
    out = net.layer("DEQUANTIZE", [net.conv(x, 4)], [1, 6, 6, 4], "float32", scale=None)
    graph = check(net.build([net.image], [out]))
    assert kinds(graph) == [Quantize, Conv2D, Dequantize]
    assert graph.numerics is Numerics.TFLITE


def test_requantisation_from_uint8_to_int8() -> None:
    net = Net([1, 6, 6, 3], "uint8", 0.02, 130)
    x = net.layer("QUANTIZE", [net.image], [1, 6, 6, 3], scale=0.02, zero_point=2)
    assert kinds(check(net.build([net.image], [net.conv(x, 4)]))) == [Requantize, Conv2D]


def test_a_dense_layer_flattens_whatever_it_reads() -> None:
    net = Net([1, 2, 3, 4])
    weights = net.constant("w", net.rng.integers(-127, 128, (5, 24)).astype(np.int8), scale=0.01)
    out = net.layer("FULLY_CONNECTED", [net.image, weights], [1, 5], scale=0.1, zero_point=0)
    graph = check(net.build([net.image], [out]))
    assert kinds(graph) == [Reshape, Dense]
    assert layer_of(graph, Dense).bias is None


def test_a_dense_layer_that_keeps_its_dimensions() -> None:
    net = Net([1, 1, 1, 4])
    weights = net.constant("w", net.rng.integers(-127, 128, (5, 4)).astype(np.int8), scale=0.01)
    out = net.layer("FULLY_CONNECTED", [net.image, weights], [1, 1, 1, 5], scale=0.1, KeepNumDims=True)
    assert kinds(check(net.build([net.image], [out]))) == [Reshape, Dense, Reshape]


def test_shape_operators_in_a_row_become_one_reshape() -> None:
    net = Net([1, 1, 1, 4])
    x = net.layer("SQUEEZE", [net.conv(net.image, 6)], [1, 6], SqueezeDims=[1, 2])
    x = net.layer("RESHAPE", [x, net.integers([2, 3])], [2, 3])
    graph = check(net.build([net.image], [x]))
    assert kinds(graph) == [Conv2D, Reshape]
    assert graph.layers[1].source == str(x)


def test_a_reshape_whose_shape_is_computed_from_the_batch() -> None:
    net = Net([1, 1, 1, 4])
    x = net.conv(net.image, 6)
    shape = net.tensor("shape", [4], "int32")
    net.operator("SHAPE", [x], [shape], OutType=2)
    batch = net.tensor("batch", [], "int32")
    net.operator("STRIDED_SLICE", [shape, *map(net.integers, ([0], [1], [1]))], [batch], ShrinkAxisMask=1)
    packed = net.tensor("packed", [2], "int32")
    net.operator("PACK", [batch, net.integers(6)], [packed], ValuesCount=2, Axis=0)
    assert kinds(check(net.build([net.image], [net.layer("RESHAPE", [x, packed], [1, 6])]))) == [Conv2D, Reshape]


def test_tensors_may_share_a_name() -> None:
    net = Net([1, 6, 6, 3])
    out = net.conv(net.conv(net.conv(net.image, 4), 5), 3)  # every weight is "w", every result "conv"
    graph = check(net.build([net.image], [out]))
    assert [graph.tensors[name].shape[-1] for name in ("pointwise_1", "pointwise_2", "pointwise_3")] == [4, 5, 3]


def test_a_value_with_two_readers_is_computed_once() -> None:
    net = Net([1, 6, 6, 3])
    x = net.conv(net.image, 3, FusedActivationFunction="RELU")
    out = net.layer("ADD", [x, net.conv(x, 3)], [1, 6, 6, 3])
    assert kinds(check(net.build([net.image], [out]))) == [Conv2D, Conv2D, Add]


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_grouped_convolution_is_refused() -> None:
    net = Net([1, 6, 6, 4])
    weights = net.constant("w", np.ones((4, 3, 3, 2), np.int8), scale=0.1)
    out = net.layer("CONV_2D", [net.image, weights], [1, 6, 6, 4], **SAME)
    with pytest.raises(UnsupportedError) as caught:
        import_tflite(net.build([net.image], [out]), "net.tflite")
    assert str(caught.value) == (
        "net.tflite: operator 0 (CONV_2D, output 'conv_2d'): it is a convolution in 2 groups of 4 channels; "
        "mbgen compiles standard (1 group) and depthwise (one group a channel) convolutions"
    )


def test_what_tvm_refuses_names_the_operator() -> None:
    net = Net([1, 6, 6, 3])
    weights = net.constant("w", np.ones((1, 3, 3, 5), np.int8), scale=0.1)
    out = net.layer("DEPTHWISE_CONV_2D", [net.image, weights], [1, 6, 6, 5], DepthMultiplier=2, **SAME)
    with pytest.raises(InputError) as caught:
        import_tflite(net.build([net.image], [out]), "net.tflite")
    assert str(caught.value) == (
        "net.tflite: operator 0 (DEPTHWISE_CONV_2D, output 'depthwise_conv_2d'): TVM cannot import it "
        "('AssertionError'); the file is damaged or the operator is used in a way that mbgen does not know"
    )


def test_nothing_is_printed_beside_the_message(capfd: pytest.CaptureFixture[str]) -> None:
    net = Net([1, 6, 6, 3])
    weights = net.constant("w", np.ones((1, 3, 3, 5), np.int8), scale=0.1)
    out = net.layer("DEPTHWISE_CONV_2D", [net.image, weights], [1, 6, 6, 5], DepthMultiplier=2, **SAME)
    with pytest.raises(InputError):
        import_tflite(net.build([net.image], [out]), "net.tflite")
    assert capfd.readouterr() == ("", "")


def test_a_declared_shape_that_the_operator_does_not_make_is_refused() -> None:
    net = Net([1, 6, 6, 3])
    out = net.conv(net.image, 4)
    net.tensors[out].shape = (1, 6, 6, 5)
    with pytest.raises(InputError) as caught:
        import_tflite(net.build([net.image], [out]), "net.tflite")
    assert str(caught.value) == (
        f"net.tflite: tensor {out} 'conv' is declared int8[1, 6, 6, 5] but its operator makes int8[1, 6, 6, 4], "
        "or their quantisation differs; the file is damaged"
    )


def test_weights_that_are_not_finite_are_refused() -> None:
    net = Net([1, 6, 6, 3], "float32", None)
    weights = net.constant("w", np.full((4, 1, 1, 3), np.nan, np.float32))
    out = net.layer("CONV_2D", [net.image, weights], [1, 6, 6, 4], "float32", **SAME)
    with pytest.raises(InputError) as caught:
        import_tflite(net.build([net.image], [out]), "net.tflite")
    assert str(caught.value) == (
        "net.tflite: operator 0 (CONV_2D, output 'conv_2d'): its weights hold NaN or infinity; "
        "the file is damaged or the training diverged"
    )
