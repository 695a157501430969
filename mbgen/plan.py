"""The memory plan: where every activation lives, and when.

Knows sizes and lifetimes. May not know kernels, targets or C. Made by mbgen.planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Buffer:
    """A stretch of the arena, live from layer index `first` to layer index `last`, both included."""

    tensor: str
    offset: int  # bytes from the start of the arena
    size: int  # bytes
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Every activation's place. The network's input and output are the caller's, not the arena's.

    `alias` maps a tensor that is another one under a new shape (a reshape) to the tensor that owns the bytes.
    """

    buffers: tuple[Buffer, ...]
    alias: Mapping[str, str]
    arena_bytes: int
    lower_bound: int  # bytes live at the worst layer; no layer-by-layer plan can do with less
    peak_layer: str  # name of that layer

    def __post_init__(self) -> None:
        object.__setattr__(self, "alias", MappingProxyType(dict(self.alias)))

    def owner(self, tensor: str) -> str:
        while tensor in self.alias:
            tensor = self.alias[tensor]
        return tensor
