"""Rows of 3x3 depthwise convolutions on bytes for the DSP extension of Cortex-M, four channels at a time.

The window's three rows are spread from NHWC bytes to words of two 16-bit values, channel by channel and padding
included: rows 0 and 1 of a column in one word, row 2 of two neighbouring columns in another, so that five SMLAD make
the nine products of an output. Planes of words have a fixed pitch, which is part of the instructions; all other sizes
are arguments: layers share the code.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import INTEGER_RANGE, Array
from mbgen.intrinsics.dsp_byte_gemm import CLOBBERS, DTYPES, IF_ASM, SHARED, SHIFTS, rescaled, short
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.mve import asm

CHANNELS = 4  # that are spread together: the bytes of a word
OUTPUTS = 6  # of a block
# columns that planes have room for: from one channel's to the next, and to the planes of row 2, in words
PLANES = {64: (96, 64), 120: (120, 480)}
CHANNEL_WORDS = 5  # of constants: where the sum starts, three words of taps and the addend, multiplier

_TOTALS = tuple(f"r{n}" for n in range(4, 4 + OUTPUTS))


def depthwise(
    rows: Array, taps: Array, start: Array, multiplier: Array, addend: Array, stride: int, shift: int, dtype: str
) -> Array:
    """`rows[3, columns, c]`, padding included, and `taps[3, 3, c]` with constants `[c]` to `y[ow, c]`."""
    ow = (rows.shape[1] - 3) // stride + 1
    sums = np.array([(rows[:, i * stride :][:, :3].astype(np.int64) * taps).sum(axis=(0, 1)) for i in range(ow)])
    return rescaled(sums + start, multiplier, addend, shift, dtype)


def pack(taps: Array, start: Array, multiplier: Array, addend: Array) -> Array:
    """Taps int8 `[3, 3, c]` and constants `[c]`, addends of 16 bits, to int32 `[c, 5]`.

    Bytes 0 and 2 of a word widen to a pair, as do bytes 1 and 3: row 2's taps 0, 1 and 1, 2; then of rows 0 and 1
    columns 0 and 1; and column 2, between whose bytes are those of the addend.
    """
    t, low, high = taps.astype(np.int8), addend.astype(np.int8), (addend >> 8).astype(np.int8)
    words = [[t[2, 0], t[2, 1], t[2, 1], t[2, 2]], [t[0, 0], t[0, 1], t[1, 0], t[1, 1]], [t[0, 2], low, t[1, 2], high]]
    packed = np.ascontiguousarray(np.array(words).transpose(2, 0, 1)).view(np.int32)[..., 0]
    return np.concatenate([start[:, np.newaxis], packed, multiplier[:, np.newaxis]], axis=1).astype(np.int32)


def pairs(first: Array, second: Array) -> Array:
    """Two values of 16 bits to each word, int32; the first in its lower half."""
    return np.stack([first, second], axis=-1).astype(np.int16).view(np.int32)[..., 0]


def depthwise_name(dtype: str, stride: int, left: int, width: int, shift: int) -> str:
    """The helper for outputs of `dtype`, planes `width` columns wide and a shift; `left` columns of padding, 0 or 1."""
    return f"byte_depthwise_{short(dtype)}_s{stride}{'_left' if left else ''}_w{width}_q{shift}"


def _plane_words(width: int) -> int:
    pitch, row_2 = PLANES[width]
    return (CHANNELS - 1) * pitch + row_2 + width // 2


# --- spreading -----------------------------------------------------------------------------------------------------


def _widened(words: str, register: dict[str, str], dtype: str, odd: bool) -> list[str]:
    """Bytes 0 and 2 of each word, or 1 and 3, as two values of 16 bits, in `words` of `register` in capitals."""
    widen, rotated = "sxtb16" if dtype == "int8" else "uxtb16", ", ror #8" if odd else ""
    return [f"{widen} {register[one.upper()]}, {register[one]}{rotated}" for one in words]


def _spread(dtype: str, width: int) -> Helper:
    """Two words to each plane at a time, made of four words of bytes; then one where their number is odd."""
    pitch = 4 * PLANES[width][0]
    register = {**dict(zip("abcd", ("r4", "r5", "r6", "r7"), strict=True)), "t": "r12"}
    register |= dict(zip("ABCD", ("r8", "r9", "r10", "r11"), strict=True))
    a, b, c, d, t = (register[one] for one in "ABCDt")

    def load(names: str) -> list[str]:
        return [f"ldr {register[names[0]]}, [r0]", f"ldr {register[names[1]]}, [r0, r1]", "add r0, r0, r2"]

    lines = ["ldm %[y], {r0, r1, r2, r4, r5, lr}", "push {r5}", "mov %[y], r4", "cmp %[y], lr", "beq 2f", "1:"]
    lines += [*load("ab"), *load("cd")]
    for odd in (False, True):
        lines += _widened("abcd", register, dtype, odd)
        lines += [f"pkhbt {t}, {a}, {b}, lsl #16", f"pkhtb {b}, {b}, {a}, asr #16"]
        lines += [f"pkhbt {a}, {c}, {d}, lsl #16", f"pkhtb {d}, {d}, {c}, asr #16"]
        lines.append(f"strd {t}, {a}, [%[y], #{0 if odd else -pitch}]")
        lines.append(f"strd {b}, {d}, [%[y], #{2 * pitch if odd else pitch}]")
    lines += ["add %[y], %[y], #8", "cmp %[y], lr", "bne 1b", "2:", "pop {r12}", "cmp %[y], r12", "beq 3f"]
    lines += ["sub %[y], %[y], #%c[pitch]", *load("ab")]  # STR reaches back less far than STRD
    for odd in (False, True):
        lines += _widened("ab", register, dtype, odd)
        lines += [f"pkhbt {t}, {a}, {b}, lsl #16", f"pkhtb {b}, {b}, {a}, asr #16"]
        lines += [f"str {t}, [%[y], #{pitch if odd else 0}]", f"str {b}, [%[y], #{3 * pitch if odd else 2 * pitch}]"]
    lines.append("3:")
    element, name = f"{dtype}_t", f"byte_spread_{short(dtype)}_w{width}"
    source = f"""\
/*
 * Spread bytes of {CHANNELS} channels to `words` words of each of their planes: at x the lower halves, so far across
 * the upper ones, a step from word to word.
 */
{SHARED} void name_{name}(int32_t *y, const {element} *x, int32_t across, int32_t step, int32_t words)
{{
{IF_ASM}
    int32_t *const second = y + {pitch // 4};
    const intptr_t values[6] = {{
        (intptr_t)x, across, step, (intptr_t)second, (intptr_t)(second + words), (intptr_t)(second + words / 2 * 2),
    }};
    const intptr_t *arguments = values;

{asm(lines, ['[y] "+r"(arguments)'], [f'[pitch] "i"({pitch})'], CLOBBERS)}#else
    for (int32_t word = 0; word < words; word++) {{
        for (int32_t channel = 0; channel < {CHANNELS}; channel++) {{
            const uint32_t low = (uint32_t)(int32_t)x[channel] & 0xFFFFU;

            y[channel * {pitch // 4} + word] = (int32_t)(low | (uint32_t)(int32_t)x[across + channel] << 16);
        }}
        x = &x[step];
    }}
#endif
}}
"""
    return Helper(name, source, pairs)


def padded(words: Array, keep: int, pad: int) -> Array:
    """int32 `words` with `pad` in both halves wherever `keep` has no bits."""
    both = (pad & 0xFFFF) * 0x10001
    return ((words.astype(np.uint32) & np.uint32(keep)) | np.uint32(both & ~keep)).astype(np.uint32).view(np.int32)


def _pad(width: int) -> Helper:
    source = f"""\
/* In so many words of each plane, leave the bits of `keep` and make the others those of `pad` in both halves. */
{SHARED} void name_byte_pad_w{width}(int32_t *y, int32_t words, uint32_t keep, int32_t pad)
{{
    const uint32_t both = ((uint32_t)pad & 0xFFFFU) | (uint32_t)pad << 16;

    for (int32_t channel = 0; channel < {CHANNELS}; channel++) {{
        for (int32_t word = 0; word < words; word++) {{
            y[word] = (int32_t)(((uint32_t)y[word] & keep) | (both & ~keep));
        }}
        y += {PLANES[width][0]};
    }}
}}
"""
    return Helper(f"byte_pad_w{width}", source, padded)


def _margins(width: int) -> Helper:
    source = f"""\
/* Make `pad` both halves of the words of each plane before `left`, and of those from `begin` on to `end`. */
{SHARED} void name_byte_margins_w{width}(int32_t *y, int32_t left, int32_t begin, int32_t end, int32_t pad)
{{
    const int32_t both = (int32_t)(((uint32_t)pad & 0xFFFFU) | (uint32_t)pad << 16);

    for (int32_t channel = 0; channel < {CHANNELS}; channel++) {{
        for (int32_t word = 0; word < left; word++) {{
            y[word] = both;
        }}
        for (int32_t word = begin; word < end; word++) {{
            y[word] = both;
        }}
        y += {PLANES[width][0]};
    }}
}}
"""
    return Helper(f"byte_margins_w{width}", source, padded)


def _planes(dtype: str, width: int) -> Helper:
    element, name = f"{dtype}_t", f"byte_planes_{short(dtype)}_w{width}"
    spread, pad = f"byte_spread_{short(dtype)}_w{width}", f"byte_pad_w{width}"
    source = f"""\
/* Spread the rows of a window, those from begin to end at rows[], for {CHANNELS} channels; pixels lie a pitch apart. */
{SHARED} void name_{name}(int32_t *y, int32_t *row_2, const {element} *x, const int32_t *rows, int32_t begin, \
int32_t end, int32_t pitch, int32_t width, int32_t pad)
{{
    if (begin <= 0 && end > 1) {{
        name_{spread}(y, x + rows[0], rows[1] - rows[0], pitch, width);
    }} else if (begin > 1 || end <= 0) {{
        name_{pad}(y, width, 0, pad);
    }} else {{
        name_{spread}(y, x + rows[begin > 0 ? 1 : 0], 0, pitch, width);
        name_{pad}(y, width, begin > 0 ? 0xFFFF0000U : 0xFFFFU, pad);
    }}
    if (end > 2) {{
        name_{spread}(row_2, x + rows[2], pitch, 2 * pitch, width / 2);
        if (width % 2 != 0) {{
            name_{spread}(row_2 + width / 2, x + rows[2] + (width - 1) * pitch, 0, 0, 1);
            name_{pad}(row_2 + width / 2, 1, 0xFFFFU, pad);
        }}
    }} else {{
        name_{pad}(row_2, (width + 1) / 2, 0, pad);
    }}
}}
"""
    return Helper(name, source, pairs, requires=(spread, pad))


# --- rows ----------------------------------------------------------------------------------------------------------


def _loads(pointer: str, words: int, word: int) -> list[str]:
    """Into r0 and r1, with an even word also the next."""
    if word % 2:
        return []
    single = word + 1 == words
    return [f"ldr r0, [{pointer}, #{4 * word}]" if single else f"ldrd r0, r1, [{pointer}, #{4 * word}]"]


def _row_2(stride: int, left: int) -> list[str]:
    """Products of row 2 for all outputs, from the start in lr on; a word has two columns."""
    words = ((OUTPUTS - 1) * stride + left + 4) // 2
    lines = ["ldr r2, [%[w], #4]", "sxtb16 r12, r2, ror #8", "sxtb16 r2, r2"]  # taps 0, 1 and 1, 2
    begun: set[int] = set()
    for word in range(words):
        lines += _loads("r11", words, word)
        for output, total in enumerate(_TOTALS):
            first = 2 * word - output * stride - left  # tap of the word's lower half
            product = {-1: ("smlatb", "r2"), 0: ("smlad", "r2"), 1: ("smlad", "r12"), 2: ("smlabt", "r12")}.get(first)
            if product is not None:
                lines.append(f"{product[0]} {total}, r{word % 2}, {product[1]}, {total if output in begun else 'lr'}")
                begun.add(output)
    return lines


def _rows_0_and_1(stride: int) -> list[str]:
    """Products of rows 0 and 1 for all outputs; a word has both rows of a column."""
    words = (OUTPUTS - 1) * stride + 3
    lines = ["ldrd r2, lr, [%[w], #8]", "sxtb16 r12, r2, ror #8", "sxtb16 r2, r2", "sxtb16 lr, lr"]  # columns 1, 0, 2
    for word in range(words):
        lines += _loads("r10", words, word)
        for output, total in enumerate(_TOTALS):
            tap = word - output * stride
            if 0 <= tap < 3:
                lines.append(f"smlad {total}, r{word % 2}, {('r2', 'r12', 'lr')[tap]}, {total}")
    return lines


def _row(dtype: str, stride: int, left: int, width: int, shift: int) -> str:
    """Blocks of outputs of a channel, then the next channel; four of them.

    On the stack: from one output to the next, three times that; rows 0 and 1 of the channel, row 2, y, its end; from
    one channel to the next in y, the end of the constants; y of the channel, its multiplier and addend.
    """
    pitch = 4 * PLANES[width][0]
    lines = ["ldm %[w], {r0, r1, r2, r4, r5, r6, r7, r8, r9, r12}", "sub sp, sp, #8"]
    lines += ["push {r0, r1, r2, r4, r5, r6, r7, r8, r9}", "mov %[w], r12"]
    lines += ["1:", "ldrd r2, r0, [%[w], #12]", "ubfx r1, r2, #8, #8", "asr r2, r2, #24", "add r1, r1, r2, lsl #8"]
    lines += ["strd r0, r1, [sp, #36]", "ldrd r10, r11, [sp, #8]", "2:", "ldr lr, [%[w]]"]
    lines += [*_row_2(stride, left), *_rows_0_and_1(stride), "ldrd r0, r1, [sp, #36]"]
    lines += [f"smmla {total}, {total}, r0, r1" for total in _TOTALS]
    cut = "ssat" if dtype == "int8" else "usat"
    lines += [f"{cut} {total}, #8, {total}, asr #{shift}" for total in _TOTALS]
    lines += ["ldrd r0, r1, [sp]", "ldrd r2, r12, [sp, #16]"]
    for half in (_TOTALS[:3], _TOTALS[3:]):
        lines += [f"strb {half[0]}, [r2]", f"strb {half[1]}, [r2, r0]", f"strb {half[2]}, [r2, r0, lsl #1]"]
        lines.append("add r2, r2, r1")
    lines += [f"add r10, r10, #{4 * OUTPUTS * stride}", f"add r11, r11, #{2 * OUTPUTS * stride}"]
    lines += ["str r2, [sp, #16]", "cmp r2, r12", "bne 2b"]
    lines += ["ldrd r0, r1, [sp, #24]", "ldrd r10, r11, [sp, #8]", f"add r10, r10, #{pitch}", f"add r11, r11, #{pitch}"]
    lines += ["ldr r2, [sp, #32]", "add r2, r2, r0", "add r12, r12, r0", "str r2, [sp, #32]", "strd r2, r12, [sp, #16]"]
    lines += ["strd r10, r11, [sp, #8]", f"add %[w], %[w], #{4 * CHANNEL_WORDS}", "cmp %[w], r1", "bne 1b"]
    return asm([*lines, "add sp, sp, #44"], ['[w] "+r"(arguments)'], [], CLOBBERS, indent=12)


def _depthwise(dtype: str, stride: int, left: int, width: int, shift: int) -> Helper:
    element, name = f"{dtype}_t", depthwise_name(dtype, stride, left, width, shift)
    low, high = INTEGER_RANGE[dtype]
    pitch, row_2 = PLANES[width]
    planes, margins = f"byte_planes_{short(dtype)}_w{width}", f"byte_margins_w{width}"
    source = f"""\
/*
 * A row of `ow` outputs of a window 3x3 with stride {stride}{", padded to the left" if left else ""}:
 * of rows `width` columns wide, those from begin to end at rows[], the others and what lies beside them are `pad`.
 * {CHANNELS} channels at a time, the last over those before; w holds for each where its sums start, taps and addend,
 * multiplier.
 */
{SHARED} void name_{name}({element} *y, const {element} *x, const int32_t *rows, int32_t begin, int32_t end, \
const int32_t *w, int32_t channels, int32_t width, int32_t ow, int32_t pad)
{{
    const int32_t stride = {stride};
    const int32_t left = {left};
    int32_t words[{_plane_words(width)}];


    name_{margins}(words, left, left + width, (ow - 1) * stride + 3, pad);
    name_{margins}(words + {row_2}, left, left + (width + 1) / 2, ((ow - 1) * stride + left + 4) / 2, pad);
    for (int32_t channel = 0; channel < channels; channel += {CHANNELS}) {{
        const int32_t place = channel <= channels - {CHANNELS} ? channel : channels - {CHANNELS};
        const int32_t *const constants = w + place * {CHANNEL_WORDS};
        {element} *const output = y + place;
{IF_ASM}
        const int32_t whole = ow / {OUTPUTS} * {OUTPUTS};
        {element} rest[{CHANNELS}][{OUTPUTS}];
#endif

        name_{planes}(words + left, words + {row_2} + left, x + place, rows, begin, end, channels, width, pad);
{IF_ASM}
        for (int32_t first = 0; first < ow; first += whole > first ? whole : {OUTPUTS}) {{
            const int32_t step = whole > first ? channels : 1;
            {element} *const target = whole > first ? output : rest[0];
            {element} *const end_of_y = target + (whole > first ? whole : {OUTPUTS}) * step;
            const int32_t *const column = words + first * stride;
            const intptr_t values[10] = {{
                step, {OUTPUTS // 2} * step, (intptr_t)column, (intptr_t)(words + {row_2} + first * stride / 2),
                (intptr_t)target, (intptr_t)end_of_y, whole > first ? 1 : {OUTPUTS},
                (intptr_t)(constants + {CHANNELS * CHANNEL_WORDS}), (intptr_t)target, (intptr_t)constants,
            }};
            const intptr_t *arguments = values;

{_row(dtype, stride, left, width, shift)}        }}
        for (int32_t i = whole; i < ow; i++) {{
            for (int32_t j = 0; j < {CHANNELS}; j++) {{
                output[i * channels + j] = rest[j][i - whole];
            }}
        }}
#else
        for (int32_t i = 0; i < ow * {CHANNELS}; i++) {{
            const int32_t *const plane = words + i % {CHANNELS} * {pitch};
            const int32_t *const own = constants + i % {CHANNELS} * {CHANNEL_WORDS};
            int32_t acc = own[0];
            int32_t level;

            for (int32_t tap = 0; tap < 3; tap++) {{
                const int32_t column = i / {CHANNELS} * stride + tap;
                const int32_t both = plane[column];
                const uint32_t pair = (uint32_t)plane[{row_2} + (column + left) / 2];
                const int32_t two = (int32_t)(pair << ((column + left) % 2 == 0 ? 16 : 0));
                const uint32_t upper = (uint32_t)own[tap < 2 ? 2 : 3] << (tap == 1 ? 0 : 8);
                const uint32_t lower = (uint32_t)own[tap < 2 ? 2 : 3] << (tap == 1 ? 16 : 24);
                const uint32_t last = (uint32_t)own[1] << (tap == 2 ? 0 : 24 - 8 * tap);

                acc += ((int32_t)((uint32_t)both << 16) >> 16) * ((int32_t)lower >> 24);
                acc += (both >> 16) * ((int32_t)upper >> 24);
                acc += (two >> 16) * ((int32_t)last >> 24);
            }}
            level = (own[3] >> 24) * 256 + (int32_t)((uint32_t)own[3] >> 8 & 255U);
            level = ((int32_t)(((int64_t)acc * own[4]) >> 32) + level) >> {shift};
            output[i / {CHANNELS} * channels + i % {CHANNELS}] =
                ({element})(level < {low} ? {low} : (level > {high} ? {high} : level));
        }}
#endif
    }}
}}
"""
    return Helper(name, source, depthwise, requires=(margins, planes))


DSP_BYTE_DEPTHWISE = (
    *(make(width) for make in (_pad, _margins) for width in PLANES),
    *(make(dtype, width) for make in (_spread, _planes) for dtype in DTYPES for width in PLANES),
    *(
        _depthwise(dtype, stride, left, width, shift)
        for dtype in DTYPES
        for stride in (1, 2)
        for left in (0, 1)
        for width in PLANES
        for shift in SHIFTS
    ),
)
