"""Spaces keep their word: every legal point gives a correct kernel, and what is illegal is refused with a reason."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from mbgen.graph import Graph, Numerics
from mbgen.lowering import lower
from mbgen.options import CompileOptions
from mbgen.pipeline import plan_model
from mbgen.planning import plan
from mbgen.schedules.space import Choice, Chosen, Point, Space, default_schedule
from mbgen.target import load_target
from tests.lowering.test_kernels import TYPES, all_layers
from tests.support.layer_network import check
from tests.support.tools import require_target

MOST = 20_000  # points of one space that are looked at


def anywhere(seed: int) -> Callable[[Space], Chosen]:
    """Any legal point of each space, the same for the same seed."""

    def choose(space: Space) -> Chosen:
        draw = random.Random(f"{seed} {space.key}")
        for _ in range(1000):
            point = {name: draw.choice(options) for name, options in space.knobs.items()}
            if space.reason(point) is None:
                return Chosen(point, "drawn")
        return default_schedule(space)

    return choose


def spaces(graph: Graph, target: str) -> dict[str, Space]:
    found: dict[str, Space] = {}

    def choose(space: Space) -> Chosen:
        found.setdefault(space.key, space)
        return default_schedule(space)

    lower(graph, plan(graph, "speed"), load_target(target), "net", choose)
    return found


@pytest.mark.parametrize("numerics", list(Numerics))
def test_legal_points_are_right_on_the_host(numerics: Numerics, tmp_path: Path) -> None:
    """With few optimisations, to be quick."""
    host = require_target("host")
    quick = dataclasses.replace(host, c_flags=(*host.c_flags, "-O1"))
    check(all_layers(numerics, TYPES[numerics][:1]), quick, tmp_path, choose=anywhere(0))


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "numerics"), list(enumerate(Numerics, 1)))
@pytest.mark.parametrize("name", ["host", "cortex-a72", "cortex-a76", "cortex-m0plus", "cortex-m4", "cortex-m55"])
def test_legal_points_are_right_on_their_cores(name: str, seed: int, numerics: Numerics, tmp_path: Path) -> None:
    check(all_layers(numerics, TYPES[numerics][:1]), require_target(name), tmp_path, choose=anywhere(seed))


@pytest.mark.parametrize(
    ("resolution", "seed"),
    [(20, 0), pytest.param(40, 1, marks=pytest.mark.slow), pytest.param(40, 2, marks=pytest.mark.slow)],
)
def test_legal_points_are_right_in_bands(resolution: int, seed: int, tmp_path: Path) -> None:
    """Of what a row or tile of a band is made by; 20 has rows of 10, 5 and 3, 40 of 20 too."""
    target = require_target("cortex-m4")
    options = CompileOptions(target=target.name, alpha=0.25, resolution=resolution, classes=5)
    planned = plan_model(options, lambda *_: None)
    assert planned.plan.bands
    check(planned.graph, target, tmp_path, choose=anywhere(seed), planned=planned.plan)


@pytest.mark.parametrize("name", ["host", "cortex-a72", "cortex-m4", "cortex-m55"])
def test_every_point_is_legal_or_refused_with_a_reason(name: str) -> None:
    found = spaces(all_layers(Numerics.TFLITE, ("int8",)), name)
    assert len({space.family for space in found.values()}) >= 3
    for space in found.values():
        legal: list[Point] = list(itertools.islice(space.points(), MOST))
        assert legal
        assert all(space.reason(point) is None for point in legal)
        for choices in itertools.islice(itertools.product(*space.knobs.values()), 200):
            point: dict[str, Choice] = dict(zip(space.knobs, choices, strict=True))
            assert (space.reason(point) is None) == (point in legal or len(legal) == MOST)
            assert space.reason(point) != ""
