"""What the float32 GEMM tiles of all instruction sets share: name, signature, meaning, and asm as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mbgen.graph import Array

LONGEST_STRING = 4095  # that C99 asks of a compiler; Clang warns of longer ones even as asm
_QUIET = ("#if defined(__clang__)", "#pragma clang diagnostic push",
          '#pragma clang diagnostic ignored "-Woverlength-strings"', "#endif")  # fmt: skip
_AS_BEFORE = ("#if defined(__clang__)", "#pragma clang diagnostic pop", "#endif")


def gemm_name(mr: int, nr: int, clamped: bool) -> str:
    """The helper for a tile of `mr` pixels by `nr` channels; `clamped` ones cut their sums to two bounds."""
    return f"gemm_{'clamp_' if clamped else ''}f32_{mr}x{nr}"


def gemm_signature(mr: int, nr: int, clamped: bool) -> tuple[str, str]:
    """The comment and the C signature of a tile.

    `x_pitch` and `pitch` are the elements from one pixel to the next of x and y. `next` may be any address: 16 bytes
    for each k from there are fetched early, for whoever needs them after this tile.
    """
    bounds = " cut to [lowest, highest]" if clamped else ""
    comment = (
        f"/* y[{mr}][{nr}] = bias[{nr}] + x[{mr}][k] * w[k][{nr}]{bounds}; pixels of x and y lie pitches apart. */"
    )
    arguments = "float *y, int32_t pitch, const float *x, int32_t x_pitch, const float *w, const float *bias, int32_t k"
    arguments += ", const float *next" + (", float lowest, float highest" if clamped else "")
    return comment, f"static NAME_INLINE void name_{gemm_name(mr, nr, clamped)}({arguments})"


def gemm_meaning(x: Array, w: Array, bias: Array, low: float = -np.inf, high: float = np.inf) -> Array:
    """`x[mr, k]`, `w[k, nr]`, `bias[nr]` to `y[mr, nr]`; the sums may run in any order."""
    return np.clip(x.astype(np.float64) @ w + bias, low, high)


def asm_function(
    head: tuple[str, str],
    setup: Sequence[str],
    lines: Sequence[str],
    *,
    outputs: Sequence[str],
    inputs: Sequence[str],
    clobbers: Sequence[str],
) -> str:
    """A C function that is one asm block after the statements of `setup`."""
    comment, signature = head
    text = [f'        "{line}\\n\\t"' for line in lines]
    long = sum(len(line) + len("\n\t") for line in lines) > LONGEST_STRING
    statement = [
        comment,
        signature,
        "{",
        *setup,
        "",
        "    __asm__ volatile(",
        *text,
        f"        : {', '.join(outputs)}",
        f"        : {', '.join(inputs)}",
        "        : " + ", ".join(f'"{clobber}"' for clobber in clobbers) + ");",
        "}",
    ]
    return "\n".join([*_QUIET, *statement, *_AS_BEFORE, ""] if long else [*statement, ""])
