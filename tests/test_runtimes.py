"""The runtimes that decide: what they are asked for, and what happens when they fail."""

from __future__ import annotations

import importlib.metadata
from contextlib import AbstractContextManager

import numpy as np
import pytest

from mbgen.errors import InputError, MissingToolError
from mbgen.graph import Array, Conv2D, Graph, Logistic, Numerics, Padding, Softmax, Tensor
from mbgen.runtimes import Runtime, litert, onnx_runtime
from tests.support.layers import graph_of, per_tensor
from tests.support.qdq_export import to_qdq
from tests.support.tflite_export import run_litert, to_tflite


def two_layers() -> Graph:
    """A float convolution that tells rows from columns, and a sigmoid after it."""
    rng = np.random.default_rng(0)
    tensors = [
        Tensor("input", (1, 5, 4, 3), "float32"),
        Tensor("w", (2, 3, 1, 3), "float32", None, rng.normal(size=(2, 3, 1, 3)).astype(np.float32)),
        Tensor("conv", (1, 3, 4, 2), "float32"),
        Tensor("sigmoid", (1, 3, 4, 2), "float32"),
    ]
    layers = [
        Conv2D(name="conv", inputs=("input",), output="conv", weights="w", padding=Padding()),
        Logistic(name="sigmoid", inputs=("conv",), output="sigmoid"),
    ]
    return graph_of(layers, tensors, Numerics.FLOAT32)


def image() -> Array:
    return np.random.default_rng(1).normal(size=(1, 5, 4, 3)).astype(np.float32)


def test_onnx_runtime_gives_values_in_the_librarys_layout() -> None:
    graph = two_layers()
    with onnx_runtime(to_qdq(graph, [graph.output]), {"conv": (1, 3, 4, 2)}) as runtime:
        values, output = runtime.values(image())
    weights = graph.constant("w")
    expected = sum(image()[:, i : i + 3] @ weights[:, i, 0].T for i in range(3))
    np.testing.assert_allclose(values["conv"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(output, 1 / (1 + np.exp(-np.asarray(expected))).transpose(0, 3, 1, 2), rtol=1e-5)


def test_litert_gives_the_tensors_asked_for_of_one_input_after_another() -> None:
    x = Tensor("input", (1, 4), "int8", per_tensor(0.1, 0))
    y = Tensor("softmax", (1, 4), "int8", per_tensor(1 / 256, -128))
    model = to_tflite(graph_of([Softmax(name="softmax", inputs=("input",), output="softmax")], [x, y]))
    with litert(model, ["0"]) as runtime:
        assert runtime.title == f"LiteRT {importlib.metadata.version('ai-edge-litert')}, reference kernels"
        for row in ([1, 2, 3, 4], [100, -100, 0, 5]):
            given = np.array([row], np.int8)
            values, output = runtime.values(given)
            assert list(values) == ["0"]
            np.testing.assert_array_equal(values["0"], given)
            np.testing.assert_array_equal(output, run_litert(model, given)["softmax"])


def test_a_crash_of_litert_is_an_error_with_its_cause() -> None:
    """512 equal classes: gemmlowp's shift leaves its range, and LiteRT aborts."""
    x = Tensor("input", (1, 512), "uint8", per_tensor(0.1, 0))
    y = Tensor("softmax", (1, 512), "uint8", per_tensor(1 / 256, 0))
    model = to_tflite(graph_of([Softmax(name="softmax", inputs=("input",), output="softmax")], [x, y]))
    with litert(model, []) as runtime, pytest.raises(InputError) as caught:
        runtime.values(np.zeros((1, 512), np.uint8))
    assert str(caught.value) == (
        "LiteRT crashed on this input (signal 6); its 8-bit softmax does where 512 or more classes are nearly equal: "
        "leave that input out"
    )


def test_a_model_that_litert_refuses_is_an_error_with_its_words() -> None:
    with litert(b"no model", []) as runtime, pytest.raises(InputError) as caught:
        runtime.values(np.zeros((1, 4), np.uint8))
    assert str(caught.value).startswith("LiteRT cannot run the model: ValueError: The model is not a valid Flatbuffer")


def test_a_model_that_onnx_runtime_refuses_is_an_error_with_its_words() -> None:
    model = to_qdq(two_layers()).replace(b"Sigmoid", b"Sigmoix")
    with pytest.raises(InputError) as caught, onnx_runtime(model, {}):
        pass
    assert str(caught.value).startswith("ONNX Runtime cannot load the model: ")


@pytest.mark.parametrize(
    ("package", "kind", "start"),
    [
        ("ai-edge-litert", "a TFLite", lambda: litert(b"", [])),
        ("onnxruntime", "an ONNX", lambda: onnx_runtime(b"", {})),
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
