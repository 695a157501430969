"""Tensors of a chain written over each other: how far apart a layer's input and output must lie, and where they can.

A layer that runs row by row upwards may write where input rows were that no later row reads; downwards likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbgen.plan import Rows
from mbgen.planning.sizes import ALIGNMENT, aligned

UPWARDS, WHOLE, DOWNWARDS = 1, 0, -1


@dataclass(frozen=True)
class Link:
    """What relates the places of a layer's input and output of `source` and `target` bytes.

    `below`: the output may start this many bytes below the input's start, or more, if the layer runs upwards.
    `above`: it may start this many bytes above, or more, if the layer runs downwards.
    """

    source: int
    target: int
    below: int
    above: int
    by_row: bool

    def walk(self, source: int, target: int) -> int | None:
        """How the layer must run with its input and output at these offsets; None if it cannot."""
        if target + self.target <= source or source + self.source <= target:
            return WHOLE
        if self.by_row and source - target >= self.below:
            return UPWARDS
        if self.by_row and target - source >= self.above:
            return DOWNWARDS
        return None

    @property
    def union(self) -> int:
        """The least bytes that input and output can take together."""
        low = min(self.below, self.target) if self.by_row else self.target
        high = min(self.above, self.source) if self.by_row else self.source
        return min(max(low + self.source, self.target), max(high + self.target, self.source))


def link(source: int, target: int, rows: Rows | None, item_bytes: tuple[int, int]) -> Link:
    """The link of a layer by its tensors' bytes; `rows` is None where it needs the whole input at once.

    While row oh is written, rows first(oh) and later are still to be read (upwards), or last(oh) and earlier
    (downwards), the current row's included, since a kernel reads and writes at the same time.
    """
    if rows is None:
        return Link(source, target, target, source, by_row=False)
    read, written = rows.input_row * item_bytes[0], rows.output_row * item_bytes[1]
    below = max((oh + 1) * written - rows.first(oh) * read for oh in range(rows.oh))
    above = max((rows.last(oh) + 1) * read - oh * written for oh in range(rows.oh))
    return Link(source, target, aligned(max(below, 0)), aligned(max(above, 0)), by_row=True)


def place_chain(links: Sequence[Link], first: int, pipeline: int) -> tuple[int, list[int]]:
    """The least arena for a chain, and the offset of each of its tensors.

    The first tensor has `first` bytes and shares its birth with `pipeline` other bytes beside it; link i leads from
    tensor i to tensor i + 1. The arena is found by bisection between the lower bound and the sum of all; for each size
    a search over the offsets that can matter says whether it is enough, so the result is exact for these offsets.
    """
    bound = max([aligned(first) + pipeline, *(link.union for link in links)])
    low, high = aligned(bound), aligned(first) + pipeline + sum(aligned(link.target) for link in links)
    high = max(low, high)
    best = _search(links, first, pipeline, low)
    if best is not None:
        return low, best
    while high - low > ALIGNMENT:
        middle = (low + high) // 2 // ALIGNMENT * ALIGNMENT
        if _search(links, first, pipeline, middle) is None:
            low = middle
        else:
            high = middle
    offsets = _search(links, first, pipeline, high)
    assert offsets is not None  # everything side by side always fits
    return high, offsets


def _search(links: Sequence[Link], first: int, pipeline: int, capacity: int) -> list[int] | None:
    """Offsets of all tensors within `capacity`, or None."""
    if aligned(first) + pipeline > capacity:
        return None
    # tensor by tensor, every offset that can be reached and the offset before it
    reached: list[dict[int, int]] = [{0: 0, capacity - aligned(first): 0}]
    for link in links:
        step: dict[int, int] = {}
        for source in reached[-1]:
            top = capacity - aligned(link.target)
            for target in (0, top, _floor(source - link.below), source + link.above):
                if 0 <= target <= top and link.walk(source, target) is not None:
                    step.setdefault(target, source)
        if not step:
            return None
        reached.append(step)
    offsets = [min(reached[-1])]
    for step in reversed(reached[1:]):
        offsets.append(step[offsets[-1]])
    return offsets[::-1]


def _floor(offset: int) -> int:
    return offset // ALIGNMENT * ALIGNMENT
