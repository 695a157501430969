"""Constants of a model file as the importers carry them: stored numbers with the quantisation that gives them meaning.

Knows arrays and quantisation only. May not know TVM, model files or layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mbgen.errors import InputError
from mbgen.graph import INTEGER_RANGE, NO_CLAMP, Array, Clamp, DType, Numerics, Quantization, Shape


@dataclass(frozen=True, eq=False)
class Constant:
    """Stored numbers; `quantization` is None where they are real numbers. Its axis, if any, is one of `data`'s axes."""

    data: Array = field(repr=False)
    quantization: Quantization | None = None

    def transposed(self, axes: tuple[int, ...]) -> Constant:
        """Axis i of the result is axis `axes[i]` of this constant."""
        q = self.quantization
        if q is not None and q.axis is not None:
            q = Quantization(q.scale, q.zero_point, axes.index(q.axis))
        return Constant(self.data.transpose(axes), q)

    def reshaped(self, shape: Shape) -> Constant:
        """The same numbers in the same order. Raises InputError if that would cut the quantised axis apart."""
        q = self.quantization
        if q is not None and q.axis is not None:
            before = math.prod(self.data.shape[: q.axis])
            fits = [i for i, n in enumerate(shape) if n == len(q.scale) and math.prod(shape[:i]) == before]
            if not fits:
                raise InputError(f"a constant quantised along axis {q.axis} cannot become {list(shape)}")
            q = Quantization(q.scale, q.zero_point, fits[0])
        return Constant(self.data.reshape(shape), q)


def quantization(scale: Array, zero_point: Array, axis: int, rank: int) -> Quantization:
    """Quantisation from a model's arrays: per tensor if there is one scale, else along `axis` of `rank` axes.

    Raises InputError for a scale that is not a positive finite number.
    """
    scales = np.asarray(scale, np.float32).reshape(-1)
    points = np.broadcast_to(np.asarray(zero_point).reshape(-1), scales.shape)
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise InputError("a quantisation scale is not a positive finite number")
    per_tensor = scales.size == 1
    return Quantization(
        tuple(scales.tolist()), tuple(int(p) for p in points), None if per_tensor else axis % max(rank, 1)
    )


def quantized(values: Array, q: Quantization, dtype: DType) -> Constant:
    """`values` rounded half to even to `dtype` (ONNX QuantizeLinear), for weights that a file keeps in float32."""
    along = [1] * values.ndim
    if q.axis is not None:
        along[q.axis] = -1
    scale = np.array(q.scale, np.float32).reshape(along)
    low, high = INTEGER_RANGE[dtype]
    integers = np.rint(values / scale) + np.array(q.zero_point).reshape(along)
    return Constant(np.clip(integers, low, high).astype(dtype), q)


def quantized_clamp(clamp: Clamp, q: Quantization, dtype: DType, numerics: Numerics) -> Clamp:
    """Real bounds in the units of a quantised tensor; NO_CLAMP where they leave the whole type.

    Both contracts divide in float32; TFLite (`CalculateActivationRangeQuantized`) rounds half away from zero, ONNX
    QuantizeLinear half to even.
    """

    def bound(real: float) -> float:
        with np.errstate(over="ignore"):
            quotient = float(np.float32(real) / np.float32(q.scale[0]))
        if math.isinf(quotient):
            return quotient
        if numerics is Numerics.TFLITE:
            return math.copysign(math.floor(abs(quotient) + 0.5), quotient) + q.zero_point[0]
        return float(np.rint(quotient)) + q.zero_point[0]

    return tightened(Clamp(bound(clamp.low), bound(clamp.high)), Clamp(*INTEGER_RANGE[dtype]), dtype)


def tightened(first: Clamp, then: Clamp, dtype: DType) -> Clamp:
    """One clamp that does what `first` followed by `then` does; NO_CLAMP where that is the type's whole range."""
    low, high = (min(max(bound, then.low), then.high) for bound in first)
    whole = INTEGER_RANGE.get(dtype, NO_CLAMP)
    return NO_CLAMP if low <= whole[0] and high >= whole[1] else Clamp(low, high)
