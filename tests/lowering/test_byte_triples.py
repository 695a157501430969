"""Pointwise layers on bytes with packed sums and k in parts, with weights that are words or bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbgen.graph import DType, Graph, Numerics
from mbgen.lowering.byte_gemm import ByteGemm
from mbgen.lowering.byte_triples import TripleGemm
from mbgen.lowering.layers import prepare
from mbgen.lowering.prepared import Context
from mbgen.options import Optimize
from mbgen.schedules.space import Choose, Chosen, Space, default_schedule
from mbgen.target import load_target
from tests.support.layer_network import LayerNetwork, check
from tests.support.tools import require_target

TYPES: tuple[tuple[Numerics, DType], ...] = (
    (Numerics.QDQ, "int8"),
    (Numerics.QDQ, "uint8"),
    (Numerics.TFLITE, "int8"),
)


def chosen(weights: str, triples: int | None = None) -> Choose:
    """Chooses weights that are bytes or words, and a count of triples if there is one to choose."""

    def choose(space: Space) -> Chosen:
        point = dict(default_schedule(space).point)
        if "triples" in point:
            point["weights"] = weights
            if triples in space.knobs["triples"]:
                point["triples"] = triples
        return Chosen(point, "drawn")

    return choose


def pointwise(numerics: Numerics, dtype: DType, pixels: tuple[int, int], k: int, n: int, seed: int = 0) -> Graph:
    net = LayerNetwork(numerics, seed, (1, *pixels, 3), dtype)
    x = net.convolution(net.input, (1, 1), k)
    net.convolution(x, (1, 1), n, kind="pointwise")
    return net.graph


def forms(k: int, optimize: Optimize) -> tuple[object, object]:
    """What a pointwise layer is lowered as, and as what if its constants may be larger."""
    graph = pointwise(Numerics.QDQ, "int8", (6, 6), k, 8)
    context = Context(load_target("cortex-m4"), False, default_schedule, optimize=optimize)
    prepared = prepare(graph.layers[-1], graph, context)
    return prepared.form, None if prepared.larger is None else prepared.larger.form


def test_long_sums_are_cut_into_the_fewest_parts() -> None:
    parts = {}
    for k in (100, 140, 200, 300):
        form, _ = forms(k, "speed")
        assert isinstance(form, TripleGemm)
        parts[k] = form.part
    assert parts == {100: None, 140: 80, 200: 112, 300: 80}


def test_small_libraries_have_parts_where_constants_may_be_larger_and_it_saves_work() -> None:
    form, larger = forms(140, "ram")
    assert isinstance(form, ByteGemm)
    assert isinstance(larger, TripleGemm)
    assert (larger.part, larger.widened) == (80, False)
    form, larger = forms(300, "ram")  # one triple at a time: weights are widened as often
    assert isinstance(form, ByteGemm)
    assert larger is None


@pytest.mark.parametrize("weights", ["words", "bytes"])
def test_parts_are_right(weights: str, tmp_path: Path) -> None:
    """k of several parts; whole runs of triples, a shorter one behind them, pixels that two triples have."""
    target = require_target("cortex-m4")
    for number, (k, pixels) in enumerate(((140, (2, 7)), (300, (3, 3)), (161, (5, 4)))):
        graph, folder = pointwise(Numerics.QDQ, "int8", pixels, k, 9), tmp_path / str(number)
        check(graph, target, folder, choose=chosen(weights))
        kernels = "".join(path.read_text() for path in folder.rglob("*.c"))
        assert ("_words_parts(" in kernels, "_q4_parts(" in kernels) == (weights == "words", weights == "bytes")


@pytest.mark.slow
def test_random_pointwise_layers() -> None:
    target = require_target("cortex-m4")

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run_one(data: st.DataObject) -> None:
        numerics, dtype = data.draw(st.sampled_from(TYPES))
        pixels, seed = data.draw(st.tuples(st.integers(1, 7), st.integers(3, 7))), data.draw(st.integers(0, 2**32 - 1))
        graph = pointwise(
            numerics, dtype, pixels, data.draw(st.integers(100, 480)), data.draw(st.integers(4, 13)), seed
        )
        choose = chosen(data.draw(st.sampled_from(("words", "bytes"))), data.draw(st.integers(1, 4)))
        with tempfile.TemporaryDirectory() as folder:
            check(graph, target, Path(folder), choose=choose)

    run_one()
