"""How many triples of pixels are packed at a time."""

from __future__ import annotations

import pytest

from mbgen.options import Optimize
from mbgen.schedules.triples import SCRATCH_BYTES, chunks, packed_bytes, runs, triple_space, triples_of


@pytest.mark.parametrize(
    ("m", "k", "optimize", "triples"),
    [
        (48, 8, "speed", 16),  # a row
        (36, 106, "speed", 2),  # what 2 KiB hold
        (36, 106, "ram", 2),
        (36, 106, "flash", 4),  # bytes are widened less often
        (10, 8, "speed", 2),  # two runs, as of three triples and one, but of a smaller scratch
        (14, 64, "ram", 3),  # three triples and two
        (3, 500, "speed", 1),  # one triple, whatever its size
    ],
)
def test_few_pixels_are_computed_twice(m: int, k: int, optimize: Optimize, triples: int) -> None:
    space = triple_space({"m": m, "n": 16, "k": k}, optimize)
    assert space is not None
    assert triples_of(space.default) == (triples, optimize == "speed")


def test_weights_that_are_widened_for_parts_have_a_larger_scratch() -> None:
    for parts, triples in ((False, 2), (True, 4)):
        space = triple_space({"m": 36, "n": 16, "k": 128}, "ram", parts)
        assert space is not None
        assert triples_of(space.default) == (triples, False)


@pytest.mark.parametrize(("m", "k"), [(2, 8), (1, 256), (9, 1024)])
def test_few_pixels_and_long_sums_have_none(m: int, k: int) -> None:
    assert triple_space({"m": m, "n": 16, "k": k}, "speed") is None


def test_every_count_covers_the_pixels_within_the_scratch() -> None:
    space = triple_space({"m": 49, "n": 16, "k": 64}, "speed")
    assert space is not None
    for point in space.points():
        count, _ = triples_of(point)
        whole, rest = runs(49, count)
        assert 3 * count <= 49 <= 3 * (whole * count + rest) < 52
        assert chunks(49, count) == whole + (rest > 0)
        assert (count + 1) * packed_bytes(64) <= SCRATCH_BYTES
