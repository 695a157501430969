"""Packing, GEMM and depthwise on bytes against their meanings: assembly on Cortex-M, the C beside it on the host."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import INTEGER_RANGE, Array
from mbgen.intrinsics import HELPERS, dsp_byte_gemm, dsp_bytes
from mbgen.intrinsics.dsp import FIELD
from mbgen.intrinsics.dsp_byte_depthwise import DSP_BYTE_DEPTHWISE, PLANES, depthwise_name, pack
from mbgen.intrinsics.dsp_byte_gemm import (
    DSP_BYTE_GEMM,
    DTYPES,
    PART_START,
    SHIFTS,
    block_words,
    gemm_name,
    pack_constants,
    pack_part_constants,
    short,
)
from mbgen.intrinsics.dsp_byte_patches import DSP_BYTE_PATCHES, Patch, depthwise_places, pack_patches
from mbgen.intrinsics.dsp_copy import DSP_COPY
from mbgen.lowering.streams import scaled_blocks
from mbgen.lowering.tiling import panels
from mbgen.running import run_program
from tests.intrinsics.test_helpers import array, definitions, empty_library, headers
from tests.support.tools import require_target

Trial = tuple[str, dict[str, Array], str, Array]  # the helper, arrays by name, the call, and what `got` must hold

RANDOM = np.random.default_rng(0)
LEVELS = 300  # between the least and the greatest sum, so that some are cut


def values(dtype: str, *shape: int) -> Array:
    return RANDOM.integers(*INTEGER_RANGE[dtype], shape, np.dtype(dtype), endpoint=True)


def scales(span: Array, dtype: str, shift: int) -> tuple[Array, Array]:
    """Multipliers and addends for sums from 0 to `span`."""
    low = INTEGER_RANGE[dtype][0]
    multiplier = np.minimum(LEVELS * 2.0 ** (32 + shift) / span, 2**31 - 1).astype(np.int64)
    return multiplier, np.asarray((low - RANDOM.integers(0, LEVELS - 255, len(span))) << shift)


def packing() -> Iterator[Trial]:
    for dtype, (k, count) in itertools.product(DTYPES, ((1, 2), (7, 3), (24, 1), (106, 2))):
        x, name = values(dtype, 3 * count, k), f"byte_triples_{short(dtype)}"
        words = HELPERS[name].meaning(x)
        yield name, {"x": x}, f"(got, x, {k}, {k}, {count}, 0)", words.reshape(-1)


def windows() -> Iterator[Trial]:
    """Rows that are padding, windows that begin before a row and end behind it."""
    cases = ((0, 2, (0, 3)), (-1, 1, (1, 3)), (-2, 2, (0, 2)), (1, 1, (0, 3)))
    for dtype, (first, stride, (begin, end)) in itertools.product(DTYPES, cases):
        channels, width, count, pad = 3, 15 * stride, 5, int(values(dtype, 1)[0])
        rows = values(dtype, 3, width, channels)
        inside = rows.astype(np.int64)
        inside[:begin], inside[end:] = pad, pad
        name = f"byte_windows_{short(dtype)}"
        found = HELPERS[name].meaning(inside, first, stride, 3, 3 * count, pad)
        places = np.array([0, 1, 2], np.int32) * width * channels
        call = f"(got, x, places, {begin}, {end}, 3, 3, {stride}, {first}, {width}, {channels}, {pad}, {count})"
        words = HELPERS[f"byte_triples_{short(dtype)}"].meaning(found)
        yield name, {"x": rows, "places": places}, call, words.reshape(-1)


def gemms() -> Iterator[Trial]:
    """Every number of steps that a turn of the loop may begin with; channels with and without a rest."""
    kinds = ((True, False), (True, True), (False, False), (False, True))
    for number, (dtype, shift, (widened, wide)) in enumerate(itertools.product(DTYPES, SHIFTS, kinds)):
        for k in (106, 90) if wide else (1 + number, 17 + number, 45):
            n, count = 4 + k % 5, 1 + k % 3
            x, weights = values(dtype, 3 * count, k), values("int8", n, k)
            ends = np.stack([weights.astype(np.int64) * end for end in INTEGER_RANGE[dtype]])
            start, span = -ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1) - ends.min(axis=0).sum(axis=1)
            given = start, *scales(span, dtype, shift)
            name = gemm_name(dtype, shift, widened, wide)
            expected = HELPERS[name].meaning(x, weights, *given, shift, dtype)
            words = HELPERS[f"byte_triples_{short(dtype)}"].meaning(x).reshape(-1)
            if widened:
                blocks = scaled_blocks(*(panels(one, 4) for one in (weights, *given)))
                yield name, {"x": words, "w": blocks}, f"(got, {n}, x, {count}, {k}, w)", expected
            else:
                arrays = {"x": words, "w": weights, "constants": pack_constants(*given)}
                call = f"(got, {n}, x, {count}, {k}, w, constants, {int(wide)}, room)"
                yield name, arrays, call, expected


def part_gemms() -> Iterator[Trial]:
    """Two parts and more, the first shorter or not; sums that reach what their fields hold, in all parts or in one."""
    cuts = ((33, 16), (64, 32), (49, 48), (90, 32), (145, 64))
    for dtype, shift, widened, (k, part) in itertools.product(DTYPES, SHIFTS, (False, True), cuts):
        n, count = 4 + k % 5, 1 + k % 3
        x, weights, begin = values(dtype, 3 * count, k), values("int8", n, k), (k - 1) % part + 1
        if dtype == "int8" or part == 16:  # as much as int8 can have: a part but the first spans most in its middle
            weights[::2] = 127
        x[: k % 2 + 1] = INTEGER_RANGE[dtype][k % 2]
        ends = np.stack([weights.astype(np.int64) * end for end in INTEGER_RANGE[dtype]])
        low, high = ends.min(axis=0), ends.max(axis=0)
        assert np.all(high[:, :begin].sum(axis=1) - low[:, :begin].sum(axis=1) < FIELD)
        start, later = -low[:, :begin].sum(axis=1), (k - 1) // part
        total = start + later * PART_START + low.sum(axis=1)
        multiplier, addend = scales((high - low).sum(axis=1), dtype, shift)
        given = start, multiplier, addend - (total * multiplier >> 32)
        name = gemm_name(dtype, shift, widened, True, parts=True)
        expected = HELPERS[name].meaning(x, weights, *given, shift, dtype, part)
        words = HELPERS[f"byte_triples_{short(dtype)}"].meaning(x).reshape(-1)
        if widened:
            blocks = scaled_blocks(*(panels(one, 4) for one in (weights, *given)))
            yield name, {"x": words, "w": blocks}, f"(got, {n}, x, {count}, {k}, w, {part})", expected
        else:
            constants = pack_part_constants(*given, later)
            assert constants is not None
            arrays = {"x": words, "w": weights, "constants": constants}
            yield name, arrays, f"(got, {n}, x, {count}, {k}, w, constants, {part}, room)", expected


def depthwises() -> Iterator[Trial]:
    """Whole blocks of outputs and a rest, even and odd widths, whole planes, each row of a window missing."""
    sizes = ((12, 4, (0, 3)), (6, 5, (1, 3)), (7, 9, (0, 2)), (3, 6, (2, 3)), (13, 4, (0, 1)), (0, 5, (0, 3)))
    kinds = list(itertools.product(DTYPES, (1, 2), (0, 1), PLANES, SHIFTS))
    tried = [(number, sizes[number % 5]) for number in range(len(kinds))] + [(at, sizes[5]) for at in range(len(kinds))]
    for number, (outputs, channels, (begin, end)) in tried:
        dtype, stride, left, columns, shift = kinds[number]
        right, pad = number // 2 % 2, int(values(dtype, 1)[0])
        ow = outputs or (columns - left - 4) // stride + 1
        width = (ow - 1) * stride + 3 - left - right
        rows, taps = values(dtype, 3, width, channels), values("int8", 3, 3, channels)
        inside = np.pad(rows.astype(np.int64), ((0, 0), (left, right), (0, 0)), constant_values=pad)
        inside[:begin], inside[end:] = pad, pad
        ends = np.stack([taps.astype(np.int64) * end for end in INTEGER_RANGE[dtype]])
        low, high = ends.min(axis=0).sum(axis=(0, 1)), ends.max(axis=0).sum(axis=(0, 1))
        given = -low, *scales(high - low, dtype, shift)
        name = depthwise_name(dtype, stride, left, columns, shift)
        expected = HELPERS[name].meaning(inside, taps, *given, stride, shift, dtype)
        arrays = {"x": rows, "w": pack(taps, *given), "places": np.array([0, 1, 2], np.int32) * width * channels}
        yield name, arrays, f"(got, x, places, {begin}, {end}, w, {channels}, {width}, {ow}, {pad})", expected


def some_patches(y: Array, products: Array) -> list[Patch]:
    """Of sums that occur, of sums that do not though their level does, and of levels that do not occur."""
    low, high = INTEGER_RANGE[str(y.dtype)]
    patches = []
    for channel in range(y.shape[1]):
        level, total = int(y[-1, channel]), int(products[-1, channel])
        patches.append(Patch(channel, level, level - 1 if level > low else level + 1, total))
        patches.append(Patch(channel, int(y[0, channel]), low, int(products.max()) + 1))
        patches.append(Patch(channel, next(one for one in range(low, high) if one not in y), high, total))
    return patches


def gemm_patches() -> Iterator[Trial]:
    """Channels in whole blocks and a rest, weights as they are and in panels, as bytes and words."""
    for dtype, (m, n, k), kind in itertools.product(DTYPES, ((5, 7, 12), (1, 4, 20)), ("bytes", "panels", "words")):
        x, weights = values(dtype, m, k), values("int8", n, k)
        products = x.astype(np.int64) @ weights.astype(np.int64).T
        y = (products >> 8).astype(dtype)
        patches = some_patches(y, products)
        if kind == "words":
            zeros = np.zeros(n, np.int64)
            blocks = scaled_blocks(*(panels(one, 4) for one in (weights, zeros, zeros, zeros)))
            given, places, name = blocks, dsp_byte_gemm.channel_places(n, k, True), f"byte_patches_words_{short(dtype)}"
        else:
            nr = 2 if kind == "panels" else 1
            given = np.stack([dsp_bytes.pack(panel) for panel in panels(weights, nr)])
            places, name = dsp_bytes.channel_places(n, k, nr), f"byte_patches_{short(dtype)}"
        step = "" if kind == "words" else f", {4 * (2 if kind == 'panels' else 1)}"
        arrays = {"got": y, "x": x, "w": given, "patches": pack_patches(patches, places)}
        expected = HELPERS[name].meaning(y, products, patches)
        assert np.any(expected != y)
        yield name, arrays, f"(got, x, w, patches, {len(patches)}, {m}, {n}, {k}{step})", expected


def depthwise_patches() -> Iterator[Trial]:
    """With and without padding at each side."""
    for dtype, stride, left, (begin, end) in itertools.product(DTYPES, (1, 2), (0, 1), ((0, 3), (1, 3), (0, 2))):
        ow, channels, pad = 5, 6, int(values(dtype, 1)[0])
        width = (ow - 1) * stride + 2
        rows, taps = values(dtype, 3, width, channels), values("int8", 3, 3, channels)
        inside = np.pad(rows.astype(np.int64), ((0, 0), (left, 2), (0, 0)), constant_values=pad)
        inside[:begin], inside[end:] = pad, pad
        products = np.array([(inside[:, i * stride :][:, :3] * taps).sum(axis=(0, 1)) for i in range(ow)])
        y = (products >> 8).astype(dtype)
        patches, name = some_patches(y, products), f"byte_patches_depthwise_{short(dtype)}"
        zeros = np.zeros(channels, np.int64)
        arrays = {"got": y, "x": rows, "w": pack(taps, zeros, zeros - 5, zeros + 7)}
        arrays |= {"places": np.array([0, 1, 2], np.int32) * width * channels}
        arrays |= {"patches": pack_patches(patches, depthwise_places(channels))}
        given = f"{len(patches)}, {channels}, {width}, {ow}, {pad}, {stride}, {left}"
        expected = HELPERS[name].meaning(y, products, patches)
        yield name, arrays, f"(got, x, places, {begin}, {end}, w, patches, {given})", expected


def copies() -> Iterator[Trial]:
    """From words and from elsewhere, of no line of words and of some."""
    for first, count in ((0, 7), (0, 32), (0, 101), (1, 64)):
        x = values("int8", first + count)
        yield "copy_bytes", {"x": x}, f"(got, {f'{first} + ' if first else ''}x, {count})", x[first:]


TRIALS = [
    *copies(),
    *packing(),
    *windows(),
    *gemms(),
    *part_gemms(),
    *depthwises(),
    *gemm_patches(),
    *depthwise_patches(),
]


def test_constants_of_parts_have_their_bits() -> None:
    start, multiplier, addend = np.array([5, 2**21 - 1]), np.array([2**29 - 1, 7]), np.array([0, -(2**13)])
    for later in (1, 3):
        levels = addend - ((start + later * PART_START) * multiplier >> 32)
        assert pack_part_constants(start, multiplier, levels, later) is not None
        assert pack_part_constants(start, multiplier, levels - 1, later) is None
        assert pack_part_constants(start, multiplier, levels + np.array([2**13, 0]), later) is None
        assert pack_part_constants(start, multiplier + np.array([1, 0]), levels, later) is None


def test_every_helper_is_tried() -> None:
    used = {"byte_field", "byte_block", "byte_part_constants"}  # by the others
    used |= {h.name for h in DSP_BYTE_DEPTHWISE if not h.name.startswith("byte_depthwise")}
    assert {name for name, *_ in TRIALS} == {
        h.name for h in (*DSP_BYTE_GEMM, *DSP_BYTE_DEPTHWISE, *DSP_BYTE_PATCHES, *DSP_COPY)
    } - used


@pytest.mark.parametrize("name", ["host", "cortex-m4", "cortex-m33"])
def test_helpers_compute_what_the_meaning_says(name: str, tmp_path: Path) -> None:
    target = require_target(name)
    keys = sorted({helper for helper, *_ in TRIALS})
    functions, calls = "", ""
    for number, (helper, arrays, call, expected) in enumerate(TRIALS):
        kind = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t"}[str(expected.dtype)]
        inputs = "".join(
            array(f"{label}_{number}", given.reshape(-1)).replace("] = ", "] __attribute__((aligned(4))) = ")
            for label, given in arrays.items()
        )
        begin = f"    memcpy(got, got_{number}, sizeof got_{number});\n" if "got" in arrays else ""
        arguments = call
        for label in arrays.keys() - {"got"}:
            arguments = arguments.replace(f" {label},", f" {label}_{number},").replace(
                f" {label})", f" {label}_{number})"
            )
        wanted = array(f"expected_{number}", expected.reshape(-1))
        functions += f"""\
{inputs}{wanted}static int trial_{number}(void)
{{
    static {kind} got[{expected.size + 1}] __attribute__((aligned(4)));
    int wrong = 0;

{begin}    got[{expected.size}] = 85;
    net_{helper}{arguments};
    for (int i = 0; i < {expected.size}; i++) {{
        wrong += got[i] != expected_{number}[i];
    }}
    return wrong != 0 || got[{expected.size}] != 85;
}}
"""
        calls += f'    harness_print(trial_{number}() ? "wrong\\n" : "right\\n");\n'
    room = f"static int32_t room[{block_words(145)}];\n"
    main = f'{headers(keys)}#include <string.h>\n#include "harness.h"\n{definitions(keys, "net")}{room}{functions}'
    main += f"int main(void)\n{{\n{calls}    return 0;\n}}\n"
    printed = run_program([empty_library(target, tmp_path)], main).split()
    assert [(trial[0], trial[2]) for trial, found in zip(TRIALS, printed, strict=True) if found != "right"] == []
