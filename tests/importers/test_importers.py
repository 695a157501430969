"""`import_model` tells files apart, and importing the package costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mbgen.errors import InputError
from mbgen.importers import import_model
from tests.support.onnx_builder import mobilenet_v1 as onnx_v1
from tests.support.tflite_models import mobilenet_v1 as tflite_v1


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_tflite_and_an_onnx_file(tmp_path: Path) -> None:
    tflite = import_model(write(tmp_path / "net.tflite", tflite_v1("int8")))
    onnx = import_model(write(tmp_path / "net.onnx", onnx_v1()))
    assert tflite.name == onnx.name == "model"
    assert tflite.layers[0].source == "3"
    assert onnx.layers[-1].source == "probabilities"


@pytest.mark.parametrize("name", ["net.bin", "net.onnx", "net"])
def test_a_tflite_file_under_another_name(tmp_path: Path, name: str) -> None:
    assert import_model(write(tmp_path / name, tflite_v1("int8"))).layers[0].source == "3"


def test_suffixes_in_capitals(tmp_path: Path) -> None:
    assert import_model(write(tmp_path / "NET.ONNX", onnx_v1())).layers


@pytest.mark.parametrize("name", ["picture.tflite", "picture.onnx", "picture.jpg"])
def test_a_picture(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    with pytest.raises(InputError) as caught:
        import_model(path)
    wanted = {
        ".tflite": "this is a JPEG image, not a TFLite model; give a .tflite or .onnx file",
        ".onnx": "this is a JPEG image, not an ONNX model; give a .tflite or .onnx file",
        ".jpg": "this is a JPEG image; give a .tflite or .onnx model",
    }
    assert str(caught.value) == f"{path}: {wanted[path.suffix]}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        import_model(tmp_path / "net.onnx")
    assert str(caught.value) == f"{tmp_path / 'net.onnx'}: cannot read the model: No such file or directory"


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the model: Is a directory"):
        import_model(tmp_path)


def test_importing_the_package_does_not_import_tvm() -> None:
    code = "import sys, mbgen.importers; print(sorted({'tvm', 'onnx', 'tflite', 'numpy'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "['numpy']\n"
