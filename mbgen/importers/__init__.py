"""Model files to the Graph, through TVM Relax's frontends.

Importing this package does not import TVM, which takes a second; calling its functions does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mbgen.errors import InputError
from mbgen.graph import Graph
from mbgen.importers.files import describe


def read_model(path: Path) -> tuple[Literal["tflite", "onnx"], bytes]:
    """The kind and the bytes of the model at `path`, told apart by content first, then by suffix.

    An ONNX model comes in one piece: weights that it keeps in other files of its folder are brought in. Raises
    InputError naming the file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot read the model: {error.strerror}") from error
    if content[4:8] == b"TFL3" or path.suffix.lower() == ".tflite":
        return "tflite", content
    if path.suffix.lower() != ".onnx":
        raise InputError(f"{path}: {describe(content)}; give a .tflite or .onnx model")
    from mbgen.importers.onnx_file import with_weights_inside

    return "onnx", with_weights_inside(content, str(path), path.parent)


def import_model(path: Path) -> Graph:
    """The Graph of the TFLite or ONNX model at `path`.

    Raises InputError or UnsupportedError, naming the file, the operator and what would help.
    """
    kind, content = read_model(path)
    return import_tflite(content, str(path)) if kind == "tflite" else import_onnx(content, str(path))


def import_tflite(model: bytes, where: str) -> Graph:
    """The Graph of a TFLite file's bytes; `where` is how messages call it."""
    from mbgen.importers import tflite

    return tflite.import_tflite(model, where)


def import_onnx(model: bytes, where: str) -> Graph:
    """The Graph of an ONNX file's bytes, all weights inside; `where` is how messages call it."""
    from mbgen.importers import onnx

    return onnx.import_onnx(model, where)
