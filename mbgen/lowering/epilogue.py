"""What happens to a sum before it is stored: rescale, zero point, clamp, all in the kernel that made the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tvm import tirx

from mbgen import numerics
from mbgen.errors import GraphError, UnsupportedError
from mbgen.graph import (
    INTEGER_RANGE,
    Array,
    Clamp,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Tensor,
    WeightedLayer,
)
from mbgen.lowering.tir import helper

Kind = Literal["fixed", "fixed_wide", "single", "scale", "float"]

MAX_LEFT_SHIFT = 31

_HELPERS = {"fixed": "requantize_i32", "fixed_wide": "requantize_wide_i32", "single": "requantize_single_i32"}


@dataclass(frozen=True)
class Epilogue:
    """How a sum becomes an output element.

    - fixed: TFLite's multiplier and right shift of at least 1, rounded twice in int32; fixed_wide: any shift and sum.
    - single: a 64-bit multiplier and right shift, rounded once (TFLite's dense layers, whose double it replaces).
    - scale: QDQ's float32 factor, rounded half to even.
    - float: the sum itself.
    Then the zero point is added and the result cut to [low, high], in the output's own units.
    """

    kind: Kind
    dtype: DType
    zero_point: int
    low: float
    high: float

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Name and element type of the per-channel arrays it reads."""
        if self.kind == "float":
            return ()
        if self.kind == "scale":
            return (("scale", "float32"),)
        return (("multiplier", "int64" if self.kind == "single" else "int32"), ("shift", "int8"))

    @property
    def vectorizable(self) -> bool:
        """Whether its helper has a form on vectors."""
        return self.kind != "single"

    def finish(self, total: Any, arrays: tuple[Any, ...]) -> Any:
        """The TIR expression of the output element; `arrays` are the entries of `parameters` for its channel."""
        if self.kind == "float":
            return clamp_float(total, self.low, self.high)
        if self.kind == "scale":
            return self.scale_round(total, arrays[0])
        multiplier, shift = arrays
        return self.store(helper(_HELPERS[self.kind], "int32", total, multiplier, shift.astype("int32")))

    def scale_round(self, total: Any, scale: Any) -> Any:
        """QDQ's rescaling, cut before it is rounded as in `store_float`."""
        low, high = (tirx.const(float(bound - self.zero_point), "float32") for bound in (self.low, self.high))
        rounded = helper("scale_round_i32", "int32", total, scale, low, high)
        return (rounded + tirx.const(self.zero_point, "int32")).astype(self.dtype)

    def store(self, scaled: Any) -> Any:
        """Clamp, zero point and the output's type for an int32 expression; cut first, so that no sum leaves int32."""
        low, high = (tirx.const(int(bound) - self.zero_point, "int32") for bound in (self.low, self.high))
        cut = helper("clamp_i32", "int32", scaled, low, high)
        return (cut + tirx.const(self.zero_point, "int32")).astype(self.dtype)

    def store_float(self, scaled: Any, half_to_even: bool = True) -> Any:
        """Rounding, zero point, clamp and the output's type for a float32 expression in the output's scale.

        It is cut before it is rounded, which is exact since the bounds are integers, and keeps it within int32.
        """
        low, high = (tirx.const(float(bound - self.zero_point), "float32") for bound in (self.low, self.high))
        cut = helper("clamp_f32", "float32", scaled, low, high)
        rounded = helper("round_even_f32" if half_to_even else "round_away_f32", "int32", cut)
        return (rounded + tirx.const(self.zero_point, "int32")).astype(self.dtype)


def clamp_float(value: Any, low: float, high: float) -> Any:
    """value cut to [low, high] where these are finite."""
    if np.isfinite(low) and np.isfinite(high):
        return helper("clamp_f32", "float32", value, tirx.const(low, "float32"), tirx.const(high, "float32"))
    if np.isfinite(high):
        value = tirx.min(value, tirx.const(high, "float32"))
    if np.isfinite(low):
        value = tirx.max(value, tirx.const(low, "float32"))
    return value


def bounds(clamp: Clamp, tensor: Tensor) -> tuple[float, float]:
    """The values an output may take, in its own units."""
    if tensor.dtype == "float32":
        return clamp.low, clamp.high
    return numerics.bounds(clamp, tensor)


def weighted_epilogue(layer: WeightedLayer, graph: Graph) -> tuple[Epilogue, dict[str, Array]]:
    """The epilogue of a convolution or dense layer, and its per-channel arrays by parameter name."""
    output = graph.layer_output(layer)
    low, high = bounds(layer.clamp, output)
    if output.dtype == "float32":
        return Epilogue("float", "float32", 0, low, high), {}
    scale = numerics.output_scale(layer, graph)
    zero_point = numerics.zero_point(output)
    largest = largest_sums(layer, graph)
    if isinstance(layer, Dense) and isinstance(scale, numerics.DoubleScale):
        integers = numerics.single_rounding(layer, graph)
        arrays = {"multiplier": integers.multiplier, "shift": integers.shift.astype(np.int8)}
        return Epilogue("single", output.dtype, zero_point, low, high), arrays
    if isinstance(scale, numerics.FloatScale):
        return Epilogue("scale", output.dtype, zero_point, low, high), {"scale": scale.scale}
    if not isinstance(scale, numerics.FixedPoint):
        raise GraphError(f"{layer.name}: only dense layers are rescaled in double")
    if np.any(scale.shift > MAX_LEFT_SHIFT):
        raise UnsupportedError(
            f"{layer.name}: one step of its sums is more than 2^{MAX_LEFT_SHIFT} steps of its output; "
            "quantise the output with a larger scale"
        )
    shift = np.where(scale.multiplier == 0, -1, scale.shift).astype(np.int8)  # any shift of nothing is nothing
    products = numerics.saturating_rounding_doubling_high_mul(largest, scale.multiplier)
    halves = np.int64(1) << np.maximum(-shift.astype(np.int64) - 1, 0)
    if np.all(shift <= -1) and np.all(products + halves <= numerics.INT32_MAX):
        arrays = {"multiplier": scale.multiplier, "shift": -shift}
        return Epilogue("fixed", output.dtype, zero_point, low, high), arrays
    arrays = {"multiplier": scale.multiplier, "shift": shift}
    return Epilogue("fixed_wide", output.dtype, zero_point, low, high), arrays


def largest_sums(layer: WeightedLayer, graph: Graph) -> Array:
    """A bound on every magnitude that a channel's int32 sum can pass through, int64 [oc].

    It holds whether or not the input's zero point is folded into the bias, and for any order of the terms. Raises
    UnsupportedError where int32 is not enough.
    """
    x, weights = graph.layer_inputs(layer)[0], np.abs(numerics.centered_weights(layer, graph).astype(np.int64))
    axes = (0, 1) if isinstance(layer, DepthwiseConv2D) else tuple(range(1, weights.ndim))
    bias = 0 if layer.bias is None else np.abs(graph.constant(layer.bias).astype(np.int64))
    greatest = max(abs(bound) for bound in INTEGER_RANGE[x.dtype]) + abs(numerics.zero_point(x))
    largest: Array = weights.sum(axis=axes) * greatest + bias
    if np.any(largest > numerics.INT32_MAX):
        channel = int(np.argmax(largest))
        raise UnsupportedError(
            f"{layer.name}: the sums of output channel {channel} may reach {largest[channel]:,}, which int32 does not "
            "hold; quantise its weights with a larger scale, which makes weights and bias smaller"
        )
    return largest


def plain_epilogue(layer: Layer, graph: Graph, clamp: Clamp) -> Epilogue:
    """The epilogue of a layer whose rescaling has constants of its own (pool, add): zero point and clamp."""
    output = graph.layer_output(layer)
    low, high = bounds(clamp, output)
    if output.dtype == "float32":
        return Epilogue("float", "float32", 0, low, high)
    return Epilogue("fixed", output.dtype, numerics.zero_point(output), low, high)
