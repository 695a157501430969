"""Rescaling of int8 layers in vectors: constants for one high multiply, one addend and one shift a layer.

Where no such constants are exact on all sums that can occur, the layer keeps the kernels that follow its numerics.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mbgen import exact_scale, numerics
from mbgen.graph import INTEGER_RANGE, Array, Graph, WeightedLayer
from mbgen.intrinsics.mve import FLOAT, MAX_SHIFT
from mbgen.lowering.rescale import sums

HIGH = 31  # a doubling high multiply
LEAST, GREATEST = INTEGER_RANGE["int8"]
LARGEST = 2.0**30  # that float32 gives before it is rounded, so that the zero point can be added


@dataclass(frozen=True, eq=False)
class VectorScale:
    """y = sat8(round((floor(acc * multiplier / 2^31) + addend) / 2^shift)), acc = start + sum of stored x * weights.

    `weights` is int8 `[channels, taps]`, taps in the order of the layer's own; the constants are int32 `[channels]`.
    Padded places read as the input's zero point.
    """

    weights: Array = field(repr=False)
    start: Array = field(repr=False)
    multiplier: Array = field(repr=False)
    addend: Array = field(repr=False)
    shift: int

    @property
    def kind(self) -> str:
        """The arithmetic that rescales."""
        return "float" if self.shift == FLOAT else "fixed"


def vector_scale(layer: WeightedLayer, graph: Graph) -> VectorScale | None:
    """The layer's constants; None where it is not int8 throughout, its clamp is not int8's own, or none are exact."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    if {x.dtype, output.dtype, graph.tensors[layer.weights].dtype} != {"int8"}:
        return None
    if numerics.bounds(layer.clamp, output) != (LEAST, GREATEST):
        return None
    over = sums(layer, graph, 0, LEAST, GREATEST)
    weights = over.weights.astype(np.int8)
    if np.any(weights != over.weights):
        return None
    start, low, high = over.constant, over.low, over.high
    scale = numerics.output_scale(layer, graph)

    found = _fixed(start, low, high, layer, graph)
    if found is None and isinstance(scale, numerics.FloatScale):
        found = _floating(start, low, high, scale, numerics.zero_point(output))
    return None if found is None else VectorScale(weights, *found)


def _floating(
    start: Array, low: Array, high: Array, scale: numerics.FloatScale, zero_point: int
) -> tuple[Array, Array, Array, int] | None:
    """The layer's own arithmetic in float32; None where its results could leave int32."""
    real = np.broadcast_to(scale.scale, start.shape).astype(np.float32)
    if np.abs(np.stack([start, low, high])).max() > numerics.INT32_MAX or np.abs(low * real).max() > LARGEST:
        return None
    if np.abs(high * real).max() > LARGEST:
        return None
    addend = np.full(start.shape, zero_point, np.int32)
    return start.astype(np.int32), real.view(np.int32), addend, FLOAT


def _fixed(
    start: Array, low: Array, high: Array, layer: WeightedLayer, graph: Graph
) -> tuple[Array, Array, Array, int] | None:
    """Start, multiplier, addend and shift that make the layer's steps at every sum from `low` to `high`."""
    output, scale = graph.layer_output(layer), numerics.output_scale(layer, graph)

    def exact(acc: Array) -> Array:
        return numerics.requantize(acc, scale, output, layer.clamp).astype(np.int64) - LEAST

    real = np.broadcast_to(_real(scale), start.shape)
    steps = exact_scale.steps(exact, low, high)
    moving = [value for value, channel in zip(real, steps, strict=True) if channel.at]
    shift = min(exact_scale.shift_for(max(moving, default=0.25), HIGH), MAX_SHIFT)
    if shift < 1:
        return None
    constants = []
    for channel, value in zip(steps, real, strict=True):
        one = exact_scale.search(channel, float(value), shift, high=HIGH)
        if one is None:
            return None
        constants.append(one)
    offset = np.array([one.offset for one in constants], np.int64)
    multiplier = np.array([one.multiplier for one in constants], np.int64)
    # levels count from int8's least value, and the narrowing shift rounds
    addend = np.array([one.addend for one in constants], np.int64) + (LEAST << shift) - (1 << (shift - 1))
    scaled = np.stack([(low + offset) * multiplier, (high + offset) * multiplier]) >> HIGH
    reached = [*scaled, *(scaled + addend), start + offset, low + offset, high + offset, addend]
    if np.abs(np.stack(reached)).max() > numerics.INT32_MAX:
        return None
    return (start + offset).astype(np.int32), multiplier.astype(np.int32), addend.astype(np.int32), shift


def _real(scale: numerics.FixedPoint | numerics.DoubleScale | numerics.FloatScale) -> Array:
    """The real factors that a layer's rescaling is near to."""
    if isinstance(scale, numerics.FixedPoint):
        return np.asarray(scale.multiplier.astype(np.float64) * np.exp2(scale.shift.astype(np.float64) - HIGH))
    return np.asarray(scale.scale, np.float64)
