"""Outputs of kernels on bytes that no multiplier and addend make right: they are found by their level and made again.

A line, which is what a multiplier and an addend are, is wrong at a few sums of some channels, at which it gives a level
that many other sums have too. So where a channel's output is that level its products are added up once more, and if the
sum is the one in question the output becomes what it must be. A patch is three words: the channel, the line's level and
the right one, in 16, 8 and 8 bits; the sum of products alone; and where the channel's weights begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.dsp_byte_depthwise import CHANNEL_WORDS
from mbgen.intrinsics.dsp_byte_gemm import DTYPES, SHARED, short
from mbgen.intrinsics.dsp_bytes import STEP
from mbgen.intrinsics.helper import Helper

PATCH_WORDS = 3
# of the bytes of words 1 to 3 of a channel, as `dsp_byte_depthwise.pack` orders them: row by row, those of its taps
TAP_BYTES = (4, 5, 8, 6, 7, 10, 0, 1, 3)


@dataclass(frozen=True)
class Patch:
    """Where `channel` has the level `wrong` and its products add up to `total`, it must have the level `right`."""

    channel: int
    wrong: int
    right: int
    total: int


def pack_patches(patches: Sequence[Patch], places: Array) -> Array:
    """Int32 `[3 * patches]`; `places[channel]` is where a channel's weights begin, in elements or halves of words."""
    words = [
        (one.channel << 16 | (one.wrong & 255) << 8 | (one.right & 255), one.total, int(places[one.channel]))
        for one in patches
    ]
    return np.array(words, np.int32).reshape(-1)


def patched(y: Array, products: Array, patches: Sequence[Patch]) -> Array:
    """`y[m, n]` put right, of sums of products `[m, n]`."""
    made = y.copy()
    for one in patches:
        found = (products[:, one.channel] == one.total) & (made[:, one.channel] == one.wrong)
        made[found, one.channel] = one.right
    return made


def _levels(dtype: str) -> tuple[str, str]:
    """C: the levels in a patch's first word, wrong and right."""
    element = f"{dtype}_t"
    if dtype == "uint8":
        return f"({element})(patch[0] >> 8 & 255)", f"({element})(patch[0] & 255)"
    wrong, right = (f"({element})((int32_t)((uint32_t)patch[0] << {bits}) >> 24)" for bits in (16, 24))
    return wrong, right


def _gemm(dtype: str, words: bool) -> Helper:
    """Weights are words of pairs of channels, or bytes of which each four k of a channel lie together."""
    element, suffix = f"{dtype}_t", f"{'words_' if words else ''}{short(dtype)}"
    weight = "int32_t" if words else "int8_t"
    wrong, right = _levels(dtype)
    value = "name_byte_field(w[2 * i], upper)" if words else f"w[i / {STEP} * step + i % {STEP}]"
    extra = "int32_t upper" if words else "int32_t step"
    place, given = ("patch[2] >> 1", "patch[2] & 1") if words else ("patch[2]", "step")
    more = "" if words else ", int32_t step"
    about = (
        "two words apart, in one half of each"
        if words
        else f"of a channel {STEP} together, from there to its next {STEP} a step"
    )
    source = f"""\
/* The products of a pixel and of a channel's weights. */
{SHARED} int32_t name_byte_products_{suffix}(const {element} *x, const {weight} *w, int32_t k, {extra})
{{
    int32_t total = 0;

    for (int32_t i = 0; i < k; i++) {{
        total += x[i] * {value};
    }}
    return total;
}}

/*
 * Put right y[m][n], of x[m][k] and weights {about}.
 */
{SHARED} void name_byte_patches_{suffix}({element} *y, const {element} *x, const {weight} *w, const int32_t *patches, \
int32_t count, int32_t m, int32_t n, int32_t k{more})
{{
    for (int32_t number = 0; number < count; number++) {{
        const int32_t *const patch = &patches[{PATCH_WORDS} * number];
        const {element} wrong = {wrong};
        const {element} right = {right};

        for (int32_t pixel = 0; pixel < m; pixel++) {{
            {element} *const level = &y[pixel * n + (patch[0] >> 16)];

            if (*level == wrong) {{
                const {element} *const input = &x[pixel * k];
                const int32_t total = name_byte_products_{suffix}(input, &w[{place}], k, {given});

                *level = total == patch[1] ? right : wrong;
            }}
        }}
    }}
}}
"""
    return Helper(f"byte_patches_{suffix}", source, patched, requires=("byte_field",) if words else ())


def _depthwise(dtype: str) -> Helper:
    element, suffix = f"{dtype}_t", f"depthwise_{short(dtype)}"
    wrong, right = _levels(dtype)
    places = ", ".join(map(str, TAP_BYTES))
    source = f"""\
/* The products of a window, whose first column is `first`, and of a channel's taps, which are bytes of three words. */
{SHARED} int32_t name_byte_products_{suffix}(const {element} *x, const int32_t *rows, int32_t begin, int32_t end, \
const int32_t *taps, int32_t channels, int32_t width, int32_t first, int32_t pad)
{{
    static const uint8_t places[9] = {{{places}}};
    int32_t total = 0;

    for (int32_t i = 0; i < 9; i++) {{
        const int32_t row = i / 3;
        const int32_t column = first + i % 3;
        const int32_t place = (int32_t)places[i];
        const int32_t tap = (int32_t)((uint32_t)taps[place / 4] << (24 - place % 4 * 8)) >> 24;
        int32_t value = pad;

        if (row >= begin && row < end && column >= 0 && column < width) {{
            value = x[rows[row] + column * channels];
        }}
        total += tap * value;
    }}
    return total;
}}

/* Put right a row of `ow` outputs of a window 3x3, whose rows from begin to end lie at rows[]; the others are `pad`. */
{SHARED} void name_byte_patches_{suffix}({element} *y, const {element} *x, const int32_t *rows, int32_t begin, \
int32_t end, const int32_t *w, const int32_t *patches, int32_t count, int32_t channels, int32_t width, int32_t ow, \
int32_t pad, int32_t stride, int32_t left)
{{
    for (int32_t number = 0; number < count; number++) {{
        const int32_t *const patch = &patches[{PATCH_WORDS} * number];
        const int32_t *const taps = &w[patch[2] + 1];
        const int32_t channel = patch[0] >> 16;
        const {element} wrong = {wrong};
        const {element} right = {right};

        for (int32_t i = 0; i < ow; i++) {{
            {element} *const level = &y[i * channels + channel];

            if (*level == wrong) {{
                const int32_t first = i * stride - left;
                const int32_t total = name_byte_products_{suffix}(
                    &x[channel], rows, begin, end, taps, channels, width, first, pad);

                *level = total == patch[1] ? right : wrong;
            }}
        }}
    }}
}}
"""
    return Helper(f"byte_patches_{suffix}", source, patched)


def depthwise_places(channels: int) -> Array:
    """Where the words of each channel of `dsp_byte_depthwise.pack` begin."""
    return np.asarray(np.arange(channels) * CHANNEL_WORDS)


DSP_BYTE_PATCHES = (
    *(_gemm(dtype, words) for dtype in DTYPES for words in (False, True)),
    *(_depthwise(dtype) for dtype in DTYPES),
)
