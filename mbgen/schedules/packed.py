"""Schedules of tiles with packed sums, which cores with the DSP extension run.

May not know TVM, so that a schedule can be compared, stored and replayed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbgen.schedules.space import Choice, Point, Space
from mbgen.target import Target

DUAL_ISSUE = frozenset({"cortex-m7"})  # a load beside a multiplication in one cycle, if neither waits for the other
STRAIGHT = (16, 32, 64)  # steps of k without a loop


@dataclass(frozen=True)
class PackedSteps:
    """The steps of k: how many stand in a row without a loop, and when their words are loaded.

    With `ahead` a step's words are loaded one by one during the step before, else in pairs right before their use.
    """

    ahead: bool
    straight: int

    def __str__(self) -> str:
        words = [", loads ahead"] if self.ahead else []
        words += [f", {self.straight} k without a loop"] if self.straight != STRAIGHT[-1] else []
        return "".join(words)


def packed_space(facts: Mapping[str, Choice], target: Target) -> Space:
    """The steps of a GEMM; where `finish` among its facts is "exact", C decides how they loop."""
    knobs: dict[str, tuple[Choice, ...]] = {"loads": ("pairs", "ahead")}
    default: dict[str, Choice] = {"loads": "ahead" if target.cpu in DUAL_ISSUE else "pairs"}
    if facts["finish"] != "exact":
        knobs["straight"], default["straight"] = STRAIGHT, STRAIGHT[-1]
    return Space("packed_gemm", facts, knobs, default)


def packed_steps(point: Point) -> PackedSteps:
    """The steps of a point of `packed_space`."""
    return PackedSteps(point["loads"] == "ahead", int(point.get("straight", STRAIGHT[-1])))


def packed_depthwise_space(facts: Mapping[str, Choice]) -> Space:
    """Whether a depthwise tile loads two pairs of pixels at once, or one pair at a time."""
    return Space("packed_depthwise", facts, {"loads": ("pairs", "single")}, {"loads": "pairs"})
