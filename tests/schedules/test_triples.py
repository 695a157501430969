"""How many triples of pixels are packed at a time."""

from __future__ import annotations

import pytest

from mbgen.options import Optimize
from mbgen.schedules.triples import SCRATCH_BYTES, chunks, packed_bytes, triple_space, triples_of


@pytest.mark.parametrize(
    ("m", "k", "optimize", "triples"),
    [
        (48, 8, "speed", 16),  # a row
        (36, 106, "speed", 2),  # what 2 KiB hold
        (36, 106, "ram", 2),
        (36, 106, "flash", 4),  # bytes are widened less often
        (10, 8, "speed", 2),  # two runs of two triples make fewer pixels twice than two of three
        (3, 500, "speed", 1),  # one triple, whatever its size
    ],
)
def test_few_pixels_are_computed_twice(m: int, k: int, optimize: Optimize, triples: int) -> None:
    space = triple_space({"m": m, "n": 16, "k": k}, optimize)
    assert space is not None
    assert triples_of(space.default) == (triples, optimize == "speed")


@pytest.mark.parametrize(("m", "k"), [(2, 8), (1, 256), (9, 1024)])
def test_few_pixels_and_long_sums_have_none(m: int, k: int) -> None:
    assert triple_space({"m": m, "n": 16, "k": k}, "speed") is None


def test_every_count_covers_the_pixels_within_the_scratch() -> None:
    space = triple_space({"m": 49, "n": 16, "k": 64}, "speed")
    assert space is not None
    for point in space.points():
        count, _ = triples_of(point)
        assert 3 * count <= 49 <= chunks(49, count) * 3 * count
        assert (count + 1) * packed_bytes(64) <= SCRATCH_BYTES
