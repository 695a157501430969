"""Chains of layers that run row by row: in the row pipeline, and over what they read, upwards and downwards.

Each layer is compared with the reference, on what the layers before it gave.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbgen.graph import NO_PADDING, AveragePool2D, DType, Graph, Numerics, Padding, Reshape, Tensor
from mbgen.planning import Objective, plan
from mbgen.planning.overlap import DOWNWARDS, UPWARDS
from tests.support.layer_network import LayerNetwork, assert_telling, check
from tests.support.layers import same_padding
from tests.support.tools import require_target

TFLITE, QDQ, FLOAT32 = Numerics.TFLITE, Numerics.QDQ, Numerics.FLOAT32
RUNS: tuple[tuple[str, Objective], ...] = (
    ("host", "speed"),
    ("host", "ram"),
    ("cortex-a72", "ram"),
    ("cortex-m4", "speed"),
    ("cortex-m4", "ram"),
)
ARITHMETICS: tuple[tuple[Numerics, DType], ...] = (
    (TFLITE, "int8"),
    (TFLITE, "uint8"),
    (QDQ, "int8"),
    (FLOAT32, "float32"),
)


class Chain:
    """A network in which each layer reads what the one before it made."""

    def __init__(self, numerics: Numerics, dtype: DType, height: int, width: int, channels: int, seed: int = 0) -> None:
        self.net = LayerNetwork(numerics, seed, (1, height, width, channels), dtype)
        self.last: Tensor = self.net.input

    def window(
        self,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        *,
        oc: int | None = None,
        padding: Padding | None = None,
        dilation: tuple[int, int] = (1, 1),
        clamp: str = "none",
    ) -> Chain:
        """A depthwise convolution, or a direct one to `oc` channels; SAME unless other padding is given."""
        if padding is None:
            padding = same_padding(self.last.shape, kernel, stride, dilation)
        self.last = self.net.convolution(
            self.last,
            kernel,
            oc or self.last.shape[3],
            depthwise=oc is None,
            stride=stride,
            padding=padding,
            dilation=dilation,
            clamp=clamp,
        )
        return self

    def pointwise(self, oc: int, clamp: str = "none") -> Chain:
        self.last = self.net.convolution(self.last, (1, 1), oc, kind="pointwise", clamp=clamp)
        return self

    def head(self, classes: int) -> Graph:
        """The mean of all places, then a dense layer."""
        _, height, width, channels = self.last.shape
        pooled = dataclasses.replace(self.last, name="pool", shape=(1, 1, 1, channels))
        self.net.declare(pooled)
        self.net.add(AveragePool2D(name="pool", inputs=(self.last.name,), output="pool", kernel=(height, width)))
        flat = self.net.declare(dataclasses.replace(pooled, name="flat", shape=(1, channels)))
        self.net.dense(self.net.add(Reshape(name="flat", inputs=("pool",), output=flat.name)), classes)
        return self.net.graph


Start = Callable[[int, int, int], Chain]


def mobilenet(start: Start) -> Graph:
    """As MobileNet V1, on an image of odd and unequal sides; the later layers have more channels than a vector."""
    chain = start(33, 27, 3).window((3, 3), (2, 2), oc=8, clamp="relu6")
    for stride, channels in ((1, 16), (2, 32), (1, 32), (2, 57), (1, 57)):
        chain.window(stride=(stride, stride), clamp="relu6").pointwise(channels, clamp="relu6")
    return chain.head(10)


def odd_channels(start: Start) -> Graph:
    chain = start(19, 17, 5).window(oc=13, padding=Padding(1, 0, 0, 1)).pointwise(5).window((3, 3), (1, 2))
    return chain.pointwise(19, "relu").window((2, 2), (2, 1)).pointwise(13).window().pointwise(57).head(5)


def tall_windows(start: Start) -> Graph:
    """5x5 and 7x3, with and without padding, and rows that no window reads."""
    chain = start(37, 11, 4).window((5, 5), (2, 1), oc=8).window((7, 3), padding=NO_PADDING, clamp="relu6")
    chain.pointwise(16).window((2, 2), (3, 2), padding=NO_PADDING).pointwise(24, "relu").window((5, 5))
    return chain.pointwise(8).head(3)


def dilated(start: Start) -> Graph:
    chain = start(29, 13, 3).window(oc=8, dilation=(2, 1)).pointwise(12).window(dilation=(3, 2), clamp="relu")
    return chain.pointwise(16).window((3, 2), (2, 2), dilation=(2, 3)).pointwise(4).window(padding=NO_PADDING).head(4)


def windows_of_one_row(start: Start) -> Graph:
    """Nothing is kept in a ring: 1x1 with a stride, 1x3, and a depthwise 1x1."""
    chain = start(15, 14, 6).window((1, 1), (2, 1), oc=8).pointwise(8, "relu6").window((1, 3)).window((1, 1))
    return chain.pointwise(20).window((3, 1), (1, 2)).pointwise(9).head(2)


def padding_beyond_the_image(start: Start) -> Graph:
    """Windows that see nothing but padding above, below or beside the image."""
    chain = start(6, 5, 3).window(oc=8, padding=Padding(3, 4, 0, 0)).pointwise(10).window(padding=Padding(0, 3, 3, 2))
    return chain.pointwise(7).window((3, 3), (2, 2), padding=Padding(2, 2, 2, 2)).pointwise(6).head(2)


CHAINS = {
    chain.__name__: chain
    for chain in (mobilenet, odd_channels, tall_windows, dilated, windows_of_one_row, padding_beyond_the_image)
}


def made(name: str, numerics: Numerics, dtype: DType) -> Graph:
    return CHAINS[name](functools.partial(Chain, numerics, dtype))


def test_the_chains_try_every_way_to_run_rows() -> None:
    """Else the comparisons below would say little."""
    plans = [plan(made(name, TFLITE, "int8"), "ram") for name in CHAINS]
    walks = [walk for planned in plans for walk in planned.walks.values()]
    assert walks.count(UPWARDS) > 5
    assert walks.count(DOWNWARDS) > 2
    assert max(len(planned.stages) for planned in plans) >= 3
    assert {stage.ring_rows for planned in plans for stage in planned.stages} >= {0, 1, 2, 4, 6}
    assert any(not stage.pointwise for planned in plans for stage in planned.stages)


@pytest.mark.parametrize("name", CHAINS)
def test_chains_on_the_host(name: str, tmp_path: Path) -> None:
    """With few optimisations, to be quick."""
    host = require_target("host")
    graph = made(name, TFLITE, "int8")
    assert_telling(graph, check(graph, dataclasses.replace(host, c_flags=(*host.c_flags, "-O1")), tmp_path, "ram"))


@pytest.mark.slow
@pytest.mark.parametrize(("target", "objective"), RUNS)
@pytest.mark.parametrize(("numerics", "dtype"), ARITHMETICS)
@pytest.mark.parametrize("name", CHAINS)
def test_chains_as_targets_build_them(
    target: str, name: str, numerics: Numerics, dtype: DType, objective: Objective, tmp_path: Path
) -> None:
    check(made(name, numerics, dtype), require_target(target), tmp_path, objective)


# --- at random -----------------------------------------------------------------------------------------------------


@st.composite
def chains(draw: st.DrawFn, numerics: Numerics, dtype: DType) -> Graph:
    """A random chain of windows, each followed by some pointwise layers."""
    height, width, channels = draw(st.integers(1, 24)), draw(st.integers(1, 12)), draw(st.integers(1, 20))
    chain = Chain(numerics, dtype, height, width, channels, draw(st.integers(0, 2**32 - 1)))
    for _ in range(draw(st.integers(1, 4))):
        kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
        stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 2)))
        dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        fits = all(size >= span for size, span in zip(chain.last.shape[1:3], spans, strict=True))
        padding = draw(st.sampled_from([None, NO_PADDING])) if fits else None
        oc = draw(st.none() | st.integers(1, 20))
        chain.window(kernel, stride, oc=oc, padding=padding, dilation=dilation)
        for more in draw(st.lists(st.integers(1, 40), max_size=2)):
            chain.pointwise(more)
    return chain.head(draw(st.integers(1, 5)))


@pytest.mark.slow
@pytest.mark.parametrize(("numerics", "dtype"), [(TFLITE, "int8"), (QDQ, "uint8"), (FLOAT32, "float32")])
@pytest.mark.parametrize("name", ["host", "cortex-m4"])
def test_random_chains(name: str, numerics: Numerics, dtype: DType) -> None:
    target = require_target(name)

    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(chains(numerics, dtype))
    def run_them(graph: Graph) -> None:
        with tempfile.TemporaryDirectory() as folder:
            check(graph, target, Path(folder), "ram")

    run_them()
