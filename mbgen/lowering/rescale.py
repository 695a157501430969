"""A weighted layer's sums as stored levels: the ranges that its sums can have, and constants that rescale them cheaply.

A level is an output value less the least value that the layer's clamp lets through.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mbgen import exact_scale, numerics
from mbgen.graph import Array, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.planning.bands import lowest

MAX_PATCHES = 12  # of a channel; with more, its layer takes the exact form
FARTHEST_MOVE = 8  # of a sum that is patched


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums of a layer over stored inputs v: acc = sum of v * weights + constant, per channel.

    `weights` is int64 `[channels, taps]`; v lies in [least, greatest] and is 0 where it is padding.
    """

    weights: Array = field(repr=False)
    constant: Array = field(repr=False)
    least: int
    greatest: int

    @property
    def low(self) -> Array:
        """The least sums, int64 `[channels]`."""
        return self.constant + self.bounds(self.weights)[0]

    @property
    def high(self) -> Array:
        """The greatest sums, int64 `[channels]`."""
        return self.constant + self.bounds(self.weights)[1]

    def bounds(self, weights: Array) -> tuple[Array, Array]:
        """The range of the sum of v * weights over some of the taps."""
        ends = np.stack([weights * self.least, weights * self.greatest])
        return ends.min(axis=0).sum(axis=-1), ends.max(axis=0).sum(axis=-1)


def sums(layer: WeightedLayer, graph: Graph, offset: int, least: int, greatest: int) -> Sums:
    """The layer's sums where the input is stored as value less `offset`, within [least, greatest]."""
    weights = numerics.centered_weights(layer, graph).astype(np.int64)
    flat = (
        weights.reshape(-1, weights.shape[-1]).T
        if isinstance(layer, DepthwiseConv2D)
        else weights.reshape(len(weights), -1)
    )
    bias = 0 if layer.bias is None else graph.constant(layer.bias).astype(np.int64)
    shifted = (offset - numerics.zero_point(graph.layer_inputs(layer)[0])) * flat.sum(axis=1)
    return Sums(flat, bias + shifted, least, greatest)


@dataclass(frozen=True, eq=False)
class Levels:
    """How a layer's sums become levels: `scales` int32 `[channels, 2]` with one `shift`, or None where only the exact
    form will do; `offset` int64 `[channels]` is what must be added to the sums. `patches` are for each channel the
    sums, offset included, that must be moved before they are rescaled, and by how much.
    """

    scales: Array | None = field(repr=False)
    shift: int
    offset: Array = field(repr=False)
    patches: tuple[tuple[tuple[int, int], ...], ...] = field(repr=False)

    def level(self, channel: int, total: int) -> int:
        """What the scale of a channel makes of a sum, offset included."""
        assert self.scales is not None
        multiplier, addend = map(int, self.scales[channel])
        return min(max(((total * multiplier >> 32) + addend) >> self.shift, 0), 255)


def levels(
    layer: WeightedLayer,
    graph: Graph,
    over: Sums,
    offset: Array | None = None,
    reach: Array | None = None,
    *,
    at_shift: int | None = None,
    most: int = MAX_PATCHES,
) -> Levels:
    """Constants for the layer's sums, whose channels' offsets are from `offset` on, and less than `reach` above it.

    Without these two they are from 0 on, as far as the search goes.

    The shift is the greatest that the layer's scales allow, or `at_shift` where they allow that. No channel has more
    than `most` patches.
    """
    output, channels = graph.layer_output(layer), len(over.low)
    offset = np.zeros(channels, np.int64) if offset is None else offset
    reach = np.full(channels, exact_scale.FAR) if reach is None else reach
    scale = numerics.output_scale(layer, graph)
    least = lowest(layer, output)

    def exact(acc: Array) -> Array:
        return numerics.requantize(acc, scale, output, layer.clamp).astype(np.int64) - least

    real = (
        scale.multiplier.astype(np.float64) * 2.0 ** (scale.shift.astype(np.float64) - 31)
        if isinstance(scale, numerics.FixedPoint)
        else np.asarray(scale.scale, np.float64)
    )
    real = np.broadcast_to(real, offset.shape)
    steps = exact_scale.steps(exact, over.low, over.high)
    moving = [value for value, channel in zip(real, steps, strict=True) if channel.at]
    shift = exact_scale.shift_for(max(moving, default=1.0 / 4))
    if at_shift is not None:
        shift = at_shift if at_shift <= shift else 0
    found, patches = [], []
    for channel, value, start, room in zip(steps, real, offset, np.maximum(reach, 1), strict=True):
        made = None
        if shift > 0:
            made = exact_scale.search(channel, float(value), shift, offset=int(start), reach=int(room), patches=most)
        moves = None if made is None else moved_sums(made, shift)
        if made is None or moves is None:
            return Levels(None, 0, offset, ((),) * len(offset))
        found.append(made)
        patches.append(moves)
    scales = np.array([(one.multiplier, one.addend) for one in found], np.int32)
    offsets = np.array([one.offset for one in found], np.int64)
    return Levels(scales, shift, offsets, tuple(patches))


def moved_sums(scale: exact_scale.Scale, shift: int) -> tuple[tuple[int, int], ...] | None:
    """Where a scale is wrong, the sum and a move to a near sum that it makes the right level of; None if one has none.

    No sum is moved to one that is moved itself, so that the order of the patches does not matter.
    """

    def level(total: int) -> int:
        return min(max(((total * scale.multiplier >> 32) + scale.addend) >> shift, 0), 255)

    wrong, moves = {total for total, _ in scale.patches}, []
    for total, more in scale.patches:
        near = (distance * sign for distance in range(1, FARTHEST_MOVE + 1) for sign in (1, -1))
        right = (move for move in near if total + move not in wrong and level(total + move) == level(total) + more)
        move = next(right, None)
        if move is None:
            return None
        moves.append((total, move))
    return tuple(moves)
