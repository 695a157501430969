"""Advanced SIMD (AArch64) helpers on four lanes, where the compiler does not find the instruction from portable C.

Facts on the instructions: Arm Architecture Reference Manual for A-profile, section C7.
"""

from __future__ import annotations

from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.vector import narrow_meaning, portable, vector, widen_meaning

LANES = 4
_HEADERS = ("arm_neon.h",)
_I32X4 = frozenset({vector("i32", LANES)})
_F32X4 = frozenset({vector("f32", LANES)})
_MEANINGS = {helper.name: helper.meaning for helper in portable(LANES)}


def _extremum(name: str, intrinsic: str) -> Helper:
    return Helper(
        name,
        f"""\
static NAME_INLINE name_f32x4 name_{name}(name_f32x4 a, name_f32x4 b)
{{
    return (name_f32x4){intrinsic}((float32x4_t)a, (float32x4_t)b);
}}
""",
        _MEANINGS[name],
        _HEADERS,
        _F32X4,
    )


NEON = (
    _extremum("min_f32x4", "vminq_f32"),
    _extremum("max_f32x4", "vmaxq_f32"),
    Helper(
        "clamp_i32x4",
        """\
static NAME_INLINE name_i32x4 name_clamp_i32x4(name_i32x4 value, int32_t low, int32_t high)
{
    const int32x4_t raised = vmaxq_s32((int32x4_t)value, vdupq_n_s32(low));

    return (name_i32x4)vminq_s32(raised, vdupq_n_s32(high));
}
""",
        _MEANINGS["clamp_i32x4"],
        _HEADERS,
        _I32X4,
        uniform=(1, 2),
    ),
    Helper(
        "clamp_f32x4",
        """\
static NAME_INLINE name_f32x4 name_clamp_f32x4(name_f32x4 value, float low, float high)
{
    const float32x4_t raised = vmaxq_f32((float32x4_t)value, vdupq_n_f32(low));

    return (name_f32x4)vminq_f32(raised, vdupq_n_f32(high));
}
""",
        _MEANINGS["clamp_f32x4"],
        _HEADERS,
        _F32X4,
        uniform=(1, 2),
    ),
    Helper(
        "widen_i8x4",
        """\
static NAME_INLINE name_i32x4 name_widen_i8x4(const int8_t *source)
{
    uint32_t bytes;

    memcpy(&bytes, source, sizeof bytes);
    return (name_i32x4)vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(bytes)))));
}
""",
        widen_meaning,
        ("arm_neon.h", "string.h"),
        _I32X4,
    ),
    Helper(
        "widen_u8x4",
        """\
static NAME_INLINE name_i32x4 name_widen_u8x4(const uint8_t *source)
{
    uint32_t bytes;

    memcpy(&bytes, source, sizeof bytes);
    return (name_i32x4)vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(bytes)))));
}
""",
        widen_meaning,
        ("arm_neon.h", "string.h"),
        _I32X4,
    ),
    Helper(
        "narrow_i8x4",
        """\
static NAME_INLINE void name_narrow_i8x4(int8_t *target, name_i32x4 value)
{
    const int16x4_t words = vmovn_s32((int32x4_t)value);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    const uint32_t packed = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);

    memcpy(target, &packed, sizeof packed);
}
""",
        narrow_meaning,
        ("arm_neon.h", "string.h"),
        _I32X4,
    ),
    Helper(
        "narrow_u8x4",
        """\
static NAME_INLINE void name_narrow_u8x4(uint8_t *target, name_i32x4 value)
{
    const int16x4_t words = vmovn_s32((int32x4_t)value);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    const uint32_t packed = vget_lane_u32(vreinterpret_u32_s8(bytes), 0);

    memcpy(target, &packed, sizeof packed);
}
""",
        narrow_meaning,
        ("arm_neon.h", "string.h"),
        _I32X4,
    ),
    Helper(
        "requantize_i32x4",
        """\
/* acc * multiplier / 2^(31 + shift), rounded twice as TFLite does; shift >= 1. */
static NAME_INLINE name_i32x4 name_requantize_i32x4(name_i32x4 acc, name_i32x4 multiplier, name_i32x4 shift)
{
    const int32x4_t high = vqrdmulhq_s32((int32x4_t)acc, (int32x4_t)multiplier);
    const int32x4_t nudged = vsraq_n_s32(high, high, 31); /* half away from zero, not up */

    return (name_i32x4)vrshlq_s32(nudged, vnegq_s32((int32x4_t)shift));
}
""",
        _MEANINGS["requantize_i32x4"],
        _HEADERS,
        _I32X4,
    ),
    Helper(
        "scale_round_i32x4",
        """\
/* acc * scale in float32, cut to [low, high], then rounded half to even. */
static NAME_INLINE name_i32x4 name_scale_round_i32x4(name_i32x4 acc, name_f32x4 scale, float low, float high)
{
    const float32x4_t scaled = vmulq_f32(vcvtq_f32_s32((int32x4_t)acc), (float32x4_t)scale);
    const float32x4_t cut = vminq_f32(vmaxq_f32(scaled, vdupq_n_f32(low)), vdupq_n_f32(high));

    return (name_i32x4)vcvtnq_s32_f32(cut);
}
""",
        _MEANINGS["scale_round_i32x4"],
        _HEADERS,
        _I32X4 | _F32X4,
        uniform=(2, 3),
    ),
)
