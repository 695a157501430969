"""Small networks of one kernel: a band's has the same tensors around the same layers."""

from __future__ import annotations

import numpy as np
import pytest

from mbgen.graph import Graph, Reshape
from mbgen.options import CompileOptions
from mbgen.pipeline import Planned, plan_model
from mbgen.reference import execute
from mbgen.target import load_target
from mbgen.tuning.alone import alone, random_input
from mbgen.tuning.tasks import plan_alone


def planned() -> Planned:
    options = CompileOptions(target="cortex-m4", alpha=0.25, resolution=32, classes=10)
    return plan_model(options, lambda *_: None)


def described(graph: Graph, layer: str) -> tuple[object, ...]:
    """What a layer's kernel depends on."""
    one = next(layer_ for layer_ in graph.layers if layer_.name == layer)
    tensors = [graph.tensors[name] for name in (*one.inputs, *one.constants, one.output)]
    return one, [(tensor.shape, tensor.dtype, tensor.quantization) for tensor in tensors]


def test_a_band_s_small_network_has_its_layers_in_bands() -> None:
    made, target = planned(), load_target("cortex-m4")
    for layer in made.graph.layers:
        if layer.name not in made.plan.banded:
            continue
        small = alone(layer, made.graph, made.plan)
        plan = plan_alone(small.graph, target)
        assert layer.name in plan.banded
        assert described(small.graph, layer.name) == described(made.graph, layer.name)
        assert made.plan.storage[layer.inputs[0]].item == plan.storage[layer.inputs[0]].item
        assert (layer.output in made.plan.storage) == (layer.output in plan.storage)
        assert small.runs == small.calls > 0


def test_what_feeds_a_band_fills_its_range() -> None:
    made = planned()
    name = made.plan.bands[2].layers[0]
    layer = next(one for one in made.graph.layers if one.name == name)
    small = alone(layer, made.graph, made.plan)
    values = execute(small.graph, random_input(small.graph.tensors[small.graph.input]))
    assert len(np.unique(values[layer.inputs[0]])) > 64
    assert len(np.unique(values[small.graph.output])) > 16


@pytest.mark.parametrize("optimize", ["ram", "speed"])
def test_other_layers_are_alone(optimize: str) -> None:
    options = CompileOptions(target="cortex-m0plus", alpha=0.25, resolution=32, classes=10, optimize=optimize)  # type: ignore[arg-type]
    made = plan_model(options, lambda *_: None)
    for layer in made.graph.layers:
        if not isinstance(layer, Reshape):
            assert alone(layer, made.graph, made.plan).graph.layers == (layer,)
