"""A TFLite file is checked before TVM sees it; each refusal says what, where, why and what to do in one message."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mbgen.errors import InputError, UnsupportedError
from mbgen.graph import Graph
from mbgen.importers import import_tflite
from mbgen.importers.tflite_file import OPTIONS, read
from tests.support import tflite_builder
from tests.support.tflite_builder import TFLiteBuilder
from tests.support.tflite_models import mobilenet_v1, mobilenet_v2

SAME: dict[str, Any] = {
    "Padding": "SAME",
    "StrideH": 1,
    "StrideW": 1,
    "DilationHFactor": 1,
    "DilationWFactor": 1,
}
COMPILED = f"mbgen compiles {', '.join(OPTIONS)}"


class Net(TFLiteBuilder):
    """An image, and one pointwise convolution on it that a test spoils."""

    def __init__(self, dtype: str = "int8", **image: Any) -> None:
        super().__init__()
        quantization: dict[str, Any] = {} if dtype == "float32" else {"scale": 0.5, "zero_point": 3}
        self.image = self.tensor("image", [1, 4, 4, 3], dtype, **{**quantization, **image})
        kind = np.dtype(dtype if dtype in ("int8", "float32") else "int8")
        weight_scale: dict[str, Any] = {} if dtype == "float32" else {"scale": 0.1}
        self.weights = self.constant("weights", np.ones((2, 1, 1, 3), kind), **weight_scale)
        self.bias = self.constant("bias", np.zeros(2, np.float32 if dtype == "float32" else np.int32))
        self.out = self.tensor("result", [1, 4, 4, 2], dtype, **quantization)
        self.operator("CONV_2D", [self.image, self.weights, self.bias], [self.out], **SAME)

    def message(self, inputs: list[int] | None = None, outputs: list[int] | None = None, **build: Any) -> str:
        content = self.build(inputs or [self.image], outputs or [self.out], **build)
        with pytest.raises(InputError) as caught:
            read(content, "net.tflite")
        return str(caught.value)


CONV = "net.tflite: operator 0 (CONV_2D, output 'result')"
DAMAGED = "the file is damaged, copy or convert it again"
TORN = (
    "the TFLite file is truncated or damaged: its tables point outside the file or contradict each other; "
    "copy or convert it again"
)


def test_a_sound_file_is_read() -> None:
    net = Net()
    file = read(net.build([net.image], [net.out]), "net.tflite")
    assert (file.input, file.output) == (net.image, net.out)
    assert [str(op) for op in file.operators] == ["operator 0 (CONV_2D, output 'result')"]
    assert str(file.tensors[net.weights]) == "tensor 1 'weights'"
    assert file.tensors[net.image].quantization is not None
    assert file.tensors[net.bias].quantization is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "the file is empty"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "this is a JPEG image"),
        (b"PK\x03\x04\x14\x00\x00\x00", "this is a zip archive"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "this is a Git LFS pointer (fetch the file itself with git lfs pull)",
        ),
        (b"something else", "this is some other kind of file"),
    ],
)
def test_a_file_of_another_kind(content: bytes, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        read(content, "net.tflite")
    assert str(caught.value) == f"net.tflite: {kind}, not a TFLite model; give a .tflite or .onnx file"


def test_a_truncated_file() -> None:
    with pytest.raises(InputError) as caught:
        read(mobilenet_v1("int8")[:3000], "net.tflite")
    assert str(caught.value) == f"net.tflite: {TORN}"


def test_several_subgraphs() -> None:
    assert Net().message(subgraphs=2) == (
        "net.tflite: the model has 2 subgraphs; convert a model without control flow and with one signature"
    )


def test_several_inputs_and_outputs() -> None:
    net = Net()
    assert net.message(inputs=[net.image, net.out]) == (
        "net.tflite: the model has 2 inputs; mbgen compiles one image in, one result out"
    )
    assert net.message(outputs=[net.out, net.image]) == (
        "net.tflite: the model has 2 outputs; mbgen compiles one image in, one result out"
    )


def test_all_unsupported_operators_are_named_at_once() -> None:
    net = Net()
    pooled = net.tensor("pooled", [1, 4, 4, 2], "int8", scale=0.5)
    options = {"Padding": "SAME", "StrideH": 1, "StrideW": 1, "FilterHeight": 2, "FilterWidth": 2}
    net.operator("MAX_POOL_2D", [net.out], [pooled], **options)
    swish = net.tensor("swish", [1, 4, 4, 2], "int8", scale=0.5)
    net.operator("HARD_SWISH", [pooled], [swish])
    assert net.message(outputs=[swish]) == (
        "net.tflite: unsupported operators: operator 1 (MAX_POOL_2D, output 'pooled'), "
        "operator 2 (HARD_SWISH, output 'swish'); MobileNets shrink their maps with strided convolutions; "
        f"MobileNet V3 is not compiled; V1 and V2 are; {COMPILED}"
    )


def test_many_unsupported_operators_are_counted() -> None:
    net = Net()
    last = net.out
    for kind in (*["ABS"] * 10, "EXP"):
        after = net.tensor("after", [1, 4, 4, 2], "int8", scale=0.5)
        net.operator(kind, [last], [after])
        last = after
    assert net.message(outputs=[last]) == (
        "net.tflite: unsupported operators: operator 1 (ABS, output 'after') and 9 more ABS, "
        f"operator 11 (EXP, output 'after'); {COMPILED}"
    )


def test_control_flow() -> None:
    net = Net()
    after = net.tensor("after", [1, 4, 4, 2], "int8", scale=0.5)
    net.operator("WHILE", [net.out], [after])
    assert net.message(outputs=[after]) == (
        "net.tflite: unsupported operators: operator 1 (WHILE, output 'after'); "
        f"convert a model without control flow; {COMPILED}"
    )


def test_a_dynamic_shape() -> None:
    assert Net(signature=[-1, -1, 4, 3]).message() == (
        "net.tflite: the input, tensor 0 'image', has the dynamic shape [-1, -1, 4, 3]; "
        "convert the model with a fixed input shape, for example [1, 224, 4, 3]"
    )


def test_an_open_batch_is_one() -> None:
    net = Net(signature=[-1, 4, 4, 3])
    assert read(net.build([net.image], [net.out]), "net.tflite").tensors[0].shape == (1, 4, 4, 3)


def test_an_input_with_two_ranks() -> None:
    assert Net(signature=[-1, 4, 4]).message() == (
        f"net.tflite: the input, tensor 0 'image', has two different ranks; {DAMAGED}"
    )


def test_a_batch() -> None:
    net = Net()
    net.tensors[net.image].shape = (8, 4, 4, 3)
    assert net.message() == ("net.tflite: the input, tensor 0 'image', is a batch of 8; convert with a batch size of 1")


def test_an_input_that_is_no_image() -> None:
    net = Net()
    net.tensors[net.image].shape = (1, 48)
    assert net.message() == (
        "net.tflite: the input, tensor 0 'image', has shape [1, 48]; "
        "mbgen compiles networks of one image, [1, height, width, channels]"
    )


@pytest.mark.parametrize("dtype", ["float16", "int16"])
def test_activations_of_other_types(dtype: str) -> None:
    message = Net(dtype).message()
    assert message == (
        f"{CONV}: tensor 0 'image' is {dtype}; convert to float32, or with full integer quantisation to int8"
    )


def test_integers_that_are_no_activations() -> None:
    assert Net("int32").message() == (
        f"{CONV}: tensor 0 'image' is int32; convert with full integer quantisation to int8, or to float32"
    )


def test_dynamic_range_quantisation() -> None:
    net = Net("float32")
    net.operators[0].inputs = (net.image, net.constant("bytes", np.ones((2, 1, 1, 3), np.int8), scale=0.1), net.bias)
    assert net.message() == (
        f"{CONV}: int8 weights with float32 activations (dynamic range quantisation); "
        "convert with full integer quantisation and a representative dataset, or without quantisation"
    )


def test_weights_that_are_not_constant() -> None:
    net = Net()
    net.operators[0].inputs = (net.image, net.image)
    assert net.message() == f"{CONV}: its weights are not constant; convert a frozen model"


def test_a_bias_of_another_type() -> None:
    net = Net()
    net.operators[0].inputs = (net.image, net.weights, net.constant("wide", np.zeros(2, np.int64)))
    assert net.message() == f"{CONV}: its bias is int64; convert with int8 activations, not int16"


def test_an_activation_quantised_per_channel() -> None:
    net = Net(scale=[0.1, 0.2, 0.3], zero_point=0, axis=3)
    assert net.message() == (
        f"{CONV}: tensor 0 'image' is int8 with 3 scales; activations must be float32, or int8 or uint8 with one scale"
    )


def test_zero_points_for_each_channel() -> None:
    net = Net()
    net.tensors[net.weights].scale, net.tensors[net.weights].zero_point = (0.1, 0.2), (0, 1)
    assert net.message() == (
        f"{CONV}: tensor 1 'weights' has zero points for each channel; quantise weights per channel symmetrically"
    )


def test_a_mix_of_types() -> None:
    net = Net()
    net.tensors[net.out].dtype, net.tensors[net.out].zero_point = "uint8", (3,)
    assert net.message() == f"{CONV}: mixes int8 and uint8; convert it again with one type throughout"


def test_a_reshape_between_two_quantisations() -> None:
    net = Net()
    after = net.tensor("after", [1, 32], "int8", scale=0.25)
    net.operator("RESHAPE", [net.out], [after], NewShape=[1, 32])
    assert net.message(outputs=[after]) == (
        "net.tflite: operator 1 (RESHAPE, output 'after'): its input and its output differ in quantisation; "
        "convert it again; current converters give both the same"
    )


def test_a_softmax_with_beta() -> None:
    net = Net()
    after = net.tensor("after", [1, 4, 4, 2], "int8", scale=1 / 256, zero_point=-128)
    net.operator("SOFTMAX", [net.out], [after], Beta=0.5)
    assert net.message(outputs=[after]) == (
        "net.tflite: operator 1 (SOFTMAX, output 'after'): beta is 0.5; use a softmax with beta 1"
    )


def test_other_fused_activations() -> None:
    net = Net()
    net.operators[0].options = {**SAME, "FusedActivationFunction": "TANH"}
    assert net.message() == f"{CONV}: it is fused with TANH; use ReLU or ReLU6"


# --- damage that FlatBuffers does not notice -----------------------------------------------------------------------


def test_a_stride_of_zero() -> None:
    net = Net()
    net.operators[0].options = {**SAME, "StrideW": 0}
    assert net.message() == f"{CONV}: StrideW is 0; {DAMAGED}"


def test_a_padding_that_does_not_exist() -> None:
    net = Net()
    net.operators[0].options = {**SAME, "Padding": 2}
    assert net.message() == f"{CONV}: its padding is neither SAME nor VALID; {DAMAGED}"


def test_an_operator_with_the_options_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tflite_builder.OPTIONS, "CONV_2D", "PadOptions")
    net = Net()
    net.operators[0].options = {}
    assert net.message() == f"net.tflite: {TORN}"


def test_a_constant_of_the_wrong_size() -> None:
    net = Net()
    net.tensors[net.weights].shape = (3, 1, 1, 3)
    assert net.message() == f"{CONV}: tensor 1 'weights' is int8[3, 1, 1, 3] but holds 6 bytes; {DAMAGED}"


def test_a_huge_shape() -> None:
    net = Net()
    net.tensors[net.out].shape = (1, 2**16, 2**16, 2)
    assert net.message() == (
        f"{CONV}: tensor 3 'result' has the shape [1, 65536, 65536, 2], which is empty or beyond 2,147,483,648 "
        "elements; the file is damaged or the resolution absurd"
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_cannot_be(scale: float) -> None:
    assert Net(scale=scale).message() == (
        f"{CONV}: tensor 0 'image' has a scale that is not a positive finite number; {DAMAGED}"
    )


def test_a_zero_point_outside_the_type() -> None:
    assert Net(zero_point=200).message() == f"{CONV}: tensor 0 'image' has a zero point outside int8; {DAMAGED}"


def test_scales_that_fit_no_axis() -> None:
    net = Net()
    net.tensors[net.weights].scale, net.tensors[net.weights].zero_point = (0.1,) * 3, (0,) * 3
    assert net.message() == f"{CONV}: tensor 1 'weights' has 3 scales and 3 zero points; {DAMAGED}"


def test_a_value_read_before_it_is_made() -> None:
    net = Net()
    later = net.tensor("later", [1, 4, 4, 3], "int8", scale=0.5)
    net.operators[0].inputs = (later, net.weights)
    assert net.message() == f"{CONV}: reads tensor 4 'later' before anything has made it; {DAMAGED}"


def test_a_value_made_twice() -> None:
    net = Net()
    net.operator("RELU", [net.image], [net.out])
    assert net.message() == (
        f"net.tflite: operator 1 (RELU, output 'result'): makes tensor 3 'result', which exists already; {DAMAGED}"
    )


def test_an_output_that_nothing_makes() -> None:
    net = Net()
    lost = net.tensor("lost", [1, 4], "int8", scale=0.5)
    assert net.message(outputs=[lost]) == f"net.tflite: no operator makes the output, tensor 4 'lost'; {DAMAGED}"


def test_an_operator_with_two_outputs() -> None:
    net = Net()
    net.operators[0].outputs = (net.out, net.tensor("second", [1], "int8", scale=0.5))
    assert net.message() == f"{CONV}: has 3 inputs and 2 outputs; {DAMAGED}"


def test_names_from_the_file_are_safe_to_print() -> None:
    net = Net()
    net.tensors[net.out].name = "\x1b[31mred\nline" + "x" * 200
    message = net.message(inputs=[net.image], outputs=[net.weights])
    net.operators[0].options = {**SAME, "StrideW": 0}
    message = net.message()
    assert message.startswith(r"net.tflite: operator 0 (CONV_2D, output '\x1b[31mred\nlinexxx")
    assert "xxx...')" in message
    assert message.isprintable()


# --- noise ---------------------------------------------------------------------------------------------------------


def mutations(content: bytes, count: int, seed: int) -> list[bytes]:
    """Files cut short at places spread over the whole, and files with a few bytes changed."""
    rng = random.Random(seed)
    cut = [content[: len(content) * i // count] for i in range(count)]
    changed = []
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 2, 8])):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        changed.append(bytes(damaged))
    return cut + changed


def outcome(content: bytes) -> str:
    """A graph or one clear message; anything else is a defect and fails the test."""
    started, message = time.monotonic(), None
    try:
        graph = import_tflite(content, "net.tflite")
    except InputError as error:
        message = str(error)
    assert time.monotonic() - started < 5
    if message is None:
        assert isinstance(graph, Graph)
        return "graph"
    assert message.startswith("net.tflite: ")
    assert "\n" not in message
    return "refused"


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_give_a_graph_or_a_message(seed: int) -> None:
    content = [mobilenet_v1("int8"), mobilenet_v2("uint8")][seed]
    outcomes = [outcome(damaged) for damaged in mutations(content, 100, seed)]
    assert set(outcomes[:100]) == {"refused"}
    assert "refused" in outcomes[100:]


@pytest.mark.slow
def test_a_damaged_real_model_gives_a_graph_or_a_message(shared_data: Path) -> None:
    content = (shared_data / "weights" / "vww_96_int8.tflite").read_bytes()
    outcomes = [outcome(damaged) for damaged in mutations(content, 100, 7)]
    assert "refused" in outcomes


def test_overlapping_tables_cannot_make_a_small_file_costly() -> None:
    net = Net()
    content = bytearray(net.build([net.image], [net.out]))
    # every vector length of the file becomes huge in turn
    for place in range(0, len(content), 4):
        damaged = bytearray(content)
        damaged[place : place + 4] = (2**31 - 1).to_bytes(4, "little")
        outcome(bytes(damaged))


def test_an_unsupported_model_is_no_damaged_file() -> None:
    net = Net(signature=[-1, -1, -1, 3])
    with pytest.raises(UnsupportedError):
        read(net.build([net.image], [net.out]), "net.tflite")
