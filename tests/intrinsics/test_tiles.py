"""The float32 tiles written as asm: what they compute, on the cores that run them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Array
from mbgen.intrinsics import HELPERS, avx2_gemm, neon_gemm
from mbgen.intrinsics.tile import gemm_name
from mbgen.running import run_program
from tests.intrinsics.test_helpers import array, definitions, empty_library, headers
from tests.support.compilers import STRICT, call
from tests.support.tools import require_target

Tiles = tuple[tuple[int, int], ...]

X_PITCH, Y_PITCH = 50, 43  # elements; both more than any tile has
PIXELS = 6
KS = (1, 3, 8, 37, 48)  # with and without whole steps, and a rest
LOW, HIGH = -0.75, 1.5

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


def cases(tiles: Tiles, lanes: int) -> list[tuple[int, int, bool, int]]:
    """Pixels, channels, whether clamped, and k."""
    return [
        (mr, vectors * lanes, clamped, k) for (mr, vectors), clamped, k in itertools.product(tiles, (True, False), KS)
    ]


@pytest.mark.parametrize(
    ("name", "isa", "tiles", "lanes"),
    [("host", "avx2", avx2_gemm.TILES, avx2_gemm.LANES), ("cortex-a72", "neon", neon_gemm.TILES, neon_gemm.LANES)],
)
def test_gemm_tiles_compute_what_the_meaning_says(
    name: str, isa: str, tiles: Tiles, lanes: int, tmp_path: Path
) -> None:
    target = require_target(name)
    if isa not in target.instruction_set:
        pytest.skip(f"{name} has no {isa}")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (PIXELS, X_PITCH)).astype(np.float32)
    weights = rng.uniform(-1, 1, 40 * max(KS)).astype(np.float32)
    bias = rng.uniform(-1, 1, 40).astype(np.float32)
    keys = sorted({f"{gemm_name(mr, nr, clamped)}@{isa}" for mr, nr, clamped, _ in cases(tiles, lanes)})
    lines = []
    for mr, nr, clamped, k in cases(tiles, lanes):
        bounds = f", {LOW}F, {HIGH}F" if clamped else ""
        place = f"y, {Y_PITCH}, x, {X_PITCH}, w, bias, {k}, w{bounds}"
        lines.append(f"    memset(y, 0x55, sizeof y);\n    net_{gemm_name(mr, nr, clamped)}({place});\n")
        lines.append(f"    print_bits(y, {PIXELS * Y_PITCH});\n")
    main = "".join(
        [
            headers(keys),
            '#include <string.h>\n#include "harness.h"\n',
            definitions(keys, "net"),
            PRINT_BITS,
            *(array(label, values.reshape(-1)) for label, values in (("x", x), ("w", weights), ("bias", bias))),
            f"static float y[{PIXELS * Y_PITCH}];\nint main(void)\n{{\n",
            *lines,
            "    return 0;\n}\n",
        ]
    )
    printed = run_program([empty_library(target, tmp_path)], main).splitlines()
    for (mr, nr, clamped, k), line in zip(cases(tiles, lanes), printed, strict=True):
        y = np.array([int(word, 16) for word in line.split()], np.uint32).view(np.float32).reshape(PIXELS, Y_PITCH)
        panel = weights[: k * nr].reshape(k, nr)
        bounds_of: dict[str, float] = {"low": LOW, "high": HIGH} if clamped else {}
        meaning = HELPERS[f"{gemm_name(mr, nr, clamped)}@{isa}"].meaning
        expected: Array = meaning(x[:mr, :k], panel, bias[:nr], **bounds_of)
        np.testing.assert_allclose(y[:mr, :nr], expected, rtol=1e-5, atol=1e-5, err_msg=f"{mr}x{nr}, k {k}")
        rest = y.copy()
        rest[:mr, :nr] = np.uint32(0x55555555).view(np.float32)
        assert np.all(rest.view(np.uint32) == 0x55555555), f"{mr}x{nr} writes beyond its tile"


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
    keys = [key for key in HELPERS if key.startswith("gemm_") and "f32" in key and key.endswith(f"@{isa}")]
    calls = []
    for key in keys:
        bounds = ", 0.0F, 6.0F" if "clamp" in key else ""
        calls.append(f"    net_{key.partition('@')[0]}(y, 40, x, 64, x, x, 8, x{bounds});\n")
    text = headers(keys) + definitions(keys, "net") + "void user(float *y, const float *x);\n"
    (tmp_path / "user.c").write_text(f"{text}void user(float *y, const float *x)\n{{\n{''.join(calls)}}}\n")
    call([compiler, "-std=c99", *flags, *STRICT, level, "-c", tmp_path / "user.c", "-o", tmp_path / "user.o"])
