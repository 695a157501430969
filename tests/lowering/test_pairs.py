"""Kernels on pairs of int16: packing, which layers they serve, and legal schedules against the reference."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Numerics, Padding
from mbgen.kernel import Kernel
from mbgen.lowering import lower
from mbgen.lowering.pair_conv import pack_depthwise, pack_direct
from mbgen.lowering.pair_gemm import pack_weights
from mbgen.planning import plan
from mbgen.schedules.space import Choose, Chosen, Space, default_schedule
from mbgen.target import load_target
from tests.support.layer_network import LayerNetwork, assert_telling, check

QUANTIZED = (Numerics.TFLITE, Numerics.QDQ)
needs_pairs = pytest.mark.skipif("avx2" not in load_target("host").instruction_set, reason="the host has no AVX2")


def test_panels_hold_pairs_of_k_side_by_side() -> None:
    weights = np.arange(3 * 4).reshape(3, 4)
    assert pack_weights(weights, 2).tolist() == [
        [[[0, 1], [4, 5]], [[2, 3], [6, 7]]],
        [[[4, 5], [8, 9]], [[6, 7], [10, 11]]],
    ]


def test_a_direct_convolution_pairs_the_elements_of_a_window_row() -> None:
    weights = np.arange(2 * 1 * 3 * 1).reshape(2, 1, 3, 1)
    assert pack_direct(weights, 2).tolist() == [[[[[0, 1], [3, 4]], [[2, 0], [5, 0]]]]]


def test_a_depthwise_pairs_rows_and_in_the_last_row_columns() -> None:
    weights = np.arange(9).reshape(3, 3, 1)
    assert pack_depthwise(weights)[:, 0].tolist() == [[0, 3], [1, 4], [2, 5], [6, 7], [8, 0]]


def any_legal(seed: int) -> Choose:
    """A chooser that takes any legal point of a kernel on pairs."""
    rng = random.Random(seed)

    def choose(space: Space) -> Chosen:
        if not space.family.startswith("pair_"):
            return default_schedule(space)
        return Chosen(rng.choice(list(space.points())), "a test")

    return choose


@needs_pairs
@pytest.mark.parametrize("numerics", list(QUANTIZED))
def test_every_legal_schedule_gives_the_same_bytes(numerics: Numerics, tmp_path: Path) -> None:
    net = LayerNetwork(numerics)
    for side, ic, oc in ((7, 48, 40), (5, 16, 8), (11, 22, 61), (1, 130, 1000), (3, 4, 17)):
        net.convolution(net.feed((1, side, side, ic)), (1, 1), oc, kind="pointwise")
    around, down = Padding(1, 1, 1, 1), Padding(0, 1, 0, 1)
    for side, channels in ((9, 24), (1, 16), (2, 13), (4, 8)):
        x = net.feed((1, side, side, channels))
        net.convolution(x, (3, 3), channels, depthwise=True, padding=around)
        net.convolution(x, (3, 3), channels, depthwise=True, padding=around, stride=(2, 2))
        net.convolution(x, (3, 3), 20, padding=around)
    x = net.feed((1, 8, 10, 16))
    net.convolution(x, (3, 3), 16, depthwise=True, padding=down, stride=(2, 2))
    net.convolution(x, (3, 3), 16, depthwise=True, padding=Padding(2, 2, 2, 2))
    net.convolution(x, (3, 3), 16, depthwise=True)
    net.convolution(net.feed((1, 8, 10, 3)), (3, 3), 32, padding=down, stride=(2, 2))
    net.convolution(net.feed((1, 8, 10, 3)), (2, 5), 9, stride=(1, 3))
    for seed in range(3):
        seen = check(net.graph, load_target("host"), tmp_path / str(seed), choose=any_legal(seed))
        assert_telling(net.graph, seen)


@needs_pairs
def test_what_has_no_pairs_takes_the_plain_gemm() -> None:
    net = LayerNetwork(Numerics.TFLITE)
    net.convolution(net.feed((1, 3, 3, 7)), (1, 1), 16)  # an odd k
    net.convolution(net.feed((1, 3, 3, 8)), (1, 1), 7)  # less than a vector of channels
    net.convolution(net.feed((1, 3, 3, 8)), (1, 1), 16)
    schedules = [kernel.schedule.split(" mr")[0] for kernel in lowered(net) if kernel.family == "pointwise"]
    assert schedules == ["gemm", "gemm", "gemm of pairs"]


@needs_pairs
def test_which_windows_take_pairs() -> None:
    net = LayerNetwork(Numerics.TFLITE)
    x = net.feed((1, 9, 9, 16))
    net.convolution(x, (3, 3), 16, depthwise=True)
    net.convolution(x, (3, 3), 16, depthwise=True, dilation=(2, 2))
    net.convolution(x, (3, 3), 16, depthwise=True, stride=(3, 3))
    net.convolution(x, (2, 3), 16, depthwise=True)
    net.convolution(x, (3, 3), 32, depthwise=True)  # a multiplier of 2
    net.convolution(x, (3, 3), 8)
    net.convolution(x, (3, 3), 7)
    net.convolution(x, (3, 3), 8, dilation=(2, 2))
    kernels = [kernel for kernel in lowered(net) if kernel.family in ("depthwise", "conv2d")][
        1:
    ]  # after the one that feeds
    served = [" on pairs" in kernel.schedule for kernel in kernels]
    assert served == [True, False, False, False, False, True, False, False]


def lowered(net: LayerNetwork) -> tuple[Kernel, ...]:
    return lower(net.graph, plan(net.graph, "speed"), load_target("host"), "net").kernels
