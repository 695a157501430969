"""Trained weights for the built-in MobileNet V1, from NumPy, safetensors and Keras files.

Knows the three formats and their names. May not know layers, or of the command line more than the options it advises.

NumPy and safetensors files name the tensors as `mobilenet.weight_shapes` does: `conv_1.weights`, `conv_1.bias`,
`depthwise_1.weights` ... `dense_1.bias`, in the layouts given there. In place of a bias, or beside it, batch
normalisation may stand unfolded as `conv_1.gamma`, `.beta`, `.mean` and `.variance`, each `[oc]`, with one number
`epsilon` for all.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mbgen.errors import InputError
from mbgen.graph import Array, Shape
from mbgen.mobilenet import MobileNetV1, weight_shapes
from mbgen.passes.batch_norm import fold_batch_norm

BATCH_NORM_PARTS = ("gamma", "beta", "mean", "variance")

KERAS_EPSILON = 1e-3  # the default of Keras' BatchNormalization, for files that do not say
KERAS_LAYER = re.compile(r"(conv1|conv_dw_|conv_pw_|conv_preds)(\d*)(_bn)?")
KERAS_KINDS = {"conv1": "conv_1", "conv_dw_": "depthwise_", "conv_pw_": "pointwise_", "conv_preds": "dense_1"}
KERAS_VARIABLES = {
    "kernel": "weights",
    "depthwise_kernel": "weights",
    "moving_mean": "mean",
    "moving_variance": "variance",
}


def load_weights(path: Path, net: MobileNetV1) -> dict[str, Array]:
    """The file's weights with batch normalisation folded: float32, names and shapes of `mobilenet.weight_shapes(net)`.

    The content tells the format. Raises InputError for a file that cannot be read, is of another kind or is damaged,
    and for weights of another network, naming the first tensor that does not fit and the options with which it would.
    """
    arrays = _read(path)
    if "epsilon" in arrays and arrays["epsilon"].size == 1:
        arrays["epsilon"] = arrays["epsilon"].reshape(())  # safetensors users tend to write one number as [1]
    shapes = weight_shapes(net)
    expected = _expected(shapes, arrays)
    for name, shape in expected.items():
        if name not in arrays:
            raise InputError(f"{path}: there is no tensor {name}. {_what_is_missing(name, shape)}")
        if arrays[name].shape != shape:
            raise InputError(
                f"{path}: {name} is {_spelled(arrays[name].shape)}, but alpha {net.alpha:g} with {net.classes} classes "
                f"needs {_spelled(shape)}: {_advice(arrays, net)}"
            )
    for name in arrays:
        if name not in expected:
            raise InputError(
                f"{path}: MobileNet V1 has no tensor {name}: the file holds another network, "
                "or names that mbgen does not know"
            )
        _check_values(arrays[name], name, path)
    return _folded(arrays, shapes, path)


def _read(path: Path) -> dict[str, Array]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the weights cannot be read: {error.strerror}") from error
    kind, reader = _reader(content, path)
    try:
        return reader(content)
    except Exception as error:  # on a damaged file these libraries raise nearly anything
        raise InputError(f"{path}: this {kind} file cannot be read; is it damaged or incomplete? ({error})") from error


def _reader(content: bytes, path: Path) -> tuple[str, Callable[[bytes], dict[str, Array]]]:
    if content.startswith(b"PK\x03\x04"):
        return "NumPy .npz", _read_npz
    if content.startswith(b"\x89HDF\r\n\x1a\n"):
        return "Keras .h5", _read_keras
    if content[8:9] == b"{":  # after eight bytes with the header's length
        return ".safetensors", _read_safetensors
    raise InputError(f"{path}: this is not a weights file; mbgen reads .npz, .safetensors and Keras .h5")


def _read_npz(content: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"its entry {name!r} is no array")
    return arrays


def _read_safetensors(content: bytes) -> dict[str, Array]:
    from safetensors.numpy import load

    try:
        return load(content)
    except KeyError as error:
        raise ValueError(f"it holds tensors of type {error.args[0]}, which NumPy does not have") from error


def _read_keras(content: bytes) -> dict[str, Array]:
    """Keras' names and layouts turned into ours; what MobileNet V1 does not have keeps Keras' name."""
    import h5py

    arrays: dict[str, Array] = {}

    def visit(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            layer, *_, variable = path.split("/")
            name = _keras_name(layer, variable.removesuffix(":0"))
            arrays[name] = _from_keras_layout(name, item[()])

    with h5py.File(io.BytesIO(content), "r") as file:
        file.get("model_weights", file).visititems(visit)
        model = json.loads(file.attrs.get("model_config", "{}"))
    if any(name.endswith(".gamma") for name in arrays):
        arrays["epsilon"] = np.array(_keras_epsilon(model))
    return arrays


def _keras_name(layer: str, variable: str) -> str:
    match = KERAS_LAYER.fullmatch(layer)
    if match is None:
        return f"{layer}/{variable}"
    kind, index, _ = match.groups()
    return f"{KERAS_KINDS[kind]}{index}.{KERAS_VARIABLES.get(variable, variable)}"


def _from_keras_layout(name: str, array: Array) -> Array:
    """Kernels are HWIO, depthwise kernels HWC and a depth multiplier of 1, the classifier a 1x1 convolution."""
    if not name.endswith(".weights") or array.ndim != 4:
        return array
    if name.startswith("depthwise"):
        return array.reshape(*array.shape[:2], -1)
    if name.startswith("dense"):
        return array.reshape(-1, array.shape[3]).T
    return array.transpose(3, 0, 1, 2)


def _keras_epsilon(model: Mapping[str, Any]) -> float:
    layers = model.get("config", {}).get("layers", [])
    found = {layer["config"]["epsilon"] for layer in layers if layer["class_name"] == "BatchNormalization"}
    if len(found) > 1:
        raise ValueError(f"its layers normalise with different epsilons: {sorted(found)}")
    return float(found.pop()) if found else KERAS_EPSILON


def _expected(shapes: Mapping[str, Shape], arrays: Mapping[str, Array]) -> dict[str, Shape]:
    """What the file must hold, given which of its layers come with batch normalisation."""
    expected: dict[str, Shape] = {}
    for name, shape in shapes.items():
        layer, _, role = name.partition(".")
        normalised = role == "bias" and any(f"{layer}.{part}" in arrays for part in BATCH_NORM_PARTS)
        if not normalised or name in arrays:
            expected[name] = shape
        if normalised:
            expected |= {f"{layer}.{part}": shape for part in BATCH_NORM_PARTS} | {"epsilon": ()}
    return expected


def _what_is_missing(name: str, shape: Shape) -> str:
    if name == "epsilon":
        return "Batch normalisation needs that number: TensorFlow trains with 0.001, PyTorch with 0.00001"
    return f"MobileNet V1 needs one of shape {_spelled(shape)}: the file holds another network, or a part of one"


def _advice(arrays: Mapping[str, Array], net: MobileNetV1) -> str:
    """The options with which the arrays fit, if there are any."""
    fitting = _fitting(arrays, net)
    if fitting is None:
        return "no alpha fits, the file holds another network"
    facts, options = [], []
    if fitting.alpha != net.alpha:
        facts.append(f"alpha {fitting.alpha:g}")
        options.append(f"--alpha {fitting.alpha:g}")
    if fitting.classes != net.classes:
        facts.append(f"{fitting.classes} classes")
        options.append(f"--classes {fitting.classes}")
    return f"these weights are {' with '.join(facts)}; give {' '.join(options)}"


def _fitting(arrays: Mapping[str, Array], net: MobileNetV1) -> MobileNetV1 | None:
    classifier = arrays.get("dense_1.weights")
    if classifier is None or classifier.ndim != 2 or 0 in classifier.shape:
        return None
    classes, features = classifier.shape
    # the widest layer fixes all others; among the alphas that give it, the one with the fewest decimals
    candidates = [net.alpha, *(math.ceil(features / 1024 * 10**digits) / 10**digits for digits in range(1, 6))]
    for alpha in candidates:
        fitting = MobileNetV1(alpha, net.resolution, classes)
        expected = _expected(weight_shapes(fitting), arrays)
        if all(arrays[name].shape == shape for name, shape in expected.items() if name in arrays):
            return fitting
    return None


def _check_values(array: Array, name: str, path: Path) -> None:
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{path}: {name} is {array.dtype}; weights must be floating point")
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32)).all()
    if not finite:
        raise InputError(f"{path}: {name} holds a value that is no finite float32: the weights are damaged")


def _folded(arrays: Mapping[str, Array], shapes: Mapping[str, Shape], path: Path) -> dict[str, Array]:
    folded = {name: arrays[name] for name in shapes if name in arrays}
    for layer in (name.removesuffix(".gamma") for name in arrays if name.endswith(".gamma")):
        try:
            folded[f"{layer}.weights"], folded[f"{layer}.bias"] = fold_batch_norm(
                folded[f"{layer}.weights"],
                folded.get(f"{layer}.bias"),
                **{part: arrays[f"{layer}.{part}"] for part in BATCH_NORM_PARTS},
                epsilon=float(arrays["epsilon"]),
                axis=-1 if layer.startswith("depthwise") else 0,
            )
        except InputError as error:
            raise InputError(f"{path}: {layer}: {error}") from error
    return {name: np.ascontiguousarray(folded[name], np.float32) for name in shapes}


def _spelled(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one number"
