"""Matrix products on bytes for the DSP extension of Cortex-M: three pixels of bytes become packed words, then tiles.

The words and the products are those of `mbgen.intrinsics.dsp`: one SMLAL makes four products in fields of 21 bits. Here
they live in a scratch of few pixels; weights are words too, or bytes that are widened for four channels at a time, so
that constants take no more memory than bytes do. All sizes are arguments: layers share the code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mbgen.graph import INTEGER_RANGE, Array
from mbgen.intrinsics.dsp import CHANNELS, FIELD, FIELD_BITS, PIXELS
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.mve import asm

CONSTANT_WORDS = 3  # of a channel: where its sums start, multiplier and addend
PART_CONSTANT_WORDS = 2  # the same where k is in parts: start and level in one word, multiplier and level in the next
MULTIPLIER_BITS, LEVEL_BITS = 29, 14  # of these words; the start has those of a field
START_WORDS = 8  # of a block that is widened: four packed sums, before its weights
SHIFTS = (4, 2)  # that rescaling comes with: a shift is part of an instruction
PART_STEP = 16  # parts of k but the first are whole turns of the loop over k
PART_START = FIELD // 2  # where the sums of parts but the first start
MAX_TAPS = 64  # of a row of a window, channels included
DTYPES = ("int8", "uint8")

# Clang may keep r7 for itself
IF_ASM = "#if defined(__GNUC__) && !defined(__clang__) && defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__)"
# one copy in the library, whatever the number of kernels that call it
SHARED = """\
#if defined(__GNUC__)
__attribute__((__noinline__, __unused__))
#endif
static"""
CLOBBERS = (*(f"r{n}" for n in range(13) if n != 3), "lr", "cc", "memory")  # leaves r3 for an operand

_UNROLLED = PART_STEP  # steps of k without a loop
_PACKED = 8  # the same where triples are packed
_WIDENED = 8  # where weights are widened
_STEP_BYTES = 24  # of code, of either of the first two
_X = ("r0", "r1", "r2")  # the triple's address, and its words
_W = ("%[w]", "r12", "lr")
_SUMS = (("r4", "r5"), ("r6", "r7"), ("r8", "r9"), ("r10", "r11"))


def short(dtype: str) -> str:
    """int8 as s8, uint8 as u8."""
    return f"{'u' if dtype == 'uint8' else 's'}8"


def rescaled(sums: Array, multiplier: Array, addend: Array, shift: int, dtype: str) -> Array:
    """(sums * multiplier / 2^32 + addend) / 2^shift, both rounded down, cut to what `dtype` holds."""
    scaled = (np.asarray(sums, np.int64) * np.asarray(multiplier, np.int64) >> 32) + addend
    return np.asarray(np.clip(scaled >> shift, *INTEGER_RANGE[dtype]), dtype)


# --- packing -------------------------------------------------------------------------------------------------------


def triples(x: Array) -> Array:
    """`x[3 * t, k]` to words int32 `[t, k, 2]`: pixels 0 and 1, pixels 1 and 2 of each triple."""
    pixels = x.reshape(-1, PIXELS, x.shape[-1]).astype(np.int32)
    words = pixels[:, :2] + pixels[:, 1:] * FIELD
    return np.ascontiguousarray(words.transpose(0, 2, 1))


def block_words(k: int) -> int:
    """Words of a block of channels: where sums start, weights, scales."""
    return START_WORDS + 2 * k + 2 * CHANNELS


def channel_places(n: int, k: int, widened: bool) -> Array:
    """Where each channel's weights begin: in bytes `[n, k]`, or in halves of the words of blocks."""
    channels = np.arange(n)
    if not widened:
        return np.asarray(channels * k)
    block = channels // CHANNELS
    within = channels - np.minimum(block * CHANNELS, n - CHANNELS)
    return np.asarray(2 * (block * block_words(k) + START_WORDS) + within)


def pack_constants(start: Array, multiplier: Array, addend: Array) -> Array:
    """Three of `[n]` to int32 `[3 * n]`: where sums start, then pairs of multiplier and addend."""
    return np.concatenate([start, np.stack([multiplier, addend], axis=1).reshape(-1)]).astype(np.int32)


def pack_part_constants(start: Array, multiplier: Array, addend: Array, later: int) -> Array | None:
    """The same to int32 `[2 * n]` where `later` parts follow the first; None where a channel's do not fit their bits.

    Instead of the addend there is the level of the start, which is nearer to zero.
    """
    begin, multiplier = start.astype(np.int64) + later * PART_START, multiplier.astype(np.int64)
    level = addend + (begin * multiplier >> 32)
    high, half = 32 - FIELD_BITS, 1 << LEVEL_BITS - 1
    if np.any((level < -half) | (level >= half) | (multiplier < 0) | (multiplier >> MULTIPLIER_BITS != 0)):
        return None
    low = LEVEL_BITS - high
    words = [start | level >> low << FIELD_BITS, multiplier | (level & (1 << low) - 1) << MULTIPLIER_BITS]
    return np.asarray(np.stack(words, axis=1).reshape(-1).astype(np.uint32).view(np.int32))


def _pack_triples(dtype: str) -> Helper:
    """The loop over k is entered where the rest of k begins, as that of the tiles is."""
    load = "ldrsb" if dtype == "int8" else "ldrb"
    # all instructions of four bytes
    step = [f"{load}.w %[b], [%[x], %[pitch]]", f"{load}.w %[c], [%[x], %[pitch], lsl #1]", f"{load} %[a], [%[x]], #1"]
    step += ["add.w %[a], %[a], %[b], lsl #21", "add.w %[b], %[b], %[c], lsl #21", "strd %[a], %[b], [%[y]], #8"]
    lines = ["adr %[entry], 3f", "sub %[entry], %[entry], %[rest]", "orr %[entry], %[entry], #1"]
    lines += ["1:", "mov %[i], %[turns]", "bx %[entry]", "2:", *step * _PACKED, "3:", "subs %[i], %[i], #1", "bne 2b"]
    lines += ["add %[x], %[x], %[across]", "add %[y], %[y], %[skip]", "subs %[left], %[left], #1", "bne 1b"]
    # early clobbers: an input of the same value must not share a register that is counted down
    outputs = ['[x] "+&r"(x)', '[y] "+&r"(y)', '[left] "+&r"(triples)']
    outputs += [f'[{one}] "=&r"({one})' for one in ("i", "entry", "a", "b", "c")]
    inputs = [
        '[pitch] "r"(pitch)',
        f'[turns] "r"((k + {_PACKED - 1}) / {_PACKED})',
        f'[rest] "r"({_STEP_BYTES} * ((k - 1) % {_PACKED} + 1))',
        '[across] "r"(across)',
        '[skip] "r"(4 * skip)',
    ]
    element, name = f"{dtype}_t", f"byte_triples_{short(dtype)}"
    source = f"""\
/*
 * Pack k values of each of {PIXELS} pixels, a pitch apart, and so on: pixels 0 and 1 in a word, pixels 1 and 2 in the
 * next. From triple to triple skip some words of y.
 */
{SHARED} void name_{name}(int32_t *y, const {element} *x, int32_t pitch, int32_t k, int32_t triples, int32_t skip)
{{
    const int32_t across = {PIXELS} * pitch - k;
{IF_ASM}
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t i;
    int32_t entry;

{asm(lines, outputs, inputs, ("cc", "memory"))}#else
    for (int32_t triple = 0; triple < triples; triple++) {{
        for (int32_t i = 0; i < k; i++) {{
            y[0] = x[0] + x[pitch] * (1 << {FIELD_BITS});
            y[1] = x[pitch] + x[2 * pitch] * (1 << {FIELD_BITS});
            y += 2;
            x++;
        }}
        x = &x[across];
        y += skip;
    }}
#endif
}}
"""
    return Helper(name, source, triples)


def windows(x: Array, first: int, stride: int, kw: int, count: int, pad: int) -> Array:
    """`x[kh, width, channels]` to the windows of `count` pixels of a row, `[count, kh * kw * channels]`.

    The first begins at column `first`; columns outside of x are `pad`.
    """
    columns = first + stride * np.arange(count)[:, np.newaxis] + np.arange(kw)
    inside = (columns >= 0) & (columns < x.shape[1])
    found = np.where(inside[np.newaxis, :, :, np.newaxis], x[:, np.clip(columns, 0, x.shape[1] - 1)], pad)
    return np.ascontiguousarray(found.transpose(1, 0, 2, 3).reshape(count, -1))


def _pack_windows(dtype: str) -> Helper:
    element, name, pack = f"{dtype}_t", f"byte_windows_{short(dtype)}", f"name_byte_triples_{short(dtype)}"
    source = f"""\
/*
 * Pack windows of {PIXELS} pixels at a time, `stride` columns apart, the first from column `first` on: kh rows, of
 * which those from begin to end lie at rows[], of kw columns of some channels. Whatever is outside is `pad`.
 */
{SHARED} void name_{name}(int32_t *y, const {element} *x, const int32_t *rows, int32_t begin, int32_t end, int32_t kh, \
int32_t kw, int32_t stride, int32_t first, int32_t width, int32_t channels, int32_t pad, int32_t triples)
{{
    const int32_t taps = kw * channels;
    const int32_t step = stride * channels;
    const int32_t reach = {PIXELS - 1} * step + taps; /* of the windows of a triple */
    const int32_t skip = 2 * (kh - 1) * taps;

    for (int32_t row = 0; row < kh; row++) {{
        const int32_t limit = row >= begin && row < end ? width * channels : 0;
        const {element} *const source = x + (limit > 0 ? rows[row] : 0);
        int32_t place = first * channels;
        int32_t count = 1;

        for (int32_t triple = 0; triple < triples; triple += count) {{
            int32_t *const target = y + 2 * taps * (kh * triple + row);

            count = 1;
            if (place >= 0 && place + reach <= limit) {{
                const int32_t inside = (limit - reach - place) / ({PIXELS} * step) + 1;

                count = inside < triples - triple ? inside : triples - triple;
                {pack}(target, source + place, step, taps, count, skip);
            }} else {{
                {element} copy[{PIXELS} * {MAX_TAPS}];

                const int32_t before = place < 0 ? -place : 0;
                const int32_t behind = limit - place < reach ? limit - place : reach;
                int32_t i = 0;

                while (i < reach && i < before) {{
                    copy[i] = ({element})pad;
                    i++;
                }}
                while (i < behind) {{
                    copy[i] = source[place + i];
                    i++;
                }}
                while (i < reach) {{
                    copy[i] = ({element})pad;
                    i++;
                }}
                {pack}(target, copy, step, taps, 1, 0);
            }}
            place += {PIXELS} * step * count;
        }}
    }}
}}
"""
    return Helper(name, source, windows, requires=(pack.removeprefix("name_"),))


# --- tiles ---------------------------------------------------------------------------------------------------------


def gemm(x: Array, weights: Array, start: Array, multiplier: Array, addend: Array, shift: int, dtype: str) -> Array:
    """`x[m, k]`, `weights[n, k]` and constants `[n]` to `y[m, n]`, all integers."""
    return rescaled(x.astype(np.int64) @ weights.astype(np.int64).T + start, multiplier, addend, shift, dtype)


def part_gemm(
    x: Array, weights: Array, start: Array, multiplier: Array, addend: Array, shift: int, dtype: str, part: int
) -> Array:
    """The same with k in parts of `part`, the first of what is left: only that has a `start` of its own."""
    later = (x.shape[1] - 1) // part
    return gemm(x, weights, start + later * PART_START, multiplier, addend, shift, dtype)


def gemm_name(dtype: str, shift: int, widened: bool, wide: bool, parts: bool = False) -> str:
    """The helper for outputs of `dtype`.

    Blocks are `widened` where constants are as `mbgen.lowering.streams` makes them, else bytes that the helper widens.
    `wide`: fields next to each other may reach 22 bits together; with bytes that is an argument, which takes less code.
    With `parts` k is cut, and fields may always be wide.
    """
    kind = "_words" if widened else ""
    kind += "_parts" if parts else "_wide" if widened and wide else ""
    return f"byte_gemm_{short(dtype)}_q{shift}{kind}"


def _unpacked(p: tuple[str, str], q: tuple[str, str], wide: bool) -> list[str]:
    """Sums out of their fields: channel 0 to r0, r1 and q's low word, channel 1 to p's words and q's high word."""
    lines = [f"ubfx r0, {p[0]}, #0, #21", f"ubfx r1, {q[0]}, #0, #21"]
    for (low, high), lower in ((p, "r1"), (q, p[1])):
        if wide:  # the field that both have is taken off first
            lines += [f"subs {low}, {low}, {lower}, lsl #21", f"sbc {high}, {high}, {lower}, lsr #11"]
        lines += [f"lsr {low}, {low}, #21", f"bfi {low}, {high}, #11, #10"]
        lines += [] if wide else [f"sub {low}, {low}, {lower}"]
        lines.append(f"lsr {high}, {high}, #10")
    return lines


def _finished(pair: int, dtype: str, shift: int, wide: bool, behind: bool, parts: bool = False) -> list[str]:
    """A pair's six sums to bytes: scales from the stack's slots 6 and 7; y and n in r2 and w's register.

    The first pair's scales may lie `behind` the weights, where w points to. With `parts` those before are added.
    """
    p, q = _SUMS[2 * pair], _SUMS[2 * pair + 1]
    first, second = ("r0", "r1", q[0]), (p[0], p[1], q[1])
    scales = ("r2", "%[w]", "r12", "lr") if pair == 0 else ("r4", "r5", "r6", "r7")
    lines = [*_macro_call(pair), *_added(pair)] if parts else _unpacked(p, q, wide)
    if pair == 0 and behind:
        lines.append(f"ldm %[w], {{{', '.join(scales)}}}")
    else:
        lines += [f"ldr {scales[0]}, [sp, #{24 + 4 * pair}]", f"ldm {scales[0]}, {{{', '.join(scales)}}}"]
    for sums, (multiplier, addend) in ((first, scales[:2]), (second, scales[2:])):
        lines += [f"smmla {one}, {one}, {multiplier}, {addend}" for one in sums]
    cut = "ssat" if dtype == "int8" else "usat"
    lines += [f"{cut} {one}, #8, {one}, asr #{shift}" for one in (*first, *second)]
    lines += ["ldrd r2, %[w], [sp, #8]"] if pair == 0 else []
    for one in (first, second):
        lines += [f"strb {one[1]}, [r2, %[w]]", f"strb {one[2]}, [r2, %[w], lsl #1]", f"strb {one[0]}, [r2], #1"]
    return lines


def _steps() -> list[str]:
    """Some k of a tile without a loop."""
    (a, x0, x1), (w, w0, w1) = _X, _W
    step = [f"ldrd {x0}, {x1}, [{a}], #8", f"ldrd {w0}, {w1}, [{w}], #8"]
    for i, (low, high) in enumerate(_SUMS):
        step.append(f"smlal {low}, {high}, {(x0, x1)[i % 2]}, {(w0, w1)[i // 2]}")
    # C limits the length of a string, hence .rept; the compiler takes lines for instructions, hence empty ones
    return [f".rept {_UNROLLED}", *step, ".endr" + r"\n" * len(step) * (_UNROLLED - 1)]


def _tiles(dtype: str, shift: int, wide: bool | None) -> str:
    """A block of channels at all pixels of some triples; where `wide` is None the end of the block's words says it.

    On the stack: the triple's words, the block's, y, n, where the first step of k is, the end of the block's words,
    scales of the first pair and of the second, from the end of a tile of y to the next, the end of y.
    """
    a, w = _X[0], _W[0]
    frame = "{r0, r1, r2, r4, r5, r6, r7, r8, r9, r10}"
    lines = [f"ldm {w}, {frame}", "adr lr, 3f", "sub r5, lr, r5", "orr r5, r5, #1"]
    lines += [f"push {frame}", "1:", f"ldrd {a}, {w}, [sp]", f"ldm {w}!, {{r4, r5, r6, r7, r8, r9, r10, r11}}"]
    lines += ["ldr pc, [sp, #16]", "2:", *_steps()]
    # where fields are wide the end is a byte less, which w steps over
    lines += ["3:", "ldr r1, [sp, #20]", f"cmp {w}, r1", f"{'blo' if wide is None else 'bne'} 2b", f"str {a}, [sp]"]
    lines += ["bne 5f"] if wide is None else []

    def finished(wide: bool, behind: bool) -> list[str]:
        return [*_finished(0, dtype, shift, wide, behind), *_finished(1, dtype, shift, wide, behind)]

    lines += [*finished(wide is True, wide is not None), "4:"]
    lines += ["ldrd r0, r1, [sp, #32]", "add r2, r2, r0", "str r2, [sp, #8]", "cmp r2, r1", "bne 1b"]
    lines += ["b 6f", "5:", *finished(True, False), "b 4b", "6:"] if wide is None else []
    return asm([*lines, "add sp, sp, #40"], ['[w] "+r"(tiles)'], [], CLOBBERS)


def _six(pair: int) -> tuple[str, ...]:
    """Where `_unpacked` leaves a pair's sums."""
    p, q = _SUMS[2 * pair], _SUMS[2 * pair + 1]
    return "r0", "r1", *p, *q


def _added(pair: int) -> list[str]:
    """Add a pair's sums of the parts before, from slots 12 on; the second pair leaves r2 and w's register alone."""
    six, place = _six(pair), 48 + 24 * pair
    if pair == 0:
        three = ("%[w]", "r12", "lr")
        lines = [f"add r2, sp, #{place}"]
        for some in (six[:3], six[3:]):
            lines += [f"ldm r2!, {{{', '.join(three)}}}"]
            lines += [f"add {one}, {one}, {more}" for one, more in zip(some, three, strict=True)]
        return lines
    more = ("r4", "r5", "r6", "r7", "r12", "lr")
    lines = [f"add lr, sp, #{place}", f"ldm lr, {{{', '.join(more)}}}"]
    return lines + [f"add {one}, {one}, {other}" for one, other in zip(six, more, strict=True)]


_FIELDS = ("p0", "p1", "q0", "q1")  # arguments of a macro that unpacks, which keeps the string short enough for C


def _macro() -> list[str]:
    p0, p1, q0, q1 = (rf"\\{one}" for one in _FIELDS)
    return [f".macro fields {', '.join(_FIELDS)}", *_unpacked((p0, p1), (q0, q1), True), ".endm"]


def _macro_call(pair: int) -> list[str]:
    """Its empty lines are for the compiler, which takes lines for instructions."""
    return [f"fields {', '.join(_six(pair)[2:])}" + r"\n" * (len(_macro()) - 3)]


def _part_tiles(dtype: str, shift: int) -> str:
    """As `_tiles`, with k in parts: the sums of one are unpacked and kept, then the next goes on where it has ended.

    On the stack the same, slot 5 being the end of this part's words; then the end of the first part's, bytes of words
    from there to the next end, the sums of the parts before, the end of the last part's.
    """
    a, w = _X[0], _W[0]
    frame = "{r0, r1, r2, r4, r5, r6, r7, r8, r9, r10}"
    lines = [*_macro(), f"ldm {w}, {frame}", f"ldrd r11, r12, [{w}, #40]", "adr lr, 3f", "sub r5, lr, r5"]
    lines += ["orr r5, r5, #1", "sub sp, sp, #56", "str r6, [sp, #48]", "push {r11, r12}", f"push {frame}"]
    lines += ["1:", f"ldrd {a}, {w}, [sp]", "ldr r4, [sp, #40]", "str r4, [sp, #20]"]
    lines += [f"ldm {w}!, {{r4, r5, r6, r7, r8, r9, r10, r11}}", "ldr pc, [sp, #16]", "2:", *_steps()]
    lines += ["3:", "ldr r1, [sp, #20]", f"cmp {w}, r1", "bne 2b", f"str {a}, [sp]"]
    lines += ["ldr r1, [sp, #96]", f"cmp {w}, r1", "beq 6f", "ldr r1, [sp, #40]", f"cmp {w}, r1", "bne 4f"]
    for later in (False, True):
        lines += ["4:"] if later else []
        for pair in range(2):
            lines += [*_macro_call(pair), *(_added(pair) if later else [])]
            lines += [f"add r2, sp, #{48 + 24 * pair}", f"stm r2, {{{', '.join(_six(pair))}}}"]
        lines += [] if later else ["b 5f"]
    lines += [
        "5:",
        f"ldr {a}, [sp]",
        f"ldr {w}, [sp, #20]",
        "ldr r1, [sp, #44]",
        f"add r1, {w}, r1",
        "str r1, [sp, #20]",
    ]
    packed = PART_START * (1 + FIELD) ** 2  # each sum's start: four fields of PART_START, two of them in the same place
    lines += [f"mov r4, #{packed % 2**32}", f"mov r5, #{packed >> 62 << 30}", f"orr r5, r5, #{(packed >> 32) % 2**30}"]
    lines += [f"mov {low}, r4\\n\\tmov {high}, r5" for low, high in _SUMS[1:]]
    lines += ["b 2b", "6:"]
    for pair in range(2):
        lines += _finished(pair, dtype, shift, True, False, parts=True)
    lines += ["ldrd r0, r1, [sp, #32]", "add r2, r2, r0", "str r2, [sp, #8]", "cmp r2, r1", "bne 1b"]
    return asm([*lines, "add sp, sp, #104", ".purgem fields"], ['[w] "+r"(tiles)'], [], CLOBBERS)


def _widen() -> str:
    """The loop over k is entered where the rest of k begins."""
    step = [f"ldrsb %[{a}], [%[w{i}]], #1" for i, a in enumerate("abcd")]
    step += ["add.w %[a], %[a], %[b], lsl #21", "add.w %[c], %[c], %[d], lsl #21", "strd %[a], %[c], [%[y]], #8"]
    lines = ["adr %[a], 2f", "sub %[a], %[a], %[rest]", "orr %[a], %[a], #1", "bx %[a]"]
    lines += ["1:", *step * _WIDENED, "2:", "subs %[turns], %[turns], #1", "bne 1b"]
    outputs = [f'[{one}] "+&r"({one})' for one in ("w0", "w1", "w2", "w3", "y", "turns")]
    outputs += [f'[{one}] "=&r"({one})' for one in "abcd"]
    rest = f'[rest] "r"({4 * len(step)} * ((k - 1) % {_WIDENED} + 1))'
    return asm(lines, outputs, [rest], ("cc", "memory"))


_BLOCK = Helper(
    "byte_block",
    f"""\
/*
 * Widen k weights of each of {
        CHANNELS
    } channels in pairs, behind the sums to start from, packed as two channels at two pixels.
 */
{SHARED} void name_byte_block(int32_t *y, const int32_t *start, const int8_t *w0, int32_t k)
{{
    const int8_t *w1 = w0 + k;
    const int8_t *w2 = w1 + k;
    const int8_t *w3 = w2 + k;
{IF_ASM}
    int32_t turns = (k + {_WIDENED - 1}) / {_WIDENED};
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
#endif

    for (int32_t pair = 0; pair < 2; pair++) {{
        const uint64_t first = (uint64_t)(uint32_t)start[2 * pair] * {FIELD + 1}U;
        const uint64_t second = (uint64_t)(uint32_t)start[2 * pair + 1] * {FIELD + 1}U;
        const uint64_t sum = first + (second << {FIELD_BITS});

        y[0] = (int32_t)(uint32_t)sum;
        y[1] = (int32_t)(uint32_t)(sum >> 32);
        y[2] = y[0];
        y[3] = y[1];
        y += 4;
    }}
{IF_ASM}
{_widen()}#else
    for (int32_t i = 0; i < k; i++) {{
        y[2 * i] = w0[i] + w1[i] * (1 << {FIELD_BITS});
        y[2 * i + 1] = w2[i] + w3[i] * (1 << {FIELD_BITS});
    }}
#endif
}}
""",
    lambda weights: weights[::2] + weights[1::2] * FIELD,
)

_FIELD = Helper(
    "byte_field",
    f"""\
/* One of the two values of a packed word. */
static NAME_INLINE int32_t name_byte_field(int32_t word, int32_t upper)
{{
    const int32_t low = (int32_t)((uint32_t)word << {32 - FIELD_BITS}) >> {32 - FIELD_BITS};

    return upper != 0 ? (word - low) >> {FIELD_BITS} : low;
}}
""",
    lambda word, upper: np.where(upper, (word + (1 << FIELD_BITS - 1)) >> FIELD_BITS, word),
)


_PART_CONSTANTS = Helper(
    "byte_part_constants",
    f"""\
/* Where the sums of a block's channels start, and their scales, from packed words; later parts start from `more`. */
{SHARED} void name_byte_part_constants(int32_t *start, int32_t *scales, const int32_t *constants, int32_t more)
{{
    for (int32_t channel = 0; channel < {CHANNELS}; channel++) {{
        const int32_t multiplier = constants[1] & ((1 << {MULTIPLIER_BITS}) - 1);
        const int32_t low = (int32_t)((uint32_t)constants[1] >> {MULTIPLIER_BITS});
        const int32_t level = (constants[0] >> {FIELD_BITS}) * {1 << LEVEL_BITS + FIELD_BITS - 32} + low;

        start[channel] = constants[0] & ((1 << {FIELD_BITS}) - 1);
        scales[0] = multiplier;
        scales[1] = level - (int32_t)(((int64_t)(start[channel] + more) * multiplier) >> 32);
        scales += 2;
        constants += {PART_CONSTANT_WORDS};
    }}
}}
""",
    lambda start, multiplier, addend: np.concatenate([start, multiplier, addend]),
)


def _gemm(dtype: str, shift: int, widened: bool, wide: bool | None, parts: bool = False) -> Helper:
    name, element = gemm_name(dtype, shift, widened, wide is True, parts), f"{dtype}_t"
    low, high = INTEGER_RANGE[dtype]
    parameters, scales, less = "const int32_t *words", f"words + {START_WORDS} + 2 * k", ""
    block, after = "", f"        words += {START_WORDS + 2 * CHANNELS} + 2 * k;\n"
    about = f"A block of {CHANNELS} channels is words: where sums start, weights, scales; the last lie over others."
    if not widened:
        parameters = "const int8_t *w, const int32_t *constants, int32_t wide, int32_t *words"
        scales, less = "constants + n + 2 * place", " - wide"
        block, after = "        name_byte_block(words, constants + place, w + place * k, k);\n", ""
        about = (
            f"Constants: where sums start, then scales; `words` is for {CHANNELS} channels, the last lie over others."
        )
    meaning: Callable[..., Array] = gemm
    fields, fill, local, more = "", "", "", ""
    assembly = _part_tiles(dtype, shift) if parts else _tiles(dtype, shift, wide)
    if parts:
        parameters, less, meaning = parameters.replace("int32_t wide", "int32_t part"), "", part_gemm
        parameters += ", int32_t part" if widened else ""
        if not widened:
            scales = f"words + {START_WORDS} + 2 * k"
            packed = f"constants + {PART_CONSTANT_WORDS} * place"
            block = f"        name_byte_part_constants(start, {scales}, {packed}, more);\n"
            block += "        name_byte_block(words, start, w + place * k, k);\n"
            about = f"Constants are packed; `words` is for {CHANNELS} channels, the last lie over others."
        about += f" k is in parts,\n * a multiple of {PART_STEP} long but for the first, which is what is left."
        fields = """
    intptr_t part_end; /* of the words of the first part of k */
    int32_t part_bytes; /* of the words of each part behind it */
    int32_t more; /* that sums of these parts start from */"""
        fill = f"""
        tiles.part_end = (intptr_t)(words + {START_WORDS} + 2 * ((k - 1) % part + 1));
        tiles.part_bytes = 8 * part;
        tiles.more = more;"""
        local = f"    const int32_t more = (k - 1) / part * {PART_START};\n"
        local += "" if widened else f"    int32_t start[{CHANNELS}];\n"
        more = " + tiles->more"
    source = f"""\
/* {CHANNELS} channels at the pixels of some triples. */
struct name_{name}_run {{
    const int32_t *x;
    const int32_t *words; /* where sums start, and weights */
    {element} *y;
    int32_t n;
    int32_t first; /* bytes of code of the steps of k before the first whole turn */
    intptr_t words_end;{" /* a byte less where fields next to each other may reach 22 bits together */" if less else ""}
    const int32_t *scales; /* of two channels */
    const int32_t *more_scales;
    int32_t skip; /* from the end of a tile of y to the next */
    {element} *y_end;{fields}
    int32_t k;
}};

{SHARED} void name_{name}_tiles(const struct name_{name}_run *tiles)
{{
{IF_ASM}
{assembly}#else
    const int32_t k = tiles->k;
    const int32_t count = (int32_t)(tiles->y_end - tiles->y) / tiles->n * {CHANNELS};

    for (int32_t i = 0; i < count; i++) {{
        const int32_t channel = i % {CHANNELS};
        const int32_t pixel = i / {CHANNELS} % {PIXELS};
        const int32_t *const triple = tiles->x + i / {PIXELS * CHANNELS} * 2 * k;
        const int32_t *const scale = tiles->scales + 2 * channel;
        const int32_t *const start = tiles->words + channel / 2 * 4;
        const uint64_t sums = (uint32_t)start[0] | ((uint64_t)(uint32_t)start[1] << 32);
        const uint64_t first_sum = sums & (((uint64_t)1 << {FIELD_BITS}) - 1);
        const uint64_t second_sum = (sums - first_sum * ((1 << {FIELD_BITS}) + 1)) >> {2 * FIELD_BITS};
        int32_t acc = (int32_t)(channel % 2 == 0 ? first_sum : second_sum){more};
        int32_t level;

        for (int32_t j = 0; j < k; j++) {{
            acc += name_byte_field(tiles->words[{START_WORDS} + 2 * j + channel / 2], channel % 2)
                * name_byte_field(triple[2 * j + pixel / 2], pixel > 0);
        }}
        level = ((int32_t)(((int64_t)acc * scale[0]) >> 32) + scale[1]) >> {shift};
        level = level < {low} ? {low} : (level > {high} ? {high} : level);
        tiles->y[i / {CHANNELS} * tiles->n + channel] = ({element})level;
    }}
#endif
}}

/*
 * y[pixel][n] = x[pixel][k] * weights[n][k], rescaled, for the pixels of some packed triples.
 * {about}
 */
{SHARED} void name_{name}({element} *y, int32_t n, const int32_t *x, int32_t triples, int32_t k, {parameters})
{{
{local}    struct name_{name}_run tiles;

    tiles.x = x;
    tiles.n = n;
    tiles.first = {_STEP_BYTES} * ((k - 1) % {_UNROLLED} + 1);
    tiles.skip = {PIXELS} * n - {CHANNELS};
    tiles.k = k;
    for (int32_t first = 0; first < n; first += {CHANNELS}) {{
        const int32_t place = first <= n - {CHANNELS} ? first : n - {CHANNELS};

{block}        tiles.words = words;
        tiles.words_end = (intptr_t)(words + {START_WORDS} + 2 * k){less};{fill}
        tiles.scales = {scales};
        tiles.more_scales = tiles.scales + {CHANNELS};
        tiles.y = y + place;
        tiles.y_end = tiles.y + triples * {PIXELS} * n;
        name_{name}_tiles(&tiles);
{after}    }}
}}
"""
    requires = ("byte_field",) if widened else ("byte_block", "byte_field")
    return Helper(
        name, source, meaning, requires=(*requires, *(("byte_part_constants",) if parts and not widened else ()))
    )


DSP_BYTE_GEMM = (
    *(_pack_triples(dtype) for dtype in DTYPES),
    *(_pack_windows(dtype) for dtype in DTYPES),
    _FIELD,
    _BLOCK,
    _PART_CONSTANTS,
    *(
        _gemm(dtype, shift, widened, wide)
        for dtype in DTYPES
        for shift in SHIFTS
        for widened, wide in ((True, False), (True, True), (False, None))
    ),
    *(_gemm(dtype, shift, widened, None, True) for dtype in DTYPES for shift in SHIFTS for widened in (True, False)),
)
