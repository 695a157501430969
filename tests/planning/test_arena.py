"""Plans never overwrite what is still read, and are as small as they say they can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen import mobilenet
from mbgen.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Numerics,
    Padding,
    Reshape,
    Softmax,
    Tensor,
    window_output,
)
from mbgen.planning import Objective, plan
from mbgen.planning.lifetimes import Lifetime
from mbgen.planning.place import place, pressure
from mbgen.planning.sizes import ALIGNMENT, aligned
from tests.support.plan_simulator import Simulator, aligned_for_its_elements

OBJECTIVES: tuple[Objective, ...] = ("speed", "ram", "threads")

LIFETIMES = st.lists(
    st.tuples(st.integers(1, 5000), st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=14
).map(lambda rows: [Lifetime(f"t{i}", size, first, first + more) for i, (size, first, more) in enumerate(rows)])


@given(LIFETIMES)
def test_live_buffers_never_overlap(alive: list[Lifetime]) -> None:
    for a, b in itertools.combinations(place(alive), 2):
        together = a.first <= b.last and b.first <= a.last
        apart = a.offset + a.size <= b.offset or b.offset + b.size <= a.offset
        assert apart or not together


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_buffers_of_a_chain_reach_the_lower_bound(sizes: list[int]) -> None:
    chain = [Lifetime(f"t{i}", aligned(size), i, i + 1) for i, size in enumerate(sizes)]
    assert max(buffer.offset + buffer.size for buffer in place(chain)) == max(pressure(chain))


class Builder:
    """Writes small float graphs layer by layer."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.tensors = {"input": Tensor("input", (1, height, width, channels), "float32")}
        self.layers: list[Layer] = []
        self.last = "input"

    def add(self, layer: Layer, *shape: int) -> str:
        self.layers.append(layer)
        self.tensors[layer.output] = Tensor(layer.output, (1, *shape), "float32")
        self.last = layer.output
        return layer.output

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.layers) + 1}"

    def weights(self, name: str, *shape: int) -> str:
        self.tensors[f"{name}.weights"] = Tensor(f"{name}.weights", shape, "float32", data=np.zeros(shape, np.float32))
        return f"{name}.weights"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensors[self.last].shape

    def window(self, kernel: int, stride: int, dilation: int, pads: tuple[int, int], oc: int | None) -> None:
        """A direct convolution to `oc` channels, or a depthwise one if None."""
        _, height, width, channels = self.shape
        padding = Padding(pads[0], pads[1], pads[0], pads[1])
        oh, ow = (window_output(size, kernel, stride, dilation, sum(pads)) for size in (height, width))
        if oh < 1 or ow < 1:
            return
        common = {"stride": (stride, stride), "padding": padding, "dilation": (dilation, dilation)}
        if oc is None:
            name = self.name("depthwise")
            layer: Layer = DepthwiseConv2D(
                name=name,
                inputs=(self.last,),
                output=name,
                weights=self.weights(name, kernel, kernel, channels),
                **common,  # type: ignore[arg-type]
            )
        else:
            name = self.name("conv")
            layer = Conv2D(
                name=name,
                inputs=(self.last,),
                output=name,
                weights=self.weights(name, oc, kernel, kernel, channels),
                **common,  # type: ignore[arg-type]
            )
        self.add(layer, oh, ow, oc or channels)

    def pointwise(self, oc: int) -> None:
        self.window(1, 1, 1, (0, 0), oc)

    def residual(self) -> None:
        before = self.last
        self.pointwise(self.shape[3])
        name = self.name("add")
        self.add(Add(name=name, inputs=(before, self.last), output=name), *self.shape[1:])

    def head(self, classes: int) -> Graph:
        _, height, width, channels = self.shape
        name = self.name("pool")
        self.add(AveragePool2D(name=name, inputs=(self.last,), output=name, kernel=(height, width)), 1, 1, channels)
        name = self.name("reshape")
        self.add(Reshape(name=name, inputs=(self.last,), output=name), channels)
        name = self.name("dense")
        self.add(
            Dense(name=name, inputs=(self.last,), output=name, weights=self.weights(name, classes, channels)), classes
        )
        name = self.name("softmax")
        self.add(Softmax(name=name, inputs=(self.last,), output=name), classes)
        return self.graph()

    def graph(self) -> Graph:
        return Graph("net", Numerics.FLOAT32, self.tensors, tuple(self.layers), "input", self.last)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    builder = Builder(draw(st.integers(1, 24)), draw(st.integers(1, 12)), draw(st.integers(1, 6)))
    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(["window", "window", "depthwise", "depthwise", "pointwise", "pointwise", "add"]))
        if kind == "pointwise":
            builder.pointwise(draw(st.integers(1, 12)))
        elif kind == "add":
            builder.residual()
        else:
            kernel = draw(st.integers(1, 5))
            pads = (draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1)))
            oc = None if kind == "depthwise" else draw(st.integers(1, 8))
            builder.window(kernel, draw(st.integers(1, 3)), draw(st.integers(1, 2)), pads, oc)
    return builder.head(draw(st.integers(1, 20)))


@settings(max_examples=150, deadline=None)
@given(graphs(), st.sampled_from(OBJECTIVES), st.sampled_from((None, 64)))
def test_nothing_is_overwritten_that_is_still_read(graph: Graph, objective: Objective, cache: int | None) -> None:
    made = plan(graph, objective, cache)
    assert aligned_for_its_elements(graph, made)
    assert made.lower_bound <= made.arena_bytes
    Simulator(graph, made).run()


@settings(max_examples=50, deadline=None)
@given(graphs())
def test_ram_never_takes_more_than_speed(graph: Graph) -> None:
    assert plan(graph, "ram").arena_bytes <= plan(graph, "speed").arena_bytes


def test_the_simulator_sees_a_tensor_that_is_overwritten() -> None:
    graph = mobilenet_graph(0.25, 64)
    made = plan(graph, "ram")
    moved = [b for b in made.buffers if b.name == "depthwise_13"]
    assert moved
    simulator = Simulator(graph, made)
    simulator.offsets["depthwise_13"] = simulator.offsets["pointwise_12"]
    with pytest.raises(AssertionError):
        simulator.run()


def mobilenet_graph(alpha: float, resolution: int) -> Graph:
    net = mobilenet.MobileNetV1(alpha, resolution)
    return mobilenet.build(
        net, {name: np.zeros(shape, np.float32) for name, shape in mobilenet.weight_shapes(net).items()}
    )


@pytest.mark.parametrize(
    ("alpha", "resolution", "most"),
    [(0.25, 96, 14.5), (0.25, 128, 21), (0.25, 224, 45.5), (0.5, 224, 88.5), (1.0, 224, 175)],
)
def test_the_family_fits_where_it_was_promised_to(alpha: float, resolution: int, most: float) -> None:
    made = plan(mobilenet_graph(alpha, resolution), "ram")
    in_int8 = made.arena_bytes / 4  # a float plan is the int8 plan four times over, but for alignment and the count
    assert in_int8 <= most * 1024
    assert made.arena_bytes == aligned(made.lower_bound)


def test_speed_streams_the_first_layer_only_and_runs_pointwise_layers_whole() -> None:
    made = plan(mobilenet_graph(0.25, 96), "speed")
    assert made.streamed == ("conv_1",)
    assert not any(name.startswith("pointwise") for name in made.walks)
    assert set(made.walks.values()) == {1}


def test_speed_streams_early_tensors_that_a_cache_does_not_hold() -> None:
    graph = mobilenet_graph(1.0, 224)
    made = plan(graph, "speed", cache=1 << 18)
    assert made.streamed[-1] == "pointwise_5"  # pointwise_6 would be larger too, but its rows are short
    assert made.arena_bytes < plan(graph, "speed").arena_bytes
    assert plan(mobilenet_graph(0.25, 96), "speed", cache=1 << 18).streamed == ("conv_1",)


def test_for_speed_a_row_comes_where_its_readers_look_for_it() -> None:
    graph = mobilenet_graph(1.0, 224)
    stages = plan(graph, "speed", cache=1 << 18).stages
    assert len(stages) == 6
    assert all(stage.row is None and stage.ring_rows == 3 for stage in stages)
    assert [stage.outputs[-1] for stage in stages[:-1]] == [stage.ring for stage in stages[1:]]
    assert all(stage.row is not None and stage.ring_rows == 2 for stage in plan(graph, "ram").stages)


def test_threads_share_rows_of_early_tensors_that_a_cache_does_not_hold() -> None:
    graph = mobilenet_graph(1.0, 224)
    made = plan(graph, "threads", cache=1 << 19)
    assert made.streamed == ()
    assert [name for name in made.walks if name.startswith("pointwise")] == [f"pointwise_{i}" for i in range(1, 6)]
    assert not any(name.startswith("pointwise") for name in plan(graph, "threads").walks)
    Simulator(graph, made).run()


def test_ram_streams_as_far_as_it_helps_and_writes_layers_over_their_inputs() -> None:
    made = plan(mobilenet_graph(0.25, 96), "ram")
    assert made.streamed[-1] == "depthwise_4"
    assert made.walks["pointwise_4"] == -1
    tensors = [buffer for buffer in made.buffers if buffer.last > buffer.first and "_" in buffer.name]
    shared = [
        (a.name, b.name)
        for a, b in itertools.pairwise(tensors)
        if a.offset < b.offset + b.size and b.offset < a.offset + a.size
    ]
    assert ("depthwise_4", "pointwise_4") in shared


def test_a_reshape_shares_bytes_and_keeps_them_alive() -> None:
    builder = Builder(8, 8, 4)
    graph = builder.head(3)
    made = plan(graph, "ram")
    assert made.owner("reshape_2") == "pool_1"
    assert [buffer.name for buffer in made.buffers] == ["rows so far", "input", "pool_1", "dense_3"]
    pool = made.buffers[2]
    assert (pool.first, pool.last) == (0, 2)


def test_a_reshape_into_the_output_writes_the_callers_bytes() -> None:
    builder = Builder(8, 8, 4)
    builder.add(AveragePool2D(name="pool_1", inputs=("input",), output="pool_1", kernel=(8, 8)), 1, 1, 4)
    builder.add(Reshape(name="reshape_1", inputs=("pool_1",), output="reshape_1"), 4)
    made = plan(builder.graph(), "ram")
    assert made.owner("pool_1") == "reshape_1"
    assert [buffer.name for buffer in made.buffers] == ["rows so far", "input"]


def test_the_arena_is_a_whole_number_of_alignments() -> None:
    builder = Builder(1, 1, 1)
    made = plan(builder.head(1), "ram")
    assert made.arena_bytes % ALIGNMENT == 0
    assert made.arena_bytes >= ALIGNMENT


def test_the_peak_is_named() -> None:
    made = plan(mobilenet_graph(1.0, 224), "speed")
    assert made.peak_layer == "pointwise_1"
    assert plan(mobilenet_graph(1.0, 224), "ram").peak_layer == "depthwise_6"


def test_a_pipeline_leaves_the_callers_output_to_the_layers_after_it() -> None:
    builder = Builder(8, 8, 3)
    builder.window(3, 2, 1, (0, 1), 4)
    _, height, width, channels = builder.shape
    builder.add(Reshape(name="reshape_1", inputs=(builder.last,), output="reshape_1"), height * width * channels)
    graph = builder.graph()
    for objective in OBJECTIVES:
        made = plan(graph, objective)
        assert made.stages == ()
        Simulator(graph, made).run()


def test_a_window_of_one_row_with_padding_above_is_not_streamed() -> None:
    builder = Builder(8, 8, 3)
    builder.window(3, 2, 1, (0, 1), 4)
    name = builder.name("conv")
    _, height, width, channels = builder.shape
    builder.add(
        Conv2D(
            name=name,
            inputs=(builder.last,),
            output=name,
            weights=builder.weights(name, 4, 1, 1, channels),
            padding=Padding(1, 0, 0, 0),
        ),
        height + 1,
        width,
        4,
    )
    builder.pointwise(4)
    graph = builder.head(2)
    made = plan(graph, "ram")
    assert made.streamed in ((), ("conv_1",))
    Simulator(graph, made).run()
