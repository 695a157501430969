"""int8 depthwise tiles for Helium: windows of 3x3 at blocks of 2x2 outputs, in strips of interleaved rows.

A strip holds four rows of the image, four bytes, one of each row, for each column and channel. Sixteen bytes gathered
from four columns of a channel are a patch of 4x4, from which VMLADAV makes every output that lies in it.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.mve import FLOAT, IF_ASM, SUMS, VECTOR, asm, narrow, rescale

STRIP_ROWS = 4
DEPTHWISE_OUTPUTS = 2  # rows and columns of outputs that are made together
_WORD = 4  # bytes


def depthwise_meaning(
    x: Array, weights: Array, start: Array, multiplier: Array, addend: Array, shift: int, stride: int
) -> Array:
    """`x[rows, columns, c]`, `weights[3, 3, c]` and constants `[c]` to two rows of outputs `y[2, columns, c]`."""
    columns = (x.shape[1] - 3) // stride + 1
    total = np.zeros((2, columns, x.shape[2]), np.int64) + start
    for kh in range(3):
        for kw in range(3):
            part = x[kh : kh + stride + 1 : stride, kw : kw + stride * (columns - 1) + 1 : stride]
            total += part.astype(np.int64) * weights[kh, kw].astype(np.int64)
    return rescale(total, multiplier, addend, shift)


def depthwise_stream(
    weights: Array, start: Array, multiplier: Array, addend: Array, stride: int, columns: int, pitch: int
) -> Array:
    """What the helper reads, int32: where patches and outputs lie, and for each channel its taps and constants.

    `columns` is how many a strip has, `pitch` the elements from one row of the output to the next.
    """
    channels = weights.shape[2]
    column = np.arange(4) * channels * _WORD
    outputs = [(row, col) for row in range(2) for col in range(2)]
    strip = columns * channels * _WORD
    patches = [column] if stride == 1 else [column + row * strip + 2 * col * channels * _WORD for row, col in outputs]
    places = np.array([row * pitch + col * channels for row, col in outputs])
    shifts = outputs if stride == 1 else [(0, 0)]
    taps = np.zeros((channels, len(shifts), 4, STRIP_ROWS), np.int8)  # columns before rows
    for number, (row, col) in enumerate(shifts):
        taps[:, number, col : col + 3, row : row + 3] = weights.transpose(2, 1, 0)
    words = taps.reshape(channels, -1).view(np.int32)
    constants = np.stack([start, addend, multiplier], axis=1)
    parts = (*patches, places, np.concatenate([words, constants], axis=1).reshape(-1))
    return np.concatenate(parts).astype(np.int32)


def depthwise_name(stride: int, shift: int) -> str:
    """The helper for windows of 3x3 at this stride."""
    return f"depthwise_i8_s{stride}{'_f32' if shift == FLOAT else ''}"


def _depthwise(stride: int, *, floating: bool) -> Helper:
    """All channels of a row of blocks of 2x2 outputs."""
    sums = SUMS[:4]
    # on the stack: the end of y, and the number of blocks
    lines = ["ldm %[w], {r0, r1, r2, r4, r8, r9, r10, r11, r12, lr}", "push {r0, r2}", "mov %[w], r4"]
    if stride == 1:
        lines += ["vldrw.u32 q5, [lr]", "vldrw.u32 q6, [lr, #16]"]
        taps = [f"vldrw.u32 q{i}, [%[w]], #16" for i in range(4)]
        block = ["vldrw.u32 q4, [r1, q5]", "add r1, r1, r11"]
        block += [f"vmladav.s8 {total}, q4, q{i}" for i, total in enumerate(sums)]
    else:
        patches = ("q1", "q2", "q3", "q5")
        lines += [f"vldrw.u32 {q}, [lr, #{VECTOR * i}]" for i, q in enumerate((*patches, "q6"))]
        taps = ["vldrw.u32 q0, [%[w]], #16"]
        block = []
        for total, q in zip(sums, patches, strict=True):
            block += [f"vldrw.u32 q4, [r1, {q}]", f"vmladav.s8 {total}, q4, q0"]
        block += ["add r1, r1, r11"]
    lines += ["1:", "ldr r0, [sp, #4]", *taps, "ldm %[w]!, {r5, r7, lr}", "vdup.32 q7, lr", "dls lr, r0", "2:", *block]
    lines += [f"vmov q4[2], q4[0], {sums[0]}, {sums[2]}", f"vmov q4[3], q4[1], {sums[1]}, {sums[3]}"]
    lines += ["vadd.i32 q4, q4, r5"]
    if floating:
        lines += ["vcvt.f32.s32 q4, q4", "vmul.f32 q4, q4, q7", "vcvtn.s32.f32 q4, q4", "vadd.i32 q4, q4, r7"]
    else:
        lines += ["vqdmlash.s32 q4, q7, r7"]
    lines += [narrow("q4", "b", "q4", floating=floating), "vqmovnb.s16 q4, q4", "vstrb.32 q4, [r10, q6]"]
    lines += ["add r10, r10, r12", "le lr, 2b", "ldr r0, [sp]", "add r1, r1, r8", "add r10, r10, r9"]
    lines += ["cmp r10, r0", "bne 1b", "add sp, sp, #8"]
    name, head = depthwise_name(stride, FLOAT if floating else 1), 8 if stride == 1 else 20
    where = "a strip" if stride == 1 else "two strips"
    source = f"""\
/*
 * Windows of 3x3, stride {stride}, in {where} of columns of n channels: blocks of 2x2 outputs, `step` columns apart,
 * for each channel, rescaled; w is a stream.
 */
static NAME_INLINE void name_{name}(int8_t *y, int32_t n, const int32_t *strip, int32_t blocks, int32_t step,
    const int32_t *w, int32_t shift)
{{
{IF_ASM}
    const int32_t x_step = {4 * stride} * step * n;
    const intptr_t values[10] = {{
        (intptr_t)(y + n), (intptr_t)strip, blocks, (intptr_t)(w + {head}), 4 - blocks * x_step, 1 - blocks * step * n,
        (intptr_t)y, x_step, step * n, (intptr_t)w,
    }};
    const intptr_t *arguments = values;

    (void)shift;
{asm(lines, ['[w] "+r"(arguments)'], [] if floating else ['[shift] "i"(shift)'])}#else
    name_depthwise_i8(y, n, strip, blocks, step, w, {stride}, shift);
#endif
}}
"""
    return Helper(name, source, depthwise_meaning, requires=("depthwise_i8@mve",))


_DEPTHWISE = Helper(
    "depthwise_i8",
    """\
/* What name_depthwise_i8_s1 and _s2 compute, in C. */
static NAME_INLINE void name_depthwise_i8(int8_t *y, int32_t n, const int32_t *strip, int32_t blocks,
    int32_t step, const int32_t *w, int32_t stride, int32_t shift)
{
    const int32_t patches = stride == 1 ? 1 : 4;
    const int32_t *const places = w + 4 * patches;
    const int32_t words = stride == 1 ? 19 : 7;

    for (int32_t i = 0; i < 4 * blocks * n; i++) {
        const int32_t output = i % 4;
        const int32_t block = i / 4 % blocks;
        const int32_t channel = i / 4 / blocks;
        const int32_t *const taps = places + 4 + channel * words;
        const int8_t *const patch = (const int8_t *)(strip + channel + step * stride * block * n);
        const int8_t *const weights = (const int8_t *)taps + (stride == 1 ? 16 * output : 0);
        const int32_t *const columns = w + (stride == 1 ? 0 : 4 * output);
        int32_t acc = taps[words - 3];

        for (int32_t j = 0; j < 16; j++) {
            acc += patch[columns[j / 4] + j % 4] * weights[j];
        }
        y[channel + step * block * n + places[output]] = name_rescale_i32(acc, taps[words - 1], taps[words - 2], shift);
    }
}
""",
    depthwise_meaning,
    requires=("rescale_i32@mve",),
)


def _interleaved() -> str:
    loads = [f"vldrb.u8 q{i}, [%[r{i}]], #16" for i in range(STRIP_ROWS)]
    stores = [f"vst4{i}.8 {{q0, q1, q2, q3}}, [%[strip]]{'!' if i == 3 else ''}" for i in range(4)]
    return asm(
        ["dls lr, %[count]", "1:", *loads, *stores, "le lr, 1b"],
        [*(f'[r{i}] "+r"(r{i})' for i in range(STRIP_ROWS)), '[strip] "+r"(strip)'],
        ['[count] "r"(count)'],
        ("lr", "q0", "q1", "q2", "q3", "memory"),
        indent=12,
    )


_INTERLEAVE = Helper(
    "interleave_i8",
    f"""\
/* strip[bytes][4] = four rows of x from `row` on, a pitch apart; those outside 0 .. height - 1 are `border`. */
static NAME_INLINE void name_interleave_i8(int32_t *strip, const int8_t *x, int32_t row, int32_t height, int32_t pitch,
    const int32_t *border, int32_t bytes)
{{
    const int8_t *rows[4];
    int8_t *bytes_of = (int8_t *)strip;

    for (int32_t i = 0; i < 4; i++) {{
        rows[i] = row + i < 0 || row + i >= height ? (const int8_t *)border : x + (row + i) * pitch;
    }}
{IF_ASM}
    if (bytes >= 16) {{
        const int32_t rest = (16 - bytes % 16) % 16;
        const int8_t *r0 = rows[0];
        const int8_t *r1 = rows[1];
        const int8_t *r2 = rows[2];
        const int8_t *r3 = rows[3];
        int32_t count = bytes / 16;

        for (int32_t part = 0; part < (rest > 0 ? 2 : 1); part++) {{
{_interleaved()}            r0 -= rest; /* what is left is a vector that begins before it */
            r1 -= rest;
            r2 -= rest;
            r3 -= rest;
            strip -= rest;
            count = 1;
        }}
        return;
    }}
#endif
    for (int32_t i = 0; i < 4 * bytes; i++) {{
        bytes_of[i] = rows[i % 4][i / 4];
    }}
}}
""",
    lambda rows: np.ascontiguousarray(rows.T),
)

MVE_DEPTHWISE = (
    _INTERLEAVE,
    _DEPTHWISE,
    *(_depthwise(stride, floating=floating) for stride in (1, 2) for floating in (False, True)),
)
