"""The constants of vectors' rescaling give the layer's own arithmetic for every sum that they are used on."""

from __future__ import annotations

import numpy as np
import pytest

from mbgen import numerics
from mbgen.graph import Numerics, WeightedLayer
from mbgen.intrinsics.mve import FLOAT, MAX_SHIFT, rescale
from mbgen.lowering.rescale import sums
from mbgen.lowering.vector_scale import vector_scale
from tests.support.layer_network import LayerNetwork

SUMS = 40_000


@pytest.mark.parametrize("kind", list(Numerics)[:2])
@pytest.mark.parametrize("depthwise", [False, True])
def test_constants_are_exact(kind: Numerics, depthwise: bool) -> None:
    net = LayerNetwork(kind)
    image = net.feed((1, 6, 6, 24))
    net.convolution(image, (3, 3) if depthwise else (1, 1), 24, depthwise=depthwise)
    layer, graph = net.layers[-1], net.graph
    assert isinstance(layer, WeightedLayer)
    scale = vector_scale(layer, graph)
    if scale is None:
        assert kind is Numerics.TFLITE  # QDQ's arithmetic always has a form
        return
    assert scale.shift <= MAX_SHIFT
    assert scale.kind == ("float" if scale.shift == FLOAT else "fixed")
    over = sums(layer, graph, 0, -128, 127)
    acc = np.linspace(over.low, over.high, SUMS).astype(np.int64)
    expected = numerics.requantize(acc, numerics.output_scale(layer, graph), graph.layer_output(layer), layer.clamp)
    moved = acc + (scale.start - over.constant)  # the offset is part of the start
    np.testing.assert_array_equal(rescale(moved, scale.multiplier, scale.addend, scale.shift), expected)


def test_other_types_and_clamps_keep_their_kernels() -> None:
    net = LayerNetwork(Numerics.TFLITE)
    for dtype, clamp in (("uint8", "none"), ("int8", "relu6")):
        net.convolution(net.feed((1, 4, 4, 8), dtype), (1, 1), 8, clamp=clamp)  # type: ignore[arg-type]
        layer = net.layers[-1]
        assert isinstance(layer, WeightedLayer)
        assert vector_scale(layer, net.graph) is None
