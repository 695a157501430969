"""The runtimes that decide: what they are asked for, and what happens when they fail."""

from __future__ import annotations

import importlib.metadata
from contextlib import AbstractContextManager

import numpy as np
import pytest

from mbgen.errors import InputError, MissingToolError
from mbgen.graph import Array, Conv2D, Graph, Logistic, Numerics, Softmax, Tensor
from mbgen.reference import execute
from mbgen.runtimes import Runtime, litert, onnx_runtime
from tests.support.layers import graph_of, per_tensor
from tests.support.qdq_export import to_qdq
from tests.support.tflite_export import to_tflite


def two_layers() -> Graph:
    """A float convolution that tells rows from columns, and a sigmoid after it."""
    rng = np.random.default_rng(0)
    tensors = [
        Tensor("input", (1, 5, 4, 3), "float32"),
        Tensor("w", (2, 3, 1, 3), "float32", None, rng.normal(size=(2, 3, 1, 3)).astype(np.float32)),
        Tensor("b", (2,), "float32", None, np.array([0.5, -0.25], np.float32)),
        Tensor("conv", (1, 3, 4, 2), "float32"),
        Tensor("sigmoid", (1, 3, 4, 2), "float32"),
    ]
    layers = [
        Conv2D(name="conv", inputs=("input",), output="conv", weights="w", bias="b"),
        Logistic(name="sigmoid", inputs=("conv",), output="sigmoid"),
    ]
    return graph_of(layers, tensors, Numerics.FLOAT32)


def image() -> Array:
    return np.random.default_rng(1).normal(size=(1, 5, 4, 3)).astype(np.float32)


def test_each_value_is_computed_from_the_known_ones_before_it() -> None:
    """ONNX Runtime and LiteRT alike; the output is the model's own all the same."""
    graph = two_layers()
    known = {"conv": np.full((1, 3, 4, 2), 2, np.float32), "sigmoid": np.zeros((1, 3, 4, 2), np.float32)}
    shapes = {name: value.shape for name, value in known.items()}
    indices = {name: str(index) for index, name in enumerate(n for n, t in graph.tensors.items() if t.data is None)}
    whole = execute(graph, image())
    with onnx_runtime(to_qdq(graph, ["sigmoid"]), shapes, image()) as runtime:
        onnx_values, onnx_output = runtime.values(image(), known)
    with litert(to_tflite(graph), [indices[name] for name in known]) as runtime:
        assert runtime.title == f"LiteRT {importlib.metadata.version('ai-edge-litert')}, reference kernels"
        for _ in range(2):
            found, output = runtime.values(image(), {indices[name]: value for name, value in known.items()})
    for values in (onnx_values, {name: found[indices[name]] for name in known}):
        np.testing.assert_allclose(values["conv"], whole["conv"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(values["sigmoid"], 1 / (1 + np.exp(np.full((1, 3, 4, 2), -2.0))), rtol=1e-6)
    np.testing.assert_allclose(output, whole["sigmoid"], rtol=1e-4)
    np.testing.assert_allclose(onnx_output.transpose(0, 2, 3, 1), whole["sigmoid"], rtol=1e-4)


def test_a_crash_of_litert_is_an_error_with_its_cause() -> None:
    """512 equal classes: gemmlowp's shift leaves its range, and LiteRT aborts."""
    x = Tensor("input", (1, 512), "uint8", per_tensor(0.1, 0))
    y = Tensor("softmax", (1, 512), "uint8", per_tensor(1 / 256, 0))
    model = to_tflite(graph_of([Softmax(name="softmax", inputs=("input",), output="softmax")], [x, y]))
    with litert(model, []) as runtime, pytest.raises(InputError) as caught:
        runtime.values(np.zeros((1, 512), np.uint8), {})
    assert str(caught.value) == (
        "LiteRT crashed on this input (signal 6); its 8-bit softmax does where 512 or more classes are nearly equal: "
        "leave that input out"
    )


def test_a_model_that_litert_refuses_is_an_error_with_its_words() -> None:
    with litert(b"no model", []) as runtime, pytest.raises(InputError) as caught:
        runtime.values(np.zeros((1, 4), np.uint8), {})
    assert str(caught.value).startswith("LiteRT cannot run the model: ValueError: The model is not a valid Flatbuffer")


def test_a_value_that_does_not_fit_the_model_is_refused() -> None:
    model = to_qdq(two_layers(), ["sigmoid"])
    with onnx_runtime(model, {"conv": (1, 3, 4, 2)}, image()) as runtime, pytest.raises(InputError) as caught:
        runtime.values(image(), {"conv": np.zeros((1, 3, 4, 1), np.float32)})
    assert str(caught.value) == (
        "ONNX Runtime cannot run the model: cannot reshape array of size 12 into shape (1,2,3,4)"
    )


def test_a_model_that_onnx_runtime_refuses_is_an_error_with_its_words() -> None:
    model = to_qdq(two_layers()).replace(b"Sigmoid", b"Sigmoix")
    with pytest.raises(InputError) as caught, onnx_runtime(model, {}, image()):
        pass
    assert str(caught.value).startswith("ONNX Runtime cannot load the model: ")


@pytest.mark.parametrize(
    ("package", "kind", "start"),
    [
        ("ai-edge-litert", "a TFLite", lambda: litert(b"", [])),
        ("onnxruntime", "an ONNX", lambda: onnx_runtime(b"", {}, image())),
    ],
)
def test_a_runtime_that_is_not_installed_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, package: str, kind: str, start: type[AbstractContextManager[Runtime]]
) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(MissingToolError) as caught, start():
        pass
    assert str(caught.value) == (
        f"{package} is not installed; comparing with {kind} model needs it: pip install {package}"
    )
