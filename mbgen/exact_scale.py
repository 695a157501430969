"""Rescaling a sum by one high multiply and one shift, proved equal to the layer's exact arithmetic before it is used.

A layer's exact rescaling, whatever its rounding, is a step function of the sum: level t is reached at some least sum,
its threshold. The cheap form floor((((acc + offset) * multiplier + rounding) / 2^high + addend) / 2^shift), cut to
0 .. levels, rises with the sum too, so it equals the exact one on the whole range if it does at every threshold and
just below it. `search` looks for constants that hit all of them; where there are none the exact form stays.

`high` is 32 for Arm's SMMLA and 31 for a doubling high multiply (SQDMULH, SQRDMULH with `rounding` 2^30, VQDMULH). The
offset costs nothing, since it goes into the bias. May not know layers, instructions or TVM.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mbgen.graph import Array

INT32_MAX = 2**31 - 1
MAX_SHIFT = 20  # levels << (high + shift) stays in int64
FAR = 1 << 18  # how many offsets are tried
FARTHEST = 1 << 12  # from the multiplier nearest to the real scale to those that are tried
COARSE = 128  # between multipliers that are tried before all near the best of them
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
    """level = clip((((acc + offset) * multiplier + rounding) >> high) + addend) >> shift, 0, levels).

    `patches` are the sums, offset included, at which it is wrong, each with what must then be added to the level.
    """

    multiplier: int
    addend: int
    offset: int
    patches: tuple[tuple[int, int], ...] = ()


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


@functools.lru_cache(
    maxsize=16384
)  # kernels that are tuned are prepared many times, and networks that do not fit flash twice
def search(
    channel: Steps,
    scale: float,
    shift: int,
    *,
    high: int = 32,
    rounding: int = 0,
    offset: int = 0,
    reach: int = FAR,
    patches: int = 0,
) -> Scale | None:
    """Constants that give `channel`'s levels on its whole range without overflow; None if none are found.

    `scale` is the real factor that the exact rescaling is near to. Offsets from `offset` on are tried, `reach` of them.
    Up to `patches` sums may be wrong, which the result then names: rounding in float32 makes thresholds that lie on no
    line.
    """
    nearest = round(scale * 2.0 ** (high + shift)) if 0 <= shift <= MAX_SHIFT else 0
    if not 0 <= shift <= MAX_SHIFT or (channel.at and not 0 < nearest <= INT32_MAX):
        return None
    form = _Form(channel, shift, high, rounding)
    if not channel.at:  # a constant: no multiplication needed
        return form.checked(Scale(0, channel.first << shift, offset))
    skipped: tuple[int, ...] = ()
    while len(skipped) <= min(patches, len(channel.at) - 1):
        found = form.search(nearest, skipped, offset, reach)
        if found is not None:
            return found
        skipped = form.skipped(nearest, skipped)
    return None


@dataclass(frozen=True)
class _Form:
    """A channel's levels, to be made by a given shift."""

    channel: Steps
    shift: int
    high: int
    rounding: int

    def search(self, nearest: int, skipped: tuple[int, ...], offset: int, reach: int) -> Scale | None:
        """Constants that hit all thresholds but those of the numbers `skipped`."""
        widest = self.widest(nearest, skipped)
        for distance in NEIGHBOURS:
            multiplier = widest + distance
            least, limit = self.totals(multiplier, skipped)
            if 0 < multiplier <= INT32_MAX and least < limit:
                found = self.split(least, limit, multiplier, offset, reach)
                checked = None if found is None else self.checked(found)
                if checked is not None and len(checked.patches) <= len(skipped):
                    return checked
        return None

    def skipped(self, nearest: int, skipped: tuple[int, ...]) -> tuple[int, ...]:
        """`skipped` and that of the two thresholds in the way of a line which leaves more room when gone."""
        lowest, highest = self.ends(self.widest(nearest, skipped))
        lowest[list(skipped)], highest[list(skipped)] = lowest.min(), highest.max()

        def room(more: tuple[int, ...]) -> int:
            least, limit = self.totals(self.widest(nearest, more), more)
            return limit - least

        return max(((*skipped, int(lowest.argmax())), (*skipped, int(highest.argmin()))), key=room)

    def ends(self, multiplier: int) -> tuple[Array, Array]:
        """For each threshold what must at least, and what must not, be added to acc * multiplier."""
        at, targets = self.thresholds
        return targets - at * multiplier, targets - (at - 1) * multiplier

    @functools.cached_property
    def thresholds(self) -> tuple[Array, Array]:
        """Each threshold, and the total that is its level."""
        at, bits = np.array(self.channel.at, np.int64), self.high + self.shift
        return at, (self.channel.first + 1 + np.arange(len(at), dtype=np.int64)) << bits

    def totals(self, multiplier: int, skipped: tuple[int, ...]) -> tuple[int, int]:
        """What may be added to acc * multiplier, from `least` up to but without `limit`, for the levels to be right."""
        (low_sums, low_totals), (high_sums, high_totals) = self.lines(skipped)
        return int((low_totals - low_sums * multiplier).max()), int((high_totals - high_sums * multiplier).min())

    def lines(self, skipped: tuple[int, ...]) -> tuple[Array, Array]:
        """The lines (sum, total) below and above which total - sum * multiplier must not be, each int64 `[2, k]`."""
        channel, bits = self.channel, self.high + self.shift
        at, targets = self.thresholds
        if skipped:
            at, targets = np.delete(at, skipped), np.delete(targets, skipped)
        floors, ceilings = np.stack([at, targets]), np.stack([at - 1, targets])
        if channel.first > 0:
            floors = np.append(floors, [[channel.low], [channel.first << bits]], axis=1)
        if channel.last < channel.levels:
            ceilings = np.append(ceilings, [[channel.high], [(channel.last + 1) << bits]], axis=1)
        return floors, ceilings

    def widest(self, nearest: int, skipped: tuple[int, ...]) -> int:
        """The multiplier near `nearest` that leaves the most room for the total: the room is concave in it."""
        low, high = max(nearest - FARTHEST, 1), min(nearest + FARTHEST, INT32_MAX)
        floors, ceilings = self.lines(skipped)
        below, above = highest(floors, low, high), -highest(-ceilings, low, high)
        for stride in (COARSE, 1):
            tried = np.arange(low, high + stride, stride, dtype=np.int64)
            least, limit = (totals[:, np.newaxis] - sums[:, np.newaxis] * tried for sums, totals in (below, above))
            most = int(tried[(limit.min(axis=0) - least.max(axis=0)).argmax()])
            low, high = max(low, most - stride), min(high, most + stride)
        return most

    def split(self, least: int, limit: int, multiplier: int, offset: int, reach: int) -> Scale | None:
        """The first offset whose multiple, with some addend in the high half, makes a total in [least, limit)."""
        base, unit = offset * multiplier + self.rounding, 1 << self.high
        start, width = (least - base) % unit, limit - least
        # from 0 on, if what is wanted goes past the end of the unit and so contains 0
        step = 0 if start + width > unit else first_multiple(multiplier, unit, start, start + width - 1)
        if step is None or step >= reach:
            return None
        total = least + (step * multiplier - start) % unit
        return Scale(multiplier, (total - base - step * multiplier) >> self.high, offset + step)

    def checked(self, found: Scale) -> Scale | None:
        """`found` with the sums that it gets wrong; None if anything leaves int32."""
        channel, (at, _) = self.channel, self.thresholds
        near = [at + distance for distance in (-2, -1, 0, 1)]
        points = np.unique(np.clip(np.concatenate([[channel.low, channel.high], *near]), channel.low, channel.high))
        sums = points.astype(np.int64) + found.offset
        scaled = ((sums * found.multiplier + self.rounding) >> self.high) + found.addend
        if max(np.abs(sums).max(), np.abs(scaled).max(), abs(found.addend)) > INT32_MAX:
            return None
        exact = channel.first + np.searchsorted(at, points, side="right")
        wrong = exact - np.clip(scaled >> self.shift, 0, channel.levels)
        (places,) = np.nonzero(wrong)
        return replace(found, patches=tuple((int(sums[place]), int(wrong[place])) for place in places))


def first_multiple(factor: int, modulus: int, low: int, high: int) -> int | None:
    """The least x >= 0 with low <= factor * x mod modulus <= high; None if there is none. As Euclid's algorithm."""
    if low == 0:
        return 0
    if factor == 0:
        return None
    x = -(-low // factor)
    if factor * x <= high:
        return x
    # x goes round the modulus some times, as few as serve; in [low, high] there is no multiple of the factor
    rounds = first_multiple(modulus % factor, factor, factor - high % factor, factor - low % factor)
    return None if rounds is None else -(-(low + modulus * rounds) // factor)


def highest(lines: Array, low: int, high: int) -> Array:
    """Those of the lines total - sum * m, int64 `[2, k]` (sum, total), that may be the highest at an m in [low, high].

    Below the two that are highest at the ends, a line comes nearest to them where these two cross.
    """
    sums, totals = lines
    ends = [int(np.argmax(totals - sums * multiplier)) for multiplier in (low, high)]
    (one, other), kept = ends, np.zeros(len(sums), bool)
    if sums[one] != sums[other]:
        crossing = (totals[one] - totals[other]) // (sums[one] - sums[other])
        for multiplier in (crossing, crossing + 1):  # the crossing lies between these two
            values = totals - sums * multiplier
            kept |= values >= min(values[one], values[other])
    kept[ends] = True
    return lines[:, kept]
