"""The plan never puts two live buffers in the same bytes, and does as well as it can on a chain."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mbgen.graph import AveragePool2D, Graph, Numerics, Reshape, Softmax, Tensor
from mbgen.planning import plan
from mbgen.planning.arena import ALIGNMENT, aligned, place
from mbgen.planning.lifetimes import Lifetime, aliases, lifetimes

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
def test_a_chain_reaches_its_lower_bound(sizes: list[int]) -> None:
    chain = [Lifetime(f"t{i}", aligned(size), i, i + 1) for i, size in enumerate(sizes)]
    pairs = [a.size + b.size for a, b in itertools.pairwise(chain)] or [chain[0].size]
    assert max(buffer.offset + buffer.size for buffer in place(chain)) == max(pairs)


def chain(*, reshape_last: bool) -> Graph:
    def tensor(name: str, *shape: int) -> Tensor:
        return Tensor(name, shape, "float32")

    tensors = [tensor("input", 1, 8, 8, 4), tensor("pool_1", 1, 4, 4, 4), tensor("pool_2", 1, 1, 1, 4)]
    layers = [
        AveragePool2D(name="pool_1", inputs=("input",), output="pool_1", kernel=(2, 2), stride=(2, 2)),
        AveragePool2D(name="pool_2", inputs=("pool_1",), output="pool_2", kernel=(4, 4)),
        Reshape(name="reshape_1", inputs=("pool_2",), output="reshape_1"),
    ]
    tensors.append(tensor("reshape_1", 1, 4))
    output = "reshape_1"
    if not reshape_last:
        layers.append(Softmax(name="softmax_1", inputs=("reshape_1",), output="softmax_1"))
        tensors.append(tensor("softmax_1", 1, 4))
        output = "softmax_1"
    return Graph("net", Numerics.FLOAT32, {t.name: t for t in tensors}, tuple(layers), "input", output)


def test_a_reshape_shares_bytes_and_keeps_them_alive() -> None:
    graph = chain(reshape_last=False)
    made = plan(graph)
    assert made.owner("reshape_1") == "pool_2"
    by_name = {buffer.tensor: buffer for buffer in made.buffers}
    assert sorted(by_name) == ["pool_1", "pool_2"]
    assert (by_name["pool_2"].first, by_name["pool_2"].last) == (1, 3)
    assert made.arena_bytes == made.lower_bound == 4 * (64 + 4)
    assert made.peak_layer == "pool_2"


def test_a_reshape_into_the_output_writes_the_callers_bytes() -> None:
    graph = chain(reshape_last=True)
    assert plan(graph).owner("pool_2") == "reshape_1"
    assert [life.tensor for life in lifetimes(graph, aliases(graph))] == ["pool_1"]


def test_an_arena_is_never_empty() -> None:
    graph = chain(reshape_last=True)
    alone = Graph(
        "net",
        Numerics.FLOAT32,
        {name: graph.tensors[name] for name in ("input", "pool_1")},
        graph.layers[:1],
        "input",
        "pool_1",
    )
    assert plan(alone).arena_bytes == ALIGNMENT
