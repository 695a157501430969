"""The noun of this package: one C function that kernels may call, with its meaning beside its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mbgen.graph import Array
from mbgen.kernel import VectorType


@dataclass(frozen=True)
class Helper:
    """A `static inline` C function and what it computes.

    In `source`, `name_` stands for the library's prefix and `NAME_` for the same in capitals. `meaning` takes and gives
    NumPy arrays, element by element; tests run the C on every target against it.
    """

    name: str  # C name without prefix: operation, element type, lanes
    source: str = field(repr=False)
    meaning: Callable[..., Array] = field(repr=False)
    headers: tuple[str, ...] = ()
    vectors: frozenset[VectorType] = frozenset()
    requires: tuple[str, ...] = ()  # keys in HELPERS that the source calls
    uniform: tuple[int, ...] = ()  # arguments that are one scalar for all lanes
    # arguments that are an address, though they stand for the element there: how far the next lane's is
    strides: Mapping[int, int] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the C function's parameters."""
        head = re.search(rf"\bname_{re.escape(self.name)}\(([^()]*)\)\n{{", self.source)
        return tuple(re.findall(r"(\w+)(?:,|$)", head[1])) if head else ()

    def text(self, prefix: str) -> str:
        return self.source.replace("NAME_", f"{prefix.upper()}_").replace("name_", f"{prefix}_")
