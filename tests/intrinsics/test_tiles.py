"""The float32 tiles and rows written as asm: what they compute, on the cores that run them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Array
from mbgen.intrinsics import HELPERS, avx2_gemm, neon_gemm
from mbgen.intrinsics.neon_depthwise import Row, depthwise_name
from mbgen.intrinsics.tile import Shape, gemm_name
from mbgen.running import run_program
from tests.intrinsics.test_helpers import array, definitions, empty_library, headers
from tests.support.compilers import STRICT, call
from tests.support.tools import require_target

X_PITCH, Y_PITCH = 50, 43  # elements; both more than any tile has
PIXELS = 12
KS = (1, 3, 8, 37, 48)  # with and without whole steps, and a rest
ROWS = (417, 0, 850)  # where rows of x start
SKIP = 5  # weights of a row that a tile leaves out
LOW, HIGH = -0.75, 1.5
UNTOUCHED = 0x55555555

PRINT_BITS = """
static void print_bits(const float *values, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        uint32_t bits;
        char text[10];

        memcpy(&bits, &values[i], sizeof bits);
        for (int32_t digit = 0; digit < 8; digit++) {
            text[digit] = "0123456789abcdef"[bits >> (28 - 4 * digit) & 15U];
        }
        text[8] = ' ';
        text[9] = 0;
        harness_print(text);
    }
    harness_print("\\n");
}
"""
BOUNDS = f", {LOW}F, {HIGH}F"


def cut_of(k: int) -> int:
    """Of `k` values, how many the last pixel of a cut tile lacks."""
    return -(-k // 3)


def outputs(
    name: str,
    isa: str,
    keys: Sequence[str],
    arrays: dict[str, Array],
    calls: Sequence[str],
    elements: int,
    folder: Path,
) -> list[Array]:
    """`y` after each of the calls, as many floats as it has elements; untouched ones are UNTOUCHED."""
    target = require_target(name)
    if isa not in target.instruction_set:
        pytest.skip(f"{name} has no {isa}")
    main = "".join(
        [
            headers(keys),
            '#include <string.h>\n#include "harness.h"\n',
            definitions(keys, "net"),
            PRINT_BITS,
            *(array(label, values.reshape(-1)) for label, values in arrays.items()),
            f"static float y[{elements}];\nint main(void)\n{{\n",
            *(f"    memset(y, 0x55, sizeof y);\n    net_{one};\n    print_bits(y, {elements});\n" for one in calls),
            "    return 0;\n}\n",
        ]
    )
    printed = run_program([empty_library(target, folder)], main).splitlines()
    return [np.array([int(word, 16) for word in line.split()], np.uint32).view(np.float32) for line in printed]


def assert_only(y: Array, expected: Array, label: str) -> None:
    """The corner of `y` is what is expected, and nothing else was written."""
    rows, columns = expected.shape
    np.testing.assert_allclose(y[:rows, :columns], expected, rtol=1e-5, atol=1e-5, err_msg=label)
    rest = y.view(np.uint32).copy()
    rest[:rows, :columns] = UNTOUCHED
    assert np.all(rest == UNTOUCHED), f"{label} writes beyond its tile"


@pytest.mark.parametrize(
    ("name", "isa", "tiles", "lanes", "cuts"),
    [
        ("host", "avx2", avx2_gemm.TILES, avx2_gemm.LANES, avx2_gemm.CUTS),
        ("cortex-a72", "neon", neon_gemm.TILES, neon_gemm.LANES, ()),
    ],
)
def test_gemm_tiles_compute_what_the_meaning_says(
    name: str, isa: str, tiles: Sequence[tuple[int, int]], lanes: int, cuts: Sequence[Shape], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 850 + PIXELS * X_PITCH).astype(np.float32)
    weights = rng.uniform(-1, 1, len(ROWS) * (40 * max(KS) + SKIP)).astype(np.float32)
    bias = rng.uniform(-1, 1, 40).astype(np.float32)
    shapes = [
        Shape(mr, vectors * lanes, clamped, rows)
        for (mr, vectors), clamped, rows in itertools.product(tiles, (True, False), (True, False))
    ]
    shapes += cuts
    cases = [(shape, k, count) for shape in shapes for k, count in zip(KS, (3, 1, 2, 3, 2), strict=True)]
    calls = []
    for shape, k, count in cases:
        where = f"rows, {count}, {SKIP}" if shape.rows else "w"
        where += f", {cut_of(k)}" if shape.cut else ""
        bounds = BOUNDS if shape.clamped else ""
        all_have = k - cut_of(k) if shape.cut else k
        calls.append(f"{gemm_name(shape)}(y, {Y_PITCH}, x, {X_PITCH}, w, bias, {all_have}, {where}{bounds})")
    keys = [f"{gemm_name(shape)}@{isa}" for shape in shapes]
    arrays = {"x": x, "w": weights, "bias": bias, "rows": np.array(ROWS, np.int32)}
    made = outputs(name, isa, keys, arrays, calls, PIXELS * Y_PITCH, tmp_path)
    for (shape, k, count), y in zip(cases, made, strict=True):
        starts = ROWS[:count] if shape.rows else (0,)
        pixels = np.array([[x[s + p * X_PITCH :][:k] for s in starts] for p in range(shape.mr)]).reshape(shape.mr, -1)
        if shape.cut:
            pixels.reshape(shape.mr, len(starts), k)[-1, :, k - cut_of(k) :] = 0
        pitch = k * shape.nr + SKIP
        panels = [weights[i * pitch :][: k * shape.nr].reshape(k, shape.nr) for i in range(len(starts))]
        low_high: dict[str, float] = {"low": LOW, "high": HIGH} if shape.clamped else {}
        meaning = HELPERS[f"{gemm_name(shape)}@{isa}"].meaning
        expected: Array = meaning(pixels, np.concatenate(panels), bias[: shape.nr], **low_high)
        assert_only(y.reshape(PIXELS, Y_PITCH), expected, f"{gemm_name(shape)}, k {k}")


def test_depthwise_rows_compute_what_the_meaning_says(tmp_path: Path) -> None:
    rng, pitch, tiles = np.random.default_rng(0), 12, 2
    x = rng.uniform(-1, 1, 3 * 30 * pitch).astype(np.float32)
    weights = rng.uniform(-1, 1, (tiles, 3, 3, 4)).astype(np.float32)
    bias = rng.uniform(-1, 1, (tiles, 4)).astype(np.float32)
    starts = (30 * pitch, 0, 60 * pitch)
    rows = [Row(*flags) for flags in itertools.product((1, 2), (False, True), (False, True), (True, False))]
    cases = [
        (row, ow, inside)
        for row in rows
        for ow, inside in zip((2, 3, 4, 13), ((0, 3), (1, 3), (0, 2), (1, 2)), strict=True)
    ]
    calls = []
    for row, ow, (begin, end) in cases:
        bounds = BOUNDS if row.clamped else ""
        calls.append(f"{depthwise_name(row)}(y, {pitch}, x, rows, {begin}, {end}, w, bias, {tiles}, {ow}{bounds})")
    arrays = {"x": x, "w": weights, "bias": bias, "rows": np.array(starts, np.int32)}
    keys = [f"{depthwise_name(row)}@neon" for row in rows]
    made = outputs("cortex-a72", "neon", keys, arrays, calls, 16 * pitch, tmp_path)
    for (row, ow, (begin, end)), y in zip(cases, made, strict=True):
        width = (ow - 1) * row.stride + 3 - row.left - row.right
        image = np.array([x[s:][: width * pitch].reshape(width, pitch)[:, : 4 * tiles] for s in starts])
        image[:begin], image[end:] = 0, 0
        low_high: dict[str, float] = {"low": LOW, "high": HIGH} if row.clamped else {}
        meaning = HELPERS[f"{depthwise_name(row)}@neon"].meaning
        expected: Array = meaning(image, weights.transpose(1, 2, 0, 3).reshape(3, 3, -1), bias.reshape(-1), **low_high)
        assert expected.shape == (ow, 4 * tiles)
        assert_only(y.reshape(16, pitch), expected, f"{depthwise_name(row)}, {ow} columns")


@pytest.mark.parametrize(
    ("compiler", "flags", "isa"),
    [
        ("gcc", ("-march=x86-64-v3",), "avx2"),
        ("clang", ("-march=x86-64-v3",), "avx2"),
        ("aarch64-linux-gnu-gcc", ("-mcpu=cortex-a72",), "neon"),
    ],
)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_tiles_compile_without_a_warning(
    compiler: str, flags: tuple[str, ...], isa: str, level: str, tmp_path: Path
) -> None:
    tiles = [key for key in HELPERS if key.startswith(("gemm_", "depthwise_")) and "f32" in key]
    keys = [key for key in tiles if key.endswith(f"@{isa}")]
    calls = []
    for key in keys:
        bounds = ", 0.0F, 6.0F" if "clamp" in key else ""
        if key.startswith("depthwise_"):
            arguments = "y, 8, x, rows, 0, 3, x, x, 2, 9"
        else:
            arguments = (
                f"y, 40, x, 64, x, x, 8, {'rows, 3, 0' if 'rows' in key else 'x'}{', 3' if 'cut' in key else ''}"
            )
        calls.append(f"    net_{key.partition('@')[0]}({arguments}{bounds});\n")
    head = "void user(float *y, const float *x, const int32_t *rows)"
    text = headers(keys) + definitions(keys, "net")
    (tmp_path / "user.c").write_text(f"{text}{head};\n{head}\n{{\n{''.join(calls)}}}\n")
    call(
        [
            compiler,
            "-std=c99",
            *flags,
            *STRICT,
            "-Wno-psabi",
            level,
            "-c",
            tmp_path / "user.c",
            "-o",
            tmp_path / "user.o",
        ]
    )
