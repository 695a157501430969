"""Whether `verify` tells a right library from a wrong one, and says what is wrong with what it is given."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import mbgen.verify
from mbgen.errors import InputError, MbgenError
from mbgen.graph import Array, DType, Graph, Numerics, Quantization, Softmax, Tensor
from mbgen.importers import import_onnx
from mbgen.library import render, write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.reference import execute
from mbgen.verify import Difference, Verification, compare, verify
from tests.support.layers import graph_of, per_tensor
from tests.support.pruned import DEAD, LEFT, POINTWISE_DEAD, POINTWISE_LEFT, some_channels_gone
from tests.support.qdq_export import to_qdq
from tests.support.tflite_export import to_tflite
from tests.support.tiny_network import make_network
from tests.support.tools import require_target


def quiet(message: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def tflite_sources(graph: Graph) -> Graph:
    """The graph with its layers' sources, as they are in the file that to_tflite writes."""
    index = {name: str(i) for i, name in enumerate(n for n, t in graph.tensors.items() if t.data is None)}
    layers = tuple(dataclasses.replace(layer, source=index[layer.output]) for layer in graph.layers)
    return dataclasses.replace(graph, layers=layers)


def onnx_sources(graph: Graph) -> Graph:
    return dataclasses.replace(graph, layers=tuple(dataclasses.replace(e, source=e.output) for e in graph.layers))


@pytest.fixture
def tflite_library(tmp_path: Path) -> Path:
    """A real int8 library, its kernels written by hand, beside the TFLite model that it must equal."""
    require_target("host")
    network = make_network("int8", options={"preprocess": "x-128"})
    graph = tflite_sources(network.graph)
    reference = ("model.tflite", to_tflite(graph))
    write(render(dataclasses.replace(network, graph=graph, reference=reference)), tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def float_library(tmp_path: Path) -> Path:
    require_target("host")
    network = make_network("float32", options={"preprocess": "x/255"})
    graph = onnx_sources(network.graph)
    reference = ("model.onnx", to_qdq(graph, [graph.output]))
    write(render(dataclasses.replace(network, graph=graph, reference=reference)), tmp_path / "tiny")
    return tmp_path / "tiny"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_manifest(directory: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def verdicts(result: Verification) -> dict[str, str]:
    return {layer.name: layer.verdict for layer in result.layers}


# --- libraries that were built and run -----------------------------------------------------------------------------


def test_a_right_library_equals_litert_at_every_layer(tflite_library: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    result = verify(tflite_library, None, None, lambda *step: steps.append(step))
    assert result.passed
    assert result.first_difference is None
    assert verdicts(result) == dict.fromkeys(["pointwise_1", "depthwise_1", "pool_1", "reshape_1"], "equal")
    assert [(r.op, r.shape, r.difference) for r in result.layers[:2]] == [
        ("pointwise", (1, 4, 4, 8), Difference(elements=3 * 128)),
        ("depthwise_conv2d", (1, 4, 4, 8), Difference(elements=3 * 128)),
    ]
    assert (result.name, result.target, result.numerics, result.inputs) == ("tiny", "host", "tflite", 3)
    assert result.reference == result.runtime
    assert result.reference.startswith("LiteRT ")
    assert (result.bound, result.accuracy) == (None, None)
    assert result.output == Difference(elements=3 * 8)
    assert steps[-1] == ("comparing every layer", 3, 3)


def test_a_kernel_that_rounds_wrongly_is_the_first_difference(tflite_library: Path) -> None:
    (kernels,) = (tflite_library / "src").glob("*_kernels.c")
    text = kernels.read_text()
    at = text.index("tiny_depthwise_1")
    kernels.write_text(text[:at] + text[at:].replace("int32_t acc = bias[oc]", "int32_t acc = bias[oc] + 90", 1))
    result = verify(tflite_library, None, None, quiet)
    assert not result.passed
    assert result.first_difference == "depthwise_1"
    assert [name for name, verdict in verdicts(result).items() if verdict == "differs"] == ["depthwise_1"]
    assert result.output.differing > 0
    difference = result.layers[1].difference
    assert difference is not None
    assert 0 < difference.by_one == difference.differing < difference.elements
    assert difference.greatest == 1


def test_a_float_library_is_within_the_bound_of_onnx_runtime(float_library: Path) -> None:
    result = verify(float_library, None, None, quiet)
    assert result.passed
    assert set(verdicts(result).values()) <= {"equal", "within bound"}
    assert result.bound == mbgen.verify.FLOAT_BOUND
    assert result.reference == result.runtime
    assert result.reference.startswith("ONNX Runtime ")
    assert all(r.difference is not None and r.difference.relative < 1e-6 for r in result.layers)


def test_a_float_library_with_a_wrong_clamp_differs(float_library: Path) -> None:
    (kernels,) = (float_library / "src").glob("*_kernels.c")
    edit(kernels, "6.0f", "0.5f")
    result = verify(float_library, None, None, quiet)
    assert result.first_difference == "pointwise_1"


# --- libraries of which channels were taken out ---------------------------------------------------------------------


@pytest.fixture(params=[("tflite", "speed"), ("tflite", "ram"), ("onnx", "ram")], ids=" ".join)
def pruned_library(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    require_target("host")
    suffix, optimize = request.param
    graph = some_channels_gone(Numerics.TFLITE if suffix == "tflite" else Numerics.QDQ)
    model = tmp_path / f"pruned.{suffix}"
    model.write_bytes(to_tflite(graph) if suffix == "tflite" else to_qdq(graph, [graph.output]))
    network = compile_model(CompileOptions(target="host", model=model, optimize=optimize), quiet)
    write(render(network), tmp_path / "pruned")
    return tmp_path / "pruned"


def test_the_channels_that_are_left_equal_the_models(pruned_library: Path) -> None:
    result = verify(pruned_library, None, None, quiet)
    assert verdicts(result) == dict.fromkeys(
        ["conv_1", "depthwise_1", "pointwise_1", "pool_1", "reshape_1", "dense_1"], "equal"
    )
    shapes = [layer.shape for layer in result.layers]
    assert shapes == [(1, 5, 5, 5), (1, 5, 5, 5), (1, 5, 5, 5), (1, 1, 1, 5), (1, 5), (1, 4)]
    assert result.layers[0].difference == Difference(elements=3 * 125)
    assert result.output.elements == 3 * 4


@pytest.mark.parametrize(
    ("layer", "left"), [("conv_1", [*LEFT[:-1], DEAD]), ("pointwise_1", [0, POINTWISE_DEAD, *POINTWISE_LEFT[2:]])]
)
def test_a_channel_that_is_not_the_one_left_differs(pruned_library: Path, layer: str, left: list[int]) -> None:
    """As if the rewrites had kept that one and said another, or the other way round."""

    def change(manifest: dict[str, object]) -> None:
        (entry,) = (entry for entry in manifest["layers"] if entry["name"] == layer)  # type: ignore[attr-defined]
        assert entry["channels"]["left"] != left
        entry["channels"]["left"] = left

    edit_manifest(pruned_library, change)
    result = verify(pruned_library, None, None, quiet)
    assert not result.passed
    assert result.first_difference == layer


def test_a_wrong_weight_of_a_channel_that_is_left_differs(pruned_library: Path) -> None:
    (weights,) = (pruned_library / "src").glob("*_weights.c")
    text = weights.read_text()
    start = text.index("{", text.index("pruned_depthwise_1_bias"))
    end = text.index("}", start)
    weights.write_text(text[:start] + re.sub(r"(-?\d+)", r"9 * \1", text[start:end]) + text[end:])
    assert verify(pruned_library, None, None, quiet).first_difference == "depthwise_1"


# --- libraries whose outputs are made up ---------------------------------------------------------------------------


def small_qdq() -> bytes:
    """A QDQ model of convolution, pool and softmax, whose sums are small enough for some ties."""
    rng = np.random.default_rng(5)
    from mbgen.graph import AveragePool2D, Conv2D, Reshape

    tensors = [
        Tensor("input", (1, 6, 6, 3), "int8", per_tensor(0.05, 4)),
        Tensor("w", (5, 3, 3, 3), "int8", per_tensor(0.02, 0), rng.integers(-127, 128, (5, 3, 3, 3)).astype(np.int8)),
        Tensor("b", (5,), "int32", None, rng.integers(-900, 900, 5).astype(np.int32)),
        Tensor("conv", (1, 4, 4, 5), "int8", per_tensor(0.9, -7)),
        Tensor("mean", (1, 1, 1, 5), "int8", per_tensor(0.8, -9)),
        Tensor("flat", (1, 5), "int8", per_tensor(0.8, -9)),
        Tensor("softmax", (1, 5), "int8", per_tensor(1 / 256, -128)),
    ]
    layers = [
        Conv2D(name="conv", inputs=("input",), output="conv", weights="w", bias="b"),
        AveragePool2D(name="mean", inputs=("conv",), output="mean", kernel=(4, 4)),
        Reshape(name="flat", inputs=("mean",), output="flat"),
        Softmax(name="softmax", inputs=("flat",), output="softmax"),
    ]
    return to_qdq(graph_of(layers, tensors, Numerics.QDQ), ["softmax"])


def describe(directory: Path, graph: Graph, file: str, model: bytes, preprocess: str = "x/255") -> None:
    """The parts of a library that `verify` reads itself."""

    def quantised(tensor: Tensor) -> object:
        q = tensor.quantization
        return None if q is None else {"scale": q.scale, "zero_point": q.zero_point}

    (directory / "reference").mkdir(parents=True)
    (directory / "reference" / file).write_bytes(model)
    image = graph.tensors[graph.input]
    manifest = {
        "name": "made_up",
        "target": {"name": "host"},
        "numerics": graph.numerics.value,
        "input": {"shape": image.shape, "dtype": image.dtype, "quantization": quantised(image)},
        "options": {"preprocess": preprocess},
        "layers": [
            {
                "name": layer.name,
                "op": type(layer).__name__,
                "output_shape": graph.layer_output(layer).shape,
                "dtype": graph.layer_output(layer).dtype,
                "source": layer.source,
                "channels": None,
            }
            for layer in graph.layers
        ],
        "files": [
            {"path": "src/made_up.c", "role": "source", "sha256": ""},
            {"path": f"reference/{file}", "role": "reference", "sha256": hashlib.sha256(model).hexdigest()},
        ],
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))


Outputs = Callable[[Array], dict[str, Array]]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outputs], None]:
    """Let a function give the outputs that a library would."""

    def use(outputs: Outputs) -> None:
        def run(directory: Path, inputs: Array) -> Iterator[dict[str, Array]]:
            return (outputs(inputs[index : index + 1]) for index in range(len(inputs)))

        monkeypatch.setattr(mbgen.verify, "run_layers", run)

    return use


@pytest.fixture
def qdq(tmp_path: Path) -> tuple[Path, Graph]:
    model = small_qdq()
    graph = import_onnx(model, "test")
    describe(tmp_path / "qdq", graph, "model.onnx", model)
    return tmp_path / "qdq", graph


def test_qdq_is_decided_by_the_definition_and_counted_against_onnx_runtime(
    qdq: tuple[Path, Graph], play: Callable[[Outputs], None]
) -> None:
    directory, graph = qdq
    play(lambda image: execute(graph, image))
    result = verify(directory, None, None, quiet)
    assert result.passed
    assert result.reference == "the definition in NumPy"
    assert result.runtime.startswith("ONNX Runtime ")
    assert set(verdicts(result).values()) == {"equal"}
    for layer in result.layers:
        assert layer.runtime is not None
        assert layer.runtime.elements == 3 * np.prod(layer.shape)
        assert layer.runtime.by_one == layer.runtime.differing <= layer.runtime.elements // 50


def test_a_bit_off_the_definition_fails_qdq(qdq: tuple[Path, Graph], play: Callable[[Outputs], None]) -> None:
    directory, graph = qdq

    def wrong(image: Array) -> dict[str, Array]:
        outputs = execute(graph, image)
        outputs["softmax_1"] = outputs["softmax_1"] ^ 1
        return outputs

    play(wrong)
    result = verify(directory, None, None, quiet)
    assert [name for name, verdict in verdicts(result).items() if verdict == "differs"] == ["softmax_1"]
    difference = result.layers[-1].difference
    assert difference is not None
    assert (difference.elements, difference.differing, difference.by_one, difference.greatest) == (15, 15, 15, 1)


def test_a_layer_that_the_model_file_lacks_is_not_compared(
    tflite_library: Path, play: Callable[[Outputs], None]
) -> None:
    def drop(manifest: dict[str, object]) -> None:
        manifest["layers"][1]["source"] = ""  # type: ignore[index]
        manifest["layers"][3]["source"] = ""  # type: ignore[index]

    edit_manifest(tflite_library, drop)
    result = verify(tflite_library, None, None, quiet)
    assert verdicts(result) == {
        "pointwise_1": "equal",
        "depthwise_1": "not compared",
        "pool_1": "equal",
        "reshape_1": "equal",  # the network's output is always known
    }
    assert result.passed


def test_no_more_than_two_dumps_are_held_at_a_time(
    qdq: tuple[Path, Graph], play: Callable[[Outputs], None], tmp_path: Path
) -> None:
    directory, graph = qdq
    alive: list[weakref.ref[Array]] = []
    most = 0

    def watched(image: Array) -> dict[str, Array]:
        nonlocal most
        outputs = execute(graph, image)
        alive.append(weakref.ref(outputs["conv_1"]))
        most = max(most, sum(reference() is not None for reference in alive))
        return outputs

    play(watched)
    np.save(tmp_path / "many.npy", np.zeros((20, 6, 6, 3), np.int8))
    assert verify(directory, tmp_path / "many.npy", None, quiet).inputs == 20
    assert most <= 2


# --- comparing -----------------------------------------------------------------------------------------------------


def test_integers_are_compared_bit_for_bit() -> None:
    a, b = np.array([[1, 2, 3, -128]], np.int8), np.array([[1, 3, 5, 127]], np.int8)
    assert compare(a, b) == Difference(elements=4, differing=3, by_one=1, greatest=255.0, relative=255 / 127)
    assert compare(a, a) == Difference(elements=4)


def test_floats_are_compared_with_the_greatest_value_of_the_layer() -> None:
    expected = np.array([1000, 0.5], np.float32)
    assert compare(expected + np.array([0, 0.05], np.float32), expected).differing == 0
    over = compare(expected + np.array([0, 0.25], np.float32), expected)
    assert (over.differing, over.greatest, over.relative) == (1, 0.25, 0.00025)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_differs_from_any_other(value: float) -> None:
    wrong, right = np.array([value, 1], np.float32), np.array([1, 1], np.float32)
    assert compare(wrong, right).differing == 1
    assert compare(wrong, right).greatest == float(np.finfo(np.float32).max)
    assert compare(wrong, wrong).differing == 0


def test_an_output_of_zeros_must_be_zeros() -> None:
    zeros, tiny = np.zeros(2, np.float32), np.array([0, 1e-30], np.float32)
    assert compare(zeros, zeros) == Difference(elements=2)
    assert compare(tiny, zeros).differing == 1


# --- inputs and labels ---------------------------------------------------------------------------------------------


def softmax_library(directory: Path, classes: int, dtype: DType = "uint8") -> Graph:
    """A network that is one softmax over the pixels of a 1 x `classes` image."""
    x = Tensor("input", (1, 1, 1, classes), dtype, None if dtype == "float32" else per_tensor(0.1, 0))
    y = Tensor("softmax_1", x.shape, dtype, None if dtype == "float32" else Quantization((1 / 256,), (0,)))
    layer = Softmax(name="softmax_1", inputs=("input",), output="softmax_1")
    graph = tflite_sources(graph_of([layer], [x, y], Numerics.FLOAT32 if dtype == "float32" else Numerics.TFLITE))
    describe(directory, graph, "model.tflite", to_tflite(graph))
    return graph


@pytest.mark.parametrize(("classes", "offset"), [(4, 0), (1001, 1)])
def test_accuracy_counts_the_labelled_classes(
    tmp_path: Path, play: Callable[[Outputs], None], classes: int, offset: int
) -> None:
    """Image i has its greatest pixel at i; the labels are right for images 0 and 2. The library swaps 0 and 1."""
    graph = softmax_library(tmp_path / "lib", classes)
    images = np.zeros((3, 1, 1, classes), np.uint8)
    for index in range(3):
        images[index, 0, 0, index + offset] = 255
    np.save(tmp_path / "x.npy", images)
    (tmp_path / "labels.csv").write_text("file,class_index\nx.npy[0],0\nx.npy[1],3\nx.npy[2],2\n")

    def swapped(image: Array) -> dict[str, Array]:
        output = execute(graph, image)["softmax_1"].copy()
        output[..., [offset, offset + 1]] = output[..., [offset + 1, offset]]
        return {"softmax_1": output}

    play(swapped)
    result = verify(tmp_path / "lib", tmp_path / "x.npy", tmp_path / "labels.csv", quiet)
    assert result.accuracy is not None
    assert dataclasses.asdict(result.accuracy) == {"images": 3, "library": 1, "runtime": 2}


def test_pixels_are_preprocessed_and_values_of_the_inputs_type_are_not(
    qdq: tuple[Path, Graph], play: Callable[[Outputs], None], tmp_path: Path
) -> None:
    directory, graph = qdq
    seen: list[Array] = []

    def record(image: Array) -> dict[str, Array]:
        seen.append(image)
        return execute(graph, image)

    play(record)
    np.save(tmp_path / "stored.npy", np.full((1, 6, 6, 3), 24, np.int8))
    np.save(tmp_path / "pixels.npy", np.full((1, 6, 6, 3), 255, np.uint8))
    verify(directory, tmp_path / "stored.npy", None, quiet)
    verify(directory, tmp_path / "pixels.npy", None, quiet)
    assert [set(image.reshape(-1).tolist()) for image in seen] == [{24}, {24}]  # 255 / 255 / 0.05 + 4


ARRAYS = {
    "shape": (np.zeros((2, 5, 6, 3), np.int8), "the array has shape [2, 5, 6, 3]; the network needs [n, 6, 6, 3]"),
    "empty": (np.zeros((0, 6, 6, 3), np.int8), "the array has shape [0, 6, 6, 3]; the network needs [n, 6, 6, 3]"),
    "type": (
        np.zeros((2, 6, 6, 3), np.float64),
        "the array holds float64; give int8, which the network reads, or uint8 pixels",
    ),
}


@pytest.mark.parametrize(("array", "message"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_do_not_fit_are_refused(
    qdq: tuple[Path, Graph], tmp_path: Path, array: Array, message: str
) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError) as caught:
        verify(qdq[0], tmp_path / "x.npy", None, quiet)
    assert str(caught.value) == f"{tmp_path / 'x.npy'}: {message}"


def test_an_array_with_a_nan_is_refused(tmp_path: Path) -> None:
    softmax_library(tmp_path / "lib", 4, "float32")
    np.save(tmp_path / "x.npy", np.full((1, 1, 1, 4), np.nan, np.float32))
    with pytest.raises(InputError) as caught:
        verify(tmp_path / "lib", tmp_path / "x.npy", None, quiet)
    assert str(caught.value) == f"{tmp_path / 'x.npy'}: the array holds a value that is not finite"


def test_images_for_a_network_that_reads_none_are_refused(tmp_path: Path) -> None:
    softmax_library(tmp_path / "lib", 4)
    edit(tmp_path / "lib" / "manifest.json", '"input": {"shape": [1, 1, 1, 4]', '"input": {"shape": [1, 4]')
    with pytest.raises(InputError) as caught:
        verify(tmp_path / "lib", tmp_path, None, quiet)
    assert str(caught.value) == f"{tmp_path}: the network's input has shape [1, 4], which is no image"


LABELS = {
    "header": ("image,class\n", "the first line must name two columns, `file` and the class"),
    "empty": ("", "the first line must name two columns, `file` and the class"),
    "class": ("file,class\nx.npy[0],4\n", "line 2 must be a file and a class from 0 to 3: x.npy[0],4"),
    "word": ("file,class\nx.npy[0],cat\n", "line 2 must be a file and a class from 0 to 3: x.npy[0],cat"),
    "missing": ("file,class\nx.npy[1],0\n", "there is no line for x.npy[0], one of the inputs"),
}


@pytest.mark.parametrize(("text", "message"), LABELS.values(), ids=LABELS)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    softmax_library(tmp_path / "lib", 4)
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 1, 4), np.uint8))
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        verify(tmp_path / "lib", tmp_path / "x.npy", tmp_path / "labels.csv", quiet)
    assert str(caught.value) == f"{tmp_path / 'labels.csv'}: {message}"


def test_labels_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    softmax_library(tmp_path / "lib", 4)
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError) as caught:
        verify(tmp_path / "lib", None, tmp_path / "labels.csv", quiet)
    assert str(caught.value).startswith(f"{tmp_path / 'labels.csv'}: the labels cannot be read (")


# --- damaged libraries ---------------------------------------------------------------------------------------------


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    softmax_library(tmp_path / "lib", 4)
    return tmp_path / "lib"


def refusal(directory: Path) -> str:
    with pytest.raises(MbgenError) as caught:
        verify(directory, None, None, quiet)
    assert type(caught.value) is InputError
    return str(caught.value)


@pytest.mark.parametrize("key", ["name", "target", "numerics", "input", "options", "layers", "files"])
def test_a_manifest_that_lacks_a_key_is_refused(made_up: Path, key: str) -> None:
    edit_manifest(made_up, lambda manifest: manifest.pop(key))  # type: ignore[arg-type]
    assert refusal(made_up) == f"{made_up}: manifest.json is not as mbgen writes it; compile again"


@pytest.mark.parametrize(
    "changes", [{"numerics": "exact"}, {"layers": 3}, {"files": []}, {"input": {"shape": [0], "dtype": "int8"}}]
)
def test_a_manifest_with_a_wrong_value_is_refused(made_up: Path, changes: dict[str, object]) -> None:
    edit_manifest(made_up, lambda manifest: manifest.update(changes))
    assert refusal(made_up) == f"{made_up}: manifest.json is not as mbgen writes it; compile again"


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path} holds no library of mbgen: its manifest.json cannot be read (")


def test_a_missing_reference_is_refused(made_up: Path) -> None:
    reference = made_up / "reference" / "model.tflite"
    reference.unlink()
    assert refusal(made_up) == (
        f"{reference}: cannot read the reference model (No such file or directory); compile again"
    )


def test_another_reference_model_is_refused(made_up: Path) -> None:
    reference = made_up / "reference" / "model.tflite"
    reference.write_bytes(reference.read_bytes() + b"x")
    assert refusal(made_up) == (f"{reference}: this is not the model that the library was compiled from; compile again")


def test_a_reference_with_other_layers_is_refused(qdq: tuple[Path, Graph]) -> None:
    edit(qdq[0] / "manifest.json", '"name": "softmax_1"', '"name": "softmax_2"')
    reference = qdq[0] / "reference" / "model.onnx"
    assert refusal(qdq[0]) == f"{reference}: its layers are not the library's; compile again"


def test_a_layer_of_another_size_is_refused(made_up: Path, play: Callable[[Outputs], None]) -> None:
    play(lambda image: {"softmax_1": np.zeros((1, 1, 1, 3), np.uint8)})
    assert refusal(made_up) == (
        "softmax_1: the reference model has [1, 1, 1, 4] where the library has [1, 1, 1, 3]; compile the library again"
    )
