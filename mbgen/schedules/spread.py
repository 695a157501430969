"""Schedule steps that several kernel families share."""

from __future__ import annotations

from typing import Any


def spread(sch: Any, rows: Any | None, channels: Any, lanes: int) -> None:
    """Unroll a register tile, its channels in vectors of `lanes`."""
    if rows is not None:
        sch.unroll(rows)
    if lanes == 1:
        sch.unroll(channels)
        return
    vectors, lane = sch.split(channels, [None, lanes])
    sch.unroll(vectors)
    sch.vectorize(lane)
