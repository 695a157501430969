"""GEMM on pairs of int16: its packing, when it serves, and legal schedules of small layers against the reference."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Numerics
from mbgen.kernel import Kernel
from mbgen.lowering import lower
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


def any_legal(seed: int) -> Choose:
    """A chooser that takes any legal point of a GEMM on pairs."""
    rng = random.Random(seed)

    def choose(space: Space) -> Chosen:
        if space.family != "pair_gemm":
            return default_schedule(space)
        return Chosen(rng.choice(list(space.points())), "a test")

    return choose


@needs_pairs
@pytest.mark.parametrize("numerics", list(QUANTIZED))
def test_every_legal_schedule_gives_the_same_bytes(numerics: Numerics, tmp_path: Path) -> None:
    net = LayerNetwork(numerics)
    for side, ic, oc in ((7, 48, 40), (5, 16, 8), (11, 22, 61), (1, 130, 1000), (3, 4, 17)):
        net.convolution(net.feed((1, side, side, ic)), (1, 1), oc, kind="pointwise")
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


def lowered(net: LayerNetwork) -> tuple[Kernel, ...]:
    return lower(net.graph, plan(net.graph, "speed"), load_target("host"), "net").kernels
