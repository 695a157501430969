"""Schedules of GEMMs with packed sums on bytes: how many triples of pixels are packed before they are multiplied."""

from __future__ import annotations

from collections.abc import Mapping

from mbgen.options import Optimize
from mbgen.schedules.space import Choice, Point, Space

PIXELS = 3  # of a triple
SCRATCH_BYTES = 8 * 1024  # that a kernel may take of the stack
_PREFERRED: Mapping[Optimize, int] = {"speed": 2 * 1024, "ram": 2 * 1024, "flash": 4 * 1024}  # of packed pixels


def packed_bytes(k: int) -> int:
    """Of a triple of pixels, and of a block of wide weights."""
    return 8 * k


def runs(m: int, triples: int) -> tuple[int, int]:
    """How many runs of `triples` cover m pixels, and the triples of a shorter one behind them.

    Of the last triple some pixels may be those of the one before.
    """
    return divmod(-(-m // PIXELS), triples)


def chunks(m: int, triples: int) -> int:
    """How many runs there are, the shorter one included."""
    whole, rest = runs(m, triples)
    return whole + (rest > 0)


def triple_space(facts: Mapping[str, Choice], optimize: Optimize, parts: bool = False) -> Space | None:
    """Counts of triples for a GEMM with `m` pixels and `k`; None where there are too few pixels or too long a k.

    The default has as many triples as a small scratch holds, all runs alike if that is possible; where it is not, as
    few as make no more runs. For speed weights are words, ready to be multiplied; else bytes, half as long, which are
    widened for each scratch of pixels: where k is long enough for `parts`, that is worth a larger one.
    """
    m, k = int(facts["m"]), int(facts["k"])
    room = SCRATCH_BYTES // packed_bytes(k) - 1  # less the weights
    options = range(1, min(m // PIXELS, room) + 1)
    if not options:
        return None
    weights = ("words", "bytes") if optimize == "speed" else ("bytes",)
    preferred = _PREFERRED["flash" if parts else optimize]
    fitting = [count for count in options if count == 1 or count * packed_bytes(k) <= preferred]
    if m % PIXELS == 0:
        default = max(count for count in fitting if runs(m, count)[1] == 0)
    else:
        default = min(fitting, key=lambda count: (chunks(m, count), count))
    knobs: dict[str, tuple[Choice, ...]] = {"triples": tuple(options), "weights": weights}
    return Space("triples", facts, knobs, {"triples": default, "weights": weights[0]})


def triples_of(point: Point) -> tuple[int, bool]:
    """The count of a point of `triple_space`, and whether its weights are words."""
    return int(point["triples"]), point["weights"] == "words"
