"""Without its softmax a network gives the logits it computed anyway."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mbgen.errors import InputError
from mbgen.graph import Dense, Numerics, Reshape, Softmax
from mbgen.passes import drop_softmax
from mbgen.reference import execute
from tests.passes.networks import Builder
from tests.support.layers import per_tensor


def classifier(numerics: Numerics = Numerics.TFLITE) -> Builder:
    net = Builder((1, 3), numerics)
    net.weighted(Dense, "input", np.arange(12).reshape(4, 3), quantization=per_tensor(1.0, 3))
    return net


@pytest.mark.parametrize("numerics", [Numerics.TFLITE, Numerics.QDQ])
@pytest.mark.parametrize("tail", ["", "reshape", "dequantize", "reshape dequantize reshape"])
def test_the_output_is_the_logits(numerics: Numerics, tail: str) -> None:
    net = classifier(numerics)
    x = net.layer(Softmax, "dense_1", quantization=per_tensor(1 / 256, -128))
    for step in tail.split():
        x = net.dequantize(x) if step == "dequantize" else net.layer(Reshape, x, shape=(1, 1, 1, 4))
    graph = drop_softmax(net.graph())
    assert "softmax_1" not in graph.tensors
    values = execute(graph, np.array([[5, -9, 100]], np.int8))
    expected = values["dense_1"].ravel()
    if "dequantize" in tail:
        expected = (expected.astype(np.float32) - 3) * np.float32(1.0)
    assert np.array_equal(values[graph.output].ravel(), expected)
    if "dequantize" not in tail:
        assert graph.tensors[graph.output].quantization == per_tensor(1.0, 3)


def test_a_network_that_ends_otherwise() -> None:
    message = "the network does not end in a softmax but in dense_1: there is none to leave out"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        drop_softmax(classifier().graph())


def test_a_softmax_in_the_middle_stays() -> None:
    net = classifier()
    net.layer(Softmax, "dense_1", quantization=per_tensor(1 / 256, -128))
    net.weighted(Dense, "softmax_1", np.ones((2, 4)))
    message = "the network does not end in a softmax but in dense_2: there is none to leave out"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        drop_softmax(net.graph())


def test_a_network_keeps_its_only_layer() -> None:
    net = Builder((1, 3))
    net.layer(Softmax, "input", quantization=per_tensor(1 / 256, -128))
    with pytest.raises(InputError):
        drop_softmax(net.graph())
