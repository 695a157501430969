"""Tiles of GEMMs on bytes, which cores with the DSP extension run where nothing is packed."""

from __future__ import annotations

from collections.abc import Mapping

from mbgen.intrinsics.dsp_bytes import TILES
from mbgen.schedules.space import Choice, Point, Space


def byte_space(facts: Mapping[str, Choice]) -> Space:
    """The tiles, pixels by channels, that fit in a GEMM of `m` by `n`; the default shares words most."""
    fitting = [f"{mr}x{nr}" for mr, nr in TILES if mr <= int(facts["m"]) and nr <= int(facts["n"])]
    return Space("byte_gemm", facts, {"tile": tuple(fitting)}, {"tile": fitting[0]})


def byte_tile(point: Point) -> tuple[int, int]:
    """Pixels and channels of a point of `byte_space`."""
    mr, nr = str(point["tile"]).split("x")
    return int(mr), int(nr)
