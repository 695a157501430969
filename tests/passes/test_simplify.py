"""Simplified networks compute what the originals do, channel by channel, and the account of it adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbgen.graph import Array, DType, Graph, Numerics, macs
from mbgen.passes import Simplified, simplify
from mbgen.reference import execute
from tests.passes.networks import NETWORKS, extreme_inputs, networks
from tests.support.layers import SEEDS

FLOAT_BOUND = 1e-5  # of the greatest value of a layer


def assert_same(original: Graph, simplified: Simplified, image: Array) -> None:
    """Every layer's channels that are left, and the output in full."""
    expected, actual = execute(original, image), execute(simplified.graph, image)
    for layer in simplified.graph.layers:
        channels = list(simplified.kept[layer.name])
        compare(actual[layer.output], expected[layer.output][..., channels], layer.name)
    compare(actual[simplified.graph.output], expected[original.output], "the output")


def compare(actual: Array, expected: Array, where: str) -> None:
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape), where
    if expected.dtype == np.float32:
        bound = FLOAT_BOUND * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(actual, expected, rtol=0, atol=bound, err_msg=where)
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=where)


def total_macs(graph: Graph) -> int:
    return sum(macs(layer, graph) for layer in graph.layers)


@pytest.mark.parametrize(("numerics", "dtype"), NETWORKS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_random_network_computes_the_same(numerics: Numerics, dtype: DType, data: st.DataObject) -> None:
    graph = data.draw(networks(numerics, dtype))
    simplified = simplify(graph)
    for image in extreme_inputs(data.draw(SEEDS), graph.tensors[graph.input]):
        assert_same(graph, simplified, image)
    assert total_macs(graph) - total_macs(simplified.graph) == sum(removal.macs for removal in simplified.removals)
    again = simplify(simplified.graph)
    assert again.graph is simplified.graph
    assert again.removals == ()
