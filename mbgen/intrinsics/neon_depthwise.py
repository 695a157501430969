"""float32 depthwise rows for Advanced SIMD (AArch64): 3x3 windows, four channels in a register, one asm block a row.

The nine weights stay in registers, and so do the columns of a window that the next one shares: an output costs the
loads of its new columns, nine `fmla`, and no branches on padding, which is columns and weights of zero.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.tile import asm_function

LANES = 4
WEIGHTS, BIAS, COLUMNS, SUM, LOW, HIGH = 0, 9, 10, 19, 30, 31  # registers; the columns of three sets are 10 to 18
TURN = 3  # outputs after which the columns are in the same registers again


@dataclass(frozen=True)
class Row:
    """A row of 3x3 windows: their stride, and whether the first and the last reach one column into padding."""

    stride: int
    left: bool
    right: bool
    clamped: bool


def depthwise_name(row: Row) -> str:
    """The helper for a row."""
    return f"depthwise_{'clamp_' if row.clamped else ''}f32_s{row.stride}l{int(row.left)}r{int(row.right)}"


def depthwise_meaning(x: Array, w: Array, bias: Array, row: Row, low: float = -np.inf, high: float = np.inf) -> Array:
    """`x[3, width, c]`, `w[3, 3, c]`, `bias[c]` to `y[ow, c]`; rows of x that are padding are zero."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (int(row.left), int(row.right)), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)[0:3, :: row.stride]  # [3, ow, c, 3]
    return np.asarray(np.clip(np.einsum("hock,hkc->oc", windows, w) + bias, low, high))


def _load(column: int) -> list[str]:
    """The next column of the three rows."""
    return [f"ld1 {{v{COLUMNS + 3 * column + r}.4s}}, [x{9 + r}], %[pitch_bytes]" for r in range(3)]


def _clear(column: int) -> list[str]:
    return [f"movi v{COLUMNS + 3 * column + r}.4s, #0" for r in range(3)]


def _output(columns: list[int], clamped: bool) -> list[str]:
    """One output from the registers of its columns, of which the last may be padding."""
    lines = [f"mov v{SUM}.16b, v{BIAS}.16b"]
    for kw, column in enumerate(columns):
        for kh in range(3):
            lines.append(f"fmla v{SUM}.4s, v{COLUMNS + 3 * column + kh}.4s, v{WEIGHTS + 3 * kh + kw}.4s")
    if clamped:
        lines += [f"fmax v{SUM}.4s, v{SUM}.4s, v{LOW}.4s", f"fmin v{SUM}.4s, v{SUM}.4s, v{HIGH}.4s"]
    return [*lines, f"st1 {{v{SUM}.4s}}, [x12], %[pitch_bytes]"]


def _window(stride: int, place: int) -> list[int]:
    """The registers of a window's columns at one of the three places of a turn."""
    return [(stride * place + kw) % 3 for kw in range(3)]


def depthwise(row: Row) -> Helper:
    """A row, for any number of tiles; turns are counted from its end, so that the first may begin at any place."""
    kept = 3 - row.stride  # columns that a window shares with the one before

    def start(place: int) -> list[str]:
        """The columns that the window at `place` does not load itself."""
        columns = _window(row.stride, place)[:kept]
        first = _clear(columns[0]) if row.left else _load(columns[0])
        return [*first, *(line for column in columns[1:] for line in _load(column))]

    def output(place: int) -> list[str]:
        columns = _window(row.stride, place)
        return [*(line for column in columns[kept:] for line in _load(column)), *_output(columns, row.clamped)]

    def last() -> list[str]:
        """The window whose last column is padding."""
        columns = _window(row.stride, 0)[:2]
        return [*(line for column in columns[kept:] for line in _load(column)), *_output(columns, row.clamped)]

    lines = ["ld1r {v30.4s}, %[low]", "ld1r {v31.4s}, %[high]"] if row.clamped else []
    lines += [
        "mov x8, #0",
        "1:",
        "ld1 {v0.4s, v1.4s, v2.4s, v3.4s}, [%[w]], #64",
        "ld1 {v4.4s, v5.4s, v6.4s, v7.4s}, [%[w]], #64",
        "ld1 {v8.4s}, [%[w]], #16",
        "ld1 {v9.4s}, [%[bias]], #16",
        "cbz %w[above], 2f",
        *(f"movi v{WEIGHTS + kw}.4s, #0" for kw in range(3)),
        "2:",
        "cbz %w[below], 3f",
        *(f"movi v{WEIGHTS + 6 + kw}.4s, #0" for kw in range(3)),
        "3:",
        *(f"add x{9 + r}, %[row{r}], x8" for r in range(3)),
        "add x12, %[y], x8",
        "add x8, x8, #16",
        "mov w13, %w[turns]",
        "cmp %w[place], #1",
        "b.eq 7f",
        "b.gt 8f",
        *start(0),
        "4:",
        *output(0),
        "5:",
        *output(1),
        "6:",
        *output(2),
        "subs w13, w13, #1",
        "b.ne 4b",
        *(last() if row.right else []),
        "subs %w[tiles], %w[tiles], #1",
        "b.ne 1b",
        "b 9f",
        "7:",
        *start(1),
        "b 5b",
        "8:",
        *start(2),
        "b 6b",
        "9:",
    ]
    inner = f"ow - {int(row.right)}" if row.right else "ow"
    setup = [
        "    const int32_t above = kh_begin > 0;",
        "    const int32_t below = kh_end < 3;",
        "    const float *row1 = x + rows[1];",
        "    const float *row0 = above ? row1 : x + rows[0];",
        "    const float *row2 = below ? row1 : x + rows[2];",
        f"    const int32_t turns = ({inner} + 2) / 3;",
        f"    const int32_t place = 3 * turns - ({inner});",
        "    const intptr_t pitch_bytes = (intptr_t)pitch * 4;",
    ]
    names = ("row0", "row1", "row2", "y", "above", "below", "turns", "place", "pitch_bytes")
    inputs = [f'[{name}] "r"({name})' for name in names]
    inputs += ['[low] "Q"(lowest)', '[high] "Q"(highest)'] if row.clamped else []
    registers = [*range(SUM + 1), LOW, HIGH]
    source = asm_function(
        _signature(row),
        setup,
        lines,
        outputs=[f'[{name}] "+&r"({name})' for name in ("w", "bias", "tiles")],
        inputs=inputs,
        clobbers=[*(f"x{x}" for x in range(8, 14)), *(f"v{v}" for v in registers), "cc", "memory"],
    )
    return Helper(depthwise_name(row), source, functools.partial(depthwise_meaning, row=row))


def _signature(row: Row) -> tuple[str, str]:
    """The comment and the C signature.

    Row kh of the window starts `rows[kh]` elements from `x`, if it is in [kh_begin, kh_end), which holds 1; pixels of x
    and y lie `pitch` elements apart. `w` is `[tiles][3][3][4]`, `bias` `[tiles][4]`. `ow` is 2 at least.
    """
    comment = "/* A row of 3x3 windows: y[ow][4 * tiles], w[tiles][3][3][4], bias[tiles][4]; kh_begin <= 1 < kh_end. */"
    arguments = (
        "float *y, int32_t pitch, const float *x, const int32_t *rows, int32_t kh_begin, int32_t kh_end, "
        "const float *w, const float *bias, int32_t tiles, int32_t ow"
    )
    arguments += ", float lowest, float highest" if row.clamped else ""
    return comment, f"static NAME_INLINE void name_{depthwise_name(row)}({arguments})"


NEON_DEPTHWISE = tuple(
    depthwise(Row(stride, left, right, clamped))
    for stride in (1, 2)
    for left in (False, True)
    for right in (False, True)
    for clamped in (True, False)
)
