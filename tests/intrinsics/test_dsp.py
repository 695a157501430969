"""The tiles of mbgen.intrinsics.dsp against their meanings: the assembly on Cortex-M, the C beside it on the host."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import INTEGER_RANGE, Array
from mbgen.intrinsics import HELPERS, closure, dsp_bytes, dsp_row, dsp_runs
from mbgen.intrinsics.dsp import (
    FIELD_BITS,
    TILES,
    depthwise,
    depthwise_words,
    packed_fields,
    packed_sums,
)
from mbgen.running import run_program
from tests.support.tools import require_target

RANDOM = np.random.default_rng(0)
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t", "int64": "int64_t", "uint16": "uint16_t"}
ROUNDS = 8
NAMES = TILES | {helper.name for helper in (*dsp_bytes.DSP_BYTES, *dsp_runs.DSP_RUNS, *dsp_row.DSP_ROW)}

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


def patches_of(values: Array) -> list[int]:
    """Two patches, one of which occurs, and what ends them; moves are unlike any distance of two sums."""
    return [int(values.reshape(-1)[1]), 30_011, 2**30, -1, 0, 0]


def run(
    dtype: str, splits: tuple[int, ...], *, parts: int = 1, ahead: str = "", straight: int = 32, **kinds: bool
) -> Trial:
    """Two blocks, the second patched if any is."""
    patched, scattered, wide = (kinds.get(kind, False) for kind in ("patched", "scattered", "wide"))
    shift, size, least = 12, np.dtype(dtype).itemsize, 0 if dtype != "int8" else -128
    x = np.stack([triples(sum(splits)) for _ in range(parts)])
    stream: list[Array] = []
    for block in range(2):
        total, first = np.zeros((4, 3), np.int64), 0
        for k in splits:
            w = RANDOM.integers(-127, 128, (4, parts * k))
            least_sums = 255 * np.minimum(w, 0).sum(axis=1)
            start = RANDOM.integers(2**19, 2**20, 4) * wide - least_sums
            packed = start[[0, 2]] + ((start[[0, 2]] + start[[1, 3]]) << 21) + (start[[1, 3]] << 42)
            pairs = (w[[0, 2]] + (w[[1, 3]] << FIELD_BITS)).T.astype(np.int32)
            stream += [np.repeat(packed, 2).view(np.int32), pairs.reshape(-1)]
            acc = packed_sums(x[:, first : first + k].reshape(-1), np.concatenate(stream[-2:]))
            total += np.concatenate([packed_fields(int(acc[i]), int(acc[i + 1])) for i in (0, 2)])
            first += k
        flagged = patched and block == 1
        tail = [-1, 0] if flagged else []
        for pair in (0, 2):
            tail += [word for c in (pair, pair + 1) for word in patches_of(total[c])] if flagged else []
            tail += scales(2).reshape(-1).tolist()
            tail += [(8 * block + 3 - pair - i) * 5 * size for i in range(2)] if scattered else []
        stream.append(np.array(tail, np.int32))
    words = np.concatenate(stream)
    made = dsp_runs.packed_run(x, words, splits, shift, patched=patched, scattered=scattered)
    expected = np.zeros((12, 5), np.int64)
    for number, channel in enumerate(made.reshape(8, 4)):
        expected[channel[0] // (5 * size) if scattered else number, [0, 1, 2]] = channel[1:] + least
    steps = f"{words.size}, {splits[0]}, {splits[-1]}, {len(splits)}, {parts}, {x[0].size}, {straight}"
    numbers = f"{int(wide)}, {int(patched)}, {int(scattered)}, {size}, {5 * size}, {least}, {shift}"
    name = {"uint16": "u16", "int8": "i8", "uint8": "u8"}[dtype]
    call = (
        f"for (int i = 0; i < 60; i++) {{ got[i] = 0; }} tile_packed_run_{name}{ahead}(got, a, w, {steps}, {numbers});"
    )
    return {"a": x, "w": words}, call, expected.reshape(-1).astype(dtype)


def window_run(stride: int, outputs: int, *, patched: bool, single: bool = False) -> Trial:
    """Three channels, the second patched."""
    columns = outputs * stride + 4 - outputs * stride % 2
    rows, shift = RANDOM.integers(0, 256, (3, 3, columns), np.uint16), 9
    stream: list[Array] = []
    for channel in range(3):
        taps = depthwise_words(RANDOM.integers(-127, 128, (1, 3, 3))).reshape(-1)
        start = RANDOM.integers(-(2**18), 2**18, 1, np.int32)
        stream += [start, taps]
        if patched and channel == 1:
            total = depthwise(rows[channel], np.concatenate([start, taps]), stride, outputs)
            stream.append(np.array([-1, 0, *patches_of(total)], np.int32))
        stream.append(scales(1).reshape(-1))
    words = np.concatenate(stream)
    made = dsp_runs.depthwise_run(rows, words, stride, outputs, shift, patched=patched).reshape(3, -1, 3)
    packed = made[..., :2] + (made[..., 1:] << FIELD_BITS)
    given = f"{2 * columns}, {6 * columns}, {int(single)}, {int(patched)}, {shift}"
    call = f"tile_depthwise_run_s{stride}x{outputs}(got, x, w, 3, {given});"
    return {"x": rows, "w": words}, call, packed.transpose(1, 0, 2).reshape(-1).astype(np.int32)


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


def row_bytes(dtype: str) -> Trial:
    """The first two bytes are those whose words are the least and greatest."""
    low, high = INTEGER_RANGE[dtype]
    x = RANDOM.integers(low, high, 48, np.dtype(dtype), endpoint=True)
    x[:4] = low, high, high, low
    call = f"tile_row_words_{'u8' if dtype == 'uint8' else 's8'}(got, x, {x.size});"
    return {"x": x}, call, dsp_row.row_words(x)


def row(dtype: str) -> Trial:
    x = RANDOM.integers(*INTEGER_RANGE[dtype], 48, np.dtype(dtype), endpoint=True)
    w, start = RANDOM.integers(-127, 128, (4, x.size)), RANDOM.integers(-1000, 1000, 4, np.int32)
    call = f"for (int i = 0; i < 4; i++) {{ got[i] = start[i]; }} tile_row_sums(got, x, w, {x.size});"
    given = {"x": dsp_row.row_words(x), "w": dsp_row.row_weights(w), "start": start}
    return given, call, dsp_row.row_sums(x, w, start)


TRIALS: dict[str, Callable[[], Trial]] = {
    "row_words_s8": lambda: row_bytes("int8"),
    "row_words_u8": lambda: row_bytes("uint8"),
    "row_sums of int8": lambda: row("int8"),
    "row_sums of uint8": lambda: row("uint8"),
    "packed_sums of 77": lambda: sums(77, 1),
    "packed_sums of 3 x 9": lambda: sums(9, 3),
    "packed_sums_ahead of 77": lambda: sums(77, 1, "_ahead"),
    "packed_sums_ahead of 3 x 9": lambda: sums(9, 3, "_ahead"),
    "packed_fields": lambda: fields(wide=False),
    "packed_fields_wide": lambda: fields(wide=True),
    "packed_run_u16 of 13": lambda: run("uint16", (13,)),
    "packed_run_u16 of 3 x 9": lambda: run("uint16", (9,), parts=3),
    "packed_run_u16 of 50": lambda: run("uint16", (50,), straight=16),
    "packed_run_u16 of 75, patched": lambda: run("uint16", (75,), patched=True),
    "packed_run_u16 of 40, 40, 39": lambda: run("uint16", (40, 40, 39), wide=True, patched=True, scattered=True),
    "packed_run_u16 of 70, 69, wide": lambda: run("uint16", (70, 69), straight=64, wide=True),
    "packed_run_u16_ahead of 75": lambda: run("uint16", (75,), ahead="_ahead", straight=64, scattered=True),
    "packed_run_u16_ahead of 70, 69": lambda: run("uint16", (70, 69), ahead="_ahead", patched=True),
    "packed_run_i8": lambda: run("int8", (20,), wide=True, patched=True),
    "packed_run_i8_ahead": lambda: run("int8", (9,), parts=3, ahead="_ahead"),
    "packed_run_u8": lambda: run("uint8", (20,), scattered=True),
    "packed_run_u8_ahead": lambda: run("uint8", (64,), ahead="_ahead", straight=64),
    **{
        dsp_bytes.name(mr, nr, dtype): functools.partial(byte_products, mr, nr, dtype)
        for mr, nr in dsp_bytes.TILES
        for dtype in ("int8", "uint8")
    },
    **{f"depthwise_s{s}x{n}": functools.partial(windows, s, n) for s in (1, 2) for n in (3, 6)},
    **{
        f"depthwise_run_s{s}x{n}{', patched' if patched else ''}": functools.partial(
            window_run, s, n, patched=patched, single=patched
        )
        for s in (1, 2)
        for n in (3, 6)
        for patched in (False, True)
    },
}


def array(name: str, values: Array) -> str:
    text = ", ".join(f"{int(value)}LL" for value in values.reshape(-1))
    kind = C_TYPES[str(values.dtype)]
    return f"    static const {kind} {name}[{values.size}] __attribute__((aligned(8))) = {{{text}}};\n"


def test_every_tile_is_tried() -> None:
    assert {re.split("[ ,]", name)[0] for name in TRIALS} == NAMES


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
