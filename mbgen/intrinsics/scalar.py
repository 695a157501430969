"""Portable C99 helpers on single values: the exact form of every operation, whatever the core.

A right shift of a negative value is arithmetic on every compiler that mbgen supports.
"""

from __future__ import annotations

import numpy as np

from mbgen import numerics
from mbgen.graph import INTEGER_RANGE, Array
from mbgen.intrinsics.helper import Helper


def _requantize(acc: Array, multiplier: Array, shift: Array) -> Array:
    return numerics.multiply_by_quantized_multiplier(acc, multiplier, -np.asarray(shift)).astype(np.int32)


def _saturated(value: Array) -> Array:
    return np.clip(value, *INTEGER_RANGE["int32"])


def _requantize_wide(acc: Array, multiplier: Array, shift: Array) -> Array:
    raised = _saturated(np.asarray(acc, np.int64) << np.maximum(shift, 0))
    return numerics.multiply_by_quantized_multiplier(raised, multiplier, np.minimum(shift, 0)).astype(np.int32)


def _requantize_single(acc: Array, multiplier: Array, shift: Array) -> Array:
    product = np.asarray(acc, np.int64) * np.asarray(multiplier, np.int64)
    half = np.int64(1) << (np.asarray(shift, np.int64) - 1)
    return _saturated((product + half) >> np.asarray(shift, np.int64)).astype(np.int32)


def _scale_round(acc: Array, scale: Array, low: Array, high: Array) -> Array:
    scaled = np.asarray(acc).astype(np.float32) * np.asarray(scale, np.float32)
    return np.rint(np.clip(scaled, low, high)).astype(np.int32)


def _round_away(value: Array) -> Array:
    return numerics.round_half_away(value).astype(np.int32)


def _round_even(value: Array) -> Array:
    return np.rint(value).astype(np.int32)


def _average(total: Array, count: Array) -> Array:
    total, count = np.asarray(total, np.int64), np.asarray(count, np.int64)
    magnitude: Array = (np.abs(total) + count // 2) // count
    return np.asarray(np.sign(total) * magnitude, np.int32)


def _softmax_scale(exponential: Array, inverse: Array, shift: Array) -> Array:
    product = numerics.saturating_rounding_doubling_high_mul(exponential, inverse)
    half = np.int64(1) << (np.asarray(shift, np.int64) - 1)
    return np.asarray((product + half) >> np.asarray(shift, np.int64), np.int32)


def _leading_zeros(value: Array) -> Array:
    return np.array([32 - int(v).bit_length() for v in np.ravel(value)], np.int32).reshape(np.shape(value))


def _reciprocal(value: Array) -> Array:
    return np.array([numerics.reciprocal(int(v)) for v in np.ravel(value)], np.int32).reshape(np.shape(value))


def pair(low: Array, high: Array) -> Array:
    """Two int16 values in one int32, the first in the lower half."""
    return ((np.asarray(low, np.int64) & 0xFFFF) | (np.asarray(high, np.int64) << 16)).astype(np.int32)


def dot_pair(acc: Array, a: Array, b: Array) -> Array:
    """acc + a's lower half * b's lower half + a's upper half * b's upper half, modulo 2^32."""
    a, b = (np.asarray(pairs, np.int32).astype(np.int64) for pairs in (a, b))
    lower = (a & 0xFFFF).astype(np.int16).astype(np.int64) * (b & 0xFFFF).astype(np.int16)
    return (np.asarray(acc, np.int64) + lower + (a >> 16) * (b >> 16)).astype(np.int32)


def _pair_at(element: str) -> Helper:
    """Two neighbouring bytes as a pair."""
    return Helper(
        f"pair_at_{element}",
        f"""\
static NAME_INLINE int32_t name_pair_at_{element}(const {_BYTES[element]} *source)
{{
    return (int32_t)((uint32_t)(uint16_t)source[0] | (uint32_t)(uint16_t)source[1] << 16);
}}
""",
        lambda source: pair(source[::2], source[1::2]),
        strides={0: 2},
    )


_BYTES = {"i8": "int8_t", "u8": "uint8_t"}


def masked_pair(low: Array, high: Array, zero_point: Array, mask: Array) -> Array:
    """Two bytes less their zero point as a pair, cut to the bits of the mask."""
    centred = (np.asarray(value, np.int32) - zero_point for value in (low, high))
    return np.asarray(pair(*centred) & mask, np.int32)


def center(source: Array, zero_point: Array) -> Array:
    """Bytes less their zero point as int16."""
    return (np.asarray(source, np.int32) - zero_point).astype(np.int16)


def _pair(element: str) -> Helper:
    return Helper(
        f"pair_{element}",
        f"""\
static NAME_INLINE int32_t name_pair_{element}(
    const {_BYTES[element]} *low, const {_BYTES[element]} *high, int32_t zero_point, int32_t mask)
{{
    const uint32_t lower = (uint16_t)(low[0] - zero_point);
    const uint32_t upper = (uint16_t)(high[0] - zero_point);

    return (int32_t)((lower | upper << 16) & (uint32_t)mask);
}}
""",
        masked_pair,
        strides={0: 1, 1: 1},
    )


def _center(element: str) -> Helper:
    return Helper(
        f"center_{element}",
        f"""\
static NAME_INLINE int16_t name_center_{element}(const {_BYTES[element]} *source, int32_t zero_point)
{{
    return (int16_t)(source[0] - zero_point);
}}
""",
        center,
        strides={0: 1},
    )


SCALAR = (
    _pair("i8"),
    _pair("u8"),
    _center("i8"),
    _center("u8"),
    _pair_at("i8"),
    _pair_at("u8"),
    Helper(
        "pair_at_i16",
        """\
static NAME_INLINE int32_t name_pair_at_i16(const int16_t *source)
{
    int32_t pair;

    memcpy(&pair, source, sizeof pair); /* the first is the lower half on a little-endian core */
    return pair;
}
""",
        lambda source: pair(source[::2], source[1::2]),
        ("string.h",),
        strides={0: 2},
    ),
    Helper(
        "min_i32",
        """\
static NAME_INLINE int32_t name_min_i32(int32_t a, int32_t b)
{
    return a < b ? a : b;
}
""",
        np.minimum,
    ),
    Helper(
        "max_i32",
        """\
static NAME_INLINE int32_t name_max_i32(int32_t a, int32_t b)
{
    return a > b ? a : b;
}
""",
        np.maximum,
    ),
    Helper(
        "min_f32",
        """\
static NAME_INLINE float name_min_f32(float a, float b)
{
    return a < b ? a : b;
}
""",
        np.minimum,
    ),
    Helper(
        "max_f32",
        """\
static NAME_INLINE float name_max_f32(float a, float b)
{
    return a > b ? a : b;
}
""",
        np.maximum,
    ),
    Helper(
        "clamp_i32",
        """\
static NAME_INLINE int32_t name_clamp_i32(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : (value > high ? high : value);
}
""",
        np.clip,
    ),
    Helper(
        "clamp_f32",
        """\
static NAME_INLINE float name_clamp_f32(float value, float low, float high)
{
    return value < low ? low : (value > high ? high : value);
}
""",
        np.clip,
    ),
    Helper(
        "requantize_i32",
        """\
/*
 * acc * multiplier / 2^(31 + shift), rounded twice as TFLite does: half up, then half away from zero; shift >= 1.
 * |acc * multiplier / 2^31| + 2^(shift - 1) must stay below 2^31.
 */
static NAME_INLINE int32_t name_requantize_i32(int32_t acc, int32_t multiplier, int32_t shift)
{
    const int32_t high = (int32_t)(((int64_t)acc * multiplier + ((int64_t)1 << 30)) >> 31);
    const int32_t half = (int32_t)1 << (shift - 1);

    return (high + half - (high < 0 ? 1 : 0)) >> shift;
}
""",
        _requantize,
    ),
    Helper(
        "requantize_wide_i32",
        """\
/*
 * acc * multiplier * 2^(shift - 31), rounded twice as TFLite does; shift, from -31 to 31, is positive to the left.
 * A sum that the left shift takes beyond int32 stays at its end, from where every clamp to bytes is the same.
 */
static NAME_INLINE int32_t name_requantize_wide_i32(int32_t acc, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    const int64_t raised = (int64_t)acc * ((int64_t)1 << left);
    const int64_t scaled = raised < INT32_MIN ? INT32_MIN : (raised > INT32_MAX ? INT32_MAX : raised);
    const int32_t high = (int32_t)((scaled * multiplier + ((int64_t)1 << 30)) >> 31);
    const int32_t half = (int32_t)(((int64_t)1 << right) >> 1);

    return (int32_t)(((int64_t)high + half - (high < 0 && right > 0 ? 1 : 0)) >> right);
}
""",
        _requantize_wide,
    ),
    Helper(
        "requantize_single_i32",
        """\
/* acc * multiplier / 2^shift, rounded once, half up, and saturated; shift >= 1. */
static NAME_INLINE int32_t name_requantize_single_i32(int32_t acc, int64_t multiplier, int32_t shift)
{
    const int64_t scaled = (acc * multiplier + ((int64_t)1 << (shift - 1))) >> shift;

    return (int32_t)(scaled < INT32_MIN ? INT32_MIN : (scaled > INT32_MAX ? INT32_MAX : scaled));
}
""",
        _requantize_single,
    ),
    Helper(
        "multiply_f32",
        """\
/* a * b, rounded to float32 on its own: the volatile keeps it from being contracted into a fused multiply-add. */
static NAME_INLINE float name_multiply_f32(float a, float b)
{
    const volatile float product = a * b;

    return product;
}
""",
        np.multiply,
    ),
    Helper(
        "round_even_f32",
        """\
/* To the nearest integer, half to even; |value| < 2^22. Adding 1.5 * 2^23 leaves no bit for a fraction. */
static NAME_INLINE int32_t name_round_even_f32(float value)
{
    const float whole = (value + 12582912.0F) - 12582912.0F;

    return (int32_t)whole;
}
""",
        _round_even,
    ),
    Helper(
        "round_away_f32",
        """\
/* To the nearest integer, half away from zero; |value| < 2^31. */
static NAME_INLINE int32_t name_round_away_f32(float value)
{
    const int32_t whole = (int32_t)value;
    const float rest = value - (float)whole;

    return whole + (rest >= 0.5F ? 1 : 0) - (rest <= -0.5F ? 1 : 0);
}
""",
        _round_away,
    ),
    Helper(
        "scale_round_i32",
        """\
/* acc * scale in float32, cut to [low, high], then rounded half to even. */
static NAME_INLINE int32_t name_scale_round_i32(int32_t acc, float scale, float low, float high)
{
    return name_round_even_f32(name_clamp_f32((float)acc * scale, low, high));
}
""",
        _scale_round,
        requires=("clamp_f32", "round_even_f32"),
    ),
    Helper(
        "average_i32",
        """\
/* total / count, rounded to nearest, half away from zero. */
static NAME_INLINE int32_t name_average_i32(int32_t total, int32_t count)
{
    return (total > 0 ? total + count / 2 : total - count / 2) / count;
}
""",
        _average,
    ),
    Helper(
        "leading_zeros_i32",
        """\
/* Zero bits above the highest set bit; value > 0. */
static NAME_INLINE int32_t name_leading_zeros_i32(int32_t value)
{
    int32_t zeros = 0;

    for (uint32_t bits = (uint32_t)value; bits < 0x80000000U; bits <<= 1) {
        zeros++;
    }
    return zeros;
}
""",
        _leading_zeros,
    ),
    Helper(
        "reciprocal_i32",
        """\
/* 1 / (1 + value) for value in [0, 1), Q0.31 to Q0.31: three Newton-Raphson steps, as gemmlowp takes them. */
static NAME_INLINE int32_t name_reciprocal_i32(int32_t value)
{
    const int64_t nudge = (int64_t)1 << 30;
    const int64_t denominator = ((int64_t)value + ((int64_t)1 << 31)) >> 1;
    int64_t estimate = 1515870810 + ((denominator * -1010580540 + nudge) >> 31); /* 48/17 - 32/17 d, Q2.29 */

    for (int32_t step = 0; step < 3; step++) {
        const int64_t error = ((int64_t)1 << 29) - ((denominator * estimate + nudge) >> 31);

        estimate += ((estimate * error + nudge) >> 31) * 4;
    }
    return (int32_t)(estimate * 2 > INT32_MAX ? INT32_MAX : estimate * 2);
}
""",
        _reciprocal,
    ),
    Helper(
        "softmax_scale_i32",
        """\
/* exponential * inverse / 2^(31 + shift), each division rounded half up; both factors are at least 0, shift >= 1. */
static NAME_INLINE int32_t name_softmax_scale_i32(int32_t exponential, int32_t inverse, int32_t shift)
{
    const int64_t product = ((int64_t)exponential * inverse + ((int64_t)1 << 30)) >> 31;

    return (int32_t)((product + ((int64_t)1 << (shift - 1))) >> shift);
}
""",
        _softmax_scale,
    ),
    Helper("expf", "", lambda x: np.exp(np.asarray(x, np.float32)), headers=("math.h",)),
)
