"""Any chain of layers, as it was planned: the C gives what the reference executor gives, whole and row by row."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbgen.graph import (
    Add,
    AveragePool2D,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    Layer,
    Numerics,
    Padding,
    Reshape,
    Tensor,
    window_output,
)
from mbgen.library import render, write
from mbgen.planning import Objective
from mbgen.running import run_program
from tests.support.compilers import STRICT
from tests.support.row_program import row_program
from tests.support.tiny_network import network_of
from tests.support.tools import require_target

CLAMP = Clamp(-8.0, 8.0)  # small whole numbers: float32 sums are exact in any order


class Chain:
    """Writes a float32 network whose values are small whole numbers until the pool."""

    def __init__(self, height: int, width: int, channels: int, seed: int) -> None:
        self.tensors = {"input": Tensor("input", (1, height, width, channels), "float32")}
        self.layers: list[Layer] = []
        self.last = self.tensors["input"]
        self.random = np.random.default_rng(seed)

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.layers) + 1}"

    def append(self, layer: Layer, *shape: int) -> None:
        self.layers.append(layer)
        self.last = self.tensors[layer.output] = Tensor(layer.output, (1, *shape), "float32")

    def window(self, kernel: int, stride: int, dilation: int, pads: tuple[int, int], oc: int | None) -> None:
        """A convolution to `oc` channels, or a depthwise one if None; nothing if the image is too small for it."""
        _, height, width, channels = self.last.shape
        oh, ow = (window_output(size, kernel, stride, dilation, sum(pads)) for size in (height, width))
        if oh < 1 or ow < 1:
            return
        name = self.name("depthwise" if oc is None else "conv")
        shape = (kernel, kernel, channels) if oc is None else (oc, kernel, kernel, channels)
        weights = self.random.integers(-1, 2, shape).astype(np.float32)
        bias = self.random.integers(-3, 4, oc or channels).astype(np.float32)
        for role, data in (("weights", weights), ("bias", bias)):
            self.tensors[f"{name}.{role}"] = Tensor(f"{name}.{role}", data.shape, "float32", data=data)
        layer = (DepthwiseConv2D if oc is None else Conv2D)(
            name=name,
            inputs=(self.last.name,),
            output=name,
            weights=f"{name}.weights",
            bias=f"{name}.bias",
            clamp=CLAMP,
            stride=(stride, stride),
            padding=Padding(pads[0], pads[1], pads[1], pads[0]),
            dilation=(dilation, dilation),
        )
        self.append(layer, oh, ow, oc or channels)

    def residual(self) -> None:
        before = self.last
        self.window(1, 1, 1, (0, 0), before.shape[3])
        name = self.name("add")
        self.append(Add(name=name, inputs=(before.name, self.last.name), output=name), *before.shape[1:])

    def graph(self, *, pooled: bool) -> Graph:
        _, height, width, channels = self.last.shape
        if pooled:
            name, source = self.name("pool"), self.last.name
            pool = AveragePool2D(name=name, inputs=(source,), output=name, kernel=(height, width))
            self.append(pool, 1, 1, channels)
        name, source = self.name("reshape"), self.last.name
        self.append(Reshape(name=name, inputs=(source,), output=name), math.prod(self.last.shape))
        return Graph("net", Numerics.FLOAT32, self.tensors, tuple(self.layers), "input", self.last.name)


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
    image = np.random.default_rng(0).integers(-8, 9, graph.tensors["input"].shape).astype(np.float32)
    network = network_of(graph, image, objective, "net")
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "net"
        write(render(network), directory)
        start = "int main(void)\n{\n"
        main = row_program("net", graph).replace(start, f"{start}    CHECK(net_self_test(&arena) == NET_OK);\n")
        flags = [*STRICT, "-O0", "-fsanitize=undefined,address", "-fno-sanitize-recover=all"]
        assert run_program([directory], main, flags, seconds=60).startswith("all is well")


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.sampled_from(["ram", "speed"]))
def test_planned_chains(graph: Graph, objective: Objective) -> None:
    require_target("host")
    check(graph, objective)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.sampled_from(["ram", "speed"]))
def test_many_planned_chains(graph: Graph, objective: Objective) -> None:
    require_target("host")
    check(graph, objective)
