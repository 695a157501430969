"""Helium (MVE) on Cortex-M55: what its int8 tiles have in common, and helpers that move bytes.

VMLADAVA adds the products of sixteen pairs of bytes to an even core register; eight of these hold a tile's sums. The
tiles need every core register, so their asm stands only where the compiler optimises; the C beside it means the same.
GCC 12 moves sums through memory between intrinsics, hence asm. Facts on the instructions: Armv8-M Architecture
Reference Manual, section C2.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper

VECTOR = 16  # bytes
MAX_SHIFT = 16  # that VQRSHRNB can encode
FLOAT = 0  # in place of a shift: sums are rescaled in float32
IF_ASM = "#if defined(__ARM_FEATURE_MVE) && defined(__OPTIMIZE__)"
SUMS = ("r0", "r2", "r4", "r6", "r8", "r10", "r12", "lr")  # VMLADAVA takes even registers
CLOBBERS = (*(f"r{n}" for n in range(13) if n != 3), "lr", *(f"q{n}" for n in range(8)), "cc", "memory")
_POST_INDEX = 127  # greatest step in bytes of an address that an instruction moves on


def rescale(acc: Array, multiplier: Array, addend: Array, shift: int) -> Array:
    """sat8((floor(acc * multiplier / 2^31) + addend) / 2^shift), rounded half up: what the tiles do to their sums.

    With shift `FLOAT` multipliers are float32 by their bits: sat8(round(float32(acc) * multiplier) + addend), each step
    in float32 and the last rounding half to even.
    """
    if shift == FLOAT:
        product = np.asarray(acc, np.int32).astype(np.float32) * np.asarray(multiplier, np.int32).view(np.float32)
        return np.asarray(np.clip(np.rint(product).astype(np.int64) + addend, -128, 127), np.int8)
    scaled = (np.asarray(acc, np.int64) * np.asarray(multiplier, np.int64) >> 31) + addend
    return np.asarray(np.clip((scaled + (1 << (shift - 1))) >> shift, -128, 127), np.int8)


def narrow(register: str, half: str, source: str, *, floating: bool) -> str:
    """`source` to 16 bits in the bottom (b) or top (t) halves of `register`, shifted where sums are fixed-point."""
    return f"vqmovn{half}.s32 {register}, {source}" if floating else f"vqrshrn{half}.s32 {register}, {source}, %[shift]"


def asm(
    lines: Sequence[str],
    outputs: Sequence[str],
    inputs: Sequence[str],
    clobbers: Sequence[str] = CLOBBERS,
    indent: int = 4,
) -> str:
    """A C statement that is one asm block."""
    margin = " " * indent
    text = "\n".join(f'{margin}    "{line}\\n\\t"' for line in lines)
    clobbered = ", ".join(f'"{clobber}"' for clobber in clobbers)
    operands = "\n".join(f"{margin}    : {', '.join(part)}" for part in (outputs, inputs))
    return f"{margin}__asm__ volatile(\n{text}\n{operands}\n{margin}    : {clobbered});\n"


RESCALE = Helper(
    "rescale_i32",
    """\
/*
 * acc * multiplier / 2^31 + addend, rounded down, then by 2^shift, rounded half up, cut to int8; with shift 0 the
 * multiplier is a float32 by its bits, and the product is rounded half to even.
 */
static NAME_INLINE int8_t name_rescale_i32(int32_t acc, int32_t multiplier, int32_t addend, int32_t shift)
{
    int64_t value;

    if (shift == 0) {
        float scale;

        memcpy(&scale, &multiplier, sizeof scale);
        value = name_scale_round_i32(acc, scale, (float)(-128 - addend), (float)(127 - addend)) + addend;
    } else {
        const int64_t scaled = (((int64_t)acc * multiplier) >> 31) + addend;

        value = (scaled + ((int64_t)1 << (shift - 1))) >> shift;
    }
    return (int8_t)(value < -128 ? -128 : (value > 127 ? 127 : value));
}
""",
    rescale,
    ("string.h",),
    requires=("scale_round_i32",),
)

FILL = Helper(
    "fill_i8",
    f"""\
/* Set the bytes of `words` words to `value`. */
static NAME_INLINE void name_fill_i8(int32_t *y, int32_t value, int32_t words)
{{
{IF_ASM}
    int32_t count = 4 * words;

{
        asm(
            ["vdup.8 q0, %[value]", "dlstp.8 lr, %[count]", "1:", "vstrb.8 q0, [%[y]], #16", "letp lr, 1b"],
            ['[y] "+r"(y)'],
            ['[value] "r"(value)', '[count] "r"(count)'],
            ("lr", "q0", "memory"),
        )
    }#else
    memset(y, value, 4 * (size_t)words);
#endif
}}
""",
    lambda value, words: np.full(4 * words, value, np.int8),
    ("string.h",),
)


def _each_pixel(body: Sequence[str], moved: Sequence[str], inputs: Sequence[str]) -> str:
    """A loop over pixels, in the lanes below `count`.

    `x+x_step` in `body` is an address that moves on by its step: with the instruction where it fits one, and then two
    pixels at a time, else by an addition.
    """
    predicated = [line for line in body if "+" in line]
    ahead = [line for line in body if "+" not in line]  # makes q0 what every pixel gets
    pair = [line if ahead else line.replace("q0", q) for line in predicated for q in ("q0", "q1")]

    def block(lines: Sequence[str], turns: str, immediate: bool, indent: int) -> str:
        lines = [re.sub(r"(x|y)\+(\w+)", r"[%[\1]], %[\2]" if immediate else r"[%[\1]]", line) for line in lines]
        text = ["vctp.8 %[count]", *ahead, "dls lr, %[turns]", "1:", f"vps{'t' * len(lines)}", *lines]
        text += [] if immediate else [f"add %[{at}], %[{at}], %[{at}_step]" for at in moved]
        steps = [f'[{at}_step] "{"i" if immediate else "r"}"({at}_step)' for at in moved]
        return asm(
            [*text, "le lr, 1b"],
            [f'[{at}] "+r"({at})' for at in moved],
            ['[count] "r"(count)', f'[turns] "r"({turns})', *steps, *inputs],
            ("lr", "q0", "q1", "cc", "memory"),
            indent,
        )

    fits = " && ".join(f"{at}_step <= {_POST_INDEX}" for at in moved)
    return f"""\
    if ({fits}) {{
        if (pixels > 1) {{
{block(pair, "pixels / 2", True, 12)}        }}
        if (pixels % 2 != 0) {{
{block(predicated, "1", True, 12)}        }}
    }} else {{
{block(predicated, "pixels", False, 8)}    }}
"""


COPY = Helper(
    "copy_i8",
    f"""\
/* For each of some pixels, their steps apart in x and in y, copy `count` bytes, 16 at most. */
static NAME_INLINE void name_copy_i8(int8_t *y, int32_t y_step, const int8_t *x, int32_t x_step, int32_t count,
    int32_t pixels)
{{
{IF_ASM}
{_each_pixel(["vldrbt.u8 q0, x+x_step", "vstrbt.8 q0, y+y_step"], ("x", "y"), [])}#else
    for (int32_t i = 0; i < pixels * count; i++) {{
        y[i / count * y_step + i % count] = x[i / count * x_step + i % count];
    }}
#endif
}}
""",
    lambda x, count: x[:, :count],
)

SET = Helper(
    "set_i8",
    f"""\
/* For each of some pixels, their step apart in y, set `count` bytes, 16 at most. */
static NAME_INLINE void name_set_i8(int8_t *y, int32_t y_step, int32_t value, int32_t count, int32_t pixels)
{{
{IF_ASM}
{_each_pixel(["vdup.8 q0, %[value]", "vstrbt.8 q0, y+y_step"], ("y",), ['[value] "r"(value)'])}#else
    for (int32_t i = 0; i < pixels * count; i++) {{
        y[i / count * y_step + i % count] = (int8_t)value;
    }}
#endif
}}
""",
    lambda value, count, pixels: np.full((pixels, count), value, np.int8),
)

SUM = Helper(
    "sum_i8",
    f"""\
/* acc[c] = start + the sum of x[place][c] over all places. */
static NAME_INLINE void name_sum_i8(int32_t *acc, const int8_t *x, int32_t channels, int32_t places, int32_t start)
{{
{IF_ASM}
    for (int32_t c = 0; c < channels; c += 4) {{
        const int8_t *place = x + c;

{
        asm(
            [
                "vctp.32 %[left]",
                "vdup.32 q0, %[start]",
                "dls lr, %[places]",
                "1:",
                "vpst",
                "vldrbt.s32 q1, [%[place]]",
                "add %[place], %[place], %[channels]",
                "vadd.i32 q0, q0, q1",
                "le lr, 1b",
                "vpst",
                "vstrwt.32 q0, [%[acc]], #16",
            ],
            ['[place] "+l"(place)', '[acc] "+r"(acc)'],
            ['[left] "r"(channels - c)', '[start] "r"(start)', '[places] "r"(places)', '[channels] "r"(channels)'],
            ("lr", "q0", "q1", "cc", "memory"),
            indent=8,
        )
    }    }}
#else
    for (int32_t c = 0; c < channels; c++) {{
        acc[c] = start;
        for (int32_t place = 0; place < places; place++) {{
            acc[c] += x[place * channels + c];
        }}
    }}
#endif
}}
""",
    lambda x, start: np.asarray(x.sum(axis=0, dtype=np.int32) + np.int32(start), np.int32),
)

COPY_BYTES = Helper(
    "copy_bytes",
    f"""\
/* Copy `count` bytes between places that lie apart. */
static NAME_INLINE void name_copy_bytes(void *y, const void *x, size_t count)
{{
{IF_ASM}
{
        asm(
            ["dlstp.8 lr, %[count]", "1:", "vldrb.u8 q0, [%[x]], #16", "vstrb.8 q0, [%[y]], #16", "letp lr, 1b"],
            ['[x] "+r"(x)', '[y] "+r"(y)'],
            ['[count] "r"(count)'],
            ("lr", "q0", "memory"),
        )
    }#else
    memcpy(y, x, count);
#endif
}}
""",
    lambda x: x,
    ("stddef.h", "string.h"),
)

MVE = (RESCALE, FILL, COPY, SET, SUM, COPY_BYTES)
