"""Proof that a library computes what its model's own runtime does: every layer, on the library's target.

Knows the library by its manifest and its reference model. May not know kernels, schedules or the command line.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mbgen.errors import GraphError, InputError
from mbgen.graph import INTEGER_RANGE, Array, Numerics, Quantization, Shape, Tensor
from mbgen.images import ARRAY_SUFFIXES, load_array, load_pixels, quantize_pixels, synthetic_pixels
from mbgen.reference import compute, execute
from mbgen.running import read_manifest, run_layers
from mbgen.runtimes import Runtime, litert, onnx_runtime

Progress = Callable[[str, int, int], None]
Verdict = Literal["equal", "within bound", "differs", "not compared"]

# The greatest |difference| of a float32 layer from its reference, over the reference's greatest |value|, both computed
# from the same inputs. Sums of thousands of terms in another order differ by some units of 2^-24 of their greatest
# term, which may be many times the sum; a wrong weight, tap or clamp shows at 1e-2.
FLOAT_BOUND = 1e-4
LARGEST = float(np.finfo(np.float32).max)  # stands for a difference that is not finite

PICTURES = 2  # made up, and one image of noise, where no inputs are given
BACKGROUND = 1001  # ImageNet networks with this many classes have one before the thousand, for none of them


@dataclass(frozen=True)
class Difference:
    """How far outputs are from their reference, over one input or all."""

    elements: int = 0
    differing: int = 0  # not equal; for float32 further away than FLOAT_BOUND allows
    by_one: int = 0  # of these, integers that differ by 1
    greatest: float = 0.0  # |difference|
    relative: float = 0.0  # greatest |difference| over the reference's greatest |value|, the worst of the inputs

    def __add__(self, other: Difference) -> Difference:
        return Difference(
            self.elements + other.elements,
            self.differing + other.differing,
            self.by_one + other.by_one,
            max(self.greatest, other.greatest),
            max(self.relative, other.relative),
        )


@dataclass(frozen=True)
class LayerResult:
    """One layer over all inputs. `difference` decides the verdict; None where the model file has no such value.

    `runtime` is the difference from the model's runtime, where a definition of its own decides (QDQ).
    """

    name: str
    op: str
    shape: Shape
    verdict: Verdict
    difference: Difference | None
    runtime: Difference | None = None


@dataclass(frozen=True)
class Accuracy:
    """How many images have their labelled class as the most probable one (top-1)."""

    images: int
    library: int
    runtime: int  # the model's own


@dataclass(frozen=True)
class Verification:
    """What `verify` found."""

    name: str
    target: str
    numerics: str
    reference: str  # what decides
    runtime: str  # the model's runtime with its version, which is the reference itself except in QDQ
    bound: float | None  # on Difference.relative of float32 layers; None if there are none
    inputs: int
    layers: tuple[LayerResult, ...]
    accuracy: Accuracy | None = None
    output: Difference = Difference()  # of the network's output from that of the model's runtime, from the input on

    @property
    def first_difference(self) -> str | None:
        """The first layer that differs, in running order."""
        return next((layer.name for layer in self.layers if layer.verdict == "differs"), None)

    @property
    def passed(self) -> bool:
        return self.first_difference is None


def verify(directory: Path, inputs: Path | None, labels: Path | None, progress: Progress) -> Verification:
    """Build the library in `directory`, run it on its target, and compare each layer with its reference.

    - tflite: LiteRT's reference kernels, bit for bit.
    - qdq: the definition (mbgen.reference), bit for bit; how often ONNX Runtime differs is counted beside it.
    - float32: the model's runtime, LiteRT or ONNX Runtime, within FLOAT_BOUND; float32 layers of the others too.

    The reference computes each layer from what the library gave for the layers before, so that a layer that differs is
    itself wrong, and rounding does not add up. Where all layers are equal, so is the network from input to output.

    `inputs` is a folder of images, an image, or a .npy or .npz array of the input's own type or of pixels; without it
    pictures and noise are made up. `labels` is a CSV of images and classes. A difference is a result, not an error.
    Raises InputError for a damaged manifest or reference and for inputs or labels that do not fit, MissingToolError for
    a compiler, emulator or runtime that is not installed, RefusedError if the library crashes.
    """
    library = _read_library(directory)
    names, images = _read_inputs(library, inputs)
    last, sourced = library.layers[-1], [layer for layer in library.layers if layer.source]
    original = _Original(library)
    classes = None if labels is None else _read_labels(labels, names, last.shape[-1])
    decided: dict[str, Difference] = {}
    counted: dict[str, Difference] = {}
    whole: dict[str, Difference] = {}
    hits = {"library": 0, "runtime": 0}
    with _runtime(library, images[:1]) as runtime:
        progress("building and running the library", 0, len(images))
        for index, actual in enumerate(run_layers(directory, images)):
            image = images[index : index + 1]
            known = original.complete(image, actual)
            values, output = runtime.values(image, {layer.source: known[layer.name] for layer in sourced})
            found = {last.name: output} | {layer.name: layer.chosen(values[layer.source]) for layer in sourced}
            _add(whole, actual, {last.name: output})
            if original.decides:
                _add(counted, actual, found)
            _add(decided, actual, original.outputs(image, known) if original.decides else found)
            if classes is not None:
                hits["library"] += int(np.argmax(actual[last.name])) == classes[index]
                hits["runtime"] += int(np.argmax(output)) == classes[index]
            progress("comparing every layer", index + 1, len(images))
    return Verification(
        name=library.name,
        target=library.target,
        numerics=library.numerics.value,
        reference="the definition in NumPy" if original.decides else runtime.title,
        runtime=runtime.title,
        bound=FLOAT_BOUND if any(layer.dtype == "float32" for layer in library.layers) else None,
        inputs=len(images),
        layers=tuple(_result(layer, decided.get(layer.name), counted.get(layer.name)) for layer in library.layers),
        accuracy=None if classes is None else Accuracy(len(images), **hits),
        output=whole[last.name],
    )


def library_inputs(directory: Path, inputs: Path | None) -> Array:
    """What `verify` would run the library in `directory` on, `[n, ...]` in its input's type. Errors as `verify`."""
    return _read_inputs(_read_library(directory), inputs)[1]


# --- comparing -----------------------------------------------------------------------------------------------------


def compare(actual: Array, expected: Array) -> Difference:
    """The difference of one layer's output for one input; both hold the same number of elements."""
    a, b = (value.reshape(-1).astype(np.float64) for value in (actual, expected))
    with np.errstate(invalid="ignore"):
        distance = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
    distance = np.nan_to_num(distance, nan=LARGEST, posinf=LARGEST)
    scale, greatest = float(np.abs(b).max()), float(distance.max())
    allowed = FLOAT_BOUND * scale if actual.dtype == np.float32 else 0
    return Difference(
        elements=len(a),
        differing=int(np.count_nonzero(distance > allowed)),
        by_one=0 if actual.dtype == np.float32 else int(np.count_nonzero(distance == 1)),
        greatest=greatest,
        relative=greatest / scale if scale > 0 else min(greatest, 1) * LARGEST,
    )


def _add(differences: dict[str, Difference], actual: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    for name, value in expected.items():
        if value.size != actual[name].size:
            raise InputError(
                f"{name}: the reference model has {list(value.shape)} where the library has "
                f"{list(actual[name].shape)}; compile the library again"
            )
        differences[name] = differences.get(name, Difference()) + compare(actual[name], value)


def _result(layer: _Layer, difference: Difference | None, runtime: Difference | None) -> LayerResult:
    verdict: Verdict
    if difference is None:
        verdict = "not compared"
    elif difference.differing:
        verdict = "differs"
    else:
        verdict = "within bound" if difference.greatest else "equal"
    return LayerResult(layer.name, layer.op, layer.shape, verdict, difference, runtime)


# --- the library and its references --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layer:
    """A layer as the manifest has it; `source` names the reference model's value, empty if there is none.

    `left` are the channels of that value that the library computes, of `channels`; None if it computes all.
    """

    name: str
    op: str
    shape: Shape
    dtype: str
    source: str
    channels: int
    left: tuple[int, ...] | None

    @property
    def model_shape(self) -> Shape:
        """The shape of the model's value."""
        return (*self.shape[:-1], self.channels)

    def chosen(self, value: Array) -> Array:
        """The channels of a value of the model that the library computes."""
        return value if self.left is None else value.reshape(self.model_shape)[..., self.left]


@dataclass(frozen=True, eq=False)
class _Library:
    name: str
    target: str
    numerics: Numerics
    input: Tensor
    preprocess: str
    layers: tuple[_Layer, ...]
    reference: Path
    model: bytes = field(repr=False)


def _read_library(directory: Path) -> _Library:
    manifest = read_manifest(directory)
    try:
        (entry,) = (file for file in manifest["files"] if file["role"] == "reference")
        reference, digest = directory / "reference" / Path(entry["path"]).name, entry["sha256"]
        model = reference.read_bytes()
        library = _Library(
            name=manifest["name"],
            target=manifest["target"]["name"],
            numerics=Numerics(manifest["numerics"]),
            input=_tensor(manifest["input"]),
            preprocess=manifest["options"]["preprocess"],
            layers=tuple(_layer(entry) for entry in manifest["layers"]),
            reference=reference,
            model=model,
        )
    except OSError as error:
        raise InputError(f"{reference}: cannot read the reference model ({error.strerror}); compile again") from error
    except (KeyError, TypeError, ValueError, GraphError) as error:
        raise InputError(f"{directory}: manifest.json is not as mbgen writes it; compile again") from error
    if hashlib.sha256(model).hexdigest() != digest:
        raise InputError(f"{reference}: this is not the model that the library was compiled from; compile again")
    return library


def _layer(entry: Mapping[str, Any]) -> _Layer:
    shape, channels = tuple(entry["output_shape"]), entry["channels"]
    return _Layer(
        name=entry["name"],
        op=entry["op"],
        shape=shape,
        dtype=entry["dtype"],
        source=entry["source"],
        channels=shape[-1] if channels is None else channels["of"],
        left=None if channels is None else tuple(channels["left"]),
    )


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    q = entry["quantization"]
    quantization = None if q is None else Quantization(tuple(q["scale"]), tuple(q["zero_point"]))
    return Tensor("input", tuple(entry["shape"]), entry["dtype"], quantization)


def _runtime(library: _Library, example: Array) -> AbstractContextManager[Runtime]:
    """The runtime of the reference model, asked for the layers' values."""
    shapes = {layer.source: layer.model_shape for layer in library.layers if layer.source}
    if library.reference.suffix == ".tflite":
        return litert(library.model, list(shapes))
    return onnx_runtime(library.model, shapes, example)


class _Original:
    """The model's own graph in NumPy, which stands in for the channels that the library does not compute.

    For QDQ, whose runtimes do not agree with each other bit for bit, it also decides what a layer must give.
    """

    def __init__(self, library: _Library) -> None:
        self.layers = library.layers
        self.decides = library.numerics is Numerics.QDQ
        self.pruned = any(layer.left is not None for layer in library.layers)
        if self.decides or self.pruned:
            from mbgen import importers  # TVM takes a second to import

            tflite = library.reference.suffix == ".tflite"
            read = importers.import_tflite if tflite else importers.import_onnx
            self.graph = read(library.model, str(library.reference))
            if not {layer.name for layer in library.layers} <= {layer.name for layer in self.graph.layers}:
                raise InputError(f"{library.reference}: its layers are not the library's; compile again")

    def complete(self, image: Array, actual: Mapping[str, Array]) -> dict[str, Array]:
        """Every value of the model as the library has it, with the model's own where the library has none."""
        if not self.decides and not self.pruned:
            return dict(actual)
        values = execute(self.graph, image)
        for layer in self.layers:
            if layer.left is None:
                values[layer.name] = actual[layer.name]
            else:
                values[layer.name] = values[layer.name].copy()
                values[layer.name][..., layer.left] = actual[layer.name]
        return values

    def outputs(self, image: Array, known: Mapping[str, Array]) -> dict[str, Array]:
        """What each layer of the library must give, from what the layers before it gave."""
        values = {self.graph.input: image, **known}
        layers = {layer.name: layer for layer in self.graph.layers}
        return {
            layer.name: layer.chosen(
                compute(layers[layer.name], self.graph, [values[name] for name in layers[layer.name].inputs])
            )
            for layer in self.layers
        }


# --- inputs and labels ---------------------------------------------------------------------------------------------


def _read_inputs(library: _Library, path: Path | None) -> tuple[list[str], Array]:
    """Names, and what the network's input holds for each; float32, int8 or uint8 `[n, ...]`."""
    tensor = library.input
    if path is None:
        return _made_up(library)
    if path.suffix.lower() in ARRAY_SUFFIXES:
        array = load_array(path)
        if array.dtype == tensor.dtype:
            _check_array(path, array, tensor)
            return [f"{path.name}[{index}]" for index in range(len(array))], array
        if array.dtype != np.uint8:
            raise InputError(
                f"{path}: the array holds {array.dtype}; give {tensor.dtype}, which the network reads, or uint8 pixels"
            )
    if len(tensor.shape) != 4:
        raise InputError(f"{path}: the network's input has shape {list(tensor.shape)}, which is no image")
    names, pixels = load_pixels(path, *tensor.shape[1:])
    return names, quantize_pixels(pixels, tensor, library.preprocess)


def _check_array(path: Path, array: Array, tensor: Tensor) -> None:
    if array.shape[1:] != tensor.shape[1:] or not len(array):
        raise InputError(
            f"{path}: the array has shape {list(array.shape)}; "
            f"the network needs [n, {', '.join(map(str, tensor.shape[1:]))}]"
        )
    if not np.isfinite(array).all():
        raise InputError(f"{path}: the array holds a value that is not finite")


def _made_up(library: _Library) -> tuple[list[str], Array]:
    """Seeded pictures and noise; noise only where the input is no image."""
    tensor, rng = library.input, np.random.default_rng(0)
    names = [*(f"picture {index}" for index in range(PICTURES)), "noise"]
    if len(tensor.shape) == 4:
        noise = rng.integers(0, 256, tensor.shape).astype(np.uint8)
        pixels = np.concatenate([synthetic_pixels(PICTURES, *tensor.shape[1:]), noise])
        return names, quantize_pixels(pixels, tensor, library.preprocess)
    shape = (len(names), *tensor.shape[1:])
    if tensor.dtype == "float32":
        return names, rng.uniform(-1, 1, shape).astype(np.float32)
    return names, rng.integers(*INTEGER_RANGE[tensor.dtype], shape, tensor.dtype, endpoint=True)


def _read_labels(path: Path, names: Sequence[str], outputs: int) -> list[int]:
    """The index of the output that each named image should have as its greatest."""
    offset = 1 if outputs == BACKGROUND else 0
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: the labels cannot be read ({error})") from error
    if not rows or len(rows[0]) != 2 or rows[0][0] != "file":
        raise InputError(f"{path}: the first line must name two columns, `file` and the class")
    labels = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or not row[1].isdecimal() or int(row[1]) >= outputs - offset:
            raise InputError(
                f"{path}: line {number} must be a file and a class from 0 to {outputs - offset - 1}: {','.join(row)}"
            )
        labels[row[0]] = int(row[1]) + offset
    missing = next((name for name in names if name not in labels), None)
    if missing is not None:
        raise InputError(f"{path}: there is no line for {missing}, one of the inputs")
    return [labels[name] for name in names]
