"""The arithmetic of quantised layers: multipliers, rounding, folded biases and tables, as each contract defines them.

TFLite's definitions are those of LiteRT's reference kernels (the resolver `BUILTIN_REF`); QDQ's are the ONNX operators'
(`DequantizeLinear`, the float operator, `QuantizeLinear`) with the sums kept in int32. Knows one layer's tensors at a
time; may not know TVM, targets, or how a graph is executed.

Notation: `q` is a stored integer, real = scale * (q - zero_point); x, w, y are a layer's input, weights and output.

Rounding. TFLite: `multiply_by_quantized_multiplier` rounds twice; dense layers alone are rescaled in double and rounded
once. QDQ: float32 throughout, each operation rounded on its own (a product and a sum are never contracted into one),
then once half to even.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mbgen.errors import GraphError
from mbgen.graph import (
    INTEGER_RANGE,
    NO_CLAMP,
    Add,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Quantization,
    Requantize,
    Softmax,
    Tensor,
    WeightedLayer,
)

ADD_LEFT_SHIFT = 20  # TFLite's 8-bit Add scales both inputs up by this before it rescales them

# --- fixed point (TFLite, gemmlowp) --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """TFLite's rescaling: real multiplier = multiplier * 2^(shift - 31), one for each output channel.

    `multiplier` is int32 in [2^30, 2^31), or zero; `shift` is int32, positive to the left.
    """

    multiplier: Array = field(repr=False)
    shift: Array = field(repr=False)


@dataclass(frozen=True, eq=False)
class FloatScale:
    """QDQ's rescaling: one float32 factor for each output channel."""

    scale: Array = field(repr=False)


@dataclass(frozen=True, eq=False)
class DoubleScale:
    """TFLite's rescaling of dense layers: one double factor for each output channel; see `requantize`."""

    scale: Array = field(repr=False)


@dataclass(frozen=True, eq=False)
class SingleRounding:
    """Integers for a DoubleScale: y = clamp(((acc * multiplier + 2^(shift - 1)) >> shift) + zp_y), in int64.

    `multiplier` is int64 and `shift` int32 in 1 .. 62, one for each output channel; the products do not overflow.
    """

    multiplier: Array = field(repr=False)
    shift: Array = field(repr=False)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """A non-negative real as (multiplier in [2^30, 2^31), shift), real = multiplier * 2^(shift - 31).

    TFLite `QuantizeMultiplier`: the fraction is rounded half away from zero; a real below about 2^-32 becomes (0, 0).
    """
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def fixed_point(reals: Array, channels: int) -> FixedPoint:
    """`quantize_multiplier` of each entry, or of the only one for every channel."""
    pairs = np.array([quantize_multiplier(float(real)) for real in reals], np.int32)
    multiplier, shift = np.broadcast_to(pairs, (channels, 2)).T.copy()
    return FixedPoint(multiplier, shift)


def saturating_rounding_doubling_high_mul(a: Array, b: Array | int) -> Array:
    """(a * b + 2^30) >> 31 on int32 values, held in int64. gemmlowp's case of saturation, -2^31 twice, cannot occur."""
    product: Array = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return (product + (1 << 30)) >> 31


def rounding_divide_by_pot(x: Array, exponent: Array | int) -> Array:
    """x / 2^exponent rounded to nearest, half away from zero (gemmlowp `RoundingDivideByPOT`)."""
    x, exponent = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    half = (np.int64(1) << exponent) >> 1
    magnitude: Array = (np.abs(x) + half) >> exponent
    return np.sign(x) * magnitude


def multiply_by_quantized_multiplier(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """x times multiplier * 2^(shift - 31), rounded twice as TFLite does; int64 with values of int32.

    rounding_divide_by_pot(saturating_rounding_doubling_high_mul(x << max(shift, 0), multiplier), max(-shift, 0)).
    TFLite leaves an x << shift beyond int32 undefined; here it keeps its value.
    """
    shift = np.asarray(shift, np.int64)
    high = saturating_rounding_doubling_high_mul(np.asarray(x, np.int64) << np.maximum(shift, 0), multiplier)
    return rounding_divide_by_pot(high, np.maximum(-shift, 0))


# --- scales and bounds of a layer ----------------------------------------------------------------------------------


def bounds(clamp: Clamp, tensor: Tensor) -> tuple[int, int]:
    """The integers an output may take: the clamp cut to the range of the tensor's type."""
    low, high = INTEGER_RANGE[tensor.dtype]
    return int(max(low, clamp.low)), int(min(high, clamp.high))


def saturate(q: Array, tensor: Tensor, clamp: Clamp = NO_CLAMP) -> Array:
    """q, of any type that holds it exactly, cut to the clamp and the type's range and stored in the tensor's type."""
    return np.asarray(np.clip(q, *bounds(clamp, tensor)), tensor.dtype)


def quantization(tensor: Tensor) -> Quantization:
    """The tensor's quantisation, which a caller knows to be there."""
    if tensor.quantization is None:
        raise GraphError(f"tensor {tensor.name!r} is {tensor.dtype} without quantisation")
    return tensor.quantization


def tensor_scale(tensor: Tensor) -> float:
    """The one scale of an activation."""
    return quantization(tensor).scale[0]


def zero_point(tensor: Tensor) -> int:
    """The one zero point of an activation."""
    return quantization(tensor).zero_point[0]


def output_scale(layer: WeightedLayer, graph: Graph) -> FixedPoint | DoubleScale | FloatScale:
    """What brings the int32 sums of a layer to the output's scale, `oc` entries whether per channel or not.

    TFLite: the real multiplier is s_x * s_w / s_y in double, except that for uint8 convolutions s_x * s_w is rounded to
    float32 first (`GetQuantizedConvolutionMultipler`). Convolutions use its fixed-point form, dense layers the double
    itself (LiteRT's reference `FullyConnected`). QDQ: float32(float32(s_x * s_w) / s_y), which is ONNX Runtime's.
    """
    x, y, w = graph.layer_inputs(layer)[0], graph.layer_output(layer), graph.tensors[layer.weights]
    s_x, s_y, s_w = tensor_scale(x), tensor_scale(y), np.array(quantization(w).scale)
    product, channels = s_x * s_w, y.shape[-1]
    if graph.numerics is Numerics.QDQ:
        return FloatScale(np.broadcast_to(product.astype(np.float32) / np.float32(s_y), channels).copy())
    if isinstance(layer, Dense):
        return DoubleScale(np.broadcast_to(product / s_y, channels).copy())
    if x.dtype == "uint8":
        product = product.astype(np.float32).astype(np.float64)
    return fixed_point(product / s_y, channels)


def sum_range(layer: Dense, graph: Graph) -> tuple[Array, Array]:
    """The least and the greatest sum, bias included, that any input can give each output channel; int64 [oc]."""
    x, weights = graph.layer_inputs(layer)[0], centered_weights(layer, graph).astype(np.int64)
    ends = np.array(INTEGER_RANGE[x.dtype]) - zero_point(x)
    products = weights[..., np.newaxis] * ends
    bias = 0 if layer.bias is None else graph.constant(layer.bias).astype(np.int64)
    return products.min(axis=-1).sum(axis=-1) + bias, products.max(axis=-1).sum(axis=-1) + bias


def single_rounding(layer: Dense, graph: Graph) -> SingleRounding:
    """Integers that give a TFLite dense layer's outputs without double arithmetic, proved equal for every possible sum.

    Both forms are step functions that never fall, so they are equal if they step at the same sums. The multiplier is
    scale * 2^shift, to nearest or a few units beside it, with the largest shift whose products fit int64. Raises
    GraphError where none of these steps as TFLite does, which takes sums near the limits of int32.
    """
    output, scale = graph.layer_output(layer), output_scale(layer, graph)
    if not isinstance(scale, DoubleScale):
        raise GraphError(f"{layer.name}: {graph.numerics.name} dense layers are not rescaled in double")
    low, high = (bound - zero_point(output) for bound in bounds(layer.clamp, output))
    levels = np.arange(low + 1, high + 1)
    pairs = []
    for channel, (real, least, greatest) in enumerate(zip(scale.scale, *sum_range(layer, graph), strict=True)):
        pair = _stepping_alike(float(real), int(least), int(greatest), levels)
        if pair is None:
            raise GraphError(
                f"{layer.name}: no integer multiplier rounds the sums of channel {channel}, {least} to {greatest}, "
                "as TFLite's double does; quantise the layer with a smaller bias"
            )
        pairs.append(pair)
    multiplier, shift = zip(*pairs, strict=True)
    return SingleRounding(np.array(multiplier, np.int64), np.array(shift, np.int32))


def _stepping_alike(real: float, least: int, greatest: int, levels: Array) -> tuple[int, int] | None:
    """(multiplier, shift) that reach every level at the same sum in [least, greatest] as `round_half_away` of real."""
    largest = max(abs(least), abs(greatest), 1)
    shift = min(62, 62 - math.frexp(real * largest)[1])
    if shift < 1:
        return None
    guess = np.clip(np.floor((levels - 0.5) / real), least - 4, greatest + 4).astype(np.int64)
    nearby = guess + np.arange(-3, 4)[:, np.newaxis]
    first = nearby[np.argmax(round_half_away(nearby * real) >= levels, axis=0), np.arange(len(levels))]
    inside = (first > least) & (first <= greatest)
    first, levels = first[inside], levels[inside]
    half = 1 << (shift - 1)
    for offset in (0, 1, -1, 2, -2, 3, -3):
        multiplier = round(math.ldexp(real, shift)) + offset
        if np.all((first * multiplier + half) >> shift >= levels) and np.all(
            ((first - 1) * multiplier + half) >> shift < levels
        ):
            return multiplier, shift
    return None


def centered_weights(layer: WeightedLayer, graph: Graph) -> Array:
    """The weights minus their zero points as int32, in the weights' own layout."""
    tensor = graph.tensors[layer.weights]
    zero_points = np.array(quantization(tensor).zero_point, np.int32)
    if quantization(tensor).per_channel and not isinstance(layer, DepthwiseConv2D):
        zero_points = zero_points.reshape(-1, *[1] * (len(tensor.shape) - 1))
    return graph.constant(layer.weights).astype(np.int32) - zero_points


def folded_bias(layer: WeightedLayer, graph: Graph) -> Array:
    """bias - zp_x * sum(w - zp_w), int32 [oc], so that a kernel may multiply the stored x.

    The sum of (x - zp_x) * (w - zp_w) plus the bias is then sum(x * (w - zp_w)) + folded_bias, or, with stored weights,
    sum(x * w) - zp_w * sum(x) + folded_bias. Both count every tap: padded places must read as x = zp_x.
    """
    weights = centered_weights(layer, graph).astype(np.int64)
    axes = (0, 1) if isinstance(layer, DepthwiseConv2D) else tuple(range(1, weights.ndim))
    bias = 0 if layer.bias is None else graph.constant(layer.bias).astype(np.int64)
    folded = bias - zero_point(graph.layer_inputs(layer)[0]) * weights.sum(axis=axes)
    if np.any(folded != folded.astype(np.int32)):
        raise GraphError(f"{layer.name}: the bias with the input's zero point folded in does not fit int32")
    return np.asarray(folded, np.int32)


def average_pool_scale(layer: AveragePool2D, graph: Graph, count: Array | int) -> Array:
    """QDQ average pooling: float32(s_x / float32(s_y * count)), the factor of a window's int32 sum of x - zp_x.

    `count` is the number of places of the window inside the image; float32 of its shape.
    """
    s_x, s_y = tensor_scale(graph.layer_inputs(layer)[0]), tensor_scale(graph.layer_output(layer))
    return np.asarray(np.float32(s_x) / (np.float32(s_y) * np.asarray(count, np.float32)), np.float32)


def mean_scale(layer: Mean, graph: Graph) -> FixedPoint:
    """TFLite's MEAN: the factor of the int32 sum of x - zp_x over height and width, one for all channels.

    TFLite `QuantizedMeanOrSum`: s_x / s_y as multiplier and shift, then the multiplier divided by the count, truncated,
    after it was moved left by as many bits as the count has.
    """
    (source,) = graph.layer_inputs(layer)
    multiplier, shift = quantize_multiplier(tensor_scale(source) / tensor_scale(graph.layer_output(layer)))
    count = source.shape[1] * source.shape[2]
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    return FixedPoint(np.array([(multiplier << bits) // count], np.int32), np.array([shift - bits], np.int32))


@dataclass(frozen=True)
class FixedPointAdd:
    """TFLite's 8-bit Add. With M(v, i) = multiply_by_quantized_multiplier(v, multiplier[i], shift[i]):

    y = clamp(M(M((a - zp_a) << left_shift, 0) + M((b - zp_b) << left_shift, 1), 2) + zp_y); no shift is positive.
    """

    left_shift: int
    multiplier: tuple[int, int, int]  # of the first input, the second, the output
    shift: tuple[int, int, int]


@dataclass(frozen=True)
class FloatAdd:
    """QDQ Add in float32: y = clamp(rint((scale[0] * (a - zp_a) + scale[1] * (b - zp_b)) / scale[2]) + zp_y).

    Both products, the sum and the quotient are rounded to float32 one by one; rint is half to even.
    """

    scale: tuple[float, float, float]  # of the first input, the second, the output; float32 values


def add_parameters(layer: Add, graph: Graph) -> FixedPointAdd | FloatAdd:
    """The constants of a quantised Add, TFLite's or QDQ's."""
    a, b = graph.layer_inputs(layer)
    s_a, s_b, s_y = tensor_scale(a), tensor_scale(b), tensor_scale(graph.layer_output(layer))
    if graph.numerics is Numerics.QDQ:
        return FloatAdd((s_a, s_b, s_y))
    twice = 2 * max(s_a, s_b)
    pairs = [quantize_multiplier(real) for real in (s_a / twice, s_b / twice, twice / (2**ADD_LEFT_SHIFT * s_y))]
    (m_a, h_a), (m_b, h_b), (m_y, h_y) = pairs
    return FixedPointAdd(ADD_LEFT_SHIFT, (m_a, m_b, m_y), (h_a, h_b, h_y))


def add(a: Array, b: Array, parameters: FixedPointAdd | FloatAdd, tensor: Tensor, clamp: Clamp) -> Array:
    """The sum of a - zp_a and b - zp_b, given as integers, in the output tensor's type."""
    if isinstance(parameters, FloatAdd):
        s_a, s_b, s_y = np.array(parameters.scale, np.float32)
        scaled: Array = np.rint((a.astype(np.float32) * s_a + b.astype(np.float32) * s_b) / s_y)
    else:
        steps = tuple(zip(parameters.multiplier, parameters.shift, strict=True))
        left, right = (
            multiply_by_quantized_multiplier(np.asarray(q, np.int64) << parameters.left_shift, *step)
            for q, step in zip((a, b), steps[:2], strict=True)
        )
        scaled = multiply_by_quantized_multiplier(left + right, *steps[2])
    return saturate(scaled + zero_point(tensor), tensor, clamp)


# --- element by element --------------------------------------------------------------------------------------------


def round_half_away(x: Array) -> Array:
    """C's `round`: to the nearest integer, half away from zero, in x's own float type."""
    whole = np.trunc(x)
    return np.asarray(whole + np.sign(x) * (np.abs(x - whole) >= 0.5), x.dtype)


def quantize(x: Array, tensor: Tensor, numerics: Numerics) -> Array:
    """float32 to the tensor's type: saturate(round(x / scale) + zero_point), the quotient in float32.

    TFLite `QUANTIZE` rounds half away from zero, ONNX `QuantizeLinear` half to even.
    """
    quotient = x.astype(np.float32) / np.float32(tensor_scale(tensor))
    rounded = np.rint(quotient) if numerics is Numerics.QDQ else round_half_away(quotient)
    return saturate(rounded.astype(np.float64) + zero_point(tensor), tensor)


def dequantize(q: Array, tensor: Tensor) -> Array:
    """float32(scale * (q - zero_point)): one rounding, the same in TFLite and ONNX."""
    centered = q.astype(np.int32) - np.int32(zero_point(tensor))
    return centered.astype(np.float32) * np.float32(tensor_scale(tensor))


def requantize(acc: Array, scale: FixedPoint | DoubleScale | FloatScale, tensor: Tensor, clamp: Clamp) -> Array:
    """Integer sums `[..., oc]` to the output tensor's type.

    TFLite: clamp(multiply_by_quantized_multiplier(acc) + zp_y); in dense layers clamp(round(double(acc) * scale) +
    zp_y), the product rounded to double, then half away from zero. QDQ: clamp(rint(float32(acc) * scale) + zp_y) with
    one rounding to float32 for the conversion, one for the product, and rint half to even.
    """
    if isinstance(scale, FixedPoint):
        scaled = multiply_by_quantized_multiplier(acc, scale.multiplier, scale.shift)
    elif isinstance(scale, DoubleScale):
        scaled = round_half_away(acc.astype(np.float64) * scale.scale)
    else:
        scaled = np.rint(acc.astype(np.float32) * scale.scale)
    return saturate(scaled + zero_point(tensor), tensor, clamp)


def lookup_table(layer: Layer, graph: Graph) -> Array:
    """What a Logistic, Clip or Requantize between byte types does to each stored value: 256 entries of the output's
    type, `table[q - lowest value of the input's type]`.

    - Clip: q cut to the clamp.
    - Requantize, TFLite: saturate(multiply_by_quantized_multiplier(q - zp_x) + zp_y), real multiplier s_x / s_y in
      double. QDQ: DequantizeLinear, then QuantizeLinear.
    - Logistic: e = float32(exp(-x)) of the dequantised x, then 1 / (1 + e) in float32. TFLite multiplies by
      float32(1 / s_y), rounds half away from zero and adds zp_y; QDQ is QuantizeLinear.
    """
    (x,), y = graph.layer_inputs(layer), graph.layer_output(layer)
    low, high = INTEGER_RANGE[x.dtype]
    q = np.arange(low, high + 1)
    if isinstance(layer, Clip):
        return saturate(q, y, layer.clamp)
    if isinstance(layer, Requantize):
        if graph.numerics is Numerics.QDQ:
            return quantize(dequantize(q, x), y, Numerics.QDQ)
        multiplier, shift = quantize_multiplier(tensor_scale(x) / tensor_scale(y))
        scaled = multiply_by_quantized_multiplier(q - zero_point(x), multiplier, shift)
        return saturate(scaled + zero_point(y), y)
    if isinstance(layer, Logistic):
        logistic = sigmoid(dequantize(q, x))
        if graph.numerics is Numerics.QDQ:
            return quantize(logistic, y, Numerics.QDQ)
        rounded = round_half_away(logistic * (np.float32(1) / np.float32(tensor_scale(y))))
        return saturate(rounded + zero_point(y), y)
    raise GraphError(f"{layer.name}: {type(layer).__name__} has no table of 256 entries")


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) in float32, the exponential rounded from double."""
    with np.errstate(over="ignore"):
        e = np.exp(-x.astype(np.float64)).astype(np.float32)
    return np.float32(1) / (np.float32(1) + e)


# --- softmax -------------------------------------------------------------------------------------------------------

EXP_INTEGER_BITS = 5  # exp's argument is Q5.26
SUM_INTEGER_BITS = 12  # the sum of exponentials is Q12.19
# exp(-2^k) in Q0.31 for k = -2 .. 4 (gemmlowp `exp_on_negative_values`)
EXP_OF_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
EXP_MINUS_EIGHTH = 1895147668  # exp(-1/8), Q0.31
ONE_THIRD = 715827883  # Q0.31
FORTY_EIGHT_SEVENTEENTHS = 1515870810  # Q2.29
MINUS_THIRTY_TWO_SEVENTEENTHS = -1010580540  # Q2.29
INT32_MAX = 2**31 - 1


def softmax_table(layer: Softmax, graph: Graph) -> Array:
    """exp(-beta * s_x * d) for d = 0 .. 255, the distance of a stored value from the row's greatest.

    TFLite: int32 Q0.31, gemmlowp's exp of the rescaled distance, 0 where TFLite drops the value as too small.
    QDQ: float32, rounded from double, 0 below the least normal number.
    `tflite_softmax` and `qdq_softmax` say how a row is computed from it.
    """
    x = graph.layer_inputs(layer)[0]
    distance = np.arange(256, dtype=np.int64)
    if graph.numerics is Numerics.QDQ:
        exact = np.exp(-layer.beta * tensor_scale(x) * distance)
        return np.where(exact < np.finfo(np.float32).tiny, 0, exact).astype(np.float32)
    fraction_bits = 31 - EXP_INTEGER_BITS
    beta = float(np.float32(layer.beta))
    multiplier, shift = quantize_multiplier(min(beta * tensor_scale(x) * 2**fraction_bits, INT32_MAX))
    radius = math.floor((2**EXP_INTEGER_BITS - 1) * 2**fraction_bits / 2**shift)
    used = distance <= radius
    scaled = saturating_rounding_doubling_high_mul(-np.where(used, distance, 0) << shift, multiplier)
    return np.where(used, exp_on_negative_values(scaled), 0).astype(np.int32)


def exp_on_negative_values(x: Array) -> Array:
    """exp of x <= 0 in Q5.26, as Q0.31 (gemmlowp): a polynomial on the last quarter, times exp of each power of two."""
    mul = saturating_rounding_doubling_high_mul
    quarter = 1 << (31 - EXP_INTEGER_BITS - 2)
    last_quarter = (x & (quarter - 1)) - quarter
    remainder = last_quarter - x
    a = (last_quarter << EXP_INTEGER_BITS) + (1 << 28)  # 1/8 added: a Taylor series around -1/8
    a2 = mul(a, a)
    a3, a4 = mul(a2, a), mul(a2, a2)
    tail = rounding_divide_by_pot(mul(rounding_divide_by_pot(a4, 2) + a3, ONE_THIRD) + a2, 1)
    result = EXP_MINUS_EIGHTH + mul(a + tail, EXP_MINUS_EIGHTH)
    for bit, factor in enumerate(EXP_OF_POWERS):
        result = np.where(remainder & (quarter << bit), mul(result, factor), result)
    return np.where(x == 0, INT32_MAX, result)


def reciprocal(x: int) -> int:
    """1 / (1 + x) for x in [0, 1), Q0.31 to Q0.31: three steps of Newton and Raphson in int32 (gemmlowp).

    With mul(a, b) = (a * b + 2^30) >> 31: h = (x + 2^31) >> 1; r = FORTY_EIGHT_SEVENTEENTHS + mul(h, MINUS_...);
    three times r += mul(r, 2^29 - mul(h, r)) << 2; the result is r << 1, at most 2^31 - 1.
    """

    def mul(a: int, b: int) -> int:
        return (a * b + (1 << 30)) >> 31

    half_denominator = (x + (1 << 31)) >> 1
    r = FORTY_EIGHT_SEVENTEENTHS + mul(half_denominator, MINUS_THIRTY_TWO_SEVENTEENTHS)
    for _ in range(3):
        r += mul(r, (1 << 29) - mul(half_denominator, r)) << 2
    return min(r << 1, INT32_MAX)


def tflite_softmax(row: Array, table: Array, tensor: Tensor) -> Array:
    """One row of TFLite's 8-bit softmax, integers throughout; output scale 1/256 and zero point at the type's lowest.

    e[i] = table[max - q[i]]; sum = sum of rounding_divide_by_pot(e[i], 12), int32, never zero; n = leading zero bits of
    sum as uint32; r = reciprocal((sum << n) - 2^31); e >= 0, so both roundings below are half up:
    y[i] = min(lowest + (((r * e[i] + 2^30) >> 31) + 2^(k - 1) >> k), highest) with k = 35 - n, in int64.
    LiteRT aborts where k > 31 (a sum of 512 times the greatest exponential or more); here the formula goes on.
    """
    e = table[int(row.max()) - row.astype(np.int64)].astype(np.int64)
    total = int(rounding_divide_by_pot(e, SUM_INTEGER_BITS).sum())
    leading_zeros = 32 - total.bit_length()
    r = reciprocal((total << leading_zeros) - (1 << 31))
    k = SUM_INTEGER_BITS - leading_zeros + 31 - 8
    y = (saturating_rounding_doubling_high_mul(e, r) + (1 << (k - 1))) >> k
    return saturate(y + INTEGER_RANGE[tensor.dtype][0], tensor)


def qdq_softmax(row: Array, table: Array, tensor: Tensor) -> Array:
    """One row of QDQ softmax in float32: e[i] = table[max - q[i]], summed from the first to the last; y is
    QuantizeLinear of e[i] / sum, that is saturate(rint((e[i] / sum) / s_y) + zp_y).
    """
    e = table[int(row.max()) - row.astype(np.int64)]
    total = np.cumsum(e, dtype=np.float32)[-1]  # cumsum adds one by one; sum would add in pairs
    return quantize(e / total, tensor, Numerics.QDQ)
