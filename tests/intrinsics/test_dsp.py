"""The tiles of mbgen.intrinsics.dsp against their meanings: the assembly on Cortex-M, the C beside it on the host."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import INTEGER_RANGE, Array
from mbgen.intrinsics import HELPERS, closure, dsp_bytes
from mbgen.intrinsics.dsp import (
    FIELD_BITS,
    TILES,
    depthwise,
    depthwise_words,
    levels,
    packed_fields,
    packed_sums,
    patched_levels,
)
from mbgen.running import run_program
from tests.support.tools import require_target

RANDOM = np.random.default_rng(0)
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t", "int64": "int64_t", "uint16": "uint16_t"}
ROUNDS = 8
NAMES = TILES | {helper.name for helper in dsp_bytes.DSP_BYTES}

Trial = tuple[dict[str, Array], str, Array]  # arrays by name, the call, and what it must leave in `got`


def triples(k: int) -> Array:
    """Packed words int32 `[k, 2]` of three pixels."""
    x = RANDOM.integers(0, 256, (k, 3))
    return np.asarray(x[:, :2] + (x[:, 1:] << FIELD_BITS), np.int32)


def sums(k: int, parts: int, ahead: str = "") -> Trial:
    weights = RANDOM.integers(-128, 128, (parts * k, 2, 2))
    words = weights[..., 0] + (weights[..., 1] << FIELD_BITS)
    start = RANDOM.integers(-(2**60), 2**60, 4)
    w = np.concatenate([start.view(np.int32), words.reshape(-1).astype(np.int32)])
    runs = [np.concatenate([triples(k).reshape(-1), np.zeros(6, np.int32)]) for _ in range(parts)]
    used = np.concatenate([run[: 2 * k] for run in runs])
    call = f"tile_packed_sums{ahead}(got, a, w, {k}, {parts}, {2 * k + 6});"
    return {"a": np.concatenate(runs), "w": w}, call, packed_sums(used, w)


def accumulators(wide: bool) -> tuple[Array, Array]:
    """Two accumulators of two channels at three pixels; with `wide` neighbouring fields need 22 bits together."""
    y = RANDOM.integers(0, 2 ** (FIELD_BITS if wide else FIELD_BITS - 1), (2, 3))
    first, second = (
        y[0, i] + ((y[0, i + 1] + y[1, i]) << FIELD_BITS) + (y[1, i + 1] << 2 * FIELD_BITS) for i in (0, 1)
    )
    return np.array([first, second]), y.astype(np.int32)


def fields(wide: bool) -> Trial:
    acc, y = accumulators(wide)
    np.testing.assert_array_equal(packed_fields(int(acc[0]), int(acc[1])), y)
    return {"acc": acc}, f"tile_packed_fields{'_wide' if wide else ''}(got, acc[0], acc[1]);", y.reshape(-1)


def scales(count: int) -> Array:
    return np.stack([RANDOM.integers(2**28, 2**31, count), RANDOM.integers(-(2**14), 2**10, count)], 1).astype(np.int32)


def rescaled_fields(wide: bool) -> Trial:
    acc, y = accumulators(wide)
    scale, shift = scales(2), int(RANDOM.integers(6, 13))
    call = f"tile_packed_levels{'_wide' if wide else ''}(got, acc[0], acc[1], scale, {shift});"
    return {"acc": acc, "scale": scale}, call, levels(y, scale[:, :1], scale[:, 1:], np.array(shift)).reshape(-1)


def rescaled(outputs: int) -> Trial:
    y, scale = RANDOM.integers(-(2**20), 2**20, outputs, np.int32), scales(1)
    call = f"for (int i = 0; i < {outputs}; i++) {{ got[i] = y[i]; }} tile_levels_x{outputs}(got, scale, 9);"
    return {"y": y, "scale": scale}, call, levels(y, scale[0, 0], scale[0, 1], np.array(9))


def patched(outputs: int, count: int) -> Trial:
    y, scale = RANDOM.integers(-(2**20), 2**20, outputs, np.int32), scales(1)
    patches = np.stack([RANDOM.choice(y, count, replace=False), RANDOM.choice([-1, 1], count)], 1).astype(np.int32)
    patches[-1, 1] = 0
    call = f"for (int i = 0; i < {outputs}; i++) {{ got[i] = y[i]; }} "
    call += f"tile_patched_levels(got, {outputs}, scale, 9, patches, {count});"
    expected = patched_levels(y, scale[0, 0], scale[0, 1], np.array(9), patches)
    return {"y": y, "scale": scale, "patches": patches}, call, expected


def windows(stride: int, outputs: int) -> Trial:
    columns = outputs * stride + 4 - outputs * stride % 2
    rows, taps = RANDOM.integers(0, 256, (3, columns), np.uint16), RANDOM.integers(-255, 256, (1, 3, 3))
    w = np.concatenate([RANDOM.integers(-(2**20), 2**20, 1, np.int32), depthwise_words(taps).reshape(-1)])
    call = f"tile_depthwise_s{stride}x{outputs}(got, x, w, {2 * columns});"
    return {"x": rows, "w": w}, call, depthwise(rows, w, stride, outputs)


def byte_products(mr: int, nr: int, dtype: str) -> Trial:
    """k of every remainder by 4, at any address."""
    k, start = int(RANDOM.integers(1, 90)), RANDOM.integers(-1000, 1000, mr * nr, np.int32)
    x = RANDOM.integers(*INTEGER_RANGE[dtype], (mr, k), np.dtype(dtype), endpoint=True)
    w = RANDOM.integers(-128, 128, (nr, k), np.int8)
    call = f"for (int i = 0; i < {mr * nr}; i++) {{ got[i] = start[i]; }} "
    call += f"tile_{dsp_bytes.name(mr, nr, dtype)}(got, x, w, {k});"
    expected = start + dsp_bytes.byte_sums(x, w).reshape(-1)
    return {"x": x, "w": dsp_bytes.pack(w), "start": start}, call, expected.astype(np.int32)


TRIALS: dict[str, Callable[[], Trial]] = {
    "packed_sums of 77": lambda: sums(77, 1),
    "packed_sums of 3 x 9": lambda: sums(9, 3),
    "packed_sums_ahead of 77": lambda: sums(77, 1, "_ahead"),
    "packed_sums_ahead of 3 x 9": lambda: sums(9, 3, "_ahead"),
    "packed_fields": lambda: fields(wide=False),
    "packed_fields_wide": lambda: fields(wide=True),
    "packed_levels": lambda: rescaled_fields(wide=False),
    "packed_levels_wide": lambda: rescaled_fields(wide=True),
    "patched_levels": lambda: patched(6, 3),
    "levels_x6": lambda: rescaled(6),
    "levels_x3": lambda: rescaled(3),
    **{
        dsp_bytes.name(mr, nr, dtype): functools.partial(byte_products, mr, nr, dtype)
        for mr, nr in dsp_bytes.TILES
        for dtype in ("int8", "uint8")
    },
    **{f"depthwise_s{s}x{n}": functools.partial(windows, s, n) for s in (1, 2) for n in (3, 6)},
}


def array(name: str, values: Array) -> str:
    text = ", ".join(f"{int(value)}LL" for value in values.reshape(-1))
    kind = C_TYPES[str(values.dtype)]
    return f"    static const {kind} {name}[{values.size}] __attribute__((aligned(8))) = {{{text}}};\n"


def test_every_tile_is_tried() -> None:
    assert {name.partition(" ")[0] for name in TRIALS} == NAMES


@pytest.mark.parametrize("name", ["host", "cortex-m4", "cortex-m7", "cortex-m33"])
def test_tiles_compute_what_the_meaning_says(name: str, tmp_path: Path) -> None:
    target = require_target(name)
    manifest = {"name": "tiles", "target": {"name": name, "c_flags": list(target.c_flags)}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    functions, calls = "", ""
    for number, trial in enumerate(trial for trial in TRIALS.values() for _ in range(ROUNDS)):
        arrays, call, expected = trial()
        functions += f"static int trial_{number}(void)\n{{\n" + "".join(map(array, arrays, arrays.values()))
        functions += array("expected", expected) + f"    {C_TYPES[str(expected.dtype)]} got[{expected.size}];\n"
        functions += f"    int wrong = 0;\n\n    {call}\n    for (int i = 0; i < {expected.size}; i++) {{\n"
        functions += "        wrong += got[i] != expected[i];\n    }\n    return wrong;\n}\n"
        calls += f'    harness_print(trial_{number}() ? "wrong\\n" : "right\\n");\n'
    helpers = "".join(HELPERS[key].text("tile") for key in closure(sorted(NAMES)))
    inline = "#define TILE_INLINE inline __attribute__((always_inline))\n"
    main = f'#include <stdint.h>\n#include "harness.h"\n{inline}{helpers}{functions}'
    printed = run_program([tmp_path], f"{main}int main(void)\n{{\n{calls}    return 0;\n}}\n").split()
    wrong = {
        key for place, key in enumerate(TRIALS) if printed[place * ROUNDS : (place + 1) * ROUNDS] != ["right"] * ROUNDS
    }
    assert wrong == set()
