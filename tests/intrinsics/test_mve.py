"""The Helium tiles against their meanings: the asm, and with -O0 the C beside it, on the emulated Cortex-M55."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Array
from mbgen.intrinsics import HELPERS
from mbgen.intrinsics.mve import FLOAT, VECTOR, rescale
from mbgen.intrinsics.mve_depthwise import depthwise_name, depthwise_stream
from mbgen.intrinsics.mve_gemm import (
    CHANNELS,
    PIXELS,
    ROW_CHANNELS,
    UNROLLED,
    gemm_name,
    gemm_stream,
    row_name,
    row_stream,
)
from mbgen.running import run_program
from tests.intrinsics.test_helpers import array, definitions, empty_library, headers
from tests.support.compilers import STRICT, call
from tests.support.tools import require_target

Trial = tuple[str, dict[str, Array], str, Array]  # the helper, arrays by name, the call, and what `got` must hold

RANDOM = np.random.default_rng(0)
SHIFTS = (1, 7, 16, FLOAT)
UNTOUCHED = 0x55


def int8(*shape: int) -> Array:
    values = RANDOM.integers(-128, 128, shape)
    return np.asarray(np.where(RANDOM.random(shape) < 0.05, RANDOM.choice([-128, 127], shape), values), np.int8)


def constants(n: int, terms: int, shift: int) -> tuple[Array, Array, Array]:
    """Starts, multipliers and addends under which most results are not saturated."""
    start = RANDOM.integers(-(2**12), 2**12, n)
    reach = 2.0**12 * np.sqrt(terms)
    if shift == FLOAT:
        scale = (RANDOM.uniform(50, 200, n) / reach).astype(np.float32)
        return start, scale.view(np.int32), np.full(n, RANDOM.integers(-128, 128))
    multiplier = np.minimum(RANDOM.uniform(50, 200, n) / reach * 2.0 ** (31 + shift), 2**31 - 1).astype(np.int64)
    return start, multiplier, RANDOM.integers(-64 << shift, 64 << shift, n)


def gemms() -> Iterator[Trial]:
    """Every helper of four pixels, with whole tiles and each rest, even and odd channels."""
    ks = [VECTOR * v + rest for v in range(UNROLLED + 1) for rest in (0, 5) if v or rest]
    ks += [VECTOR * v + rest for v in range(UNROLLED + 1, 2 * UNROLLED + 1) for rest in (0, 9)]
    for number, (k, floating) in enumerate(itertools.product(ks, (False, True))):
        shift = FLOAT if floating else SHIFTS[number % 3]
        n, m = 2 + number % 4, (1, 2, 3, 4, 8)[number % 5]
        x, weights = int8(m, k), int8(n, k)
        given = constants(n, k, shift)
        width, tiles = (PIXELS, m // PIXELS) if m % PIXELS == 0 else (m, 1)
        stream = gemm_stream(weights, *given, m % PIXELS)
        name = gemm_name(k, shift)
        expected = HELPERS[f"{name}@mve"].meaning(x, weights, *given, shift)
        yield name, {"x": x, "w": stream}, f"(got, {n}, x, {k}, {width}, {tiles}, w, {k}, {shift})", expected


def rows() -> Iterator[Trial]:
    for (k, n), shift in itertools.product(((5, 8), (16, 11), (48, 16), (77, 23)), SHIFTS):
        x, weights, given = int8(1, k), int8(n, k), constants(n, k, shift)
        name = row_name(k, shift)
        expected = HELPERS[f"{name}@mve"].meaning(x, weights, *given, shift)
        stream = row_stream(weights, *given)
        yield name, {"x": x, "w": stream}, f"(got, {n}, x, w, {k}, {shift})", expected


def depthwises() -> Iterator[Trial]:
    """Two rows of outputs from strips, with blocks side by side and, at three columns, one over the other."""
    for (channels, ow), stride, shift in itertools.product(((1, 2), (5, 3), (19, 6)), (1, 2), SHIFTS):
        columns = (ow - 2) * stride + (4 if stride == 1 else 6)
        image, weights = int8(2 * stride + 2, columns, channels), int8(3, 3, channels)
        strips = np.concatenate(
            [image[2 * part : 2 * part + 4].transpose(1, 2, 0).reshape(-1) for part in range(stride)]
        )
        given = constants(channels, 9, shift)
        stream = depthwise_stream(weights, *given, stride, columns, ow * channels)
        blocks, step = (2, 1) if ow == 3 else (ow // 2, 2)
        name = depthwise_name(stride, shift)
        arguments = f"(got, {channels}, strip, {blocks}, {step}, w, {shift})"
        used = image[: stride + 3, : (ow - 1) * stride + 3]
        expected = HELPERS[f"{name}@mve"].meaning(used, weights, *given, shift, stride)
        yield name, {"strip": strips.view(np.int32), "w": stream}, arguments, expected


def moves() -> Iterator[Trial]:
    for count, x_step, y_step in ((1, 3, 5), (9, 6, 27), (16, 200, 16), (16, 16, 144)):
        x = int8(5, x_step) if x_step >= count else int8(5 * x_step + count)
        patches = np.lib.stride_tricks.sliding_window_view(x.reshape(-1), count)[: 5 * x_step : x_step][:5]
        expected = np.full((5, y_step), UNTOUCHED, np.int8)
        expected[:, :count] = patches
        yield "copy_i8", {"x": x}, f"(got, {y_step}, x, {x_step}, {count}, 5)", expected
        expected = np.full((5, y_step), UNTOUCHED, np.int8)
        expected[:, :count] = -7
        yield "set_i8", {}, f"(got, {y_step}, -7, {count}, 5)", expected
    for channels, places in ((1, 3), (4, 9), (11, 1), (18, 49)):
        x, first = int8(places, channels), int(RANDOM.integers(-(2**20), 2**20))
        expected = HELPERS["sum_i8@mve"].meaning(x, first)
        call_text = f"((int32_t *)(void *)got, x, {channels}, {places}, {first})"
        yield "sum_i8", {"x": x}, call_text, expected
    for count in (0, 1, 16, 37):
        x, copied = int8(40), np.full(48, UNTOUCHED, np.int8)
        copied[:count] = x[:count]
        yield "copy_bytes", {"x": x}, f"(got, x, {count})", copied
    for words in (1, 3, 4, 9):
        value = HELPERS["fill_i8@mve"].meaning(-77, words)
        yield "fill_i8", {}, f"((int32_t *)(void *)got, -77, {words})", value
    for row, size in itertools.product((-1, 0, 2, 5), (3, 16, 24, 47)):
        image, border = int8(6, size), np.full(12, -9, np.int32)
        around = [image[r] if 0 <= r < 6 else border.view(np.int8)[:size] for r in range(row, row + 4)]
        expected = HELPERS["interleave_i8@mve"].meaning(np.stack(around))
        call_text = f"((int32_t *)(void *)got, x, {row}, 6, {size}, border, {size})"
        yield "interleave_i8", {"x": image, "border": border}, call_text, expected
    for shift in SHIFTS:
        start, multiplier, addend = constants(64, 9, shift)
        acc = start * 4
        calls = [
            f"got[{i}] = tile_rescale_i32({acc[i]}, {multiplier[i]}, {addend[i]}, {shift})" for i in range(len(acc))
        ]
        yield "rescale_i32", {}, "; ".join(calls), rescale(acc, multiplier, addend, shift)


FAMILIES: dict[str, Callable[[], Iterator[Trial]]] = {
    "gemm": gemms,
    "row": rows,
    "depthwise": depthwises,
    "move": moves,
}


def program(trials: list[Trial]) -> str:
    """`main` that says for each trial whether `got` is as it must be, and what lies behind it untouched."""
    keys = sorted({f"{name}@mve" for name, *_ in trials})
    size = max(expected.nbytes for *_, expected in trials) + VECTOR
    parts = [headers(keys), '#include <string.h>\n#include "harness.h"\n', definitions(keys, "tile")]
    parts.append(f"static int8_t got[{size}] __attribute__((aligned(16)));\n")
    for number, (name, arrays, arguments, expected) in enumerate(trials):
        call_text = arguments if "tile_" in arguments else f"tile_{name}{arguments}"
        parts += [f"static int test_{number}(void)\n{{\n"]
        parts += [array(label, values.reshape(-1)) for label, values in arrays.items()]
        parts += [array("expected", np.asarray(expected).view(np.int8).reshape(-1))]
        parts += [f"    memset(got, {UNTOUCHED}, sizeof got);\n    {call_text};\n"]
        parts += ["    return memcmp(got, expected, sizeof expected) == 0 && got[sizeof expected] == 0x55;\n}\n"]
    calls = [f'    harness_print(test_{i}() ? "right\\n" : "wrong\\n");\n' for i in range(len(trials))]
    return "".join([*parts, "int main(void)\n{\n", *calls, "    return 0;\n}\n"])


@pytest.mark.parametrize("level", ["-O2", "-O0"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_compute_what_the_meaning_says(family: str, level: str, tmp_path: Path) -> None:
    target = require_target("cortex-m55")
    trials = list(FAMILIES[family]())
    printed = run_program([empty_library(target, tmp_path)], program(trials), [level]).split()
    wrong = [trial[0] + trial[2] for trial, answer in zip(trials, printed, strict=True) if answer != "right"]
    assert not wrong


def test_every_helper_is_tried() -> None:
    tried = {name for family in FAMILIES.values() for name, *_ in family()}
    called = {required.partition("@")[0] for key in HELPERS for required in HELPERS[key].requires}
    assert {key.partition("@")[0] for key in HELPERS if key.endswith("@mve")} <= tried | called


def test_streams_take_every_channel_once_or_twice() -> None:
    """The words in front of a tile's successor lead through all channels, and say where they end."""
    for n in range(CHANNELS, 12):
        weights, given = int8(n, 20), constants(n, 20, 7)
        pairs = gemm_stream(weights, *given, 0)[8:].reshape(-(-n // CHANNELS), -1)[:, -1]
        assert sum(int(step) // 2 for step in pairs) == n
        assert [int(step) % 2 for step in pairs] == [0] * (len(pairs) - 1) + [1]
        if n >= ROW_CHANNELS:
            eights = row_stream(weights, *given).reshape(-(-n // ROW_CHANNELS), -1)[:, -1]
            assert sum(int(step) // 2 for step in eights) == n


@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_compile_without_a_warning(family: str, level: str, tmp_path: Path) -> None:
    target = require_target("cortex-m55")
    names = {name: arguments for name, _, arguments, _ in FAMILIES[family]() if "tile_" not in arguments}
    text = headers(f"{name}@mve" for name in names) + definitions([f"{name}@mve" for name in names], "tile")
    calls = "".join(f"    tile_{name}{arguments};\n" for name, arguments in sorted(names.items()))
    calls = calls.replace("strip", "w").replace("(int32_t *)(void *)got", "words")
    head = "void user(int8_t *got, int32_t *words, const int8_t *x, const int32_t *w, const int32_t *border)"
    used = "    (void)got; (void)words; (void)x; (void)w; (void)border;\n"
    (tmp_path / "user.c").write_text(f"{text}{head};\n{head}\n{{\n{used}{calls}}}\n")
    flags: list[str | Path] = [
        *target.c_flags,
        "-std=c99",
        *STRICT,
        level,
        "-c",
        tmp_path / "user.c",
        "-o",
        tmp_path / "user.o",
    ]
    call([str(target.compiler), *flags])
