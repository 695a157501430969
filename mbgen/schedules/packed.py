"""Schedules of GEMM tiles with packed sums, which cores with the DSP extension run."""

from __future__ import annotations

from collections.abc import Mapping

from mbgen.schedules.space import Choice, Space
from mbgen.target import Target

DUAL_ISSUE = frozenset({"cortex-m7"})  # a load beside a multiplication in one cycle, if neither waits for the other


def packed_space(facts: Mapping[str, Choice], target: Target) -> Space:
    """When a step's words are loaded: in pairs right before their use, or ahead, one by one, during the step before."""
    default = "ahead" if target.cpu in DUAL_ISSUE else "pairs"
    return Space("packed_gemm", facts, {"loads": ("pairs", "ahead")}, {"loads": default})
