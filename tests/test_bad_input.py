"""Bad input end to end: exit code 2, one message that says what to do, and nothing left in the working folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mbgen.cli import main
from mbgen.mobilenet import MobileNetV1, random_weights
from tests.support.tflite_models import mobilenet_v1

SUPPORTED = (
    "Add, AveragePool, BatchNormalization, Clip, Concat, Conv, DequantizeLinear, Dropout, Flatten, Gemm, "
    "GlobalAveragePool, Identity, MatMul, Pad, QuantizeLinear, ReduceMean, Relu, Reshape, Sigmoid, Softmax, Squeeze, "
    "Transpose, Unsqueeze"
)


def onnx_model(operator: str = "Relu", shape: tuple[int | str, ...] = (1, 3, 8, 8)) -> onnx.ModelProto:
    image, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "result"))
    node = helper.make_node(operator, ["image"], ["result"], name="activation")
    graph = helper.make_graph([node], "network", [image], [result])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def truncated_tflite() -> None:
    content = mobilenet_v1("int8")
    Path("model.tflite").write_bytes(content[: len(content) // 2])


def truncated_onnx() -> None:
    Path("model.onnx").write_bytes(onnx_model().SerializeToString()[:-9])


def an_image() -> None:
    Path("model.tflite").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(32))


def an_unsupported_operator() -> None:
    onnx.save(onnx_model("Erf"), "model.onnx")


def dynamic_shapes() -> None:
    onnx.save(onnx_model(shape=("batch", 3, "height", "width")), "model.onnx")


def weights_outside_the_folder() -> None:
    model = onnx_model("Conv")
    weights = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "kernel")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../secret.bin")
    model.graph.initializer.append(weights)
    model.graph.node[0].input.append("kernel")
    onnx.save(model, "model.onnx")


def weights_of_alpha_one_half() -> None:
    np.savez("weights.npz", **random_weights(MobileNetV1(0.5, 224, 10)))  # type: ignore[arg-type]  # NumPy's stub


def a_truncated_weights_file() -> None:
    weights_of_alpha_one_half()
    content = Path("weights.npz").read_bytes()
    Path("weights.npz").write_bytes(content[: len(content) // 2])


def a_folder_with_other_files() -> None:
    Path("out/notes").mkdir(parents=True)
    Path("out/thesis.tex").write_text("years of work")
    Path("out/notes/a.txt").write_text("more work")


def a_library_with_another_file() -> None:
    assert main(["compile", "--target", "host", *SMALL, "--output", "out"]) == 0
    Path("out/src/main.c").write_text("int main(void) { return 0; }")


def a_file() -> None:
    Path("out").write_text("years of work")


def nothing() -> None:
    pass


SMALL = ("--alpha", "0.25", "--resolution", "32", "--classes", "10")


@dataclass(frozen=True)
class Case:
    """What lies in the working folder, what follows `mbgen compile --output out`, and what must be said."""

    prepare: Callable[[], None]
    arguments: tuple[str, ...]
    message: str
    target: str = "host"


CASES = {
    "truncated TFLite": Case(
        truncated_tflite,
        ("model.tflite",),
        "model.tflite: the TFLite file is truncated or damaged: its tables point outside the file or contradict each "
        "other; copy or convert it again",
    ),
    "truncated ONNX": Case(
        truncated_onnx,
        ("model.onnx",),
        "model.onnx: the file is truncated, damaged or of another kind, not an ONNX model; "
        "give a .tflite or .onnx file",
    ),
    "another kind of file": Case(
        an_image,
        ("model.tflite",),
        "model.tflite: this is a PNG image, not a TFLite model; give a .tflite or .onnx file",
    ),
    "external data outside the folder": Case(
        weights_outside_the_folder,
        ("model.onnx",),
        "model.onnx: the weights 'kernel' ask for the file '../secret.bin' outside the model's folder; "
        "mbgen reads no such file",
    ),
    "unsupported operator": Case(
        an_unsupported_operator,
        ("model.onnx",),
        f"model.onnx: unsupported operators: node 'activation' (Erf, output 'result'); mbgen compiles {SUPPORTED}",
    ),
    "dynamic shapes": Case(
        dynamic_shapes,
        ("model.onnx",),
        "model.onnx: the input 'image' has the dynamic shape ['batch', 3, 'height', 'width']; export it with a fixed "
        "shape, or run python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name 'image' "
        "--input_shape 1,3,224,224",
    ),
    "alpha 0": Case(
        nothing, ("--alpha", "0"), "alpha is 0; the width multiplier must be a positive number such as 0.25"
    ),
    "no classes": Case(nothing, ("--classes", "0"), "the network has 0 classes; it needs at least 1"),
    "tiny resolution": Case(
        nothing,
        ("--resolution", "16"),
        "resolution 16 is too small: the five layers of stride 2 need at least 17 pixels; the paper uses 128 to 224",
    ),
    "unknown target": Case(
        nothing,
        (),
        "unknown target 'cortex-m5'; the nearest are cortex-m55, cortex-m7. `mbgen targets` lists all.",
        target="cortex-m5",
    ),
    "weights of another alpha": Case(
        weights_of_alpha_one_half,
        ("--alpha", "0.25", "--weights", "weights.npz"),
        "weights.npz: conv_1.weights is 16x3x3x3, but alpha 0.25 with 1000 classes needs 8x3x3x3: "
        "these weights are alpha 0.5 with 10 classes; give --alpha 0.5 --classes 10",
    ),
    "truncated weights": Case(
        a_truncated_weights_file,
        ("--weights", "weights.npz"),
        "weights.npz: this NumPy .npz file cannot be read; is it damaged or incomplete? (File is not a zip file)",
    ),
    "trained weights to int8 without images": Case(
        weights_of_alpha_one_half,
        ("--alpha", "0.5", "--classes", "10", "--weights", "weights.npz", "--dtype", "int8"),
        "--dtype int8 needs data to set the ranges of the activations; give --calibration with a folder of about 100 "
        "typical images, or a .npy or .npz array",
    ),
    "name": Case(
        nothing,
        ("--name", "2nd-net"),
        "'2nd-net' cannot be the library's name: it is not a C identifier (letters, digits and underscores, no digit "
        "first). It is the prefix of every C symbol; try 'net_2nd_net'",
    ),
    "preprocessing": Case(
        nothing,
        ("--preprocess", "x/256"),
        "there is no preprocessing named 'x/256'; choose one of none, x/127.5-1, x/255, x-128, (x-128)/128, imagenet",
    ),
    "folder with other files": Case(
        a_folder_with_other_files,
        SMALL,
        "out holds files that mbgen did not write: notes/a.txt, thesis.tex. "
        "Move them away or give another folder with --output; nothing was changed",
    ),
    "library with another file": Case(
        a_library_with_another_file,
        SMALL,
        "out holds files that mbgen did not write: src/main.c. "
        "Move them away or give another folder with --output; nothing was changed",
    ),
    "output is a file": Case(
        a_file, SMALL, "cannot write the library to out: {folder}/out is a file; give a folder with --output"
    ),
}


@pytest.fixture(autouse=True)
def no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine shows progress before the message."""
    monkeypatch.setattr("mbgen.terminal.PLAIN_INTERVAL", math.inf)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bad_input_is_refused_with_one_message(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    case.prepare()
    before = contents(tmp_path)
    capsys.readouterr()
    status = main(["compile", *case.arguments, "--target", case.target, "--output", "out"])
    assert capsys.readouterr() == ("", f"mbgen: error: {case.message.replace('{folder}', str(tmp_path))}\n")
    assert status == 2
    assert contents(tmp_path) == before


def test_a_library_that_does_not_fit_is_the_answer_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compile", "--target", "cortex-m4", "--alpha", "0.25", "--ram", "32K", "--json"]) == 1
    assert capsys.readouterr() == (
        "",
        "mbgen: error: depthwise_6: the arena needs 37,200 bytes; cortex-m4 has 32,768. "
        "Try --resolution 192 (about 30,340 bytes). If your part has more memory, say so with --ram.\n",
    )
    assert not list(tmp_path.iterdir())


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file with what is in it, and every folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }
