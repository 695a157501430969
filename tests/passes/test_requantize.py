"""Only a requantisation to the same type, scale and zero point changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mbgen.graph import Conv2D, Numerics, Quantization, Requantize
from mbgen.passes.requantize import drop_identities
from tests.passes.networks import Builder
from tests.support.layers import per_tensor


@pytest.mark.parametrize("numerics", [Numerics.TFLITE, Numerics.QDQ])
@pytest.mark.parametrize(
    ("quantization", "goes"),
    [(per_tensor(4.0, -128), True), (per_tensor(4.0, -127), False), (per_tensor(4.001, -128), False)],
)
def test_a_requantisation(numerics: Numerics, quantization: Quantization, goes: bool) -> None:
    net = Builder((1, 1, 1, 1), numerics)
    net.weighted(Conv2D, "input", np.ones((1, 1, 1, 1)))
    for x in ("conv_1", "requantize_1"):
        net.layer(Requantize, x, quantization=quantization)
    net.weighted(Conv2D, "requantize_2", np.ones((1, 1, 1, 1)))
    names = [layer.name for layer in drop_identities(net.graph()).layers]
    assert names == (["conv_1", "conv_2"] if goes else ["conv_1", "requantize_1", "conv_2"])


def test_a_network_keeps_its_only_layer() -> None:
    net = Builder((1, 1, 1, 1))
    net.layer(Requantize, "input")
    graph = net.graph()
    assert drop_identities(graph) is graph
