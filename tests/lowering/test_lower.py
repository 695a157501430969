"""Kernels, calls and constants of whole networks: what is shared, what is refused, what depends on nothing else."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from mbgen.errors import UnsupportedError
from mbgen.graph import (
    NO_PADDING,
    AveragePool2D,
    Conv2D,
    Dense,
    DType,
    Graph,
    Layer,
    Numerics,
    Padding,
    Quantization,
    Softmax,
    Tensor,
)
from mbgen.kernel import ActivationArgument, ConstantArgument, LoweredNetwork, Parameter, Scalar, WindowArgument
from mbgen.lowering import lower as lower_as_planned
from mbgen.lowering.conv import pack_direct
from mbgen.lowering.epilogue import Epilogue, largest_sums, weighted_epilogue
from mbgen.lowering.gemm import pack_weights
from mbgen.planning import Objective, plan
from mbgen.schedules.tile import default_gemm_tile, tiles
from mbgen.target import load_target
from tests.support.layer_network import LayerNetwork
from tests.support.layers import graph_of, per_tensor
from tests.support.tiny_network import make_network

TARGETS = ("host", "cortex-a72", "cortex-m4")


def lower(graph: Graph, target: str, objective: Objective = "speed") -> LoweredNetwork:
    return lower_as_planned(graph, plan(graph, objective), load_target(target), "net")


def alike(net: LayerNetwork, count: int, **changes: Any) -> list[str]:
    """Pointwise layers of one shape, each after the other, with weights of their own; gives their names."""
    x = net.convolution(net.input, (1, 1), 8, quantization=per_tensor(0.05, 3))
    names = []
    for _ in range(count):
        x = net.convolution(x, (1, 1), 8, quantization=per_tensor(0.05, 3), **changes)
        names.append(x.name)
    return names


@pytest.mark.parametrize("target", TARGETS)
def test_layers_of_one_form_share_a_kernel(target: str) -> None:
    net = LayerNetwork(Numerics.TFLITE)
    names = alike(net, 3)
    lowered = lower(net.graph, target)
    calls = {call.layer: call for call in lowered.calls}
    assert [calls[name].kernel for name in names] == [f"net_{names[0]}_gemm"] * 3
    assert [kernel.symbol for kernel in lowered.kernels] == ["net_conv_0_gemm", f"net_{names[0]}_gemm"]
    weights = [calls[name].arguments[1] for name in names]
    assert weights == [ConstantArgument(f"net_{name}_weights") for name in names]


def test_what_the_code_depends_on_is_not_shared() -> None:
    """Another clamp, zero point or input size is another form."""
    net = LayerNetwork(Numerics.TFLITE)
    alike(net, 1)
    alike(net, 1, clamp="relu6")
    x = net.convolution(net.input, (1, 1), 8, quantization=per_tensor(0.05, 3))
    net.convolution(x, (1, 1), 8, quantization=per_tensor(0.05, 4))
    net.convolution(net.feed((1, 6, 13, 8)), (1, 1), 8, quantization=per_tensor(0.05, 3))
    gemms = [kernel for kernel in lower(net.graph, "host").kernels if kernel.family == "pointwise"]
    assert len(gemms) == 5


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_symbols_are_unique_and_calls_fit_their_kernels(dtype: DType, target: str) -> None:
    graph = make_network(dtype).graph
    lowered = lower(graph, target)
    constants = {constant.symbol: constant for constant in lowered.constants}
    kernels = {kernel.symbol: kernel for kernel in lowered.kernels}
    assert len(constants) == len(lowered.constants)
    assert len(kernels) == len(lowered.kernels)
    assert not kernels.keys() & constants.keys()
    assert [call.layer for call in lowered.calls] == ["pointwise_1", "depthwise_1", "pool_1"]
    for call in lowered.calls:
        for argument, parameter in zip(call.arguments, kernels[call.kernel].parameters, strict=True):
            if isinstance(argument, WindowArgument):
                assert (call.layer, argument.part) == ("depthwise_1", parameter.name)
                assert isinstance(parameter, Scalar) == parameter.name.startswith("kh_")
                continue
            assert isinstance(parameter, Parameter)
            if isinstance(argument, ActivationArgument):
                assert parameter.elements == planned_elements(graph, call.layer, argument.tensor)
                assert parameter.const == (argument.tensor != call.layer)
            else:
                assert parameter.elements == constants[argument.symbol].data.size
                assert (parameter.element, parameter.const) == (constants[argument.symbol].dtype, True)


def planned_elements(graph: Graph, layer: str, tensor: str) -> int:
    """Of a tensor, or of a row of it where the layer runs row by row."""
    _, height, *_ = graph.tensors[tensor].shape
    return graph.tensors[tensor].elements // (height if layer in plan(graph, "speed").rows else 1)


def test_a_window_kernel_is_told_where_its_rows_are() -> None:
    """And which of them are not padding, if any ever is."""
    net = LayerNetwork(Numerics.TFLITE)
    x = net.convolution(net.input, (3, 2), 8, depthwise=False)
    x = net.convolution(x, (5, 3), 8, depthwise=True)
    net.convolution(x, (3, 3), 8, depthwise=True, padding=Padding(1, 1, 0, 0))
    direct, depthwise, padded = lower(net.graph, "cortex-m4").kernels
    for kernel, kh, width, channels in ((direct, 3, 13, 3), (depthwise, 5, 12, 8), (padded, 3, 10, 8)):
        assert kernel.parameters[:2] == (
            Parameter("input", "int8", kh * width * channels, const=True),
            Parameter("rows", "int32", kh, const=True),
        )
        scalars = [parameter for parameter in kernel.parameters if isinstance(parameter, Scalar)]
        assert scalars == ([Scalar("kh_begin"), Scalar("kh_end")] if kernel is padded else [])


@pytest.mark.parametrize("objective", ["speed", "ram"])
def test_one_kernel_serves_windows_of_any_height_wherever_their_rows_are(objective: Objective) -> None:
    """Its code has what a row needs: not how many there are, the stride from row to row, or the padding above."""
    net = LayerNetwork(Numerics.TFLITE, shape=(1, 40, 9, 8))
    x, names = net.input, []
    zero = per_tensor(0.05, 0)
    for stride, top in ((1, 1), (2, 0), (1, 2), (2, 1)):
        padding = Padding(top, 1, 1, 1)
        x = net.convolution(
            x, (3, 3), 8, depthwise=True, stride=(stride, 1), padding=padding, quantization=zero, per_channel=False
        )
        names.append(x.name)
    lowered = lower(net.graph, "host", objective)
    assert {call.kernel for call in lowered.calls[1:]} == {f"net_{names[1]}_direct"}


def test_a_pointwise_layer_that_runs_row_by_row_has_the_rows_of_one() -> None:
    net = LayerNetwork(Numerics.TFLITE)
    x = net.convolution(net.input, (3, 3), 8)
    x = net.convolution(x, (1, 1), 24)
    net.convolution(x, (1, 1), 5)
    whole, by_row = (lower(net.graph, "host", objective).kernels for objective in ("speed", "ram"))
    assert [kernel.parameters[0].elements for kernel in whole[1:]] == [11 * 11 * 8, 11 * 11 * 24]  # type: ignore[union-attr]
    assert plan(net.graph, "ram").rows.keys() == {"conv_0", "conv_1"}  # the output is the caller's
    assert [kernel.parameters[0].elements for kernel in by_row[1:]] == [11 * 8, 11 * 11 * 24]  # type: ignore[union-attr]


def test_no_sum_goes_to_memory() -> None:
    """Bias, rescaling and clamp are in the kernel that sums: all that it writes is the output, in its own type."""
    for kernel in lower(make_network("int8").graph, "cortex-m4").kernels:
        arrays = [parameter for parameter in kernel.parameters if isinstance(parameter, Parameter)]
        assert [parameter.element for parameter in arrays if not parameter.const] == ["int8"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("numerics", list(Numerics))
def test_what_a_kernel_keeps_on_the_stack_does_not_grow_with_the_network(numerics: Numerics, target: str) -> None:
    net = LayerNetwork(numerics)
    for side in (2, 13):
        x = net.convolution(net.feed((1, side, side, 24)), (1, 1), 32, kind="pointwise")
        x = net.convolution(x, (3, 3), 32, depthwise=True, padding=Padding(1, 1, 1, 1))
        name = net.name("softmax")
        net.tensor(name, x.shape, x.dtype, 1 / 256, -128)
        net.add(Softmax(name=name, inputs=(x.name,), output=name))
    for kernel in lower(net.graph, target).kernels:
        # what x86-64 widens and Cortex-M packs is bounded by their schedules
        arrays = re.findall(r"^ +\S+ (?!\w+_pairs|wide|pixels|block)\w+\[(\d+)\];$", kernel.body, re.MULTILINE)
        assert arrays or any(key.startswith(("gemm_", "depthwise_", "byte_")) for key in kernel.helpers), kernel.symbol
        assert sum(map(int, arrays)) <= max(load_target(target).vector_registers, 4), kernel.symbol


# --- packing -------------------------------------------------------------------------------------------------------


def test_gemm_panels() -> None:
    weights = np.arange(15).reshape(5, 3)
    assert pack_weights(weights, 2).tolist() == [
        [[0, 3], [1, 4], [2, 5]],
        [[6, 9], [7, 10], [8, 11]],
        [[9, 12], [10, 13], [11, 14]],
    ]


def test_direct_panels() -> None:
    weights = np.arange(4 * 2 * 1 * 3).reshape(4, 2, 1, 3)
    packed = pack_direct(weights, 2)
    assert packed.shape == (2, 2, 1, 3, 2)
    for oc in range(4):
        np.testing.assert_array_equal(packed[oc // 2, ..., oc % 2], weights[oc])


def test_direct_panels_of_a_rest_repeat_channels() -> None:
    weights = np.arange(5 * 2 * 3 * 2).reshape(5, 2, 3, 2)
    packed = pack_direct(weights, 4)
    assert packed.shape == (2, 2, 3, 2, 4)
    for panel, channels in enumerate(((0, 1, 2, 3), (1, 2, 3, 4))):
        np.testing.assert_array_equal(packed[panel], np.moveaxis(weights[list(channels)], 0, -1))


@pytest.mark.parametrize("target", ["cortex-m0plus"])
def test_bias_and_scales_of_a_gemm_are_in_the_panels_of_its_weights(target: str) -> None:
    net = LayerNetwork(Numerics.TFLITE)
    net.convolution(net.feed((1, 3, 3, 6)), (1, 1), 13)
    lowered = lower(net.graph, target)
    tile = default_gemm_tile(9, 13, load_target(target), fused=False)
    assert lowered.kernels[-1].schedule == f"gemm {tile}"
    constants = {c.symbol.rpartition("_")[2]: c for c in lowered.constants if c.layer == net.layers[-1].name}
    assert constants.keys() == {"weights", "bias", "multiplier", "shift"}
    width = tiles(13, tile.nr) * tile.nr
    assert {constants[role].data.size for role in ("bias", "multiplier", "shift")} == {width}
    assert constants["weights"].data.size == width * 6


def test_shifts_take_a_byte() -> None:
    net = LayerNetwork(Numerics.TFLITE)
    net.convolution(net.input, (3, 3), 8)
    net.dense(net.feed((1, 9)), 2)
    shifts = [constant for constant in lower(net.graph, "host").constants if constant.symbol.endswith("_shift")]
    assert len(shifts) == 3
    assert {constant.dtype for constant in shifts} == {"int8"}


# --- rescaling -----------------------------------------------------------------------------------------------------


def dense_or_conv(
    kind: type[Conv2D] | type[Dense] = Conv2D,
    *,
    weights: tuple[int, ...] = (1, -2),
    biases: tuple[int, ...] = (0,),
    scales: tuple[float, ...] = (0.01,),
    output_scale: float = 0.1,
    zero_point: int = 0,
    **changes: Any,
) -> tuple[Conv2D | Dense, Graph]:
    """A 1x1 convolution or dense layer on one place with these weights for every output channel."""
    channels, taps = len(biases), len(weights)
    spatial = (1, 1) if kind is Conv2D else ()
    data = np.tile(np.array(weights, np.int8).reshape(1, *spatial, taps), (channels, *[1] * len(spatial), 1))
    quantization = Quantization(tuple(float(np.float32(s)) for s in scales), (0,) * len(scales), 0)
    tensors = [
        Tensor("input", (1, *spatial, taps), "int8", per_tensor(1.0, zero_point)),
        Tensor("w", data.shape, "int8", quantization, data),
        Tensor("b", (channels,), "int32", None, np.array(biases, np.int32)),
        Tensor("layer", (1, *spatial, channels), "int8", per_tensor(output_scale, 0)),
    ]
    layer = kind(name="layer", inputs=("input",), output="layer", weights="w", bias="b", **changes)
    return layer, graph_of([layer], tensors)


def epilogue(**changes: Any) -> tuple[Epilogue, dict[str, Any]]:
    return weighted_epilogue(*dense_or_conv(**changes))


def test_sums_are_bounded_for_stored_and_for_centred_inputs() -> None:
    layer, graph = dense_or_conv(weights=(3, -5), biases=(-1000,), zero_point=-100)
    assert largest_sums(layer, graph).tolist() == [(3 + 5) * (128 + 100) + 1000]


def test_right_shifts_are_rounded_in_int32() -> None:
    form, arrays = epilogue(biases=(0, 9), scales=(0.01, 0.02))
    assert form.kind == "fixed"
    assert arrays["shift"].tolist() == [3, 2]
    assert all(2**30 <= multiplier < 2**31 for multiplier in arrays["multiplier"])


def test_a_channel_of_no_weight_does_not_cost_the_others_their_form() -> None:
    """A multiplier of 0 comes with a shift of 0, which the fast form has not; it may have any other."""
    form, arrays = epilogue(biases=(5, 9), scales=(1e-12, 0.02))
    assert form.kind == "fixed"
    assert (arrays["multiplier"][0], arrays["shift"][0]) == (0, 1)


def test_left_shifts_take_the_wide_form() -> None:
    form, arrays = epilogue(biases=(0, 0), scales=(0.5, 0.01))
    assert form.kind == "fixed_wide"
    assert arrays["shift"].tolist() == [3, -3]


def test_sums_that_rounding_could_take_beyond_int32_take_the_wide_form() -> None:
    """Dead channels of real models have such biases: 2^30 with a right shift of 31."""
    assert epilogue(biases=(2**30,), scales=(2.0**-32,), output_scale=1.0)[0].kind == "fixed"
    assert epilogue(biases=(2**31 - 2000,), scales=(1.9 * 2.0**-32,), output_scale=1.0)[0].kind == "fixed_wide"


def test_tflite_dense_layers_are_rounded_once() -> None:
    form, arrays = epilogue(kind=Dense)
    assert form.kind == "single"
    assert arrays["multiplier"].dtype == np.int64
    assert not form.vectorizable


# --- refusals ------------------------------------------------------------------------------------------------------


def refusal(graph: Graph, target: str = "host") -> str:
    with pytest.raises(UnsupportedError) as caught:
        lower(graph, target)
    return str(caught.value)


def pool(height: int, width: int, channels: int, dtype: DType = "int8", padding: Padding = NO_PADDING) -> Graph:
    quantization = None if dtype == "float32" else per_tensor(0.1, 0)
    numerics = Numerics.FLOAT32 if dtype == "float32" else Numerics.TFLITE
    rows, columns = height + padding.top + padding.bottom, width + padding.left + padding.right
    tensors = [
        Tensor("input", (1, height, width, channels), dtype, quantization),
        Tensor("pool_1", (1, 1, 1, channels), dtype, quantization),
    ]
    layer = AveragePool2D(name="pool_1", inputs=("input",), output="pool_1", kernel=(rows, columns), padding=padding)
    return graph_of([layer], tensors, numerics)


def test_tensors_that_int32_cannot_index_are_refused() -> None:
    assert refusal(pool(2**15, 2**15, 2, "float32")) == (
        "pool_1: one of its tensors has 2,147,483,648 elements, more than int32 can index; "
        "use a smaller resolution or fewer channels"
    )
    assert refusal(pool(2**15 - 1, 2**15, 2, "float32", Padding(1, 0, 0, 0))).startswith(
        "pool_1: one of its tensors has 2,147,483,648 elements"
    )
    lower(pool(2**15 - 1, 2**15, 2, "float32"), "host")


def test_pools_whose_sum_leaves_int32_are_refused() -> None:
    assert refusal(pool(2896, 2897, 1)) == (
        "pool_1: averages 8,389,712 places; int32 holds the sum of at most 8,388,607"
    )
    lower(pool(2896, 2896, 1), "host")


def softmax(classes: int, numerics: Numerics) -> Graph:
    tensors = [
        Tensor("input", (1, classes), "int8", per_tensor(0.1, 0)),
        Tensor("softmax_1", (1, classes), "int8", per_tensor(1 / 256, -128)),
    ]
    return graph_of([Softmax(name="softmax_1", inputs=("input",), output="softmax_1")], tensors, numerics)


def test_a_tflite_softmax_whose_sum_leaves_int32_is_refused() -> None:
    assert refusal(softmax(4096, Numerics.TFLITE)) == (
        "softmax_1: TFLite's int32 sum of exponentials holds 4,095 classes, not 4,096; "
        "remove the last softmax from the model"
    )
    lower(softmax(4095, Numerics.TFLITE), "host")
    lower(softmax(4096, Numerics.QDQ), "host")


def test_sums_that_leave_int32_are_refused() -> None:
    _, graph = dense_or_conv(biases=(0, 2**31 - 200), scales=(0.1, 0.1))
    assert refusal(graph) == (
        "layer: the sums of output channel 1 may reach 2,147,483,832, which int32 does not hold; "
        "quantise its weights with a larger scale, which makes weights and bias smaller"
    )


def test_an_output_scale_without_sense_is_refused() -> None:
    _, graph = dense_or_conv(scales=(1.0,), output_scale=2.0**-32)
    assert refusal(graph) == (
        "layer: one step of its sums is more than 2^31 steps of its output; quantise the output with a larger scale"
    )


def test_weights_with_a_zero_point_for_each_channel_are_refused() -> None:
    _, graph = dense_or_conv(biases=(0, 0), scales=(0.1, 0.1))
    weights = dataclasses.replace(graph.tensors["w"], quantization=Quantization((0.1, 0.1), (1, 2), 0))
    assert refusal(dataclasses.replace(graph, tensors={**graph.tensors, "w": weights})) == (
        "layer: the weights have another zero point for each channel; "
        "quantise them symmetrically (zero point 0) or per tensor"
    )


def test_an_unknown_layer_is_refused() -> None:
    class Transposed(Layer):
        pass

    x = Tensor("input", (1, 2), "float32")
    graph = graph_of(
        [Transposed(name="odd_1", inputs=("input",), output="odd_1")],
        [x, dataclasses.replace(x, name="odd_1")],
        Numerics.FLOAT32,
    )
    assert refusal(graph) == "odd_1: mbgen has no kernel for Transposed"


# --- reproducibility -----------------------------------------------------------------------------------------------

LOWER = """
import hashlib
from mbgen.lowering import lower
from mbgen.planning import plan
from mbgen.target import load_target
from tests.support.tiny_network import make_network

for dtype in ("int8", "uint8", "float32"):
    for target in ("host", "cortex-a72", "cortex-m4"):
        graph = make_network(dtype).graph
        lowered = lower(graph, plan(graph, "ram"), load_target(target), "net")
        for kernel in lowered.kernels:
            print(kernel.symbol, kernel.summary, kernel.parameters, sorted(kernel.vectors), sorted(kernel.helpers))
            print(kernel.body)
        print(lowered.calls)
        for constant in lowered.constants:
            print(constant.symbol, constant.summary, hashlib.sha256(constant.data.tobytes()).hexdigest())
"""


def test_the_hash_seed_changes_nothing() -> None:
    first, second = (
        subprocess.run(
            [sys.executable, "-c", LOWER],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    )
    assert "net_depthwise_1_direct" in first
    assert first == second
