"""int8 GEMM tiles for Helium: two channels at four pixels, and eight channels at one pixel.

The tiles read a stream of words, made here too, that holds weights and constants in the order of their use. Sums start
at a constant, since bias and zero point of the input are known; then they are rescaled and narrowed with saturation.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.mve import FLOAT, IF_ASM, SUMS, VECTOR, asm, narrow, rescale

PIXELS = 4  # of a tile
CHANNELS = 2
UNROLLED = 8  # vectors of k without a loop; with more, a loop over as many
ROW_CHANNELS = 8  # of a tile of one pixel

_SUMS = (SUMS[:PIXELS], SUMS[PIXELS:])  # of a channel each
_X = ("r1", "r5", "r7", "r9")  # pixels' addresses
_HEAD = 2 * PIXELS  # words of the stream before the first pair


def gemm_meaning(x: Array, weights: Array, start: Array, multiplier: Array, addend: Array, shift: int) -> Array:
    """`x[pixels, k]`, `weights[n, k]` and constants `[n]` to `y[pixels, n]`, all of them integers."""
    return rescale(x.astype(np.int64) @ weights.astype(np.int64).T + start, multiplier, addend, shift)


# --- streams -------------------------------------------------------------------------------------------------------


def gemm_stream(weights: Array, start: Array, multiplier: Array, addend: Array, rest_pixels: int) -> Array:
    """What tiles of four pixels read, int32: where their bytes go, then all of each pair of channels.

    The first four words place a whole tile, the next four one of `rest_pixels`. A pair's weights alternate by vectors
    of 16 k, zeros behind the last. Where `n` is odd, the second pair begins at the second channel.
    """
    n = len(weights)
    words = _vectors(weights)
    firsts = [0, *range(2 - n % 2, n, CHANNELS)]
    parts = [_places(n, PIXELS), _places(n, rest_pixels or PIXELS)]
    for number, first in enumerate(firsts):
        pair = slice(first, first + CHANNELS)
        constants = np.stack([multiplier[pair], addend[pair]], axis=1).reshape(-1)
        parts += [np.repeat(start[pair], PIXELS), words[pair].transpose(1, 0, 2).reshape(-1), constants]
        parts.append(_step([*firsts, n], number))
    return np.concatenate(parts).astype(np.int32)


def row_stream(weights: Array, start: Array, multiplier: Array, addend: Array) -> Array:
    """What tiles of one pixel read, int32: all of each eight channels, of which the last may overlap those before.

    Weights as vectors of 16 k, the channels' one after the other; constants of even channels before those of odd ones.
    """
    n = len(weights)
    words = _vectors(weights)
    firsts = [min(first, n - ROW_CHANNELS) for first in range(0, n, ROW_CHANNELS)]
    parts = []
    for number, first in enumerate(firsts):
        channels = slice(first, first + ROW_CHANNELS)
        halves = [values[channels][half::2] for values in (multiplier, addend) for half in range(2)]
        parts += [start[channels], words[channels].transpose(1, 0, 2).reshape(-1), *halves]
        parts.append(_step([*firsts, n], number))
    return np.concatenate(parts).astype(np.int32)


def _vectors(weights: Array) -> Array:
    """`[n, k]` to words `[n, vectors, 4]`."""
    n, k = weights.shape
    padded = np.zeros((n, -(-k // VECTOR) * VECTOR), np.int8)
    padded[:, :k] = weights
    return padded.reshape(n, -1, VECTOR).view(np.int32)


def _places(n: int, pixels: int) -> Array:
    """Offsets uint16 from a tile's first byte to all, as words; pixels from `pixels` on lie over the one before."""
    places = np.minimum(np.arange(PIXELS), pixels - 1)[:, np.newaxis] * n + np.arange(CHANNELS)
    return places.astype(np.uint16).reshape(-1).view(np.int32)


def _step(firsts: list[int], number: int) -> Array:
    """Twice the channels to the next tile, and 1 in the last."""
    return np.array([2 * (firsts[number + 1] - firsts[number]) + (number == len(firsts) - 2)])


# --- four pixels ---------------------------------------------------------------------------------------------------


def gemm_name(k: int, shift: int) -> str:
    """The helper for so many k: by whole vectors, less whole loops of `UNROLLED` where there are more, and a rest."""
    vectors, rest = divmod(k, VECTOR)
    looped = vectors > UNROLLED
    return _gemm_name(vectors % UNROLLED if looped else vectors, rest=rest > 0, looped=looped, floating=shift == FLOAT)


def _gemm_name(vectors: int, *, rest: bool, looped: bool, floating: bool) -> str:
    return f"gemm_i8_{'loop_' if looped else ''}{vectors}{'_rest' if rest else ''}{'_f32' if floating else ''}"


def _load_x(pixel: int) -> str:
    return f"vldrb.u8 q{2 + pixel}, [{_X[pixel]}], #16"


def _load_rest() -> list[str]:
    return ["vpstttt", *(_load_x(p).replace("vldrb", "vldrbt") for p in range(PIXELS))]


def _steps(vectors: int, *, rest: bool, loaded: bool = False) -> list[str]:
    """`vectors` times 16 k, then a rest; a load stands before a multiply-accumulate that does not wait for it.

    `loaded`: x is in its registers already.
    """
    lines = []
    for step in range(vectors + rest):
        masked, following = rest and step == vectors, step + 1 < vectors
        if step == 0 or masked:
            lines.append("vldrw.u32 q0, [%[w]], #16")
        if (step == 0 or masked) and not loaded:
            lines += _load_rest() if masked else [_load_x(p) for p in range(PIXELS)]
        for p in range(PIXELS):
            lines.append(f"vmladava.s8 {_SUMS[0][p]}, q{2 + p}, q0")
            lines += ["vldrw.u32 q1, [%[w]], #16"] if p == 0 else []
        lines += ["vldrw.u32 q0, [%[w]], #16"] if following else []
        for p in range(PIXELS):
            lines.append(f"vmladava.s8 {_SUMS[1][p]}, q{2 + p}, q1")
            lines += [_load_x(p)] if following else []
    return lines


def _rescaled(*, floating: bool) -> list[str]:
    """Sums to bytes in the bottom halves of q0's 16-bit lanes; leaves what the stream says of the next pair in r8."""
    lines = []
    for channel, sums in enumerate(_SUMS):
        lines.append(f"vmov q{channel}[2], q{channel}[0], {sums[0]}, {sums[2]}")
        lines.append(f"vmov q{channel}[3], q{channel}[1], {sums[1]}, {sums[3]}")
    lines.append("ldm %[w]!, {r0, r2, r4, r6, r8}")
    if floating:
        lines += ["vcvt.f32.s32 q0, q0", "vcvt.f32.s32 q1, q1", "vmul.f32 q0, q0, r0", "vmul.f32 q1, q1, r4"]
        lines += ["vcvtn.s32.f32 q0, q0", "vcvtn.s32.f32 q1, q1"]
    else:
        lines += ["vqdmulh.s32 q0, q0, r0", "vqdmulh.s32 q1, q1, r4", "vadd.i32 q0, q0, r2", "vadd.i32 q1, q1, r6"]
    lines += [narrow("q0", "b", "q0", floating=floating), narrow("q0", "t", "q1", floating=floating)]
    lines += ["vqadd.s16 q0, q0, r2"] if floating else []
    return [*lines, "vqmovnb.s16 q0, q0"]


def _gemm(vectors: int, *, rest: bool, looped: bool, floating: bool) -> Helper:
    """All channels of tiles of four pixels, one tile after the other. Where k is one vector, x stays in registers."""
    single = vectors + rest == 1 and not looped
    addresses = "{r1, r5, r7, r9}"
    # on the stack: the pixels' addresses, w, y (where looped), tiles left, and how far tiles of x lie apart
    lines = ["ldm %[w], {r0, r1, r2, r4, r5, r6, r7, r8, r9}", "push {r0, r1, r2, r4, r5, r6, r7, r8}"]
    lines += ["vldrw.u32 q6, [r9]", "mov r11, r6", *(["mov r0, %[rest]", "vctp.8 r0"] if rest else [])]
    lines += ["1:", "ldr %[w], [sp, #16]"]
    if single:
        lines += [f"ldm sp, {addresses}", *(_load_rest() if rest else [_load_x(p) for p in range(PIXELS)])]
    lines += ["2:", f"ldm %[w]!, {{{', '.join(SUMS)}}}", *([] if single else [f"ldm sp, {addresses}"])]
    if looped:
        lines += ["mov r11, %[passes]", "3:", *_steps(UNROLLED, rest=False), "subs r11, r11, #1", "bne 3b"]
    lines += [*_steps(vectors, rest=rest, loaded=single), *(["ldr r11, [sp, #20]"] if looped else [])]
    lines += [*_rescaled(floating=floating), "lsrs r8, r8, #1", "vstrb.16 q0, [r11, q6]", "add r11, r11, r8"]
    lines += [*(["str r11, [sp, #20]"] if looped else []), "bcc 2b"]
    lines += ["ldr r0, [sp, #24]", "subs r0, r0, #1", "beq 4f", "str r0, [sp, #24]", f"ldm sp, {addresses}"]
    lines += ["ldr r0, [sp, #28]", *(f"add {x}, {x}, r0" for x in _X), f"stm sp, {addresses}"]
    lines += ["mov r0, %[others]", "add r11, r11, r0", *(["str r11, [sp, #20]"] if looped else []), "b 1b"]
    lines += ["4:", "add sp, sp, #32"]
    inputs = ['[others] "i"(3 * n)', *([] if floating else ['[shift] "i"(shift)'])]
    inputs += [*(['[rest] "i"(k % 16)'] if rest else []), *(['[passes] "i"(k / 128)'] if looped else [])]
    name = _gemm_name(vectors, rest=rest, looped=looped, floating=floating)
    source = f"""\
/*
 * y[m][n] = x[m][k] * w[n][k], rescaled, for `tiles` of 4 pixels or one of fewer. Pixels of x lie a pitch apart; w is a
 * stream.
 */
static NAME_INLINE void name_{name}(int8_t *y, int32_t n, const int8_t *x, int32_t pitch, int32_t pixels,
    int32_t tiles, const int32_t *w, int32_t k, int32_t shift)
{{
{IF_ASM}
    const int8_t *const x1 = pixels > 1 ? x + pitch : x;
    const int8_t *const x2 = pixels > 2 ? x1 + pitch : x1;
    const int8_t *const x3 = pixels > 3 ? x2 + pitch : x2;
    const intptr_t values[9] = {{
        (intptr_t)x, (intptr_t)x1, (intptr_t)x2, (intptr_t)x3, (intptr_t)(w + {_HEAD}), (intptr_t)y, tiles,
        {PIXELS} * pitch, (intptr_t)(w + (pixels > 3 ? 0 : {_HEAD // 2})),
    }};
    const intptr_t *arguments = values;

    (void)k;
    (void)shift;
{asm(lines, ['[w] "+r"(arguments)'], inputs)}#else
    name_gemm_i8(y, n, x, pitch, pixels * tiles, w, k, shift);
#endif
}}
"""
    return Helper(name, source, gemm_meaning, requires=("gemm_i8@mve",))


_GEMM = Helper(
    "gemm_i8",
    """\
/* What the tiles of name_gemm_i8_* compute, in C. */
static NAME_INLINE void name_gemm_i8(int8_t *y, int32_t n, const int8_t *x, int32_t pitch, int32_t pixels,
    const int32_t *w, int32_t k, int32_t shift)
{
    const int32_t vectors = (k + 15) / 16;
    const int32_t words = 8 + 8 * vectors + 5;
    const int32_t *pair = w + 8;

    for (int32_t first = 0; first < n; first += pair[words - 1] / 2, pair += words) {
        for (int32_t i = 0; i < 2 * pixels; i++) {
            const int32_t *const constants = pair + 8 + 8 * vectors + 2 * (i % 2);
            const int8_t *const weights = (const int8_t *)(pair + 8 + 4 * (i % 2));
            int32_t acc = pair[4 * (i % 2)];

            for (int32_t j = 0; j < k; j++) {
                acc += x[i / 2 * pitch + j] * weights[j / 16 * 32 + j % 16];
            }
            y[i / 2 * n + first + i % 2] = name_rescale_i32(acc, constants[0], constants[1], shift);
        }
    }
}
""",
    gemm_meaning,
    requires=("rescale_i32@mve",),
)


# --- one pixel -----------------------------------------------------------------------------------------------------


def row_name(k: int, shift: int) -> str:
    """The helper for one pixel and so many k."""
    return _row_name(rest=k % VECTOR > 0, floating=shift == FLOAT)


def _row_name(*, rest: bool, floating: bool) -> str:
    return f"gemm_i8_row{'_rest' if rest else ''}{'_f32' if floating else ''}"


def _row(*, rest: bool, floating: bool) -> Helper:
    """All channels of a pixel, eight at a time: x is loaded once for eight multiply-accumulates."""
    step = []
    for i, total in enumerate(SUMS):
        step += [f"vldrw.u32 q{1 + i % 2}, [%[w]], #16", f"vmladava.s8 {total}, q0, q{1 + i % 2}"]
    # on the stack: x, and the number of whole vectors
    lines = ["ldm %[w], {r0, r1, r2, r7}", "push {r0, r1}", "mov %[w], r2"]
    lines += [*(["mov r0, %[rest]", "vctp.8 r0"] if rest else []), "1:", f"ldm %[w]!, {{{', '.join(SUMS)}}}"]
    lines += ["ldrd r1, r5, [sp]", *(["cbz r5, 3f"] if rest else []), "2:", "vldrb.u8 q0, [r1], #16", *step]
    lines += ["subs r5, r5, #1", "bne 2b", *(["3:", "vpst", "vldrbt.u8 q0, [r1]", *step] if rest else [])]
    for q, sums in enumerate((SUMS[0::2], SUMS[1::2])):  # even channels, odd channels
        lines.append(f"vmov q{q}[2], q{q}[0], {sums[0]}, {sums[2]}")
        lines.append(f"vmov q{q}[3], q{q}[1], {sums[1]}, {sums[3]}")
    lines += [f"vldrw.u32 q{q}, [%[w]], #16" for q in range(2, 6)]
    if floating:
        lines += ["vcvt.f32.s32 q0, q0", "vcvt.f32.s32 q1, q1", "vmul.f32 q0, q0, q2", "vmul.f32 q1, q1, q3"]
        lines += ["vcvtn.s32.f32 q0, q0", "vcvtn.s32.f32 q1, q1"]
    else:
        lines += ["vqdmulh.s32 q0, q0, q2", "vqdmulh.s32 q1, q1, q3"]
    lines += ["vadd.i32 q0, q0, q4", "vadd.i32 q1, q1, q5", "ldr r8, [%[w]], #4"]
    lines += [narrow("q0", "b", "q0", floating=floating), narrow("q0", "t", "q1", floating=floating)]
    lines += ["vqmovnb.s16 q0, q0", "lsrs r8, r8, #1", "vstrb.16 q0, [r7]", "add r7, r7, r8", "bcc 1b"]
    lines += ["add sp, sp, #8"]
    inputs = [*([] if floating else ['[shift] "i"(shift)']), *(['[rest] "i"(k % 16)'] if rest else [])]
    name = _row_name(rest=rest, floating=floating)
    source = f"""\
/* y[n] = x[k] * w[n][k], rescaled; w is a stream. */
static NAME_INLINE void name_{name}(int8_t *y, int32_t n, const int8_t *x, const int32_t *w, int32_t k, int32_t shift)
{{
{IF_ASM}
    const intptr_t values[4] = {{(intptr_t)x, k / 16, (intptr_t)w, (intptr_t)y}};
    const intptr_t *arguments = values;

    (void)n;
    (void)shift;
{asm(lines, ['[w] "+r"(arguments)'], inputs)}#else
    name_gemm_i8_row_of(y, n, x, w, k, shift);
#endif
}}
"""
    return Helper(name, source, gemm_meaning, requires=("gemm_i8_row_of@mve",))


_ROW = Helper(
    "gemm_i8_row_of",
    """\
/* What the tiles of name_gemm_i8_row* compute, in C. */
static NAME_INLINE void name_gemm_i8_row_of(int8_t *y, int32_t n, const int8_t *x, const int32_t *w, int32_t k,
    int32_t shift)
{
    const int32_t vectors = (k + 15) / 16;
    const int32_t words = 8 + 32 * vectors + 17;

    for (int32_t first = 0; first < n; first += w[words - 1] / 2, w += words) {
        for (int32_t i = 0; i < 8; i++) {
            const int32_t *const constants = w + 8 + 32 * vectors + i / 2 + i % 2 * 4;
            const int8_t *const weights = (const int8_t *)(w + 8 + 4 * i);
            int32_t acc = w[i];

            for (int32_t j = 0; j < k; j++) {
                acc += x[j] * weights[j / 16 * 128 + j % 16];
            }
            y[first + i] = name_rescale_i32(acc, constants[0], constants[8], shift);
        }
    }
}
""",
    gemm_meaning,
    requires=("rescale_i32@mve",),
)

MVE_GEMM = (
    _GEMM,
    *(
        _gemm(vectors, rest=rest, looped=looped, floating=floating)
        for floating in (False, True)
        for looped in (False, True)
        for vectors in range(UNROLLED + 1 - looped)
        for rest in (False, True)
        if vectors or rest or looped
    ),
    _ROW,
    *(_row(rest=rest, floating=floating) for rest in (False, True) for floating in (False, True)),
)
