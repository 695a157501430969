"""AVX2 helpers on eight lanes, where the compiler does not find the instruction from portable C.

Facts on the instructions: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.scalar import center, dot_pair, masked_pair, pair
from mbgen.intrinsics.vector import narrow_meaning, portable, vector, widen_meaning
from mbgen.kernel import VectorType

LANES = 8
_HEADERS = ("immintrin.h",)
_I32X8 = frozenset({vector("i32", LANES)})
_F32X8 = frozenset({vector("f32", LANES)})
_MEANINGS = {helper.name: helper.meaning for helper in portable(LANES)}


def _multiply_add(total: Array, weight: Array, x: Array) -> Array:
    """Rounded once, from float64, which holds the product of two float32 exactly."""
    return np.asarray(total.astype(np.float64) + weight.astype(np.float64) * x, np.float32)


def _extremum(name: str, intrinsic: str) -> Helper:
    return Helper(
        name,
        f"""\
static NAME_INLINE name_f32x8 name_{name}(name_f32x8 a, name_f32x8 b)
{{
    return (name_f32x8){intrinsic}((__m256)a, (__m256)b);
}}
""",
        _MEANINGS[name],
        _HEADERS,
        _F32X8,
    )


def _pair_at(element: str, extension: str) -> Helper:
    name = f"pair_at_{element}x8"
    return Helper(
        name,
        f"""\
static NAME_INLINE name_i32x8 name_{name}(const {_bytes(element)} *source)
{{
    return (name_i32x8)_mm256_{extension}_epi16(_mm_loadu_si128((const __m128i *)(const void *)source));
}}
""",
        lambda source: pair(source[::2], source[1::2]),
        _HEADERS,
        _I32X8,
        strides={0: 2},
    )


def _bytes(element: str) -> str:
    return {"i8": "int8_t", "u8": "uint8_t"}[element]


def _pair(element: str, extension: str) -> Helper:
    name = f"pair_{element}x8"
    return Helper(
        name,
        f"""\
static NAME_INLINE name_i32x8 name_{name}(
    const {_bytes(element)} *low, const {_bytes(element)} *high, int32_t zero_point, int32_t mask)
{{
    const __m128i lower = _mm_loadl_epi64((const __m128i *)(const void *)low);
    const __m128i upper = _mm_loadl_epi64((const __m128i *)(const void *)high);
    const __m256i wide = _mm256_{extension}_epi16(_mm_unpacklo_epi8(lower, upper));

    return (name_i32x8)_mm256_and_si256(_mm256_sub_epi16(wide, _mm256_set1_epi16((int16_t)zero_point)),
                                        _mm256_set1_epi32(mask));
}}
""",
        masked_pair,
        _HEADERS,
        _I32X8,
        uniform=(2, 3),
        strides={0: 1, 1: 1},
    )


def _center(element: str, extension: str) -> Helper:
    name = f"center_{element}x16"
    return Helper(
        name,
        f"""\
static NAME_INLINE name_i16x16 name_{name}(const {_bytes(element)} *source, int32_t zero_point)
{{
    const __m256i wide = _mm256_{extension}_epi16(_mm_loadu_si128((const __m128i *)(const void *)source));

    return (name_i16x16)_mm256_sub_epi16(wide, _mm256_set1_epi16((int16_t)zero_point));
}}
""",
        center,
        _HEADERS,
        frozenset({VectorType("int16", 16)}),
        uniform=(1,),
        strides={0: 1},
    )


AVX2 = (
    _pair("i8", "cvtepi8"),
    _pair("u8", "cvtepu8"),
    _center("i8", "cvtepi8"),
    _center("u8", "cvtepu8"),
    _pair_at("i8", "cvtepi8"),
    _pair_at("u8", "cvtepu8"),
    Helper(
        "dot_pair_i32x8",
        """\
/* Each lane: acc + the two products of int16. One instruction an asm, so that GCC neither folds loads in nor spills. */
static NAME_INLINE name_i32x8 name_dot_pair_i32x8(name_i32x8 acc, name_i32x8 a, name_i32x8 b)
{
#if defined(__GNUC__)
    name_i32x8 products;

    __asm__("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(a), "x"(b));
    __asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(products));
    return acc;
#else
    return (name_i32x8)_mm256_add_epi32((__m256i)acc, _mm256_madd_epi16((__m256i)a, (__m256i)b));
#endif
}
""",
        dot_pair,
        _HEADERS,
        _I32X8,
    ),
    _extremum("min_f32x8", "_mm256_min_ps"),
    _extremum("max_f32x8", "_mm256_max_ps"),
    Helper(
        "exp_f32x8",
        """\
/* e^x as 2^n e^r with |r| <= ln(2) / 2, e^r by its series, to 2e-7 of it; below -87 and above 88 what these give. */
static NAME_INLINE name_f32x8 name_exp_f32x8(name_f32x8 x)
{
    const __m256 inside = _mm256_min_ps(_mm256_max_ps((__m256)x, _mm256_set1_ps(-87.0F)), _mm256_set1_ps(88.0F));
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(inside, _mm256_set1_ps(1.44269504F)), 8);
    const __m256 near = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693145752F), inside); /* exact: 15 bits of ln(2) */
    const __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(1.42860677e-6F), near);
    const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    __m256 sum = _mm256_set1_ps(1.0F / 5040.0F);

    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0F / 720.0F));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0F / 120.0F));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0F / 24.0F));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0F / 6.0F));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(0.5F));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0F));
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(1.0F));
    return (name_f32x8)_mm256_mul_ps(sum, _mm256_castsi256_ps(power));
}
""",
        lambda x: np.exp(np.clip(np.asarray(x, np.float32), -87, 88)),
        _HEADERS,
        _F32X8,
    ),
    Helper(
        "load_f32x8",
        """\
/* As asm, like the sums that it is for, so that GCC keeps the order: it would load ahead, and then spill. */
static NAME_INLINE name_f32x8 name_load_f32x8(const float *source)
{
    name_f32x8 value;

    __asm__ volatile("vmovups %1, %0" : "=x"(value) : "m"(*(const name_f32x8_u *)(const void *)source));
    return value;
}
""",
        np.asarray,
        vectors=_F32X8,
        strides={0: 1},
    ),
    Helper(
        "multiply_add_f32x8",
        """\
/* sum + weight * x, rounded once. */
static NAME_INLINE name_f32x8 name_multiply_add_f32x8(name_f32x8 sum, name_f32x8 weight, name_f32x8 x)
{
    __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(sum) : "x"(weight), "x"(x));
    return sum;
}
""",
        _multiply_add,
        vectors=_F32X8,
    ),
    Helper(
        "store_f32x8",
        """\
static NAME_INLINE void name_store_f32x8(float *target, name_f32x8 value)
{
    __asm__ volatile("vmovups %1, %0" : "=m"(*(name_f32x8_u *)(void *)target) : "x"(value));
}
""",
        np.asarray,
        vectors=_F32X8,
    ),
    Helper(
        "clamp_store_f32x8",
        """\
/* As asm, so that stores come one by one: GCC puts them in a burst, which holds up what comes after them. */
static NAME_INLINE void name_clamp_store_f32x8(float *target, name_f32x8 value, float low, float high)
{
    const name_f32x8 lowest = {low, low, low, low, low, low, low, low};
    const name_f32x8 highest = {high, high, high, high, high, high, high, high};

    __asm__ volatile("vmaxps %2, %1, %1\\n\\t"
                     "vminps %3, %1, %1\\n\\t"
                     "vmovups %1, %0"
                     : "=m"(*(name_f32x8_u *)(void *)target), "+x"(value)
                     : "xm"(lowest), "xm"(highest));
}
""",
        _MEANINGS["clamp_f32x8"],
        vectors=_F32X8,
        uniform=(2, 3),
    ),
    Helper(
        "clamp_i32x8",
        """\
static NAME_INLINE name_i32x8 name_clamp_i32x8(name_i32x8 value, int32_t low, int32_t high)
{
    const __m256i raised = _mm256_max_epi32((__m256i)value, _mm256_set1_epi32(low));

    return (name_i32x8)_mm256_min_epi32(raised, _mm256_set1_epi32(high));
}
""",
        _MEANINGS["clamp_i32x8"],
        _HEADERS,
        _I32X8,
        uniform=(1, 2),
    ),
    Helper(
        "clamp_f32x8",
        """\
static NAME_INLINE name_f32x8 name_clamp_f32x8(name_f32x8 value, float low, float high)
{
    const __m256 raised = _mm256_max_ps((__m256)value, _mm256_set1_ps(low));

    return (name_f32x8)_mm256_min_ps(raised, _mm256_set1_ps(high));
}
""",
        _MEANINGS["clamp_f32x8"],
        _HEADERS,
        _F32X8,
        uniform=(1, 2),
    ),
    Helper(
        "widen_i8x8",
        """\
static NAME_INLINE name_i32x8 name_widen_i8x8(const int8_t *source)
{
    return (name_i32x8)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)source));
}
""",
        widen_meaning,
        _HEADERS,
        _I32X8,
    ),
    Helper(
        "widen_u8x8",
        """\
static NAME_INLINE name_i32x8 name_widen_u8x8(const uint8_t *source)
{
    return (name_i32x8)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)source));
}
""",
        widen_meaning,
        _HEADERS,
        _I32X8,
    ),
    Helper(
        "narrow_i8x8",
        """\
static NAME_INLINE void name_narrow_i8x8(int8_t *target, name_i32x8 value)
{
    const __m128i low = _mm256_castsi256_si128((__m256i)value);
    const __m128i high = _mm256_extracti128_si256((__m256i)value, 1);
    const __m128i words = _mm_packs_epi32(low, high);

    _mm_storel_epi64((__m128i *)(void *)target, _mm_packs_epi16(words, words));
}
""",
        narrow_meaning,
        _HEADERS,
        _I32X8,
    ),
    Helper(
        "narrow_u8x8",
        """\
static NAME_INLINE void name_narrow_u8x8(uint8_t *target, name_i32x8 value)
{
    const __m128i low = _mm256_castsi256_si128((__m256i)value);
    const __m128i high = _mm256_extracti128_si256((__m256i)value, 1);
    const __m128i words = _mm_packs_epi32(low, high);

    _mm_storel_epi64((__m128i *)(void *)target, _mm_packus_epi16(words, words));
}
""",
        narrow_meaning,
        _HEADERS,
        _I32X8,
    ),
    Helper(
        "requantize_i32x8",
        """\
/* acc * multiplier / 2^(31 + shift), rounded twice as TFLite does; shift >= 1. Even and odd lanes apart. */
static NAME_INLINE name_i32x8 name_requantize_i32x8(name_i32x8 acc, name_i32x8 multiplier, name_i32x8 shift)
{
    const __m256i nudge = _mm256_set1_epi64x((int64_t)1 << 30);
    const __m256i even = _mm256_mul_epi32((__m256i)acc, (__m256i)multiplier);
    const __m256i odd_multiplier = _mm256_srli_epi64((__m256i)multiplier, 32);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64((__m256i)acc, 32), odd_multiplier);
    const __m256i low = _mm256_srli_epi64(_mm256_add_epi64(even, nudge), 31);
    const __m256i high = _mm256_slli_epi64(_mm256_add_epi64(odd, nudge), 1);
    const __m256i product = _mm256_blend_epi32(low, high, 0xAA);
    const __m256i half = _mm256_srli_epi32(_mm256_sllv_epi32(_mm256_set1_epi32(1), (__m256i)shift), 1);
    const __m256i nudged = _mm256_add_epi32(_mm256_add_epi32(product, half), _mm256_srai_epi32(product, 31));

    return (name_i32x8)_mm256_srav_epi32(nudged, (__m256i)shift);
}
""",
        _MEANINGS["requantize_i32x8"],
        _HEADERS,
        _I32X8,
    ),
    Helper(
        "scale_round_i32x8",
        """\
/* acc * scale in float32, cut to [low, high], then rounded half to even (the processor's default mode). */
static NAME_INLINE name_i32x8 name_scale_round_i32x8(name_i32x8 acc, name_f32x8 scale, float low, float high)
{
    const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)acc), (__m256)scale);
    const __m256 cut = _mm256_min_ps(_mm256_max_ps(scaled, _mm256_set1_ps(low)), _mm256_set1_ps(high));

    return (name_i32x8)_mm256_cvtps_epi32(cut);
}
""",
        _MEANINGS["scale_round_i32x8"],
        _HEADERS,
        _I32X8 | _F32X8,
        uniform=(2, 3),
    ),
)
