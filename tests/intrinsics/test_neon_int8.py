"""AArch64's int8 kernels written as asm: what they compute, on the cores that run them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Array
from mbgen.intrinsics import HELPERS, dotprod, dotprod_image, neon_convolution, neon_int8, neon_rows, neon_tile
from mbgen.intrinsics.neon_rescale import MAGIC, Kind, Rescale
from mbgen.intrinsics.neon_tile import Tile
from mbgen.running import run_program
from tests.intrinsics.test_helpers import definitions, empty_library, headers
from tests.support.compilers import STRICT, call
from tests.support.tools import require_target

PITCH, COUNT, CHANNELS, PIXELS = 45, 2, 32, 10
KS = {"tree": (32, 64, 160), "lanes": (4, 28, 32), "dot": (4, 28, 96)}
TILES = {"neon": neon_int8.TREES + neon_int8.LANES, "neon-dotprod": dotprod.DOTS}
UNTOUCHED = 0x55
TYPES = {"int8": "int8_t", "int32": "int32_t", "float32": "float"}

PRINT_BYTES = """
static void print_bytes(const int8_t *values, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        char text[4];

        text[0] = "0123456789abcdef"[(uint8_t)values[i] >> 4];
        text[1] = "0123456789abcdef"[(uint8_t)values[i] & 15U];
        text[2] = 0;
        harness_print(text);
    }
    harness_print("\\n");
}
"""


def rescales(rng: np.random.Generator, spread: float) -> dict[Kind, Rescale]:
    """Constants of each kind for sums of the size of `spread`, which fill a byte and a bit more."""
    scale = (rng.uniform(50, 100, CHANNELS) / spread).astype(np.float32)
    scale[::3] = 2.0 ** np.round(np.log2(scale[::3]))  # with these, halves come up
    shift = np.floor(-np.log2(scale)).astype(np.int32)
    multiplier = np.rint(scale.astype(np.float64) * np.exp2(shift + 31.0)).clip(max=2**31 - 1).astype(np.int32)
    return {
        "scale": Rescale("scale", (scale,), (3, -100, 90)),
        "magic": Rescale("magic", (scale,), (float(MAGIC - 20),)),
        "fused": Rescale("fused", (scale,), (float(MAGIC - 128),)),
        "fixed": Rescale("fixed", (multiplier, -shift), (-5, -128, 127)),
    }


def array(name: str, values: Array) -> str:
    flat = values.reshape(-1)
    text = ", ".join(f"{float(v).hex()}F" if flat.dtype == np.float32 else str(int(v)) for v in flat)
    return f"static const {TYPES[str(flat.dtype)]} {name}[{len(flat)}] = {{{text}}};\n"


def constants(rescale: Rescale) -> tuple[str, str]:
    """C arrays of the constants of a kind, and how a call passes them."""
    names = [f"{rescale.kind}_{i}" for i in range(len(rescale.per_channel))]
    given = [f"{value!r}F" if isinstance(value, float) else str(value) for value in rescale.common]
    return "".join(map(array, names, rescale.per_channel)), ", ".join(names + given)


def starts(rescale: Rescale, bias: Array, nr: int) -> Array:
    """What a helper for panels of `nr` channels gets as bias."""
    values = rescale.starts(bias)
    return np.concatenate([values[:, first : first + nr].reshape(-1) for first in range(0, len(bias), nr)])


def run(target_name: str, keys: list[str], data: str, calls: list[str], folder: Path) -> list[Array]:
    """What each call leaves in `y[PIXELS][PITCH]`."""
    target = require_target(target_name)
    main = [headers(keys), '#include <string.h>\n#include "harness.h"\n', definitions(keys, "net"), PRINT_BYTES, data]
    main += [f"static int8_t y[{PIXELS * PITCH}];\nint main(void)\n{{\n"]
    for text in calls:
        main.append(f"    memset(y, {UNTOUCHED}, sizeof y);\n    {text}\n    print_bytes(y, {PIXELS * PITCH});\n")
    printed = run_program([empty_library(target, folder)], "".join([*main, "    return 0;\n}\n"])).splitlines()
    return [np.frombuffer(bytes.fromhex(line), np.int8).reshape(PIXELS, PITCH) for line in printed]


def gemms(isa: str) -> Iterator[tuple[Tile, int]]:
    for tile in TILES[isa]:
        for k in KS[tile.form]:
            yield tile, k


@pytest.mark.parametrize(("name", "isa"), [("cortex-a72", "neon"), ("cortex-a76", "neon-dotprod")])
def test_gemm_tiles_compute_what_the_meaning_says(name: str, isa: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {k: rng.integers(-127, 128, (CHANNELS, k), np.int8) for k in sorted({k for _, k in gemms(isa)})}
    x = rng.integers(-128, 128, PIXELS * max(weights), np.int8)
    weights[next(iter(weights))][0], x[:32] = 127, -128  # the greatest products
    bias = rng.integers(-20000, 20000, CHANNELS, np.int32)
    kinds = rescales(rng, 74 * 74 * 5)
    data = array("x", x) + "".join(constants(one)[0] for one in kinds.values())
    for nr in sorted({tile.nr for tile, _ in gemms(isa)}):
        data += "".join(array(f"bias_{kind}_{nr}", starts(one, bias, nr)) for kind, one in kinds.items())
    packed = sorted({(tile.form, tile.nr, k) for tile, k in gemms(isa)})
    data += "".join(array(f"w_{form}_{nr}_{k}", neon_tile.pack(weights[k][None, :nr], form)) for form, nr, k in packed)
    calls = [
        f"net_{tile.name}(y, {PITCH}, x, w_{tile.form}_{tile.nr}_{k}, bias_{tile.kind}_{tile.nr}, "
        f"{constants(kinds[tile.kind])[1]}, {k}, {COUNT});"
        for tile, k in gemms(isa)
    ]
    keys = sorted({f"{tile.name}@{isa}" for tile, _ in gemms(isa)})
    for (tile, k), y in zip(gemms(isa), run(name, keys, data, calls, tmp_path), strict=True):
        rescale, pixels = kinds[tile.kind], tile.mr * COUNT
        part = rescale.of(tile.nr)
        meaning = HELPERS[f"{tile.name}@{isa}"].meaning
        expected = np.full((PIXELS, PITCH), UNTOUCHED, np.int8)
        expected[:pixels, : tile.nr] = meaning(
            x[: pixels * k].reshape(pixels, k), weights[k][: tile.nr], bias[: tile.nr], part
        )
        np.testing.assert_array_equal(y, expected, err_msg=f"{tile.name}, k {k}")
        assert len(np.unique(expected)) > 3


ROWS_OF = {"neon": neon_rows.ROWS["taps"], "neon-dotprod": neon_rows.ROWS["dot"]}
WIDTHS = ((2, 0, 3), (4, 1, 3), (6, 0, 2), (9, 1, 2))  # outputs of a row, and which rows of its windows are no padding
ZERO_POINT, PANELS = -7, 2


def rows(isa: str) -> Iterator[tuple[neon_rows.Row, int, int, int]]:
    for row in ROWS_OF[isa]:
        for width in WIDTHS:
            yield row, *width


@pytest.mark.parametrize(("name", "isa"), [("cortex-a72", "neon"), ("cortex-a76", "neon-dotprod")])
def test_depthwise_rows_compute_what_the_meaning_says(name: str, isa: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    channels, longest = PANELS * neon_rows.LANES, 2 * PIXELS + 1
    x = rng.integers(-128, 128, (3, longest, PITCH), np.int8)
    weights = rng.integers(-127, 128, (3, 3, channels), np.int8)
    weights[:, :, 0], x[:, :2] = 127, -128  # the greatest products
    bias = rng.integers(-20000, 20000, channels, np.int32)
    kinds = rescales(rng, 74 * 74 * 3)
    panelled = weights.transpose(2, 0, 1).reshape(PANELS, neon_rows.LANES, 3, 3)
    data = array("x", x) + array("w", neon_rows.pack(panelled, ROWS_OF[isa][0].form))
    for kind, one in kinds.items():
        data += constants(one)[0] + array(f"bias_{kind}", starts(one.of(channels), bias, neon_rows.LANES))
    data += f"static const int32_t rows[3] = {{0, {longest * PITCH}, {2 * longest * PITCH}}};\n"
    calls = [
        f"net_{row.name}(y, {PITCH}, x, rows, {begin}, {end}, w, bias_{row.kind}, {constants(kinds[row.kind])[1]}, "
        f"{ZERO_POINT}, {PANELS}, {ow});"
        for row, ow, begin, end in rows(isa)
    ]
    keys = [f"{row.name}@{isa}" for row in ROWS_OF[isa]]
    for (row, ow, begin, end), y in zip(rows(isa), run(name, keys, data, calls, tmp_path), strict=True):
        rescale = kinds[row.kind]
        part = rescale.of(channels)
        seen = x[:, : row.stride * (ow - 1) + 3 - row.left - row.right, :channels].copy()
        seen[:begin], seen[end:] = ZERO_POINT, ZERO_POINT
        expected = np.full((PIXELS, PITCH), UNTOUCHED, np.int8)
        meaning = HELPERS[f"{row.name}@{isa}"].meaning
        expected[:ow, :channels] = meaning(seen, weights, bias, row, ZERO_POINT, part)
        np.testing.assert_array_equal(y, expected, err_msg=f"{row.name}, {ow} outputs")


@pytest.mark.parametrize(("name", "isa"), [("cortex-a72", "neon"), ("cortex-a76", "neon-dotprod")])
def test_convolution_rows_compute_what_the_meaning_says(name: str, isa: str, tmp_path: Path) -> None:
    """3x3 windows on three channels, stride 2, with padding on both sides, above or below."""
    rng = np.random.default_rng(2)
    tiles = [tile for tile in TILES[isa] if tile.form != "tree"]
    ow, channels, taps, k, width = 9, 3, 9, 28, 17
    x = rng.integers(-128, 128, (3, width * channels), np.int8)
    weights = np.pad(rng.integers(-127, 128, (CHANNELS, 27), np.int8), ((0, 0), (0, 1)))
    bias = rng.integers(-20000, 20000, CHANNELS, np.int32)
    kinds = rescales(rng, 74 * 74 * 5)
    data = array("x", x) + "".join(constants(one)[0] for one in kinds.values())
    for nr in sorted({tile.nr for tile in tiles}):
        data += "".join(array(f"bias_{kind}_{nr}", starts(one, bias, nr)) for kind, one in kinds.items())
    for form, nr in sorted({(tile.form, tile.nr) for tile in tiles}):
        data += array(f"w_{form}_{nr}", neon_tile.pack(weights[None, :nr], form))
    data += f"static const int32_t rows[3] = {{0, {width * channels}, {2 * width * channels}}};\n"
    kept = [(number % 2, 2 + number // 2 % 2) for number in range(len(tiles))]
    calls = [
        f"net_{neon_convolution.name(tile)}(y, {PITCH}, x, rows, {begin}, {end}, w_{tile.form}_{tile.nr}, "
        f"bias_{tile.kind}_{tile.nr}, {constants(kinds[tile.kind])[1]}, {k}, {taps}, {-channels}, {2 * channels}, "
        f"{width * channels}, {ZERO_POINT}, 1, {ow});"
        for tile, (begin, end) in zip(tiles, kept, strict=True)
    ]
    keys = [f"{neon_convolution.name(tile)}@{isa}" for tile in tiles]
    made = run(name, keys, data, calls, tmp_path)
    for tile, (begin, end), key, y in zip(tiles, kept, keys, made, strict=True):
        seen = np.pad(x, ((0, 0), (channels, channels)), constant_values=ZERO_POINT)
        seen[:begin], seen[end:] = ZERO_POINT, ZERO_POINT
        windows = np.stack([seen[:, 6 * o : 6 * o + taps].reshape(-1) for o in range(ow)])
        rescale = kinds[tile.kind]
        part = rescale.of(tile.nr)
        expected = np.full((PIXELS, PITCH), UNTOUCHED, np.int8)
        expected[:ow, : tile.nr] = HELPERS[key].meaning(windows, weights[: tile.nr, :27], bias[: tile.nr], part)
        np.testing.assert_array_equal(y, expected, err_msg=key)


# stride, width of the image, padding before it, outputs, rows of the windows that are no padding
IMAGES = ((2, 17, 1, 9, 0, 3), (2, 20, 0, 10, 0, 2), (1, 6, 1, 6, 1, 3), (1, 9, 0, 7, 0, 3), (2, 7, 1, 4, 1, 2))


def test_image_rows_compute_what_the_meaning_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    kinds, channels, panels, longest = rescales(rng, 74 * 74 * 5), 3, 2, 20 * 3
    oc = panels * dotprod_image.CHANNELS
    x = rng.integers(-128, 128, (3, longest), np.int8)
    weights = np.pad(rng.integers(-127, 128, (oc, 27), np.int8), ((0, 0), (0, 1)))
    weights[0, :27], x[0] = 127, -128  # the greatest products
    bias = rng.integers(-20000, 20000, CHANNELS, np.int32)
    data = array("x", x) + array("w", neon_tile.pack(weights.reshape(panels, -1, dotprod_image.K), "dot"))
    for kind, one in kinds.items():
        data += constants(one)[0] + array(f"bias_{kind}", starts(one, bias, dotprod_image.CHANNELS))
    data += f"static const int32_t rows[3] = {{0, {longest}, {2 * longest}}};\n"
    cases = [(kind, *image) for kind in kinds for image in IMAGES]
    calls = [
        f"net_{dotprod_image.row_name(kind)}(y, {PITCH}, x, rows, {begin}, {end}, w, bias_{kind}, "
        f"{constants(kinds[kind])[1]}, {-channels * left}, {channels * stride}, {channels * width}, {ZERO_POINT}, "
        f"{panels}, {ow});"
        for kind, stride, width, left, ow, begin, end in cases
    ]
    keys = [f"{dotprod_image.row_name(kind)}@neon-dotprod" for kind in kinds]
    made = run("cortex-a76", keys, data, calls, tmp_path)
    for (kind, stride, width, left, ow, begin, end), y in zip(cases, made, strict=True):
        row = x[:, : channels * width].copy()
        row[:begin], row[end:] = ZERO_POINT, ZERO_POINT
        seen = np.pad(row, ((0, 0), (channels * left, 2 * channels)), constant_values=ZERO_POINT)
        windows = np.stack([seen[:, channels * stride * o :][:, :9].reshape(-1) for o in range(ow)])
        expected = np.full((PIXELS, PITCH), UNTOUCHED, np.int8)
        expected[:ow, :oc] = neon_tile.meaning(windows, weights[:, :27], bias[:oc], kinds[kind].of(oc))
        np.testing.assert_array_equal(y, expected, err_msg=f"{kind}, stride {stride}, {width} wide")


GIVEN: dict[Kind, str] = {"fixed": "b, b, 0, 0, 0", "scale": "f, 0, 0, 0", "magic": "f, 1.0F", "fused": "f, 1.0F"}


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("aarch64-linux-gnu-gcc", ("-mcpu=cortex-a76",)),
        ("clang", ("--target=aarch64-linux-gnu", "-mcpu=cortex-a76")),
    ],
)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_kernels_compile_without_a_warning(compiler: str, flags: tuple[str, ...], level: str, tmp_path: Path) -> None:
    keys, calls = [], []
    for isa, tiles in TILES.items():
        for tile in tiles:
            given = GIVEN[tile.kind]
            keys.append(f"{tile.name}@{isa}")
            calls.append(f"    net_{tile.name}(y, 40, y, y, b, {given}, 32, 1);\n")
            if tile.form != "tree":
                keys.append(f"{neon_convolution.name(tile)}@{isa}")
                calls.append(
                    f"    net_{neon_convolution.name(tile)}(y, 40, y, b, 0, 3, y, b, {given}, "
                    "28, 9, -3, 6, 90, 0, 1, 15);\n"
                )
        for row in ROWS_OF[isa]:
            given = GIVEN[row.kind]
            keys.append(f"{row.name}@{isa}")
            calls.append(f"    net_{row.name}(y, 40, y, b, 0, 3, y, b, {given}, 0, 1, 8);\n")
    for kind, given in GIVEN.items():
        keys.append(f"{dotprod_image.row_name(kind)}@neon-dotprod")
        calls.append(f"    net_{dotprod_image.row_name(kind)}(y, 8, y, b, 0, 3, y, b, {given}, -3, 6, 90, 0, 1, 15);\n")
    head = "void user(int8_t *y, const int32_t *b, const float *f)"
    text = headers(keys) + definitions(keys, "net") + f"{head};\n"
    (tmp_path / "user.c").write_text(f"{text}{head}\n{{\n{''.join(calls)}}}\n")
    call([compiler, "-std=c99", *flags, *STRICT, level, "-c", tmp_path / "user.c", "-o", tmp_path / "user.o"])
