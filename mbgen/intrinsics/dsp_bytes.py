"""Sums of products of bytes for the DSP extension of Cortex-M: four k a step, widened in pairs, two products an SMLAD.

For matrix products straight on NHWC tensors of bytes, where planes of 16-bit values would take too much memory.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper

STEP = 4  # k of a step: the bytes of a word
TILES = ((2, 2), (2, 1), (1, 4), (1, 2), (1, 1))  # pixels by channels, the best first
_PIECES = (16, 8, 4)  # k of one piece of assembly

_DSP = "defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__)"


def byte_sums(x: Array, weights: Array) -> Array:
    """Sums int32 `[mr, nr]` of x `[mr, k]` and weights `[nr, k]`."""
    return np.asarray(x.astype(np.int32) @ weights.astype(np.int32).T, np.int32)


def pack(weights: Array) -> Array:
    """Weights int8 `[nr, k]` as a tile reads them: whole steps with the channels in turn, then the rest k by k."""
    whole = weights.shape[1] // STEP * STEP
    steps = weights[:, :whole].reshape(len(weights), -1, STEP).transpose(1, 0, 2)
    return np.concatenate([steps.reshape(-1), weights[:, whole:].T.reshape(-1)])


def channel_places(n: int, k: int, nr: int) -> Array:
    """Where each channel's weights begin in tiles of `nr` channels, of which the last lies over the one before."""
    tile = np.arange(n) // nr
    return tile * (k * nr) + (np.arange(n) - np.minimum(tile * nr, n - nr)) * STEP


def name(mr: int, nr: int, dtype: str) -> str:
    """The helper of a tile on inputs of `dtype`."""
    return f"byte_sums_{dtype[:1].replace('i', 's')}8_{mr}x{nr}"


def _step(mr: int, nr: int, signed: bool) -> str:
    widen = "sxtb16" if signed else "uxtb16"
    lines = [f"ldr %[a{i}], [%[x], %[pitch] * {i}]" for i in range(1, mr)] + ["ldr %[a0], [%[x]], #4"]
    for i in range(mr):
        lines += [f"{widen} %[b{i}], %[a{i}], ror #8", f"{widen} %[a{i}], %[a{i}]"]
    for j in range(nr):
        lines += ["ldr %[u], [%[w]], #4", "sxtb16 %[v], %[u]", "sxtb16 %[u], %[u], ror #8"]
        for i in range(mr):
            lines += [f"smlad %[y{i * nr + j}], %[a{i}], %[v], %[y{i * nr + j}]"]
        for i in range(mr):
            lines += [f"smlad %[y{i * nr + j}], %[b{i}], %[u], %[y{i * nr + j}]"]
    return " \\\n    ".join(rf'"{line}\n\t"' for line in lines)


def _tile(mr: int, nr: int, dtype: str) -> Helper:
    own, element = name(mr, nr, dtype), f"{dtype}_t"
    macro = f"NAME_{own.upper()}"
    sums = range(mr * nr)
    outputs = ", ".join(f'[y{i}] "+r"(y{i})' for i in sums)
    words = ", ".join(f'[{letter}{i}] "=&r"({letter}{i})' for i in range(mr) for letter in "ab")
    macros = f"#define {macro}_4 \\\n    {_step(mr, nr, dtype == 'int8')}\n"
    macros += f"#define {macro}_8 {macro}_4 {macro}_4\n#define {macro}_16 {macro}_8 {macro}_8\n"
    pieces = "".join(f"    if ((k & {count}) != 0) {{\n        {macro}({count});\n    }}\n" for count in _PIECES[1:])
    declared = "".join(f"    int32_t {letter}{i};\n" for i in range(mr) for letter in "ab")
    source = f"""\
#if {_DSP}
/* Four k of a tile of {mr} x {nr}: bytes 0 and 2 of each word, then 1 and 3. */
{macros}
#define {macro}(count) \\
    __asm__({macro}_##count \\
            : {outputs}, [x] "+r"(x), [w] "+r"(w), \\
              {words}, [u] "=&r"(u), [v] "=&r"(v) \\
            : [pitch] "i"(k) \\
            : "memory")
#endif

/* Add the products of {mr} pixels of k bytes and the packed weights of {nr} channels to y. */
static NAME_INLINE void name_{own}(int32_t *y, const {element} *x, const int8_t *w, int32_t k)
{{
#if {_DSP}
{"".join(f"    int32_t y{i} = y[{i}];" + chr(10) for i in sums)}{declared}    int32_t u;
    int32_t v;

    for (int32_t left = k; left >= 16; left -= 16) {{
        {macro}(16);
    }}
{pieces}{"".join(f"    y[{i}] = y{i};" + chr(10) for i in sums)}#else
    for (int32_t first = 0; first + 4 <= k; first += 4) {{
        for (int32_t i = 0; i < {mr * nr}; i++) {{
            for (int32_t j = 0; j < 4; j++) {{
                y[i] += x[i / {nr} * k + j] * w[i % {nr} * 4 + j];
            }}
        }}
        x += 4;
        w += {4 * nr};
    }}
#endif
    for (int32_t rest = 0; rest < k % 4; rest++) {{
        for (int32_t i = 0; i < {mr * nr}; i++) {{
            y[i] += x[i / {nr} * k + rest] * w[rest * {nr} + i % {nr}];
        }}
    }}
}}
"""
    return Helper(own, source, byte_sums)


DSP_BYTES = tuple(_tile(mr, nr, dtype) for mr, nr in TILES for dtype in ("int8", "uint8"))
