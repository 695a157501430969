"""Whole tiles for the DSP extension of Cortex-M (M4, M7, M33), where GCC needs assembly to keep sums in registers.

Packed sums: an activation word holds two neighbouring pixels, x0 + x1 * 2^21, and a weight word two channels, so that
one 64-bit multiply-accumulate (SMLAL) makes the four products, in three fields of 21 bits. With the words of pixels 0
and 1, and of 1 and 2, two of them make the sums of two channels at three pixels.

The assembly needs every register, so it stands only where the compiler optimises; the C beside it means the same.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper

FIELD_BITS = 21  # of a sum in a packed accumulator
FIELD = 1 << FIELD_BITS
PIXELS = 3  # that two packed accumulators hold
CHANNELS = 4  # of a tile: two packed weight words

_DSP = "defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__)"

_PIECES = (32, 16, 8, 4, 2, 1)  # steps of k in one piece of assembly


def levels(acc: Array, multiplier: Array, addend: Array, shift: Array) -> Array:
    """clip((((acc * multiplier) >> 32) + addend) >> shift, 0, 255), what SMMLA and USAT compute."""
    product = np.asarray(acc, np.int64) * np.asarray(multiplier, np.int64)
    return np.asarray(np.clip(((product >> 32) + addend) >> shift, 0, 255), np.int32)


def packed_sums(activations: Array, weights: Array) -> Array:
    """Accumulators int64 `[..., 4]` of a tile: words `[k, 2]` of activations, and start words `[4]` then `[k, 2]`."""
    start, words = weights[:8].view(np.int64), weights[8:].reshape(-1, 2).astype(np.int64)
    x = activations.reshape(-1, 2).astype(np.int64)
    return np.asarray(start + np.einsum("kw,kx->wx", words, x).reshape(4), np.int64)


def packed_fields(p: int, q: int) -> Array:
    """The six sums of two channels at three pixels, int32 `[2, 3]`, in the accumulators of pixels 0, 1 and 1, 2."""
    mask = FIELD - 1
    y00, y01 = p & mask, q & mask
    y10 = ((p - (y01 << FIELD_BITS)) >> FIELD_BITS) & mask
    y11 = (p - (y01 << FIELD_BITS)) >> 2 * FIELD_BITS
    y02 = ((q - (y11 << FIELD_BITS)) >> FIELD_BITS) & mask
    y12 = (q - (y11 << FIELD_BITS)) >> 2 * FIELD_BITS
    return np.array([[y00, y01, y02], [y10, y11, y12]], np.int32)


def depthwise(rows: Array, weights: Array, stride: int, outputs: int) -> Array:
    """Sums int32 `[outputs]` of a 3x3 window over `rows`, uint16 `[3, columns]`; weights as `depthwise_words` packs."""
    taps = weights[1:7].view(np.int16).reshape(3, 4)[:, [0, 1, 3]].astype(np.int64)
    return np.array(
        [
            int(weights[0]) + (rows[:, i * stride : i * stride + 3].astype(np.int64) * taps).sum()
            for i in range(outputs)
        ],
        np.int32,
    )


def depthwise_words(taps: Array) -> Array:
    """Weights int `[channels, 3, 3]` as pairs of taps, int32 `[channels, 3, 2]`: taps 0 and 1, taps 1 and 2."""
    halves = taps[:, :, [0, 1, 1, 2]].astype(np.int16)
    return np.ascontiguousarray(halves).view(np.int32)


_STEP = (
    r'"ldrd %[x0], %[x1], [%[a]], #8\n\tldrd %[w0], %[w1], [%[w]], #8\n\t"',
    r'"smlal %Q[p], %R[p], %[x0], %[w0]\n\tsmlal %Q[q], %R[q], %[x1], %[w0]\n\t"',
    r'"smlal %Q[r], %R[r], %[x0], %[w1]\n\tsmlal %Q[s], %R[s], %[x1], %[w1]\n\t"',
)


# for cores that issue two instructions at a time: the loads of step i between the multiplications of the one before
_STEP_AHEAD = (
    r'"smlal %Q[p], %R[p], %[x0], %[w0]\n\tsmlal %Q[q], %R[q], %[x1], %[w0]\n\tldr %[w0], [%[w], #(8 * (" #i "))]\n\t"',
    r'"smlal %Q[r], %R[r], %[x0], %[w1]\n\tldr %[x0], [%[a], #(8 * (" #i "))]\n\tsmlal %Q[s], %R[s], %[x1], %[w1]\n\t"',
    r'"ldr %[x1], [%[a], #(8 * (" #i ") + 4)]\n\tldr %[w1], [%[w], #(8 * (" #i ") + 4)]\n\t"',
)
_FIRST_AHEAD = (r'"ldrd %[x0], %[x1], [%[a]]\n\tldrd %[w0], %[w1], [%[w]]\n\t"',)
_LAST_AHEAD = (
    r'"smlal %Q[p], %R[p], %[x0], %[w0]\n\tsmlal %Q[q], %R[q], %[x1], %[w0]\n\tadd %[a], %[a], #(8 * " #n ")\n\t"',
    r'"smlal %Q[r], %R[r], %[x0], %[w1]\n\tsmlal %Q[s], %R[s], %[x1], %[w1]\n\tadd %[w], %[w], #(8 * " #n ")\n\t"',
)


def _macros(ahead: bool) -> str:
    """The assembly of 1, 2, 4 ... steps as macros.

    `ahead` a piece loads the words of its first step, then makes steps that load the next one's, and then the last.
    """

    def macro(head: str, *lines: str) -> str:
        return f"#define {head} \\\n    " + " \\\n    ".join(lines) + "\n"

    if ahead:
        name = "NAME_STEPS_AHEAD"
        text = macro(f"{name}_FIRST", *_FIRST_AHEAD) + macro(f"{name}_LAST(n)", *_LAST_AHEAD)
        text += macro(f"{name}_1(i)", *_STEP_AHEAD) + f"#define {name}_BUT_1(i)\n"
        for count in _PIECES[-2::-1]:
            half = count // 2
            text += f"#define {name}_{count}(i) {name}_{half}(i) {name}_{half}(i + {half})\n"
            text += f"#define {name}_BUT_{count}(i) {name}_{half}(i) {name}_BUT_{half}(i + {half})\n"
        piece = f"{name}_FIRST {name}_BUT_##count(1) {name}_LAST(count)"
    else:
        name = "NAME_STEPS"
        text = macro(f"{name}_1", *_STEP)
        for count in _PIECES[-2::-1]:
            text += f"#define {name}_{count} {name}_{count // 2} {name}_{count // 2}\n"
        piece = f"{name}_##count"
    return (
        text
        + f"""
#define {name}(count) \\
    __asm__({piece} \\
            : [p] "+r"(p), [q] "+r"(q), [r] "+r"(r), [s] "+r"(s), [a] "+r"(a), [w] "+r"(w), \\
              [x0] "=&r"(x0), [x1] "=&r"(x1), [w0] "=&r"(w0), [w1] "=&r"(w1) \\
            : \\
            : "memory")
"""
    )


def _sums(ahead: bool) -> str:
    """Packed sums over k; with `ahead` loads are issued one step before their use."""
    suffix = "_AHEAD" if ahead else ""
    pieces = "\n".join(
        f"""\
        if ((k & {count}) != 0) {{
            NAME_STEPS{suffix}({count});
        }}"""
        for count in _PIECES[1:]
    )
    return f"""\
#if {_DSP}
/* One step: the products of two words of weights and two of activations. */
{_macros(ahead)}#endif

/*
 * Packed sums of two pairs of channels, each at pixels 0, 1 and at 1, 2, over `parts` runs of k steps; the activations
 * of a run begin `pitch` words after those of the run before. The weights begin with the four sums to start from.
 */
static NAME_INLINE void name_packed_sums{suffix.lower()}(int64_t *acc, const int32_t *a, const int32_t *w, int32_t k, \
int32_t parts, int32_t pitch)
{{
#if {_DSP}
    int64_t p;
    int64_t q;
    int64_t r;
    int64_t s;

    __asm__("ldrd %Q[p], %R[p], [%[w]], #8\\n\\tldrd %Q[q], %R[q], [%[w]], #8\\n\\t"
            "ldrd %Q[r], %R[r], [%[w]], #8\\n\\tldrd %Q[s], %R[s], [%[w]], #8"
            : [p] "=&r"(p), [q] "=&r"(q), [r] "=&r"(r), [s] "=&r"(s), [w] "+r"(w)
            :
            : "memory");
    for (int32_t part = 0; part < parts; part++) {{
        int32_t x0;
        int32_t x1;
        int32_t w0;
        int32_t w1;

        for (int32_t left = k; left >= 32; left -= 32) {{
            NAME_STEPS{suffix}(32);
        }}
{pieces}
        a += pitch - 2 * k;
    }}
    acc[0] = p;
    acc[1] = q;
    acc[2] = r;
    acc[3] = s;
#else
    for (int32_t i = 0; i < 4; i++) {{
        uint64_t sum = (uint32_t)w[2 * i] | ((uint64_t)(uint32_t)w[2 * i + 1] << 32);

        for (int32_t part = 0; part < parts; part++) {{
            for (int32_t j = 0; j < k; j++) {{
                sum += (uint64_t)((int64_t)w[8 + 2 * (part * k + j) + i / 2] * a[part * pitch + 2 * j + i % 2]);
            }}
        }}
        acc[i] = (int64_t)sum;
    }}
#endif
}}
"""


_SPLIT = r"""lsr %Q[p], %Q[p], #21\n\tbfi %Q[p], %R[p], #11, #10\n\t"
            "sub %Q[p], %Q[p], %[y1]\n\tlsr %R[p], %R[p], #10\n\t"
            "lsr %Q[q], %Q[q], #21\n\tbfi %Q[q], %R[q], #11, #10\n\t"
            "sub %Q[q], %Q[q], %R[p]\n\tlsr %R[q], %R[q], #10\n\t"""

# where the sum of two fields may need 22 bits: the field that both accumulators have is taken off first
_SPLIT_WIDE = r"""subs %Q[p], %Q[p], %[y1], lsl #21\n\tsbc %R[p], %R[p], %[y1], lsr #11\n\t"
            "lsr %Q[p], %Q[p], #21\n\tbfi %Q[p], %R[p], #11, #10\n\tlsr %R[p], %R[p], #10\n\t"
            "subs %Q[q], %Q[q], %R[p], lsl #21\n\tsbc %R[q], %R[q], %R[p], lsr #11\n\t"
            "lsr %Q[q], %Q[q], #21\n\tbfi %Q[q], %R[q], #11, #10\n\tlsr %R[q], %R[q], #10\n\t"""


def _take(wide: bool) -> str:
    """The sums out of their fields."""
    name = f"packed_fields{'_wide' if wide else ''}"
    return f"""\
/*
 * The sums of two channels at three pixels from accumulators of pixels 0, 1 and of 1, 2; fields next to each other
 * {"may reach 22 bits" if wide else "stay below 2^21"} together.
 */
static NAME_INLINE void name_{name}(int32_t *y, int64_t p, int64_t q)
{{
#if {_DSP}
    int32_t y0;
    int32_t y1;

    __asm__("ubfx %[y0], %Q[p], #0, #21\\n\\tubfx %[y1], %Q[q], #0, #21\\n\\t"
            "{_SPLIT_WIDE if wide else _SPLIT}"
            : [p] "+r"(p), [q] "+r"(q), [y0] "=&r"(y0), [y1] "=&r"(y1)
            :
            : "cc");
    y[0] = y0;
    y[1] = y1;
    y[2] = (int32_t)q;
    y[3] = (int32_t)p;
    y[4] = (int32_t)(p >> 32);
    y[5] = (int32_t)(q >> 32);
#else
    const uint64_t mask = ((uint64_t)1 << 21) - 1;
    const uint64_t p0 = (uint64_t)p - (((uint64_t)q & mask) << 21);
    const uint64_t q0 = (uint64_t)q - (p0 >> 42 << 21);

    y[0] = (int32_t)((uint64_t)p & mask);
    y[1] = (int32_t)((uint64_t)q & mask);
    y[2] = (int32_t)(q0 >> 21 & mask);
    y[3] = (int32_t)(p0 >> 21 & mask);
    y[4] = (int32_t)(p0 >> 42);
    y[5] = (int32_t)(q0 >> 42);
#endif
}}
"""


def window_row(stride: int, outputs: int) -> list[tuple[str, ...]]:
    """The assembly of one row of the window: loads of pairs of pixels, each used by all outputs that read it.

    A load has its registers, g and h, and the place in the row in bytes; a product its sum, y0 ..., pair and weights,
    of which u are taps 0 and 1, v taps 1 and 2.
    """
    reach = (outputs - 1) * stride + 3
    words = -(-reach // 2)
    text: list[tuple[str, ...]] = []
    for word in range(words):
        if word % 2 == 0 and word + 1 < words:
            text.append(("ldrd", "g", "h", str(4 * word)))
        elif word % 2 == 0:
            text.append(("ldr", "g", str(4 * word)))
        for output in range(outputs):
            first = 2 * word - output * stride  # tap of the pair's lower half
            instruction = {-1: ("smlatb", "u"), 0: ("smlad", "u"), 1: ("smlad", "v"), 2: ("smlabt", "v")}.get(first)
            if instruction is not None:
                text.append((instruction[0], f"y{output}", "gh"[word % 2], instruction[1]))
    return text


def _depthwise_row(stride: int, outputs: int, row: int) -> str:
    """`window_row` with a compiler's registers."""
    text = [f"ldrd %[u], %[v], [%[w], #{4 + 8 * row}]"]
    begun = {f"y{output}" for output in range(outputs)} if row else set()
    for operation, *operands in window_row(stride, outputs):
        if operation.startswith("ld"):
            *words, place = operands
            text.append(f"{operation} {', '.join(f'%[{one}]' for one in words)}, [%[x], %[row{row}] + {place}]")
            continue
        total, pair, weight = operands
        text.append(f"{operation} %[{total}], %[{pair}], %[{weight}], %[{total if total in begun else 'b'}]")
        begun.add(total)
    return _strings(text)


def _strings(instructions: list[str]) -> str:
    return "\n".join(
        f'            "{instruction}{end}"'
        for instruction, end in zip(instructions, [r"\n\t"] * (len(instructions) - 1) + [""], strict=True)
    )


def _depthwise(stride: int, outputs: int) -> Helper:
    def operands(constraint: str) -> str:
        return ", ".join(f'[y{i}] "{constraint}"(y{i})' for i in range(outputs))

    pieces = ""
    for row in range(3):
        begin = '[b] "r"(w[0]), ' if row == 0 else ""
        pieces += f"""\
    __asm__({_depthwise_row(stride, outputs, row).lstrip()}
            : {operands("=&r" if row == 0 else "+r")},
              [g] "=&r"(g), [h] "=&r"(h), [u] "=&r"(u), [v] "=&r"(v)
            : {begin}[x] "r"(x), [w] "r"(w), [row{row}] "i"({row} * pitch)
            : "memory");
"""
    declared = "".join(f"    int32_t y{i};\n" for i in range(outputs))
    stored = "".join(f"    y[{i}] = y{i};\n" for i in range(outputs))
    name = f"depthwise_s{stride}x{outputs}"
    source = f"""\
/*
 * Sums of a 3x3 window at {outputs} places of a row, stride {stride}: x at its first tap, rows `pitch` bytes apart;
 * w is a start, then for each row taps 0 and 1, and taps 1 and 2.
 */
static NAME_INLINE void name_{name}(int32_t *y, const uint16_t *x, const int32_t *w, int32_t pitch)
{{
#if {_DSP}
{declared}    int32_t g;
    int32_t h;
    int32_t u;
    int32_t v;

{pieces}{stored}#else
    for (int32_t i = 0; i < {outputs}; i++) {{
        y[i] = w[0];
        for (int32_t row = 0; row < 3; row++) {{
            const uint16_t *const at = x + row * (pitch / 2) + i{f" * {stride}" if stride > 1 else ""};
            const int32_t first = (int16_t)(uint16_t)((uint32_t)w[1 + 2 * row] & 0xFFFFU);
            const int32_t second = (int16_t)(uint16_t)((uint32_t)w[1 + 2 * row] >> 16);
            const int32_t third = (int16_t)(uint16_t)((uint32_t)w[2 + 2 * row] >> 16);

            y[i] += first * at[0] + second * at[1] + third * at[2];
        }}
    }}
#endif
}}
"""
    return Helper(name, source, lambda rows, weights: depthwise(rows, weights, stride, outputs))


DSP = (
    Helper(
        "level_i32",
        """\
/* (acc * multiplier / 2^32 + addend) / 2^shift, both rounded down, cut to 0 .. 255. */
static NAME_INLINE int32_t name_level_i32(int32_t acc, int32_t multiplier, int32_t addend, int32_t shift)
{
    const int32_t level = ((int32_t)(((int64_t)acc * multiplier) >> 32) + addend) >> shift;

    return level < 0 ? 0 : (level > 255 ? 255 : level);
}
""",
        levels,
    ),
    Helper("packed_sums", _sums(ahead=False), packed_sums),
    Helper("packed_sums_ahead", _sums(ahead=True), packed_sums),
    Helper("packed_fields", _take(wide=False), packed_fields),
    Helper("packed_fields_wide", _take(wide=True), packed_fields),
    *(_depthwise(stride, outputs) for stride in (1, 2) for outputs in (6, 3)),
)

TILES = frozenset(helper.name for helper in DSP if not helper.name.endswith("_i32"))  # they take addresses
