"""Any chain of layers, as it was planned: the C gives what the reference executor gives, whole and row by row."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbgen import reference
from mbgen.graph import Add, Array, Graph
from mbgen.library import Network, render, write
from mbgen.planning import Objective, plan
from mbgen.running import run_layers, run_program
from tests.support.chain import Chain
from tests.support.compilers import STRICT
from tests.support.row_program import row_program
from tests.support.tiny_network import network_of
from tests.support.tools import require_target


def whole_numbers(graph: Graph) -> Array:
    """An input of whole numbers from -8 to 8."""
    return np.random.default_rng(0).integers(-8, 9, graph.tensors["input"].shape).astype(np.float32)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    chain = Chain(draw(st.integers(1, 20)), draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(0, 99)))
    for _ in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["conv", "depthwise", "depthwise", "pointwise", "pointwise", "add"]))
        if kind == "pointwise":
            chain.window(1, 1, 1, (0, 0), draw(st.integers(1, 8)))
        elif kind == "add":
            chain.residual()
        else:
            kernel = draw(st.integers(1, 4))
            most = kernel if kernel > 1 else 0
            pads = (draw(st.integers(0, most)), draw(st.integers(0, most)))
            oc = None if kind == "depthwise" else draw(st.integers(1, 6))
            chain.window(kernel, draw(st.integers(1, 3)), draw(st.integers(1, 2)), pads, oc)
    # a last layer that makes the caller's output row by row runs after the pipeline, which an addition ends
    added = any(isinstance(layer, Add) for layer in chain.layers)
    return chain.graph(pooled=draw(st.booleans()) if added else True)


def check(graph: Graph, objective: Objective) -> None:
    network = network_of(graph, whole_numbers(graph), objective, "net")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "net"
        write(render(network), directory)
        main = row_program("net", "float32", "float32")
        flags = [*STRICT, "-O0", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"]
        assert run_program([directory], main, flags, seconds=60).startswith("all is well")


def first_difference(network: Network, folder: Path) -> str | None:
    """The first layer that is not what the reference makes of the library's own inputs to it, as `verify` finds it."""
    write(render(network), folder / "net")
    graph, image = network.graph, network.test_input
    for actual in run_layers(folder / "net", image):
        values = {graph.input: image} | {layer.output: actual[layer.name] for layer in graph.layers}
        for layer in graph.layers:
            if (reference.compute(layer, graph, [values[name] for name in layer.inputs]) != values[layer.output]).any():
                return layer.name
    return None


def residual_network() -> Network:
    chain = Chain(6, 5, 4, seed=1)
    chain.window(1, 1, 1, (0, 0), 4)  # conv_1
    chain.residual()  # conv_2, add_3
    graph = chain.graph(pooled=True)
    return network_of(graph, whole_numbers(graph), "ram", "net")


def with_buffer(network: Network, name: str, **changes: Any) -> Network:
    buffers = [
        dataclasses.replace(buffer, **changes) if buffer.name == name else buffer for buffer in network.plan.buffers
    ]
    return dataclasses.replace(network, plan=dataclasses.replace(network.plan, buffers=tuple(buffers)))


def test_a_plan_that_is_right_shows_no_difference(tmp_path: Path) -> None:
    require_target("host")
    assert first_difference(residual_network(), tmp_path) is None


def test_a_plan_that_overlaps_two_live_buffers_is_seen(tmp_path: Path) -> None:
    """conv_2 is written over the end of conv_1, which add_3 still needs."""
    require_target("host")
    network = residual_network()
    places = {buffer.name: buffer for buffer in network.plan.buffers}
    first, second = places["conv_1"], places["conv_2"]
    offset = first.offset + first.size - 16
    size = max(network.plan.arena_bytes, offset + second.size)
    larger = dataclasses.replace(network, plan=dataclasses.replace(network.plan, arena_bytes=size))
    assert first_difference(with_buffer(larger, "conv_2", offset=offset), tmp_path) in {"conv_2", "add_3"}


def test_a_plan_that_ends_a_buffer_too_early_is_seen(tmp_path: Path) -> None:
    """Nothing is written over conv_1, but add_3 reads it when the plan is done with it."""
    require_target("host")
    network = residual_network()
    conv_1 = next(buffer for buffer in network.plan.buffers if buffer.name == "conv_1")
    assert (conv_1.first, conv_1.last) == (0, 2)
    assert first_difference(with_buffer(network, "conv_1", last=1), tmp_path) == "add_3"


# kernel, stride, dilation, rows of padding above and below
EDGES = {
    "one row of the input completes two": (3, 1, 1, (1, 1)),
    "windows of nothing but padding": (2, 1, 1, (3, 2)),
    "rows between those of a window": (3, 1, 2, (2, 2)),
    "rows that no window takes": (2, 3, 1, (0, 0)),
    "the newest row is not in the last window": (2, 2, 2, (0, 2)),
    "a window of one row": (1, 2, 1, (0, 0)),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_of_the_row_pipeline(edge: str) -> None:
    require_target("host")
    chain = Chain(25, 40, 2, seed=5)
    chain.window(*EDGES[edge], 4)
    chain.window(*EDGES[edge], None)
    chain.window(1, 1, 1, (0, 0), 4)
    chain.window(3, 3, 1, (1, 1), None)  # the tensors become small here: the pipeline reaches as far
    graph = chain.graph(pooled=True)
    assert plan(graph, "ram").streamed == ("conv_1", "depthwise_2", "conv_3", "depthwise_4")
    check(graph, "ram")
    check(graph, "speed")


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.sampled_from(["ram", "speed"]))
def test_planned_chains(graph: Graph, objective: Objective) -> None:
    require_target("host")
    check(graph, objective)


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.sampled_from(["ram", "speed"]))
def test_many_planned_chains(graph: Graph, objective: Objective) -> None:
    require_target("host")
    check(graph, objective)
