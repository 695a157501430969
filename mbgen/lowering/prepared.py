"""What a layer is on its way to a kernel: the context it is prepared for; then its form, TIR and constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mbgen.graph import Array
from mbgen.options import Optimize
from mbgen.schedules.space import Choose
from mbgen.target import Target


@dataclass(frozen=True)
class Context:
    """What a layer is prepared for: the core, whether it runs row by row, and who chooses schedules.

    `whole`: its input and output are whole tensors that lie apart, so that a kernel may make them in any order.
    `optimize`: what matters where a faster kernel takes more scratch or larger constants.
    """

    target: Target
    by_row: bool
    choose: Choose
    whole: bool = False
    optimize: Optimize = "speed"


@dataclass(frozen=True)
class Prepared:
    """A layer ready to be lowered: its form, the TIR that the form and schedule give, and the constants it reads."""

    family: str
    form: Any  # hashable: layers with equal forms and schedules share a kernel
    schedule: str  # in words
    function: Callable[[], Any]  # () -> scheduled PrimFunc
    constants: Mapping[str, tuple[Array, str]]  # parameter -> packed array, what it is
    source: str = "default"  # where the schedule came from
    larger: Prepared | None = None  # the same layer, whose constants take more memory and save it work
    worth: float = 0.0  # how much work for each of those bytes, in instructions
