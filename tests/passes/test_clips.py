"""A clip goes only if no input can reach it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mbgen.graph import NO_CLAMP, Add, AveragePool2D, Clamp, Clip, Conv2D, Graph, Numerics
from mbgen.passes.clips import drop_idle_clips
from tests.passes.networks import Builder
from tests.support.layers import per_tensor


def clamp_of(graph: Graph) -> Clamp:
    layer = graph.layers[-1]
    assert isinstance(layer, Conv2D | AveragePool2D | Add)
    return layer.clamp


@pytest.mark.parametrize(
    ("clamp", "left"),
    [
        (Clamp(-10, 30), Clamp(-10, 30)),
        (Clamp(-11, 32), NO_CLAMP),
        (Clamp(-11, 31), Clamp(-math.inf, 31)),
        (Clamp(-100, 100), NO_CLAMP),
        (Clamp(-12, 20), Clamp(-math.inf, 20)),
        (Clamp(0, 50), Clamp(0, math.inf)),
        (NO_CLAMP, NO_CLAMP),
    ],
)
def test_each_bound_of_a_fused_clamp_by_itself(clamp: Clamp, left: Clamp) -> None:
    net = Builder((1, 1, 1, 1), zero_point=-44)
    # (x + 44) / 8 starts at -10.5, which is -11; the second channel ends at 31.375, which is 31.5 and then 32
    weights, bias = np.array([1, 1]).reshape(2, 1, 1, 1), np.array([0, 80])
    net.weighted(Conv2D, "input", weights, bias, clamp=clamp, quantization=per_tensor(1.0, 0))
    graph = net.graph()
    simplified = drop_idle_clips(graph)
    assert clamp_of(simplified) == left
    assert (simplified is graph) == (clamp == left)


def test_clamps_of_pools_and_additions() -> None:
    net = Builder((1, 2, 2, 1))
    net.layer(Clip, "input", clamp=Clamp(-20, 20))
    net.layer(AveragePool2D, "clip_1", kernel=(2, 2), clamp=Clamp(-20, 19))
    assert clamp_of(drop_idle_clips(net.graph())) == Clamp(-math.inf, 19)
    net.layer(Add, "pool_1", "pool_1", quantization=per_tensor(0.5, 0), clamp=Clamp(-40, 38))
    assert clamp_of(drop_idle_clips(net.graph())) == NO_CLAMP


def test_idle_clip_layers_go() -> None:
    net = Builder((1, 2, 2, 1))
    for clamp in (Clamp(-20, 20), Clamp(-20, 20), Clamp(-50, 20), Clamp(-10, 50)):
        net.layer(Clip, net.layers[-1].output if net.layers else "input", clamp=clamp)
    graph = drop_idle_clips(net.graph())
    assert [(layer.name, layer.inputs) for layer in graph.layers] == [("clip_1", ("input",)), ("clip_4", ("clip_1",))]


def test_an_idle_clip_at_the_end_gives_its_place_to_the_layer_before() -> None:
    net = Builder((1, 2, 2, 1))
    net.layer(Clip, "input", clamp=Clamp(-20, 20))
    net.layer(Clip, "clip_1", clamp=NO_CLAMP)
    graph = drop_idle_clips(net.graph())
    assert (graph.output, [layer.name for layer in graph.layers]) == ("clip_1", ["clip_1"])


def test_a_network_keeps_its_only_layer() -> None:
    net = Builder((1, 2, 2, 1))
    net.layer(Clip, "input", clamp=NO_CLAMP)
    graph = net.graph()
    assert drop_idle_clips(graph) is graph


def test_float_clamps() -> None:
    net = Builder((1, 1, 1, 1), Numerics.FLOAT32, "float32")
    net.layer(Clip, "input", clamp=Clamp(0.0, 6.0))
    net.weighted(Conv2D, "clip_1", np.ones((1, 1, 1, 1)), np.array([1.0]), clamp=Clamp(0.0, 6.0))
    assert clamp_of(drop_idle_clips(net.graph())) == Clamp(-math.inf, 6.0)
