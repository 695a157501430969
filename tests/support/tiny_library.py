"""A generated library in miniature, written by hand: enough of one to build and run, on any target."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mbgen.graph import Array
from mbgen.target import load_target

HEADER = """
#ifndef TINY_H
#define TINY_H
#include <stdint.h>
#define TINY_ARENA_BYTES 32UL
#define TINY_INPUT_ELEMENTS 12UL
#define TINY_OUTPUT_ELEMENTS 12UL
struct tiny_arena { int8_t bytes[TINY_ARENA_BYTES]; };
enum tiny_status { TINY_OK = 0, TINY_ERROR_NULL, TINY_ERROR_SELF_TEST };
enum tiny_status tiny_invoke(struct tiny_arena *arena, const float *input, float *output);
enum tiny_status tiny_self_test(struct tiny_arena *arena);
#endif
"""

WEIGHTS = """
const float tiny_dequantize_1_scale[1] = { 0.25f };
"""

NETWORK = """
#include <math.h>
#include "tiny.h"
#ifndef TINY_LAYER_BEGIN
#define TINY_LAYER_BEGIN(layer)
#endif
#ifndef TINY_LAYER_END
#define TINY_LAYER_END(layer)
#endif

extern const float tiny_dequantize_1_scale[1];

enum tiny_status tiny_invoke(struct tiny_arena *arena, const float *input, float *output)
{
    int8_t *row = arena->bytes + 20;
    int8_t *clipped = arena->bytes + 4;
    if (!input || !output) {
        return TINY_ERROR_NULL;
    }
    for (int oh = 0; oh < 2; ++oh) {
        TINY_LAYER_BEGIN(0);
        for (int i = 0; i < 6; ++i) {
            row[i] = (int8_t)floorf(input[oh * 6 + i] * 4.0f);
        }
        TINY_LAYER_END(0);
        TINY_LAYER_BEGIN(1);
        for (int i = 0; i < 6; ++i) {
            clipped[oh * 6 + i] = row[i] > -100 ? row[i] : -100;
        }
        TINY_LAYER_END(1);
    }
    TINY_LAYER_BEGIN(2); /* the same bytes under another shape */
    TINY_LAYER_END(2);
    TINY_LAYER_BEGIN(3);
    for (int i = 0; i < 12; ++i) {
        output[i] = (float)clipped[i] * tiny_dequantize_1_scale[0];
    }
    TINY_LAYER_END(3);
    return TINY_OK;
}
"""

SELF_TEST = """
#include "tiny.h"
static const float input[12] = { 0.5f, -1.0f, 2.0f, 3.125f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 31.0f };

enum tiny_status tiny_self_test(struct tiny_arena *arena)
{
    float output[12];
    if (tiny_invoke(arena, input, output) != TINY_OK) {
        return TINY_ERROR_SELF_TEST;
    }
    return output[1] == -1.0f && output[3] == 3.0f && output[11] == 31.0f ? TINY_OK : TINY_ERROR_SELF_TEST;
}
"""


def write_tiny_library(directory: Path, target: str) -> None:
    """A row pipeline of two layers and two after it, from 2x2x3 of float32 to as many.

    quantize_1 (to int8; one row at a time in the arena), clip_1 (not below -100; its whole output stays in the arena),
    reshape_1 (the same bytes), dequantize_1 (the output).
    """
    files = {
        "include/tiny.h": HEADER,
        "src/tiny.c": NETWORK,
        "src/tiny_weights.c": WEIGHTS,
        "src/tiny_selftest.c": SELF_TEST,
        "manifest.json": json.dumps(_manifest(target)),
    }
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tiny_inputs(count: int) -> Array:
    """`[count, 2, 2, 3]` float32, no two alike, all within int8 when times 4."""
    return np.linspace(-32, 31.75, count * 12, dtype=np.float32).reshape(count, 2, 2, 3)


def expected_layers(image: Array) -> dict[str, Array]:
    """What the library must report for one input `[2, 2, 3]`."""
    quantized = np.floor(image * 4).astype(np.int8)[np.newaxis]
    clipped = np.maximum(quantized, np.int8(-100))
    return {
        "quantize_1": quantized,
        "clip_1": clipped,
        "reshape_1": clipped.reshape(1, 12),
        "dequantize_1": clipped.reshape(1, 12).astype(np.float32) / 4,
    }


def _manifest(target: str) -> dict[str, object]:
    image, flat = [1, 2, 2, 3], [1, 12]
    row, whole = {"place": "row", "offset": 20}, {"place": "arena", "offset": 4}
    layers = [
        ("quantize_1", "input", image, image, "int8", row, True),
        ("clip_1", "quantize_1", image, image, "int8", whole, True),
        ("reshape_1", "clip_1", image, flat, "int8", whole, False),
        ("dequantize_1", "reshape_1", flat, flat, "float32", {"place": "output"}, False),
    ]
    return {
        "name": "tiny",
        "target": {"name": target, "c_flags": list(load_target(target).c_flags)},
        "input": {"shape": image, "dtype": "float32"},
        "output": {"shape": flat, "dtype": "float32"},
        "macs_executed": 0,
        "arena_bytes": 32,
        "constant_bytes": 4,
        "stack_bytes": None,
        "layers": [
            {
                "name": name,
                "inputs": [source],
                "input_shapes": [input_shape],
                "output_shape": output_shape,
                "dtype": dtype,
                "output": output,
                "storage": None,
                "tiles": None,
                "streamed": streamed,
            }
            for name, source, input_shape, output_shape, dtype, output, streamed in layers
        ],
        "buffers": [
            {"name": "row in passing", "offset": 20, "bytes": 6, "first": 0, "last": 1},
            {"name": "clip_1", "offset": 4, "bytes": 12, "first": 1, "last": 3},
        ],
    }
