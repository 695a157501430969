"""int8 depthwise rows for Advanced SIMD (AArch64): 3x3 windows, eight channels in a register, one asm block a row.

The weights stay in registers, and so do the columns of a window that the next one shares. Padding reads as the input's
zero point: a row of it is eight bytes that are read again and again, a column of it is made in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics import neon_rescale, neon_tile
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.neon_rescale import Kind, Rescale
from mbgen.intrinsics.tile import asm_function

LANES = 8  # channels of a panel
TURN = 3  # outputs after which the columns are in the same registers again
ROW, OUTPUT, COUNTER = 9, 12, 13  # general registers: addresses in the three rows, in y; turns that are left

# taps: SMULL and SMLAL multiply two taps, SADDW adds them; dot: SDOT adds the three taps of a column.
Form = Literal["taps", "dot"]
TAPS: dict[Form, int] = {"taps": 9, "dot": 12}  # weights of a channel as a form reads them


@dataclass(frozen=True)
class Row:
    """A row of 3x3 windows: their stride, and whether the first and the last reach one column into padding."""

    form: Form
    stride: int
    left: bool
    right: bool
    kind: Kind

    @property
    def name(self) -> str:
        """The helper."""
        return f"depthwise_{self.form}_{self.kind}_s{self.stride}l{int(self.left)}r{int(self.right)}"


@dataclass(frozen=True)
class Layout:
    """Where a form keeps what in vector registers."""

    weights: range
    bias: range
    columns: Sequence[range]  # of the three columns of a window
    spare: range
    sums: range
    second: range
    first: range
    common: range
    quads: range  # where the bytes of a column's channels are


def _layout(sizes: Sequence[int]) -> Layout:
    """Registers one after the other, in the order of Layout's fields."""
    ends = np.cumsum(sizes).tolist()
    weights, bias, *columns, spare, sums, second, first, common, quads = (
        range(end - size, end) for size, end in zip(sizes, ends, strict=True)
    )
    return Layout(weights, bias, columns, spare, sums, second, first, common, quads)


# bytes of two registers, rows 0 and 1 interleaved and row 2, that are a column of one channel: one of each row, none
QUADS = tuple(0xFF100100 + 0x00010202 * channel for channel in range(LANES))
LAYOUTS: dict[Form, Layout] = {
    "taps": _layout((9, 2, 3, 3, 3, 3, 2, 2, 2, 3, 0)),
    "dot": _layout((6, 0, 2, 2, 2, 3, 2, 2, 2, 3, 2)),
}


def meaning(x: Array, weights: Array, bias: Array, row: Row, zero_point: int, rescale: Rescale) -> Array:
    """`x[3, width, c]`, `weights[3, 3, c]`, `bias[c]` (the zero point folded in) to bytes `[ow, c]`."""
    edges = ((0, 0), (int(row.left), int(row.right)), (0, 0))
    padded = np.pad(x.astype(np.int64), edges, constant_values=zero_point)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)[:, :: row.stride]  # [3, ow, c, 3]
    return rescale.apply(np.einsum("hock,hkc->oc", windows, weights.astype(np.int64)) + bias)


def pack(weights: Array, form: Form) -> Array:
    """`[panels, 8, 3, 3]` to the order in which a row reads its weights.

    taps: `[3, 3, 8]`; dot: for each column 8 channels by 4 rows, of which the last is zero.
    """
    if form == "taps":
        return np.ascontiguousarray(weights.transpose(0, 2, 3, 1))
    return np.ascontiguousarray(np.pad(weights, ((0, 0), (0, 0), (0, 1), (0, 0))).transpose(0, 3, 1, 2))


def _load(form: Form, column: int) -> list[str]:
    """The next column of the three rows."""
    layout = LAYOUTS[form]
    into = layout.columns[column] if form == "taps" else layout.spare
    lines = [f"ld1 {{v{into[r]}.8b}}, [x{ROW + r}], %[pitch{r}]" for r in range(3)]
    if form == "dot":  # four bytes for each channel: three rows, and a zero
        a, b, c = into
        lines.append(f"zip1 v{b}.16b, v{a}.16b, v{b}.16b")  # TBL of three registers takes four times as long
        table, halves = f"{{v{b}.16b-v{c}.16b}}", zip(layout.columns[column], layout.quads, strict=True)
        lines += [f"tbl v{half}.16b, {table}, v{quads}.16b" for half, quads in halves]
    return lines


def _pad(form: Form, column: int) -> list[str]:
    """A column of padding."""
    return [f"ld1r {{v{register}.4s}}, [%[edge]]" for register in LAYOUTS[form].columns[column]]


def _sums(row: Row, columns: Sequence[int]) -> list[str]:
    """The sums of a window from the registers of its columns; and what the end adds products to."""
    layout, adds = LAYOUTS[row.form], neon_rescale.adds(row.kind)
    sums, bias = layout.sums, layout.bias
    if row.form == "dot":
        lines = [f"ld1 {{v{sums[0]}.4s-v{(layout.second if adds else sums)[-1]}.4s}}, [%[bias]]"]
        for kw, column in enumerate(columns):
            for half, a in enumerate(sums):
                lines.append(f"sdot v{a}.4s, v{layout.weights[2 * kw + half]}.16b, v{layout.columns[column][half]}.16b")
        return lines
    taps = [(layout.weights[3 * kh + kw], layout.columns[columns[kw]][kh]) for kw in range(3) for kh in range(3)]
    lines, waiting = [], list[str]()
    for number in range(0, len(taps), 2):
        product = layout.spare[number // 2 % 3]
        for multiply, (w, x) in zip(("smull", "smlal"), taps[number : number + 2], strict=False):
            lines.append(f"{multiply} v{product}.8h, v{w}.8b, v{x}.8b")
        lines += waiting
        a, b = bias if number == 0 else sums
        waiting = [
            f"saddw v{sums[0]}.4s, v{a}.4s, v{product}.4h",
            f"saddw2 v{sums[1]}.4s, v{b}.4s, v{product}.8h",
        ]
    lines += [f"ldp q{layout.second[0]}, q{layout.second[1]}, [%[bias], #32]"] if adds else []
    return lines + waiting


def _begin(row: Row) -> list[str]:
    """The constants of a panel."""
    layout = LAYOUTS[row.form]
    w = layout.weights
    if row.form == "taps":
        groups = [w[:4], w[4:8], w[8:]]
        lines = [f"ld1 {{{', '.join(f'v{v}.8b' for v in group)}}}, [%[w]], #{8 * len(group)}" for group in groups]
    else:
        lines = [f"ldp q{w[i]}, q{w[i + 1]}, [%[w]], #32" for i in range(0, 6, 2)]
    lines += [f"ldp q{layout.bias[0]}, q{layout.bias[1]}, [%[bias]]"] if layout.bias else []
    for (name, _), pair in zip(neon_rescale.arrays(row.kind), (layout.first, layout.second), strict=False):
        lines.append(f"ldp q{pair[0]}, q{pair[1]}, [%[{name}]], #32")
    return [*lines, *(f"mov x{ROW + r}, %[row{r}]" for r in range(3)), f"mov x{OUTPUT}, %[y]"]


def depthwise(row: Row) -> Helper:
    """A row, for `panels` times eight channels; entered so that after all whole turns only a padded window is left."""
    form, layout, kept = row.form, LAYOUTS[row.form], 3 - row.stride  # columns shared with the window before
    constants = neon_rescale.Registers(layout.first, layout.second, layout.common[: neon_rescale.commons(row.kind)])

    def window(place: int) -> list[int]:
        return [(row.stride * place + kw) % 3 for kw in range(3)]

    def start(place: int) -> list[str]:
        """The columns that the window at `place` does not load itself."""
        first, *others = window(place)[:kept]
        begin = _pad(form, first) if row.left else _load(form, first)
        return [*begin, *(line for column in others for line in _load(form, column))]

    def output(place: int, *, last: bool = False) -> list[str]:
        columns = window(place)
        new = columns[kept:2] if last else columns[kept:]
        lines = [line for column in new for line in _load(form, column)]
        lines += _pad(form, columns[2]) if last else []
        lines += _sums(row, columns)
        lines += neon_rescale.rescale(row.kind, list(layout.sums), constants)
        return [*lines, f"st1 {{v{layout.sums[0]}.8b}}, [x{OUTPUT}], %[y_pitch]"]

    lines = [
        *neon_rescale.load_common(row.kind, layout.common[: neon_rescale.commons(row.kind)]),
        *([f"ldp q{layout.quads[0]}, q{layout.quads[1]}, [%[edge], #16]"] if layout.quads else []),
        "1:",
        *_begin(row),
        f"lsr w{COUNTER}, %w[turns], #2",
        "tbnz %w[turns], #0, 7f",
        "tbnz %w[turns], #1, 8f",
        *start(0),
        "4:",
        *output(0),
        "5:",
        *output(1),
        "6:",
        *output(2),
        f"subs w{COUNTER}, w{COUNTER}, #1",
        "b.ne 4b",
        *(output(0, last=True) if row.right else []),
        *(f"add %[row{r}], %[row{r}], %[step{r}]" for r in range(3)),
        f"add %[y], %[y], #{LANES}",
        f"add %[bias], %[bias], #{4 * LANES * (2 if neon_rescale.adds(row.kind) else 1)}",
        "subs %w[panels], %w[panels], #1",
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
    setup = [f"    const uint32_t edge[{4 + len(QUADS)}] = {{"]
    setup.append("        " + ", ".join(["0x01010101U * (uint8_t)x_zero_point"] * 2) + ", 0U, 0U,")
    setup += [f"        {', '.join(f'0x{quad:08x}U' for quad in QUADS[i : i + 4])}," for i in range(0, len(QUADS), 4)]
    setup.append("    };")
    for kh in range(3):
        setup.append(
            f"    const int8_t *row{kh} = {kh} < kh_begin || {kh} >= kh_end ? (const int8_t *)edge : x + rows[{kh}];"
        )
    for kh in range(3):
        setup.append(f"    const intptr_t pitch{kh} = row{kh} == (const int8_t *)edge ? 0 : pitch;")
        setup.append(f"    const intptr_t step{kh} = row{kh} == (const int8_t *)edge ? 0 : {LANES};")
    inner = "(ow - 1)" if row.right else "ow"
    setup += [
        "    const intptr_t y_pitch = pitch;",
        f"    const int32_t whole = ({inner} + {TURN - 1}) / {TURN};",
        f"    const int32_t turns = 4 * whole + {TURN} * whole - {inner}; /* turns, and where in one to enter */",
    ]
    pointers = [name for name, _ in neon_rescale.arrays(row.kind)]
    moved = ["row0", "row1", "row2", "y", "w", "bias", *pointers, "panels"]
    fixed = [f"{name}{r}" for name in ("pitch", "step") for r in range(3)]
    fixed += ["y_pitch", "edge", "turns"]  # GCC takes 30 operands, and those that are moved count twice
    arguments = [
        "int8_t *y, int32_t pitch, const int8_t *x, const int32_t *rows, int32_t kh_begin, int32_t kh_end",
        "const int8_t *w, const int32_t *bias",
        *neon_rescale.parameters(row.kind),
        "int32_t x_zero_point, int32_t panels, int32_t ow",
    ]
    source = asm_function(
        (
            f"/* A row of ow 3x3 windows, stride {row.stride}, {LANES} * panels channels; pixels lie pitch apart. */",
            neon_tile.signature(row.name, arguments),
        ),
        setup,
        lines,
        outputs=[f'[{name}] "+&r"({name})' for name in moved],
        inputs=[
            *(f'[{name}] "r"({name})' for name in fixed),
            *[one for one in neon_rescale.operands(row.kind) if one.partition("]")[0][1:] not in pointers],
        ],
        clobbers=[
            *(f"x{x}" for x in range(ROW, COUNTER + 1)),
            *(f"v{v}" for v in range(layout.common.stop)),
            "cc",
            "memory",
        ],
    )
    return Helper(row.name, source, meaning)


def _rows(form: Form) -> tuple[Row, ...]:
    sides = (False, True)
    return tuple(
        Row(form, stride, left, right, kind)
        for stride in (1, 2)
        for left in sides
        for right in sides
        for kind in neon_rescale.KINDS
    )


ROWS: dict[Form, tuple[Row, ...]] = {"taps": _rows("taps"), "dot": _rows("dot")}
NEON_ROWS = tuple(map(depthwise, ROWS["taps"]))
DOTPROD_ROWS = tuple(map(depthwise, ROWS["dot"]))
