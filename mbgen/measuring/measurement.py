"""The nouns of measuring: figures that say what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Unit = Literal["instructions", "cycles~", "cycles", "seconds"]

# what each unit is, in words
MEANINGS: Mapping[Unit, str] = MappingProxyType(
    {
        "instructions": "instructions executed, exact",
        "cycles~": "cycles by a model of the core: good for ranking, not a promise",
        "cycles": "cycles counted by the core itself",
        "seconds": "seconds on the machine named",
    }
)


@dataclass(frozen=True)
class Measurement:
    """Figures of one program by unit: of each segment, and of all (which may be more: what lies between segments).

    `model` says what cycles~ are by; None if there are none.
    """

    segments: Mapping[int, Mapping[Unit, float]]
    total: Mapping[Unit, float]
    model: str | None = None

    def __post_init__(self) -> None:
        parts = {number: MappingProxyType(dict(figures)) for number, figures in self.segments.items()}
        object.__setattr__(self, "segments", MappingProxyType(parts))
        object.__setattr__(self, "total", MappingProxyType(dict(self.total)))
