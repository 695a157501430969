"""Places buffers of given lifetimes so that no two that are alive together overlap."""

from __future__ import annotations

from collections.abc import Sequence

from mbgen.plan import Buffer
from mbgen.planning.lifetimes import Lifetime
from mbgen.planning.sizes import aligned


def pressure(alive: Sequence[Lifetime]) -> list[int]:
    """Bytes alive at each layer, each buffer counted with its alignment."""
    layers = range(max((life.last for life in alive), default=-1) + 1)
    return [sum(aligned(life.size) for life in alive if life.first <= index <= life.last) for index in layers]


def place(alive: Sequence[Lifetime]) -> tuple[Buffer, ...]:
    """A place for each buffer, in the order given: two-ended where that meets the lower bound, else first fit."""
    return _two_ended(alive, max(pressure(alive), default=0)) or _first_fit(alive)


def _two_ended(alive: Sequence[Lifetime], capacity: int) -> tuple[Buffer, ...] | None:
    """Every other buffer at the lowest free place, the rest at the highest, in the order of writing.

    In a chain only neighbours are alive together, one at either end, so `capacity` is enough; elsewhere it may not be.
    """
    placed: list[Buffer] = []
    for index, life in enumerate(alive):
        gaps = [(start, end) for start, end in _gaps(life, placed, capacity) if end - start >= aligned(life.size)]
        if not gaps:
            return None
        offset = gaps[0][0] if index % 2 == 0 else gaps[-1][1] - aligned(life.size)
        placed.append(Buffer(life.name, offset, life.size, life.first, life.last))
    return tuple(placed)


def _first_fit(alive: Sequence[Lifetime]) -> tuple[Buffer, ...]:
    """Largest first, each at the lowest offset free throughout its life."""
    placed: list[Buffer] = []
    everything = sum(aligned(life.size) for life in alive)
    for life in sorted(alive, key=lambda one: (-one.size, one.first)):
        gaps = _gaps(life, placed, everything)
        offset = next(start for start, end in gaps if end - start >= aligned(life.size))
        placed.append(Buffer(life.name, offset, life.size, life.first, life.last))
    by_name = {buffer.name: buffer for buffer in placed}
    return tuple(by_name[life.name] for life in alive)


def _gaps(life: Lifetime, placed: Sequence[Buffer], capacity: int) -> list[tuple[int, int]]:
    """Stretches of the arena, from low to high, that no buffer alive together with `life` takes."""
    taken = [buffer for buffer in placed if life.first <= buffer.last and buffer.first <= life.last]
    gaps, start = [], 0
    for buffer in sorted(taken, key=lambda one: one.offset):
        gaps.append((start, buffer.offset))
        start = max(start, buffer.offset + aligned(buffer.size))
    return [*gaps, (start, capacity)]
