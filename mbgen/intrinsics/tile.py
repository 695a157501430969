"""What the float32 GEMM tiles of all instruction sets share: name, signature, meaning, and asm as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mbgen.graph import Array

LONGEST_STRING = 4095  # that C99 asks of a compiler; Clang warns of longer ones even as asm
_QUIET = ("#if defined(__clang__)", "#pragma clang diagnostic push",
          '#pragma clang diagnostic ignored "-Woverlength-strings"', "#endif")  # fmt: skip
_AS_BEFORE = ("#if defined(__clang__)", "#pragma clang diagnostic pop", "#endif")


@dataclass(frozen=True)
class Shape:
    """A tile of `mr` pixels by `nr` channels.

    `clamped` ones cut their sums to two bounds; with `rows` they sum over several rows of x, each of which has its `k`
    for each pixel: a convolution's. In a row of `cut` ones the last pixel has fewer, as at the right end of an image.
    """

    mr: int
    nr: int
    clamped: bool
    rows: bool = False
    cut: bool = False


def gemm_name(shape: Shape) -> str:
    """The helper for a tile."""
    kind = "".join(f"{name}_" for name in ("rows", "cut") if getattr(shape, name))
    return f"gemm_{kind}{'clamp_' if shape.clamped else ''}f32_{shape.mr}x{shape.nr}"


def gemm_signature(shape: Shape) -> tuple[str, str]:
    """The comment and the C signature of a tile.

    `y_pitch` and `x_pitch` are the elements from one pixel to the next; `next` may be any address: 16 bytes for each k
    from there are fetched early, for whoever needs them after this tile. Row i of x starts `rows[i]` elements from `x`,
    and its weights end `w_skip` elements before those of the next. Pixels but the last have `k_cut` more than `k`.
    """
    size, bounds = f"[{shape.mr}][{shape.nr}]", " cut to [lowest, highest]" if shape.clamped else ""
    k = "the rows' k" if shape.rows else "k"
    comment = f"/* y{size} = bias[{shape.nr}] + x[{shape.mr}][{k}] * w[{k}][{shape.nr}]{bounds}. */"
    arguments = [
        "float *y",
        "int32_t y_pitch",
        "const float *x",
        "int32_t x_pitch",
        "const float *w",
        "const float *bias",
    ]
    arguments += ["int32_t k"]
    arguments += ["const int32_t *rows", "int32_t count", "int32_t w_skip"] if shape.rows else ["const float *next"]
    arguments += ["int32_t k_cut"] if shape.cut else []
    arguments += ["float lowest", "float highest"] if shape.clamped else []
    return comment, f"static NAME_INLINE void name_{gemm_name(shape)}({', '.join(arguments)})"


def gemm_meaning(x: Array, w: Array, bias: Array, low: float = -np.inf, high: float = np.inf) -> Array:
    """`x[mr, k]`, `w[k, nr]`, `bias[nr]` to `y[mr, nr]`; the sums may run in any order. k counts those of all rows."""
    return np.clip(x.astype(np.float64) @ w + bias, low, high)


def asm_function(
    head: tuple[str, str],
    setup: Sequence[str],
    lines: Sequence[str],
    *,
    outputs: Sequence[str],
    inputs: Sequence[str],
    clobbers: Sequence[str],
    unused: Sequence[str] = (),
) -> str:
    """A C function that is one asm block after the statements of `setup`; compilers hear which names are `unused`.

    Outputs must be early clobbers ("+&r"): else one may share its register with an input of the same value.
    """
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
        *(f"    (void){name};" for name in unused),
        "}",
    ]
    return "\n".join([*_QUIET, *statement, *_AS_BEFORE, ""] if long else [*statement, ""])
