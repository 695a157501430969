"""The words that kernels with packed sums read from front to back, as `mbgen.intrinsics.dsp_runs` says.

Knows sums, scales and patches of channels; may not know layers or TVM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.dsp import CHANNELS, FIELD, FIELD_BITS
from mbgen.lowering.rescale import Levels, Sums

Patches = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Group:
    """Output channels whose k is cut alike, `splits` parts of `size`, so that the fields of no part overflow."""

    channels: Array = field(repr=False)
    splits: int
    k: int

    @property
    def size(self) -> int:
        """Steps of k in a part, of which the last may have fewer."""
        return -(-self.k // self.splits)

    @property
    def last(self) -> int:
        """Of the last part, what is left."""
        return self.k - (self.splits - 1) * self.size

    @property
    def cuts(self) -> list[slice]:
        return [slice(first, min(first + self.size, self.k)) for first in range(0, self.k, self.size)]


def groups(over: Sums, most: int) -> list[Group]:
    """The channels by the number of parts that k must be cut in, in blocks but for the last group.

    No sum of a part spans `most` or more.
    """
    waiting, found, splits = np.arange(len(over.weights)), [], 0
    while len(waiting):
        splits += 1
        fits = _fits(over, Group(waiting, splits, over.weights.shape[1]), most)
        count = len(waiting) if np.all(fits) else np.count_nonzero(fits) // CHANNELS * CHANNELS
        chosen = waiting[fits][:count]
        if count:
            found.append(Group(chosen, splits, over.weights.shape[1]))
        waiting = np.setdiff1d(waiting, chosen)
    return found


def one_group(over: Sums, most: int) -> Group:
    """All channels, k cut in as few parts as serve each."""
    everything, k = np.arange(len(over.weights)), over.weights.shape[1]
    tried = (Group(everything, splits, k) for splits in range(1, k + 1))
    return next(group for group in tried if np.all(_fits(over, group, most)))  # one product always fits


def _fits(over: Sums, group: Group, most: int) -> Array:
    """Of which of the group's channels no part spans `most`; of none if that number of parts leaves one empty."""
    if len(group.cuts) != group.splits:
        return np.zeros(len(group.channels), np.bool_)
    bounds = [over.bounds(over.weights[group.channels, cut]) for cut in group.cuts]
    return np.asarray(np.all(np.stack([high - low for low, high in bounds]) < most, axis=0))


def packed_starts(first: Array, second: Array) -> Array:
    """Words int32 `[n, 2]` of the sums that pairs of channels start from, which wrap around as the sums do."""
    bits, low, high = np.uint64(FIELD_BITS), first.astype(np.uint64), second.astype(np.uint64)
    packed = low + ((low + high) << bits) + (high << bits << bits)
    return np.asarray(packed.view(np.int32).reshape(-1, 2))


def block_words(weights: Array, start: Array) -> Array:
    """Words int32 `[blocks, 8 + 2 * k]` of packed sums: starts, then weights, of channels `[n, k]`, n in blocks."""
    blocks, k = len(weights) // CHANNELS, weights.shape[1]
    pairs = start.reshape(-1, 2)
    starts = np.repeat(packed_starts(pairs[:, 0], pairs[:, 1]), 2, axis=0)  # for pixels 0, 1 and for 1, 2
    two = weights.reshape(-1, 2, k)
    joined = (two[:, 0] + two[:, 1] * FIELD).astype(np.int32).reshape(blocks, 2, k)
    return np.concatenate([starts.reshape(blocks, -1), joined.transpose(0, 2, 1).reshape(blocks, -1)], axis=1)


def scaled_blocks(weights: Array, start: Array, multiplier: Array, addend: Array) -> Array:
    """The same with scales behind: words of weights `[blocks, 4, k]`, the others `[blocks, 4]`."""
    blocks, _, k = weights.shape
    scales = np.stack([multiplier, addend], axis=2).astype(np.int32).reshape(blocks, -1)
    return np.concatenate([block_words(weights.reshape(-1, k).astype(np.int32), start.reshape(-1)), scales], axis=1)


def scale_words(made: Levels, channels: Sequence[int]) -> tuple[int, ...]:
    """Multipliers and addends of some channels."""
    assert made.scales is not None
    return tuple(int(word) for channel in channels for word in made.scales[channel])


def patch_words(made: Levels, channels: Sequence[int]) -> tuple[int, ...]:
    """The patches of each of some channels and what ends them."""
    return tuple(word for channel in channels for patch in (*made.patches[channel], (0, 0)) for word in patch)


def flag_words(made: Levels, channels: Sequence[int]) -> tuple[int, ...]:
    """What says that patches follow; nothing if there are none."""
    return (-1, 0) if any(made.patches[channel] for channel in channels) else ()


def run_words(group: Group, weights: Array, starts: Sequence[Array], made: Levels, offsets: Array | None) -> Array:
    """The stream of a group's blocks: of weights `[n, k]`, of all channels, each part of k with its starts `[n]`.

    `offsets` in bytes are where each channel's output is. The last channel fills up the last block.
    """
    channels = list(map(int, group.channels))
    channels += channels[-1:] * (-len(channels) % CHANNELS)
    sums = [block_words(weights[channels, cut], start[channels]) for cut, start in zip(group.cuts, starts, strict=True)]
    words: list[Array] = []
    for number, block in enumerate(np.concatenate(sums, axis=1)):
        four = channels[number * CHANNELS : (number + 1) * CHANNELS]
        flag = flag_words(made, four)
        tail = [*flag]
        for pair in (four[:2], four[2:]):
            tail += patch_words(made, pair) if flag else ()
            tail += scale_words(made, pair)
            tail += [] if offsets is None else offsets[pair].tolist()
        words += [block, np.array(tail, np.int32)]
    return np.concatenate(words)


def depthwise_stream(words: Array, made: Levels) -> Array:
    """The stream of all channels of a depthwise layer from start and taps, int32 `[channels, 7]`."""
    stream: list[Array] = []
    for channel, taps in enumerate(words):
        flag = flag_words(made, [channel])
        patches = patch_words(made, [channel]) if flag else ()
        stream += [taps, np.array((*flag, *patches, *scale_words(made, [channel])), np.int32)]
    return np.concatenate(stream)
