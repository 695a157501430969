"""Schedules of tiles with packed sums, which cores with the DSP extension run.

May not know TVM, so that a schedule can be compared, stored and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbgen.schedules.space import Choice, Point, Space
from mbgen.target import Target

DUAL_ISSUE = frozenset({"cortex-m7"})  # a load beside a multiplication in one cycle, if neither waits for the other
PIXELS, CHANNELS = 3, 4  # of the tile that a turn of the inner loop makes
TURNS = (1, 2, 3, 4)  # of a loop, written out


@dataclass(frozen=True)
class PackedLoops:
    """Around a tile: which of the loops over pixels and channels is the inner one, and how many turns are written out.

    With `ahead` a step's words are loaded one by one during the step before, else in pairs right before their use.
    """

    ahead: bool
    inner: Choice
    unroll: int

    def __str__(self) -> str:
        words = [", loads ahead"] if self.ahead else []
        words += [", pixels inside"] if self.inner == "pixels" else []
        words += [f", {self.unroll} tiles a turn"] if self.unroll > 1 else []
        return "".join(words)


def packed_space(facts: Mapping[str, Choice], target: Target) -> Space:
    """The loops of a GEMM of `m` pixels by `n` channels among its facts."""
    turns = {"pixels": -(-int(facts["m"]) // PIXELS), "channels": -(-int(facts["n"]) // CHANNELS)}

    def illegal(point: Point) -> str | None:
        inner, unroll = str(point["inner"]), int(point["unroll"])
        return None if turns[inner] % unroll == 0 else f"{unroll} do not divide {turns[inner]} tiles of {inner}"

    return Space(
        "packed_gemm",
        facts,
        {"loads": ("pairs", "ahead"), "inner": ("channels", "pixels"), "unroll": TURNS},
        {"loads": "ahead" if target.cpu in DUAL_ISSUE else "pairs", "inner": "channels", "unroll": 1},
        illegal,
    )


def packed_loops(point: Point) -> PackedLoops:
    """The loops of a point of `packed_space`."""
    return PackedLoops(point["loads"] == "ahead", point["inner"], int(point["unroll"]))


def packed_depthwise_space(facts: Mapping[str, Choice]) -> Space:
    """How many of the `channels` among its facts one turn of a depthwise tile's loop makes."""
    channels = int(facts["channels"])

    def illegal(point: Point) -> str | None:
        unroll = int(point["unroll"])
        return None if channels % unroll == 0 else f"{unroll} do not divide {channels} channels"

    return Space("packed_depthwise", facts, {"unroll": TURNS}, {"unroll": 1}, illegal)
