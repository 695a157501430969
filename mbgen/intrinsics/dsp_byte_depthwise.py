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
RUNS = 3  # of words, that the rows of a window are spread to
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
    """Of all planes; what the outputs of a last block that do not count read may lie in the next plane, or behind."""
    pitch, row_2 = PLANES[width]
    return (CHANNELS - 1) * pitch + row_2 + width // 2 + OUTPUTS


# --- spreading -----------------------------------------------------------------------------------------------------


def _spread(dtype: str, width: int) -> Helper:
    """Two words to each plane at a time, made of four words of bytes; then one where their number is odd.

    Halves of two words of bytes make two words with both values of two channels, whose bytes 0 and 2 are one channel,
    bytes 1 and 3 the other.
    """
    pitch = 4 * PLANES[width][0]
    widen = "sxtb16" if dtype == "int8" else "uxtb16"
    # r0: x, r1: across, r2: step, r12: both, r11: the second plane, lr: the end of pairs
    lines = ["ldr r10, [%[at]]", "ldr r12, [%[at], #4]", "push {r10, r12}", "ldr %[at], [%[at], #8]", "1:"]
    lines += ["ldm %[at]!, {r0, r1, r2, r11, lr}", "ldr r12, [sp]", "add r0, r0, r12", "add r12, r1, r2"]
    lines += ["cmp r11, lr", "beq 3f", "2:"]
    lines += ["ldr r4, [r0]", "ldr r5, [r0, r1]", "ldr r6, [r0, r2]", "ldr r7, [r0, r12]", "add r0, r0, r2, lsl #1"]
    lines += ["pkhbt r8, r4, r5, lsl #16", "pkhtb r5, r5, r4, asr #16"]
    lines += ["pkhbt r9, r6, r7, lsl #16", "pkhtb r7, r7, r6, asr #16"]
    for first, second, place in (("r8", "r9", -pitch), ("r5", "r7", pitch)):
        lines += [f"{widen} r4, {first}", f"{widen} r6, {second}", f"strd r4, r6, [r11, #{place}]"]
    for first, second, address in (("r5", "r7", f"[r11, #{2 * pitch}]"), ("r8", "r9", "[r11], #8")):
        lines += [f"{widen} r4, {first}, ror #8", f"{widen} r6, {second}, ror #8", f"strd r4, r6, {address}"]
    lines += ["cmp r11, lr", "bne 2b", "3:", "ldr r12, [%[at]], #4", "cmp r11, r12", "beq 4f"]
    lines += ["sub r11, r11, #%c[pitch]", "ldr r4, [r0]", "ldr r5, [r0, r1]"]  # STR reaches back less far than STRD
    lines += ["pkhbt r8, r4, r5, lsl #16", "pkhtb r5, r5, r4, asr #16"]
    for number, halves in enumerate(("r8", "r8, ror #8", "r5", "r5, ror #8")):
        lines += [f"{widen} r4, {halves}", f"str r4, [r11, #{number * pitch}]"]
    lines += ["4:", "ldr r12, [sp, #4]", "cmp %[at], r12", "bne 1b", "add sp, sp, #8"]
    element, name = f"{dtype}_t", f"byte_spread_{short(dtype)}_w{width}"
    source = f"""\
/* Words that are spread from bytes. */
struct name_byte_words_{short(dtype)}_w{width} {{
    const {element} *x; /* of channel 0, what goes to the lower half of the first word */
    int32_t across; /* from there to the upper half's */
    int32_t step; /* from word to word */
    int32_t *y; /* of the second channel */
    int32_t *pairs_end; /* of the words that are made two at a time */
    int32_t *end;
}};

/* Spread bytes of {CHANNELS} channels, the first of number `channel`, to some runs of words of each of their planes. */
{SHARED} void name_{name}(const struct name_byte_words_{short(dtype)}_w{width} *at, int32_t count, int32_t channel)
{{
{IF_ASM}
    const intptr_t values[3] = {{channel, (intptr_t)(at + count), (intptr_t)at}};
    const intptr_t *arguments = values;

{asm(lines, ['[at] "+r"(arguments)'], [f'[pitch] "i"({pitch})'], CLOBBERS)}#else
    for (int32_t run = 0; run < count; run++) {{
        const {element} *x = at[run].x + channel;

        for (int32_t *y = at[run].y; y != at[run].end; y++) {{
            for (int32_t plane = 0; plane < {CHANNELS}; plane++) {{
                const uint32_t low = (uint32_t)(int32_t)x[plane] & 0xFFFFU;

                y[(plane - 1) * {pitch // 4}] = (int32_t)(low | (uint32_t)(int32_t)x[at[run].across + plane] << 16);
            }}
            x = &x[at[run].step];
        }}
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
    const uint32_t both = (((uint32_t)pad & 0xFFFFU) | (uint32_t)pad << 16) & ~keep;

    for (int32_t channel = 0; channel < {CHANNELS}; channel++) {{
        for (int32_t word = 0; word < words; word++) {{
            y[word] = (int32_t)(((uint32_t)y[word] & keep) | both);
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


def _places(dtype: str, width: int) -> Helper:
    """The runs of words of a window's rows; rows that are padding have none."""
    element, words = f"{dtype}_t", f"name_byte_words_{short(dtype)}_w{width}"
    name, spread = f"byte_places_{short(dtype)}_w{width}", f"byte_spread_{short(dtype)}_w{width}"
    source = f"""\
/* The run of `words` words at y, of bytes at x; returns where the next run's place is. */
static NAME_INLINE struct {words} *name_{name}_run(struct {words} *at, int32_t *y, const {element} *x, int32_t across, \
int32_t step, int32_t words)
{{
    int32_t *const second = y + {PLANES[width][0]};
    const struct {words} run = {{x, across, step, second, second + words / 2 * 2, second + words}};

    *at = run;
    return at + 1;
}}

/*
 * Where the rows of a window go, those from begin to end at rows[]; pixels lie a pitch apart. Rows 0 and 1 share the
 * words at y, neighbouring columns those of row 2. Returns how many runs of words that takes, {RUNS} at most.
 */
{SHARED} int32_t name_{name}(struct {words} *at, int32_t *y, int32_t *row_2, const {element} *x, const int32_t *rows, \
int32_t begin, int32_t end, int32_t pitch, int32_t width)
{{
    struct {words} *next = at;

    if (begin < 2 && end > 0) {{
        const int32_t upper = rows[end > 1 ? 1 : 0];
        const int32_t lower = begin > 0 ? upper : rows[0];

        next = name_{name}_run(next, y, x + lower, upper - lower, pitch, width);
    }}
    if (end > 2) {{
        next = name_{name}_run(next, row_2, x + rows[2], pitch, 2 * pitch, width / 2);
        if (width % 2 != 0) {{
            next = name_{name}_run(next, row_2 + width / 2, x + rows[2] + (width - 1) * pitch, 0, 0, 1);
        }}
    }}
    return (int32_t)(next - at);
}}
"""
    return Helper(name, source, pairs, requires=(spread,))


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
    return asm([*lines, "add sp, sp, #44"], ['[w] "+r"(run)'], [], CLOBBERS)


def _channels(dtype: str, width: int) -> Helper:
    """The channels of a row, four at a time; what makes their outputs is an argument."""
    element, of, row_2 = f"{dtype}_t", f"{short(dtype)}_w{width}", PLANES[width][1]
    name, margins, pad = f"byte_channels_{of}", f"byte_margins_w{width}", f"byte_pad_w{width}"
    source = f"""\
/* Blocks of {OUTPUTS} outputs of each of {CHANNELS} channels. */
struct name_byte_run_{of} {{
    int32_t step; /* from output to output */
    int32_t half_block;
    const int32_t *columns; /* rows 0 and 1 of the first block and channel */
    const int32_t *row_2;
    {element} *y;
    const {element} *y_end; /* of the first channel */
    int32_t next; /* from channel to channel */
    const int32_t *constants_end;
    {element} *first;
    const int32_t *constants;
}};

/* Makes the outputs of {CHANNELS} channels. */
typedef void name_byte_outputs_{of}(const struct name_byte_run_{of} *run);

/*
 * A row of `ow` outputs of a window 3x3 with a stride and {OUTPUTS} outputs a block, with `left` columns of padding: of
 * rows `width` columns wide, those from begin to end at rows[], the others and what lies beside them are `pad`.
 * {CHANNELS} channels at a time, the last over those before; w holds for each where its sums start, taps and addend,
 * multiplier.
 */
{SHARED} void name_{name}({element} *y, const {element} *x, const int32_t *rows, int32_t begin, int32_t end, \
const int32_t *w, int32_t channels, int32_t width, int32_t ow, int32_t pad, int32_t stride, int32_t left, \
name_byte_outputs_{of} *outputs)
{{
    const int32_t whole = ow / {OUTPUTS} * {OUTPUTS};
    const int32_t reach = (ow + {OUTPUTS - 1}) / {OUTPUTS} * {OUTPUTS} * stride + 3 - stride;
    const int32_t columns = begin < 2 && end > 0 ? width : 0; /* that are spread */
    const int32_t pairs = end > 2 ? (width + 1) / 2 : 0;
    int32_t words[{_plane_words(width)}];
    int32_t *const row_2 = words + {row_2};
    {element} rest[{CHANNELS}][{OUTPUTS}];
    struct name_byte_words_{of} at[{RUNS}];
    const int32_t count =
        name_byte_places_{of}(at, words + left, row_2 + left, x, rows, begin, end, channels, width);

    name_{margins}(words, left, left + columns, reach, pad);
    name_{margins}(row_2, left, left + pairs, (reach + left + 1) / 2, pad);
    for (int32_t channel = 0; channel < channels; channel += {CHANNELS}) {{
        const int32_t place = channel <= channels - {CHANNELS} ? channel : channels - {CHANNELS};
        const int32_t *const constants = w + place * {CHANNEL_WORDS};
        const int32_t *const constants_end = constants + {CHANNELS * CHANNEL_WORDS};
        {element} *const output = y + place;
        {element} *const output_end = output + whole * channels;

        name_byte_spread_{of}(at, count, place);
        if (begin > 0 || end < 2) {{
            name_{pad}(words + left, columns, begin > 0 ? 0xFFFF0000U : 0xFFFFU, pad);
        }}
        if (pairs > width / 2) {{
            name_{pad}(row_2 + left + width / 2, 1, 0xFFFFU, pad);
        }}
        if (whole > 0) {{
            const struct name_byte_run_{of} run = {{
                channels, {OUTPUTS // 2} * channels, words, row_2, output, output_end, 1, constants_end, output, \
constants,
            }};

            outputs(&run);
        }}
        if (whole < ow) {{
            const struct name_byte_run_{of} run = {{
                1, {OUTPUTS // 2}, words + whole * stride, row_2 + whole * stride / 2, &rest[0][0], &rest[1][0], \
{OUTPUTS},
                constants_end, &rest[0][0], constants,
            }};

            outputs(&run);
            for (int32_t i = whole; i < ow; i++) {{
                for (int32_t j = 0; j < {CHANNELS}; j++) {{
                    output[i * channels + j] = rest[j][i - whole];
                }}
            }}
        }}
    }}
}}
"""
    return Helper(name, source, depthwise, requires=(margins, pad, f"byte_places_{of}"))


def _depthwise(dtype: str, stride: int, left: int, width: int, shift: int) -> Helper:
    element, name = f"{dtype}_t", depthwise_name(dtype, stride, left, width, shift)
    low, high = INTEGER_RANGE[dtype]
    of, (pitch, _) = f"{short(dtype)}_w{width}", PLANES[width]
    start, in_pairs = "i" if stride == 1 else f"i * {stride}", f"(column + {left})" if left else "column"
    source = f"""\
/* Outputs with stride {stride}{" and a column of padding to the left" if left else ""}. */
{SHARED} void name_{name}_run(const struct name_byte_run_{of} *run)
{{
{IF_ASM}
{_row(dtype, stride, left, width, shift)}#else
    {element} *first = run->y;

    for (int32_t channel = 0; channel < {CHANNELS}; channel++) {{
        const int32_t *const columns = run->columns + channel * {pitch};
        const int32_t *const row_2 = run->row_2 + channel * {pitch};
        const int32_t *const own = run->constants + channel * {CHANNEL_WORDS};
        const int32_t count = (int32_t)(run->y_end - run->y) / run->step;

        for (int32_t i = 0; i < count; i++) {{
            int32_t acc = own[0];
            int32_t level;

            for (int32_t tap = 0; tap < 3; tap++) {{
                const int32_t column = {start} + tap;
                const int32_t both = columns[column];
                const uint32_t pair = (uint32_t)row_2[{in_pairs} / 2];
                const int32_t two = (int32_t)(pair << ({in_pairs} % 2 == 0 ? 16 : 0));
                const uint32_t upper = (uint32_t)own[tap < 2 ? 2 : 3] << (tap == 1 ? 0 : 8);
                const uint32_t lower = (uint32_t)own[tap < 2 ? 2 : 3] << (tap == 1 ? 16 : 24);
                const uint32_t last = (uint32_t)own[1] << (tap == 2 ? 0 : 24 - 8 * tap);

                acc += ((int32_t)((uint32_t)both << 16) >> 16) * ((int32_t)lower >> 24);
                acc += (both >> 16) * ((int32_t)upper >> 24);
                acc += (two >> 16) * ((int32_t)last >> 24);
            }}
            level = (own[3] >> 24) * 256 + (int32_t)((uint32_t)own[3] >> 8 & 255U);
            level = ((int32_t)(((int64_t)acc * own[4]) >> 32) + level) >> {shift};
            first[i * run->step] = ({element})(level < {low} ? {low} : (level > {high} ? {high} : level));
        }}
        first += run->next;
    }}
#endif
}}

/* A row of outputs. */
{SHARED} void name_{name}({element} *y, const {element} *x, const int32_t *rows, int32_t begin, int32_t end, \
const int32_t *w, int32_t channels, int32_t width, int32_t ow, int32_t pad)
{{
    name_byte_channels_{of}(y, x, rows, begin, end, w, channels, width, ow, pad, {stride}, {left}, name_{name}_run);
}}
"""
    return Helper(name, source, depthwise, requires=(f"byte_channels_{of}",))


DSP_BYTE_DEPTHWISE = (
    *(make(width) for make in (_pad, _margins) for width in PLANES),
    *(make(dtype, width) for make in (_spread, _places, _channels) for dtype in DTYPES for width in PLANES),
    *(
        _depthwise(dtype, stride, left, width, shift)
        for dtype in DTYPES
        for stride in (1, 2)
        for left in (0, 1)
        for width in PLANES
        for shift in SHIFTS
    ),
)
