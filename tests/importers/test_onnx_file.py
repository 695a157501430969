"""An ONNX file is checked before TVM sees it; each refusal says what, where, why and what to do in one message."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from mbgen.errors import InputError, UnsupportedError
from mbgen.graph import Conv2D, Graph
from mbgen.importers import import_model, import_onnx
from mbgen.importers.onnx_file import OPERATORS, read, with_weights_inside
from tests.support.onnx_builder import OnnxBuilder, mobilenet_v1, mobilenet_v2

COMPILED = f"mbgen compiles {', '.join(sorted(OPERATORS))}"


def message(model: onnx.ModelProto) -> str:
    with pytest.raises(InputError) as caught:
        read(model.SerializeToString(), "net.onnx")
    return str(caught.value)


def simple(shape: list[int | str | None] | None = None, dtype: str = "float32") -> onnx.ModelProto:
    net = OnnxBuilder(shape or [1, 3, 6, 6], dtype)
    return net.model(net.conv("image", [4, 3, 3, 3], "conv"))


def test_a_sound_file_is_read() -> None:
    file = read(simple().SerializeToString(), "net.onnx")
    assert (file.input, file.opset) == ("image", 17)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n", "this is a PNG image"),
        (b"PK\x03\x04\x14\x00\x00\x00", "this is a zip archive"),
        (b"\x1c\x00\x00\x00TFL3", "this is a TFLite model"),
        (b"something else", "the file is truncated, damaged or of another kind"),
        (b"\x08\x08", "the file is truncated, damaged or of another kind"),
    ],
)
def test_a_file_of_another_kind(content: bytes, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        read(content, "net.onnx")
    assert str(caught.value) == f"net.onnx: {kind}, not an ONNX model; give a .tflite or .onnx file"


# --- weights in other files ----------------------------------------------------------------------------------------


def external(folder: Path, location: str = "net.weights", **entries: str) -> Path:
    """A model whose first weights lie in another file."""
    model = simple()
    weights = model.graph.initializer[0]
    (folder / "net.weights").write_bytes(b"\0" * 64 + weights.raw_data)
    external_data_helper.set_external_data(weights, location, offset=64, length=len(weights.raw_data))
    for entry in weights.external_data:
        entry.value = entries.get(entry.key, entry.value)
    weights.ClearField("raw_data")
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_in_one_piece_stays_as_it_is(tmp_path: Path) -> None:
    content = simple().SerializeToString()
    assert with_weights_inside(content, "net.onnx", tmp_path) == content


def external_message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        import_model(path)
    return str(caught.value)


def test_constants_beside_the_model_are_read(tmp_path: Path) -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    low = net.node("Constant", [], value=numpy_helper.from_array(np.array([-0.5], np.float32)))
    model = net.model(net.node("Clip", [net.conv("image", [4, 3, 3, 3]), low]))
    value = model.graph.node[0].attribute[0].t
    (tmp_path / "net.weights").write_bytes(value.raw_data)
    external_data_helper.set_external_data(value, "net.weights")
    value.ClearField("raw_data")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    (layer,) = import_model(tmp_path / "net.onnx").layers
    assert isinstance(layer, Conv2D)
    assert layer.clamp.low == -0.5


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    graph, whole = import_model(external(tmp_path)), import_onnx(simple().SerializeToString(), "net.onnx")
    np.testing.assert_array_equal(graph.constant("conv_1.weights"), whole.constant("conv_1.weights"))


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../net.weights", "a/../../net.weights", "C:\\weights", "..\\weights", ""]
)
def test_weights_outside_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "net.weights").write_bytes(b"\0" * 4096)
    path = external(tmp_path / "models", location)
    assert external_message(path) == (
        f"{path}: the weights 'c0' ask for the file {location!r} outside the model's folder; mbgen reads no such file"
    )


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    path = external(tmp_path / "models", "link")
    (tmp_path / "models" / "link").symlink_to(tmp_path / "secret")
    assert external_message(path) == (
        f"{path}: the weights 'c0' ask for the file 'link' outside the model's folder; mbgen reads no such file"
    )


def test_missing_weights(tmp_path: Path) -> None:
    path = external(tmp_path, "lost.weights")
    assert external_message(path) == (
        f"{path}: the weights 'c0' lie in 'lost.weights', which is not in the model's folder; put it there"
    )


@pytest.mark.parametrize("entries", [{"length": "400"}, {"offset": "9999"}, {"offset": "-4"}, {"offset": "many"}])
def test_weights_that_the_other_file_does_not_hold(tmp_path: Path, entries: dict[str, str]) -> None:
    path = external(tmp_path, **entries)
    assert external_message(path) == (
        f"{path}: the weights 'c0' need 432 bytes, which 'net.weights' does not hold; export the model again"
    )


def test_huge_weights_in_another_file(tmp_path: Path) -> None:
    path = external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [2**20, 2**20]
    path.write_bytes(model.SerializeToString())
    assert external_message(path) == (
        f"{path}: the constant 'c0' is float[1048576, 1048576]; "
        "mbgen reads float32, int8, uint8 and int32 of at most 2,147,483,648 elements"
    )


def test_more_weights_than_one_file_can_hold(tmp_path: Path) -> None:
    path = external(tmp_path)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [2**15, 2**15]
    path.write_bytes(model.SerializeToString())
    assert external_message(path) == f"{path}: the model holds more than 2 GB of weights; mbgen compiles MobileNets"


def test_bytes_alone_cannot_have_weights_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        import_onnx(external(tmp_path).read_bytes(), "net.onnx")
    assert str(caught.value) == (
        "net.onnx: the weights 'c0' lie in another file; save the model with its weights inside"
    )


# --- shapes and types ----------------------------------------------------------------------------------------------


def test_several_inputs_and_outputs() -> None:
    model = simple()
    model.graph.output.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1]))
    assert message(model) == (
        "net.onnx: the model has 2 outputs ('conv', 'second'); mbgen compiles one image in, one result out"
    )
    model = simple()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    assert message(model) == (
        "net.onnx: the model has 2 inputs ('image', 'mask'); mbgen compiles one image in, one result out"
    )


def test_weights_listed_among_the_inputs_are_constants() -> None:
    model = simple()
    model.graph.input.append(helper.make_tensor_value_info("c0", TensorProto.FLOAT, [4, 3, 3, 3]))
    assert read(model.SerializeToString(), "net.onnx").input == "image"


def test_a_dynamic_shape() -> None:
    assert message(simple(["N", 3, "height", None])) == (
        "net.onnx: the input 'image' has the dynamic shape ['N', 3, 'height', '?']; export it with a fixed shape, or "
        "run python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name 'image' --input_shape 1,3,224,224"
    )


@pytest.mark.parametrize("batch", ["N", None, 0, -1])
def test_an_open_batch_is_one(batch: int | str | None) -> None:
    assert import_onnx(simple([batch, 3, 6, 6]).SerializeToString(), "net.onnx").tensors["input"].shape == (1, 6, 6, 3)


def test_a_batch() -> None:
    assert message(simple([8, 3, 6, 6])) == (
        "net.onnx: the input 'image' is a batch of 8; export with a batch size of 1"
    )


def test_an_input_that_is_no_image() -> None:
    net = OnnxBuilder([1, 48])
    assert message(net.model(net.gemm("image", 48, 5))) == (
        "net.onnx: the input 'image' has 2 dimensions; mbgen compiles networks of one image, "
        "[1, channels, height, width]"
    )


def test_a_huge_input() -> None:
    model = simple()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40
    assert message(model) == (
        "net.onnx: the input 'image' has more than 2,147,483,648 elements; the file is damaged or the resolution absurd"
    )


def test_an_input_of_another_type() -> None:
    model = simple()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    assert message(model) == "net.onnx: the input 'image' is float16; export with float32, int8 or uint8 input"


@pytest.mark.parametrize(("kind", "name"), [(np.float64, "double"), (np.float16, "float16"), (np.int16, "int16")])
def test_weights_of_another_type(kind: type, name: str) -> None:
    model = simple()
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights).astype(kind), "c0"))
    assert message(model) == (
        f"net.onnx: node 'conv' (Conv, output 'conv'): the constant 'c0' is {name}; "
        "export the model in float32, or quantise it to int8 or uint8"
    )


def test_weights_of_the_wrong_size() -> None:
    model = simple()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    assert message(model) == (
        "net.onnx: node 'conv' (Conv, output 'conv'): the constant 'c0' does not hold the float[4, 3, 3, 3] that it "
        "declares; the file is damaged"
    )


def test_sparse_weights() -> None:
    model = simple()
    sparse = helper.make_sparse_tensor(
        numpy_helper.from_array(np.ones(1, np.float32), "few"), numpy_helper.from_array(np.zeros(1, np.int64)), [9]
    )
    model.graph.sparse_initializer.append(sparse)
    assert message(model) == "net.onnx: the model has sparse weights; export it with dense weights"


# --- operators -----------------------------------------------------------------------------------------------------


def test_all_unsupported_operators_are_named_at_once() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("MaxPool", [net.conv("image", [4, 3, 3, 3])], "pooled", kernel_shape=[2, 2])
    x = net.node("HardSwish", [x], "swish")
    assert message(net.model(net.node("Tanh", [x], "tanh"))) == (
        "net.onnx: unsupported operators: node 'pooled' (MaxPool, output 'pooled'), "
        "node 'swish' (HardSwish, output 'swish'), node 'tanh' (Tanh, output 'tanh'); "
        "MobileNets shrink their maps with strided convolutions; "
        f"MobileNet V3 is not compiled; V1 and V2 are; {COMPILED}"
    )


def test_an_operator_of_another_domain() -> None:
    model = simple()
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    model.graph.node.append(helper.make_node("Relu", ["conv"], ["relu"], domain="com.example"))
    model.graph.output[0].name = "relu"
    assert message(model).startswith(
        "net.onnx: unsupported operators: node com.example.Relu with output 'relu'; mbgen compiles Add, "
    )


def test_control_flow() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    branch = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["branch"])],
        "branch",
        [],
        [helper.make_tensor_value_info("branch", TensorProto.FLOAT, [1, 3, 6, 6])],
    )
    condition = net.constant(True, "bool")
    assert message(net.model(net.node("If", [condition], "either", then_branch=branch, else_branch=branch))) == (
        "net.onnx: unsupported operators: node 'either' (If, output 'either'); "
        f"export a model without control flow; {COMPILED}"
    )


def test_an_old_operator_set() -> None:
    model = simple()
    model.opset_import[0].version = 6
    assert message(model) == ("net.onnx: the model uses ONNX operator set 6; export it with operator set 13 or newer")


def test_what_the_onnx_checker_refuses() -> None:
    model = simple()
    model.graph.node[0].input[0] = "nowhere"
    assert message(model) == (
        'net.onnx: the ONNX checker refuses the model ("Nodes in a graph must be topologically sorted, however input '
        "'nowhere' of node: \"); export it again"
    )


def test_a_one_dimensional_window() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    x = net.node("AveragePool", ["image"], "pool", kernel_shape=[2, 2], strides=[0, 2])
    assert message(net.model(x)) == (
        "net.onnx: node 'pool' (AveragePool, output 'pool'): its strides are 0, 2; "
        "mbgen compiles two-dimensional windows, with 2 values from 1 to 32768"
    )


def test_names_from_the_file_are_safe_to_print() -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    text = message(net.model(net.node("Tanh", ["image"], "\x1b[31mred\nline" + "x" * 200)))
    assert r"node '\x1b[31mred\nlinexxx" in text
    assert text.isprintable()


# --- noise ---------------------------------------------------------------------------------------------------------


def outcome(content: bytes) -> str:
    """A graph or one clear message; anything else is a defect and fails the test."""
    started, text = time.monotonic(), None
    try:
        graph = import_onnx(content, "net.onnx")
    except InputError as error:
        text = str(error)
    assert time.monotonic() - started < 5
    if text is None:
        assert isinstance(graph, Graph)
        return "graph"
    assert text.startswith("net.onnx: ")
    assert "\n" not in text
    return "refused"


@pytest.mark.parametrize("model", [mobilenet_v1, mobilenet_v2])
def test_damaged_files_give_a_graph_or_a_message(model: Callable[..., bytes]) -> None:
    content = model(batch_norm=True)
    rng = random.Random(0)
    cut = [outcome(content[: len(content) * i // 50]) for i in range(50)]
    assert set(cut) == {"refused"}
    changed = []
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 2, 8])):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        changed.append(outcome(bytes(damaged)))
    assert "refused" in changed


def test_nothing_is_printed_beside_the_message(capfd: pytest.CaptureFixture[str]) -> None:
    net = OnnxBuilder([1, 3, 6, 6])
    with pytest.raises(InputError):
        import_onnx(net.build(net.conv("image", [4, 2, 3, 3])), "net.onnx")
    with pytest.raises(UnsupportedError):
        import_onnx(net.build(net.node("AveragePool", ["image"], kernel_shape=[2, 2], ceil_mode=1)), "net.onnx")
    assert capfd.readouterr() == ("", "")
