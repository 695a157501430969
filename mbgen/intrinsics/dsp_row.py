"""Sums of one row of bytes with the weights of four channels, for the DSP extension of Cortex-M: dense layers.

A word holds four weights as two halves 256 * w1 + w0 and 256 * w3 + w2. An SMLAD of it as it is with (x1, x3) gives
256 * (w1 * x1 + w3 * x3) + w0 * x1 + w2 * x3; one of its low bytes, which one SXTB16 takes out, with (256 * x0 - x1,
256 * x2 - x3) makes that 256 times the sum of all four products. A shift keeps the second factors in int16 for every
byte; what it adds is the same for every row and belongs in the start. No weight may be -128.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.dsp import CHANNELS
from mbgen.intrinsics.helper import Helper

STEP = 16  # k of a step
UNIT = 256  # what sums are in
SHIFT = {"int8": 127, "uint8": -32513}

_DSP = "defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__OPTIMIZE__)"


def row_words(x: Array) -> Array:
    """A row of k bytes as words int32 `[k / 2]`: for four bytes (x1, x3), then those that go with low bytes."""
    x0, x1, x2, x3 = x.reshape(-1, 4).astype(np.int32).T
    shift = SHIFT[str(x.dtype)]
    halves = np.stack([x1, x3, UNIT * x0 - x1 + shift, UNIT * x2 - x3 + shift], axis=1)
    return np.asarray(halves.astype(np.int16).reshape(-1).view(np.int32))


def row_weights(weights: Array) -> Array:
    """Weights int8 `[4, k]` as words int32 `[k]`: for each eight k two words of each channel."""
    low = weights.astype(np.int32).reshape(CHANNELS, -1, 2)
    halves = (UNIT * low[..., 1] + low[..., 0]).astype(np.int16).reshape(CHANNELS, -1, 4)
    return np.asarray(halves.transpose(1, 0, 2).reshape(-1).view(np.int32))


def shifted(weights: Array, dtype: str) -> Array:
    """What the shift adds to the sums of each channel, int64 `[n]`, of weights `[n, k]`."""
    return np.asarray(SHIFT[dtype] * weights[:, ::2].astype(np.int64).sum(axis=1))


def row_sums(x: Array, weights: Array, start: Array) -> Array:
    """Sums int32 `[4]` of a row `[k]` and weights `[4, k]`, with starts in units of 1 / 256 that take the shift off."""
    sums = UNIT * (weights.astype(np.int64) @ x.astype(np.int64)) + shifted(weights, str(x.dtype))
    return np.asarray((sums + start).astype(np.int32) >> 8)


def _steps() -> str:
    lines = []
    for _ in range(STEP // 8):
        lines += ["ldrd %[a0], %[b0], [%[x]], #8", "ldrd %[a1], %[b1], [%[x]], #8"]
        for channel in range(CHANNELS):
            y = f"%[y{channel}]"
            lines.append("ldrd %[u], %[v], [%[w]], #8")
            for word, place in (("u", 0), ("v", 1)):
                lines += [f"smlad {y}, %[{word}], %[a{place}], {y}", f"sxtb16 %[{word}], %[{word}]"]
                lines.append(f"smlad {y}, %[{word}], %[b{place}], {y}")
    return "\n".join(rf'            "{line}\n\t"' for line in lines).lstrip()


def _words(dtype: str) -> Helper:
    name = f"row_words_{'u8' if dtype == 'uint8' else 's8'}"
    source = f"""\
/* A row of k bytes for name_row_sums: of four bytes the second and the last, then 256 times the others less these. */
static NAME_INLINE void name_{name}(int32_t *words, const {dtype}_t *x, int32_t k)
{{
    for (int32_t i = 0; i < k; i += 4) {{
        const int32_t first = 256 * x[i] - x[i + 1] + ({SHIFT[dtype]});
        const int32_t second = 256 * x[i + 2] - x[i + 3] + ({SHIFT[dtype]});

        words[i / 2] = (int32_t)(((uint32_t)x[i + 1] & 0xFFFFU) | ((uint32_t)x[i + 3] << 16));
        words[i / 2 + 1] = (int32_t)(((uint32_t)first & 0xFFFFU) | ((uint32_t)second << 16));
    }}
}}
"""
    return Helper(name, source, row_words)


_SUMS = f"""\
/* y plus 256 times the sums of a row's k products with each of four channels and what its shift adds, over 256. */
static NAME_INLINE void name_row_sums(int32_t *y, const int32_t *x, const int32_t *w, int32_t k)
{{
#if {_DSP}
    int32_t y0 = y[0];
    int32_t y1 = y[1];
    int32_t y2 = y[2];
    int32_t y3 = y[3];

    for (const int32_t *const end = x + k / 2; x != end;) {{
        int32_t a0;
        int32_t a1;
        int32_t b0;
        int32_t b1;
        int32_t u;
        int32_t v;

        __asm__({_steps()}
            : [y0] "+r"(y0), [y1] "+r"(y1), [y2] "+r"(y2), [y3] "+r"(y3), [x] "+r"(x), [w] "+r"(w),
              [a0] "=&r"(a0), [a1] "=&r"(a1), [b0] "=&r"(b0), [b1] "=&r"(b1), [u] "=&r"(u), [v] "=&r"(v)
            :
            : "memory");
    }}
    y[0] = y0 >> 8;
    y[1] = y1 >> 8;
    y[2] = y2 >> 8;
    y[3] = y3 >> 8;
#else
    for (int32_t i = 0; i < k; i++) {{
        const uint32_t word = (uint32_t)w[i];
        const uint32_t whole = (uint32_t)x[i / 8 * 4 + i % 2 * 2];
        const uint32_t low = (uint32_t)x[i / 8 * 4 + i % 2 * 2 + 1];
        int32_t sum = 0;

        for (int32_t bit = 0; bit < 32; bit += 16) {{
            const int32_t half = (int16_t)(uint16_t)(word >> bit & 0xFFFFU);
            const int32_t byte = (int8_t)(uint8_t)(word >> bit & 0xFFU);

            sum += half * (int16_t)(uint16_t)(whole >> bit & 0xFFFFU);
            sum += byte * (int16_t)(uint16_t)(low >> bit & 0xFFFFU);
        }}
        y[i % 8 / 2] = (int32_t)((uint32_t)y[i % 8 / 2] + (uint32_t)sum);
    }}
    for (int32_t i = 0; i < 4; i++) {{
        y[i] >>= 8;
    }}
#endif
}}
"""

DSP_ROW = (_words("int8"), _words("uint8"), Helper("row_sums", _SUMS, row_sums))
