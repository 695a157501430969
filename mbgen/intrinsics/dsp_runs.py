"""Packed pointwise tiles one after the other, from sums to stored levels, for the DSP extension of Cortex-M.

A run goes through blocks of four channels at the same three pixels (see `mbgen.intrinsics.dsp` for packed sums). It is
one block of assembly with registers of its own choice, so that nothing moves between sums, levels and stores; what
must outlast the sums, which take every register, lies on the stack. Its words are a stream, read once from front to
back. For each block: for each part of k the four sums to start from, then two words a step; then for each of its two
pairs of channels

- two multipliers and addends, and if `scattered` the offsets in the output of both channels, in bytes;
- if the block has patches, in front of that: -1 and 0 before the first pair; then for each channel its patches, a sum
  and what the sum is moved by, behind the last of them a pair with a move of 0.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.dsp import CHANNELS, PIXELS, depthwise, levels, packed_fields, packed_sums, window_row
from mbgen.intrinsics.helper import Helper

_DSP = "defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__)"
FARTHEST_STORE = 4095  # bytes, what a store reaches from its base
LONGEST_PART = 63  # steps of k of a part, where there are several parts
_STRAIGHT = 64  # steps of k without a loop, at most

# r0 activations, later the output; r1 the stream; r2 to r9 four sums; r10, r11 activations; r12, lr weights
_P, _Q, _R, _S = (2, 3), (4, 5), (6, 7), (8, 9)

_STEP = (
    "ldrd r10, r11, [r0], #8",
    "ldrd r12, lr, [r1], #8",
    "smlal r2, r3, r10, r12",
    "smlal r4, r5, r11, r12",
    "smlal r6, r7, r10, lr",
    "smlal r8, r9, r11, lr",
)
# for cores that issue two instructions at a time: the loads of step i between the multiplications of the one before
_FIRST_AHEAD = ("ldrd r10, r11, [r0]", "ldrd r12, lr, [r1]")
_STEP_AHEAD = (
    "smlal r2, r3, r10, r12",
    "smlal r4, r5, r11, r12",
    "ldr r12, [r1, #(8 * (@))]",
    "smlal r6, r7, r10, lr",
    "ldr r10, [r0, #(8 * (@))]",
    "smlal r8, r9, r11, lr",
    "ldr r11, [r0, #(8 * (@) + 4)]",
    "ldr lr, [r1, #(8 * (@) + 4)]",
)
_LAST_AHEAD = (
    "smlal r2, r3, r10, r12",
    "smlal r4, r5, r11, r12",
    "add r0, r0, #(8 * @)",
    "smlal r6, r7, r10, lr",
    "smlal r8, r9, r11, lr",
    "add r1, r1, #(8 * @)",
)


def packed_run(
    activations: Array, stream: Array, splits: tuple[int, ...], shift: int, *, patched: bool, scattered: bool
) -> Array:
    """What a run stores, int32 `[blocks, 4, 4]`: each channel's offset, 0 unless `scattered`, and its three levels.

    `activations` int32 `[parts, k / parts, 2]`, `stream` int32; `splits` are the steps of each part of k.
    """
    blocks, at = [], 0

    def take(count: int) -> Array:
        nonlocal at
        at += count
        return stream[at - count : at]

    while at < len(stream):
        block, first = np.zeros((CHANNELS, 1 + PIXELS), np.int64), 0
        sums = block[:, 1:]
        for k in splits:
            acc = packed_sums(activations[:, first : first + k].reshape(-1), take(8 + 2 * k * len(activations)))
            sums += np.concatenate([packed_fields(int(acc[pair]), int(acc[pair + 1])) for pair in (0, 2)])
            first += k
        flagged = patched and stream[at] < 0
        at += 2 * flagged
        for pair in (0, 2):
            for channel in (pair, pair + 1) if flagged else ():
                while (patch := take(2))[1] != 0:
                    sums[channel] += (sums[channel] == patch[0]) * patch[1]
            for channel in (pair, pair + 1):
                multiplier, addend = take(2)
                sums[channel] = levels(sums[channel], multiplier, addend, np.array(shift))
            block[pair : pair + 2, 0] = take(2) if scattered else 0
        blocks.append(block)
    return np.array(blocks, np.int32)


def _macro(head: str, lines: tuple[str, ...]) -> str:
    return f"#define {head} \\\n" + " \\\n".join(f'    "{line}\\n\\t"'.replace("@", '" #i "') for line in lines) + "\n"


def _doubled(name: str, indexed: bool) -> str:
    """Macros of 2, 4 ... steps from that of one."""
    text, count = "", 1
    while count < _STRAIGHT:
        if indexed:
            text += f"#define {name}_{2 * count}(i) {name}_{count}(i) {name}_{count}(i + {count})\n"
            text += f"#define {name}_BUT_{2 * count}(i) {name}_{count}(i) {name}_BUT_{count}(i + {count})\n"
        else:
            text += f"#define {name}_{2 * count} {name}_{count} {name}_{count}\n"
        count *= 2
    return text


def _macros(ahead: bool) -> str:
    """Steps of k, and all steps of a part of k; `ahead` a piece loads for its first step, then each for the next."""
    name = f"NAME_RUN{'_AHEAD' if ahead else ''}"
    if ahead:
        text = _macro(f"{name}_FIRST", _FIRST_AHEAD) + _macro(f"{name}_LAST(i)", _LAST_AHEAD)
        text += _macro(f"{name}_1(i)", _STEP_AHEAD) + f"#define {name}_BUT_1(i)\n" + _doubled(name, indexed=True)
        piece = f"{name}_FIRST {name}_BUT_{{0}}(1) {name}_LAST({{0}})"
    else:
        text = _macro(f"{name}_1", _STEP) + _doubled(name, indexed=False)
        piece = f"{name}_{{0}}"
    counts = [_STRAIGHT >> place for place in range(_STRAIGHT.bit_length())]
    whole = [
        '    ".if " k " >= %c[straight]\\n2:\\n\\t"',
        *(f'    ".if %c[straight] == {count}\\n\\t" {piece.format(count)} ".endif\\n\\t"' for count in counts[:3]),
        '    ".if " k " >= 2 * %c[straight]\\n\\tldr r10, %[until]\\n\\tcmp r0, r10\\n\\tbne 2b\\n\\t"',
        '    ".endif\\n\\t.endif\\n\\t"',
        *(
            f'    ".if (" k " & (%c[straight] - 1) & {count}) != 0\\n\\t" {piece.format(count)} ".endif\\n\\t"'
            for count in counts[1:]
        ),
    ]
    return text + f"#define {name}_SUMS(k) \\\n" + " \\\n".join(whole) + "\n"


def _unpack(pair: int, wide: bool) -> list[str]:
    """The sums of a pair of channels, the first channel's in r10, r11 and q's low word, the other's p and q's high."""
    (pl, ph), (ql, qh) = (_P, _Q) if pair == 0 else (_R, _S)
    text = [f"ubfx r10, r{pl}, #0, #21", f"ubfx r11, r{ql}, #0, #21"]
    if wide:  # the field that both accumulators have is taken off first
        text += [f"subs r{pl}, r{pl}, r11, lsl #21", f"sbc r{ph}, r{ph}, r11, lsr #11"]
    text += [f"lsr r{pl}, r{pl}, #21", f"bfi r{pl}, r{ph}, #11, #10"]
    text += [] if wide else [f"sub r{pl}, r{pl}, r11"]
    text += [f"lsr r{ph}, r{ph}, #10"]
    if wide:
        text += [f"subs r{ql}, r{ql}, r{ph}, lsl #21", f"sbc r{qh}, r{qh}, r{ph}, lsr #11"]
    text += [f"lsr r{ql}, r{ql}, #21", f"bfi r{ql}, r{qh}, #11, #10"]
    text += [] if wide else [f"sub r{ql}, r{ql}, r{ph}"]
    return [*text, f"lsr r{qh}, r{qh}, #10"]


def _fields(pair: int) -> list[str]:
    return [
        ".if %c[wide]",
        *_unpack(pair, wide=True),
        ".else",
        *_unpack(pair, wide=False),
        ".endif",
    ]


def _results(pair: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The registers of both channels' three sums once they are out of their fields."""
    (pl, ph), (ql, qh) = (_P, _Q) if pair == 0 else (_R, _S)
    return (10, 11, ql), (pl, ph, qh)


def _saved(pair: int) -> list[tuple[tuple[int, int], str]]:
    """Registers of the sums of a pair, and the places on the stack where earlier parts of k leave theirs."""
    low, high = (_P, _Q) if pair == 0 else (_R, _S)
    return [(two, f"%[s{3 * pair + place}]") for place, two in enumerate(((10, 11), low, high))]


def _earlier() -> list[str]:
    """All parts of k but the last: their sums on the stack."""
    text = [".if %c[splits] > 1", ".if %c[splits] > 2", "mov r2, #0", "mov r3, #0"]
    text += [f"strd r2, r3, {place}" for pair in (0, 1) for _, place in _saved(pair)]
    text += ["mov r2, #(%c[splits] - 1)", "str r2, %[left]", ".endif"]
    text += [
        "3:",
        "ldmia r1!, {r2-r9}",
        "add r10, r0, #(8 * (%c[k] & ~(%c[straight] - 1)))",
        "str r10, %[until]",
        "SUMS %c[k]",
    ]
    for pair in (0, 1):
        text += _fields(pair)
        text.append(".if %c[splits] > 2")
        for (first, second), place in _saved(pair):
            text += [f"ldrd r12, lr, {place}", f"add r12, r12, r{first}", f"add lr, lr, r{second}"]
            text.append(f"strd r12, lr, {place}")
        text.append(".else")
        text += [f"strd r{first}, r{second}, {place}" for (first, second), place in _saved(pair)]
        text.append(".endif")
    text += [".if %c[splits] > 2", "ldr r12, %[left]", "subs r12, r12, #1", "str r12, %[left]", "bne 3b", ".endif"]
    return [*text, "add r10, r0, #(8 * (%c[last] & ~(%c[straight] - 1)))", "str r10, %[until]", ".endif"]


def _all_sums(pair: int) -> list[str]:
    """The sums of a pair, those of earlier parts of k added."""
    text = [*_fields(pair), ".if %c[splits] > 1"]
    for (first, second), place in _saved(pair):
        text += [f"ldrd r12, lr, {place}", f"add r{first}, r{first}, r12", f"add r{second}, r{second}, lr"]
    return [*text, ".endif"]


def _patch(channel: tuple[int, int, int], label: str) -> list[str]:
    """Move the sums of a channel that are among its patches."""
    first, second, third = channel
    text = [f"{label}:", "ldrd r12, lr, [r1], #8", "cmp lr, #0", "beq 8f", f"cmp r{first}, r12"]
    text += ["itt ne", f"cmpne r{second}, r12", f"cmpne r{third}, r12", f"bne {label}b"]
    for register in channel:
        text += [f"cmp r{register}, r12", "it eq", f"addeq r{register}, r{register}, lr"]
    return [*text, f"b {label}b", "8:"]


def _scale(registers: tuple[int, ...], multiplier: str, addend: str) -> tuple[list[str], list[str]]:
    return (
        [f"smmla r{y}, r{y}, {multiplier}, {addend}" for y in registers],
        [f"usat r{y}, #8, r{y}, asr %[shift]" for y in registers],
    )


def _store(pair: int, operation: str) -> list[str]:
    """Store the levels of a pair; the output is in r0, for scattered channels their own places in r12 and lr."""
    text = [".if %c[least] != 0"]
    channels = _results(pair)
    text += [f"add r{y}, r{y}, #%c[least]" for channel in channels for y in channel]
    text += [".endif", ".if %c[scattered]", "add r12, r12, r0", "add lr, lr, r0"]
    for base, channel in zip(("r12", "lr"), channels, strict=True):
        text += [f"{operation} r{y}, [{base}, #({j} * %c[pixel])]" for j, y in enumerate(channel)]
    text.append(".else")
    for number, channel in enumerate(channels):
        place = 2 * pair + number
        text += [f"{operation} r{y}, [r0, #({place} * %c[plane] + {j} * %c[pixel])]" for j, y in enumerate(channel)]
    return [*text, ".endif"]


def _finish(operation: str, *, patched: bool) -> list[str]:
    """From the accumulators to the stores."""
    text = []
    for pair in (0, 1):
        first, second = _results(pair)
        # a patched block comes here with the first pair's sums already out of their fields
        text += [] if patched and pair == 0 else _all_sums(pair)
        if patched:
            text += _patch(first, "6") + _patch(second, "7")
        if pair == 0:
            text.append("ldrd r12, lr, [r1], #8")
            if not patched:
                text += [".if %c[patched]", "cmp r12, #0", "bmi 5f", ".endif"]
            multiply, cut = _scale(first, "r12", "lr")
            text += [*multiply, "ldrd r12, lr, [r1], #8", *cut]
            multiply, cut = _scale(second, "r12", "lr")
            text += [*multiply, "ldr r0, %[y]", *cut]
            text += [".if %c[scattered]", "ldrd r12, lr, [r1], #8", ".endif"]
        else:
            text += [".if %c[scattered]", "ldmia r1!, {r2-r5, r12, lr}", ".else", "ldmia r1!, {r2-r5}", ".endif"]
            multiply, cut = _scale(first, "r2", "r3")
            more, others = _scale(second, "r4", "r5")
            text += [*multiply, *more, *cut, *others]
        text += _store(pair, operation)
    return text


def _next() -> list[str]:
    """To the next block, if there is one."""
    text = [".if !%c[scattered]", ".if 4 * %c[plane] < 4096", "add r0, r0, #(4 * %c[plane])", ".else"]
    text += ["add r0, r0, #(2 * %c[plane])", "add r0, r0, #(2 * %c[plane])", ".endif", "str r0, %[y]", ".endif"]
    return [*text, "ldr r12, %[end]", "ldr r0, %[a]", "cmp r1, r12", "bne 1b"]


def _assembly(operation: str, ahead: bool) -> str:
    sums = f"NAME_RUN{'_AHEAD' if ahead else ''}_SUMS"
    text = ["ldr r0, %[a]", "ldr r1, %[w]", "1:", *_earlier(), "ldmia r1!, {r2-r9}"]
    text += [".if %c[parts] > 1", "4:", ".endif", "SUMS %c[last]"]
    text += [".if %c[parts] > 1", "ldr r10, %[pitch]", "ldr r11, %[stop]", "add r0, r0, r10", "cmp r0, r11", "bne 4b"]
    text += [".endif", *_finish(operation, patched=False), *_next()]
    text += [".if %c[patched]", "b 9f", "5:", *_finish(operation, patched=True), *_next(), "9:", ".endif"]
    return _quoted(text, sums)


def _quoted(text: list[str], sums: str = "") -> str:
    """Lines of assembly as C strings; a line of SUMS and a number is a call of the macro `sums`."""
    return "\n".join(
        f'            {sums}("{line.removeprefix("SUMS ")}")'
        if line.startswith("SUMS ")
        else f'            "{line}\\n\\t"'
        for line in text
    )


def _run(dtype: str, ahead: bool) -> Helper:
    size = 2 if dtype == "uint16" else 1
    short = {"uint16": "u16", "int8": "i8", "uint8": "u8"}[dtype]
    name = f"packed_run_{short}{'_ahead' if ahead else ''}"
    operation = "strh" if size == 2 else "strb"
    saved = ", ".join(f'[s{i}] "=m"(s{i})' for i in range(6))
    declared = "".join(f"    int64_t s{i};\n" for i in range(6))
    constants = (
        "k",
        "last",
        "splits",
        "parts",
        "straight",
        "wide",
        "patched",
        "scattered",
        "pixel",
        "plane",
        "least",
        "shift",
    )
    inputs = ",\n              ".join(
        ", ".join(f'[{one}] "i"({one})' for one in constants[first : first + 4])
        for first in range(0, len(constants), 4)
    )
    registers = ", ".join(f'"r{i}"' for i in range(13))
    source = f"""\
#if {_DSP}
/* Steps of k of a run, and all steps of a part. */
{_macros(ahead)}#endif

/*
 * Blocks of four channels at three pixels: packed sums over `splits` parts of `k` steps, the last of `last`, each from
 * `parts` rows of activations `pitch` words apart, `straight` steps without a loop; levels by multiplier, addend and
 * `shift`, plus `least`. The stream of `words` words has it all in the order of its use. Pixels are `pixel` bytes
 * apart, channels `plane` bytes or, if `scattered`, where the stream says; if `patched`, blocks may have sums to move.
 */
static NAME_INLINE void name_{name}({dtype}_t *y, const int32_t *a, const int32_t *w, int32_t words, \
int32_t k, int32_t last, int32_t splits, int32_t parts, int32_t pitch, int32_t straight, int32_t wide, \
int32_t patched, int32_t scattered, int32_t pixel, int32_t plane, int32_t least, int32_t shift)
{{
    const int32_t *const end = w + words;
#if {_DSP}
    const int32_t *const stop = a + parts * pitch;
    const int32_t *until = a + 2 * (last & ~(straight - 1));
    const int32_t step = 4 * pitch - 8 * last;
    int32_t left;
{declared}
    __asm__ volatile(
{_assembly(operation, ahead)}
            : [y] "+m"(y), [until] "+m"(until), [left] "=m"(left), {saved}
            : [a] "m"(a), [w] "m"(w), [end] "m"(end), [stop] "m"(stop), [pitch] "m"(step),
              {inputs}
            : {registers}, "lr", "cc", "memory");
#else
    (void)wide;
    (void)straight;
    while (w != end) {{
        int32_t sums[12] = {{0}};
        const int32_t *x = a;
        int32_t flagged;

        for (int32_t split = 0; split < splits; split++) {{
            const int32_t steps = split + 1 < splits ? k : last;

            for (int32_t pair = 0; pair < 2; pair++) {{
                uint64_t acc[2];
                int32_t fields[6];

                for (int32_t i = 0; i < 2; i++) {{
                    const int32_t *const start = w + 4 * pair + 2 * i;

                    acc[i] = (uint32_t)start[0] | ((uint64_t)(uint32_t)start[1] << 32);
                    for (int32_t j = 0; j < parts * steps; j++) {{
                        const int32_t value = x[j / steps * pitch + j % steps * 2 + i];

                        acc[i] += (uint64_t)((int64_t)w[8 + 2 * j + pair] * value);
                    }}
                }}
                name_packed_fields_wide(fields, (int64_t)acc[0], (int64_t)acc[1]);
                for (int32_t i = 0; i < 6; i++) {{
                    sums[6 * pair + i] += fields[i];
                }}
            }}
            x += 2 * steps;
            w += 8 + 2 * steps * parts;
        }}
        flagged = patched != 0 && w[0] < 0;
        w += 2 * flagged;
        for (int32_t channel = 0; channel < 4; channel += 2) {{
            for (int32_t i = 0; i < 2 * flagged; i++) {{
                for (; w[1] != 0; w += 2) {{
                    for (int32_t j = 3 * (channel + i); j < 3 * (channel + i) + 3; j++) {{
                        sums[j] += sums[j] == w[0] ? w[1] : 0;
                    }}
                }}
                w += 2;
            }}
            for (int32_t i = 0; i < 2; i++) {{
                const int32_t offset = scattered != 0 ? w[4 + i] : (channel + i) * plane;

                for (int32_t j = 0; j < 3; j++) {{
                    const int32_t sum = sums[3 * (channel + i) + j];
                    const int32_t level = name_level_i32(sum, w[2 * i], w[2 * i + 1], shift);

                    y[(offset + j * pixel) / {size}] = ({dtype}_t)(level + least);
                }}
            }}
            w += scattered != 0 ? 6 : 4;
        }}
        y += scattered != 0 ? 0 : 4 * plane / {size};
    }}
#endif
}}
"""
    return Helper(name, source, packed_run, requires=("packed_fields_wide", "level_i32"))


# --- depthwise -----------------------------------------------------------------------------------------------------

# r0 input, r1 the stream, r2 output, r3 to r8 sums, lr channels left; the start comes into the last sum's register
_WINDOW = {"g": "r9", "h": "r10", "u": "r11", "v": "r12", **{f"y{i}": f"r{3 + i}" for i in range(6)}}


def depthwise_run(rows: Array, stream: Array, stride: int, outputs: int, shift: int, *, patched: bool) -> Array:
    """Levels int32 `[channels, outputs]` of 3x3 windows over `rows`, uint16 `[channels, 3, columns]`."""
    found, at = [], 0
    for channel in rows:
        total = depthwise(channel, stream[at : at + 7], stride, outputs).astype(np.int64)
        at += 7
        if patched and stream[at] < 0:
            at += 2
            while stream[at + 1] != 0:
                total += (total == stream[at]) * stream[at + 1]
                at += 2
            at += 2
        found.append(levels(total, stream[at], stream[at + 1], np.array(shift)))
        at += 2
    return np.stack(found)


def _load(words: list[str], place: str) -> list[str]:
    """Words of a row, two at once unless `single`."""
    registers = [_WINDOW[one] for one in words]
    apart = [f"ldr {one}, [r0, #({place} + {4 * number})]" for number, one in enumerate(registers)]
    if len(words) == 1:
        return apart
    return [".if %c[single]", *apart, ".else", f"ldrd {', '.join(registers)}, [r0, #({place})]", ".endif"]


def _window(stride: int, outputs: int) -> list[str]:
    """The assembly of all channels."""
    text = ["ldr r0, %[x]", "ldr r1, %[w]", "ldr r2, %[y]", "movw lr, #%c[channels]", "1:"]
    last = f"r{2 + outputs}"
    for row in range(3):
        text.append(f"ldmia r1!, {{{last}, r11, r12}}" if row == 0 else "ldrd r11, r12, [r1], #8")
        begun = {f"y{output}" for output in range(outputs)} if row else set()
        for operation, *operands in window_row(stride, outputs):
            if operation.startswith("ld"):
                *words, place = operands
                text += _load(words, f"{row} * %c[pitch] + {place}")
                continue
            total, pair, weight = operands
            source = _WINDOW[total] if total in begun else last
            begun.add(total)
            text.append(f"{operation} {_WINDOW[total]}, {_WINDOW[pair]}, {_WINDOW[weight]}, {source}")
    sums = [_WINDOW[f"y{output}"] for output in range(outputs)]
    text += ["ldrd r11, r12, [r1], #8", ".if %c[patched]", "cmp r11, #0", "bmi 5f", "4:", ".endif"]
    text += [f"smmla {y}, {y}, r11, r12" for y in sums] + [f"usat {y}, #8, {y}, asr %[shift]" for y in sums]
    for first in range(0, outputs, PIXELS):
        one, two, three = sums[first : first + PIXELS]
        text += [f"add {one}, {one}, {two}, lsl #21", f"add {two}, {two}, {three}, lsl #21"]
        if first == 0:
            text.append(f"strd {one}, {two}, [r2], #8")
        else:
            text += [".if %c[channels] < 128", f"strd {one}, {two}, [r2, #(8 * %c[channels] - 8)]", ".else"]
            text += ["add r9, r2, #(8 * %c[channels])", f"strd {one}, {two}, [r9, #-8]", ".endif"]
    text += [".if %c[channel] < 4096", "add r0, r0, #%c[channel]", ".else", "movw r9, #(%c[channel] & 65535)"]
    text += ["movt r9, #(%c[channel] >> 16)", "add r0, r0, r9", ".endif", "subs lr, lr, #1", "bne 1b"]
    return [*text, ".if %c[patched]", "b 9f", *_patches(sums), "9:", ".endif"]


def _patches(sums: list[str]) -> list[str]:
    """Move the sums of a channel that are among its patches, then load its multiplier and addend."""
    text = ["5:", "ldrd r9, r10, [r1], #8", "cmp r10, #0", "beq 8f", f"cmp {sums[0]}, r9"]
    for first in range(1, len(sums), 4):
        others = sums[first : first + 4]
        text += [f"i{'t' * len(others)} ne", *(f"cmpne {y}, r9" for y in others)]
    text.append("bne 5b")
    for y in sums:
        text += [f"cmp {y}, r9", "it eq", f"addeq {y}, {y}, r10"]
    return [*text, "b 5b", "8:", "ldrd r11, r12, [r1], #8", "b 4b"]


def _depthwise_run(stride: int, outputs: int) -> Helper:
    name = f"depthwise_run_s{stride}x{outputs}"
    scaled = f" * {stride}" if stride > 1 else ""
    registers = ", ".join(f'"r{i}"' for i in range(13))
    source = f"""\
/*
 * Levels of 3x3 windows at {outputs} places of a row, stride {stride}, channel after channel, in triples: x at
 * the first tap, rows `pitch` and channels `channel` bytes apart. The stream has for each channel a start, for each row
 * taps 0 and 1, and taps 1 and 2, then multiplier and addend; if `patched`, there may be -1 and 0 in front of these,
 * then sums and by what to move them, behind the last a move of 0. Words are loaded in pairs unless `single`.
 */
static NAME_INLINE void name_{name}(int32_t *y, const uint16_t *x, const int32_t *w, int32_t channels, \
int32_t pitch, int32_t channel, int32_t single, int32_t patched, int32_t shift)
{{
#if {_DSP}
    __asm__ volatile(
{_quoted(_window(stride, outputs))}
            :
            : [y] "m"(y), [x] "m"(x), [w] "m"(w), [channels] "i"(channels), [pitch] "i"(pitch),
              [channel] "i"(channel), [single] "i"(single), [patched] "i"(patched), [shift] "i"(shift)
            : {registers}, "lr", "cc", "memory");
#else
    (void)single;
    for (int32_t c = 0; c < channels; c++) {{
        int32_t sums[{outputs}];

        for (int32_t i = 0; i < {outputs}; i++) {{
            sums[i] = w[0];
            for (int32_t row = 0; row < 3; row++) {{
                const uint16_t *const at = x + (c * channel + row * pitch) / 2 + i{scaled};
                const int32_t first = (int16_t)(uint16_t)((uint32_t)w[1 + 2 * row] & 0xFFFFU);
                const int32_t second = (int16_t)(uint16_t)((uint32_t)w[1 + 2 * row] >> 16);
                const int32_t third = (int16_t)(uint16_t)((uint32_t)w[2 + 2 * row] >> 16);

                sums[i] += first * at[0] + second * at[1] + third * at[2];
            }}
        }}
        w += 7;
        if (patched != 0 && w[0] < 0) {{
            for (w += 2; w[1] != 0; w += 2) {{
                for (int32_t i = 0; i < {outputs}; i++) {{
                    sums[i] += sums[i] == w[0] ? w[1] : 0;
                }}
            }}
            w += 2;
        }}
        for (int32_t i = 0; i < {outputs}; i++) {{
            sums[i] = name_level_i32(sums[i], w[0], w[1], shift);
        }}
        w += 2;
        for (int32_t i = 0; i < {outputs}; i += 3) {{
            int32_t *const at = y + i / 3 * channels * 2 + c * 2;

            at[0] = sums[i] + sums[i + 1] * 2097152;
            at[1] = sums[i + 1] + sums[i + 2] * 2097152;
        }}
    }}
#endif
}}
"""
    return Helper(name, source, depthwise_run, requires=("level_i32",))


DSP_RUNS = (
    *(_run(dtype, ahead) for ahead in (False, True) for dtype in ("uint16", "int8", "uint8")),
    *(_depthwise_run(stride, outputs) for stride in (1, 2) for outputs in (6, 3)),
)
