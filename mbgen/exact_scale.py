"""Rescaling a sum by one high multiply and one shift, proved equal to the layer's exact arithmetic before it is used.

A layer's exact rescaling, whatever its rounding, is a step function of the sum: level t is reached at some least sum,
its threshold. The cheap form floor((((acc + offset) * multiplier + rounding) / 2^high + addend) / 2^shift), cut to
0 .. levels, rises with the sum too, so it equals the exact one on the whole range if it does at every threshold and
just below it. `search` looks for constants that hit all of them; where there are none the exact form stays.

`high` is 32 for Arm's SMMLA and 31 for a doubling high multiply (SQDMULH, SQRDMULH with `rounding` 2^30, VQDMULH). The
offset costs nothing, since it goes into the bias. May not know layers, instructions or TVM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mbgen.graph import Array

INT32_MAX = 2**31 - 1
MAX_SHIFT = 20  # levels << (high + shift) stays in int64
NEAR, FAR = 1 << 10, 1 << 18  # how many offsets are tried
FARTHEST = 1 << 12  # from the multiplier nearest to the real scale to those that are tried
NEIGHBOURS = (0, 1, -1, 2, -2, 3, -3)


@dataclass(frozen=True)
class Steps:
    """A channel's exact rescaling as thresholds, over the sums `low` to `high` that can occur.

    `first` is the level at `low`; level first + 1 + i is reached at the sum `at[i]`. Levels run from 0 to `levels`.
    """

    low: int
    high: int
    first: int
    at: tuple[int, ...]
    levels: int

    @property
    def last(self) -> int:
        return self.first + len(self.at)


@dataclass(frozen=True)
class Scale:
    """level = clip((((acc + offset) * multiplier + rounding) >> high) + addend) >> shift, 0, levels)."""

    multiplier: int
    addend: int
    offset: int


def steps(exact: Callable[[Array], Array], low: Array, high: Array, levels: int = 255) -> list[Steps]:
    """The thresholds of each channel of a layer.

    `exact` takes sums int64 `[k, channels]` and gives their levels, 0 .. `levels`, rising with the sum; `low` and
    `high` are the least and greatest sums that can occur, int64 `[channels]`.
    """
    low, high = np.asarray(low, np.int64), np.asarray(high, np.int64)
    first, last = exact(low[np.newaxis])[0], exact(high[np.newaxis])[0]
    wanted = np.arange(1, levels + 1, dtype=np.int64)[:, np.newaxis]
    below = np.broadcast_to(low, (levels, len(low))).copy()
    reached = np.broadcast_to(high, (levels, len(low))).copy()
    while np.any(reached - below > 1):  # exact(below) < wanted <= exact(reached), where that holds at the ends
        middle = (below + reached) >> 1
        enough = exact(middle) >= wanted
        reached, below = np.where(enough, middle, reached), np.where(enough, below, middle)
    return [
        Steps(int(low[c]), int(high[c]), int(first[c]), tuple(map(int, reached[first[c] : last[c], c])), levels)
        for c in range(len(low))
    ]


def shift_for(scale: float, high: int = 32) -> int:
    """The greatest shift at which the multiplier of the layer's largest real `scale` is below 2^31; may be negative."""
    return int(np.floor(31 - high - np.log2(scale)))


def search(
    channel: Steps, scale: float, shift: int, *, high: int = 32, rounding: int = 0, offset: int = 0, reach: int = FAR
) -> Scale | None:
    """Constants that give `channel`'s levels on its whole range without overflow; None if none are found.

    `scale` is the real factor that the exact rescaling is near to. Offsets from `offset` to `offset + reach` are tried.
    """
    if not 0 <= shift <= MAX_SHIFT:
        return None
    if not channel.at:  # a constant: no multiplication needed
        return _checked(Scale(0, channel.first << shift, offset), channel, shift, high, rounding)
    nearest = round(scale * 2.0 ** (high + shift))
    if not 0 < nearest <= INT32_MAX:
        return None
    widest = _widest(channel, nearest, high + shift)
    for distance in NEIGHBOURS:
        multiplier = widest + distance
        if not 0 < multiplier <= INT32_MAX:
            continue
        least, limit = _totals(channel, multiplier, high + shift)
        if least < limit:
            found = _split(least, limit, multiplier, high, rounding, offset, reach)
            if found is not None and _checked(found, channel, shift, high, rounding) is not None:
                return found
    return None


def _totals(channel: Steps, multiplier: int, bits: int) -> tuple[int, int]:
    """What may be added to acc * multiplier, from `least` up to but without `limit`, so that acc >> bits is right."""
    at = np.array(channel.at, np.int64)
    targets = (channel.first + 1 + np.arange(len(at), dtype=np.int64)) << bits
    least, limit = int((targets - at * multiplier).max()), int((targets - (at - 1) * multiplier).min())
    if channel.first > 0:
        least = max(least, (channel.first << bits) - channel.low * multiplier)
    if channel.last < channel.levels:
        limit = min(limit, ((channel.last + 1) << bits) - channel.high * multiplier)
    return least, limit


def _widest(channel: Steps, nearest: int, bits: int) -> int:
    """The multiplier near `nearest` that leaves the most room for the total: the room is concave in it."""

    def room(multiplier: int) -> int:
        least, limit = _totals(channel, multiplier, bits)
        return limit - least

    low, high = max(nearest - FARTHEST, 1), min(nearest + FARTHEST, INT32_MAX)
    while high - low > 2:
        third = (high - low) // 3
        if room(low + third) < room(high - third):
            low += third
        else:
            high -= third
    return max(range(low, high + 1), key=room)


def _split(least: int, limit: int, multiplier: int, high: int, rounding: int, offset: int, reach: int) -> Scale | None:
    """The first offset whose multiple, with some addend in the high half, makes a total in [least, limit)."""
    base = offset * multiplier + rounding
    start, width = (least - base) % (1 << high), min(limit - least, 1 << high)
    for first in (0, NEAR):  # most are found at once
        count = NEAR if first == 0 else reach
        residues = (np.arange(first, count, dtype=np.int64) * multiplier - start) % (1 << high)
        hits = np.flatnonzero(residues < width)
        if len(hits):
            step = first + int(hits[0])
            total = least + int(residues[hits[0]])
            return Scale(multiplier, (total - base - step * multiplier) >> high, offset + step)
    return None


def _checked(found: Scale, channel: Steps, shift: int, high: int, rounding: int) -> Scale | None:
    """`found` if it is right at every threshold and at both ends, and nothing in it leaves int32."""
    at = np.array(channel.at, np.int64)
    points = np.concatenate([[channel.low, channel.high], at, at - 1]).astype(np.int64)
    sums = points + found.offset
    scaled = ((sums * found.multiplier + rounding) >> high) + found.addend
    if max(np.abs(sums).max(), np.abs(scaled).max(), abs(found.addend)) > INT32_MAX:
        return None
    exact = channel.first + np.searchsorted(at, points, side="right")
    return found if np.array_equal(np.clip(scaled >> shift, 0, channel.levels), exact) else None
