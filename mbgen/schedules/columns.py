"""Schedules of depthwise rows in blocks of columns: how many sums are in registers at a time.

May not know TVM, so that a schedule can be compared, stored and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbgen.schedules.space import Choice, Point, Space
from mbgen.target import Target

LANES = 8
FLOAT = 4  # bytes
SUMS = 12  # of the 16 registers; three hold a row of weights, one a pixel
VECTORS = (4, 2, 1)
ALIASED = 1 << 11  # bytes: pixels so far apart share a few sets of the first cache, each of which has eight lines


@dataclass(frozen=True)
class Columns:
    """Blocks of `columns` outputs by `vectors` vectors of `lanes` channels."""

    columns: int
    vectors: int
    lanes: int

    def __str__(self) -> str:
        return f"columns={self.columns} vectors={self.vectors} lanes={self.lanes}"


def columns_space(facts: Mapping[str, Choice], target: Target) -> Space | None:
    """Blocks for a row of `ow` outputs with `oc` channels; None where the core or the channels are too narrow."""
    ow, channels = int(facts["ow"]), int(facts["oc"])
    if "avx2" not in target.instruction_set or channels < LANES:
        return None
    fitting = [
        (columns, vectors)
        for columns in range(1, min(ow, SUMS) + 1)
        for vectors in VECTORS
        if columns * vectors <= SUMS and vectors * LANES <= channels
    ]

    def illegal(point: Point) -> str | None:
        size = int(point["columns"]), int(point["vectors"])
        return None if size in fitting else f"{size[0]} x {size[1]} sums do not fit {SUMS} registers"

    most = _most_columns(facts, target.l1d_bytes or 0)
    columns, vectors = max(size for size in fitting if size[0] <= most)
    return Space(
        "depthwise_columns",
        facts,
        {"columns": tuple(range(1, min(ow, SUMS) + 1)), "vectors": tuple(sorted({size[1] for size in fitting}))},
        {"columns": columns, "vectors": vectors},
        illegal,
    )


def _most_columns(facts: Mapping[str, Choice], cache: int) -> int:
    """Columns of a block: as many as have sums, where three rows of the image stay in the first cache.

    Where they do not, whole lines count, and that their sets hold them when pixels lie powers of two apart.
    """
    pixel = int(facts["ic"]) * FLOAT
    stride = int(str(facts["stride"]).partition("x")[2])
    if 3 * int(facts["ow"]) * stride * pixel <= cache:
        return SUMS
    return 3 if pixel >= ALIASED else 4


def columns_of(point: Point) -> Columns:
    """The blocks of a point of `columns_space`."""
    return Columns(int(point["columns"]), int(point["vectors"]), LANES)
