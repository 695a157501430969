"""int8 convolutions of an image with dot products (AArch64): 3x3 windows on three channels, eight outputs at a time.

The weights stay in registers, and windows are put together there: sixteen bytes of each of three rows hold two windows,
of which two TBL make 27 bytes in a row.
"""

from __future__ import annotations

from mbgen.intrinsics import neon_rescale, neon_tile
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.neon_rescale import Kind
from mbgen.intrinsics.tile import asm_function

BLOCK = 16  # bytes of a row that are read at once
TAPS = 9  # bytes of a row of a window
ROWS = 3
CHANNELS = 8
K = 28  # bytes of a window, up to the next multiple of 4
FARTHEST = BLOCK - TAPS  # bytes from a window to the next: both lie in one block

WEIGHTS = range(14)
SORTED = (range(14, 16), range(16, 18))  # where the bytes of the first and of the second window are
BLOCKS = range(18, 21)
WINDOW = range(21, 23)
SUMS, SECOND, FIRST, COMMON = range(23, 25), range(25, 27), range(27, 29), range(29, 32)
COUNTER = 9  # general register


def _sorting() -> list[int]:
    """For each byte of a window, up to 32, its place in the two blocks that hold it: of rows 0 and 1, then 1 and 2."""
    places = [BLOCK * (byte // TAPS) + byte % TAPS for byte in range(ROWS * TAPS)]
    nothing = [255] * (2 * BLOCK - len(places))
    return [place - BLOCK * (byte // BLOCK) for byte, place in enumerate(places)] + nothing


def _load() -> list[str]:
    return [f"ld1 {{v{block}.16b}}, [%[s{r}]], %[move{r}]" for r, block in enumerate(BLOCKS)]


def _window(kind: Kind, number: int) -> list[str]:
    """Eight bytes of the first or the second window of the blocks."""
    a, b, c = BLOCKS
    adds = neon_rescale.adds(kind)
    lines = [f"ld1 {{v{SUMS[0]}.4s-v{(SECOND if adds else SUMS)[-1]}.4s}}, [%[bias]]"]
    for x, pair, sorting in zip(WINDOW, ((a, b), (b, c)), SORTED[number], strict=True):
        lines.append(f"tbl v{x}.16b, {{v{pair[0]}.16b-v{pair[1]}.16b}}, v{sorting}.16b")
    for quad in range(K // 4):
        for half, total in enumerate(SUMS):
            lines.append(f"sdot v{total}.4s, v{WEIGHTS[2 * quad + half]}.16b, v{WINDOW[quad // 4]}.4b[{quad % 4}]")
    constants = neon_rescale.Registers(FIRST, SECOND, COMMON[: neon_rescale.commons(kind)])
    lines += neon_rescale.rescale(kind, list(SUMS), constants)
    return [*lines, f"st1 {{v{SUMS[0]}.8b}}, [%[y]], %[y_pitch]"]


def windows_name(kind: Kind) -> str:
    """The helper for windows that lie in their rows."""
    return f"image_windows_{kind}"


def windows(kind: Kind) -> Helper:
    """`count` windows, at least one; where `count` is odd the last one's block is not moved past."""
    lines = [*neon_rescale.load_common(kind, COMMON[: neon_rescale.commons(kind)])]
    lines += neon_tile.load("w", WEIGHTS[:4])
    lines += [line for i in range(4, len(WEIGHTS), 2) for line in neon_tile.load("w", WEIGHTS[i : i + 2], i)]
    for (name, _), registers in zip(neon_rescale.arrays(kind), (FIRST, SECOND), strict=False):
        lines += neon_tile.load(name, registers)
    step = BLOCKS[0]
    lines += [*neon_tile.load("sorting", SORTED[0]), f"dup v{step}.16b, %w[step]"]
    lines += [f"add v{b}.16b, v{a}.16b, v{step}.16b" for a, b in zip(*SORTED, strict=True)]
    lines += [
        f"lsr w{COUNTER}, %w[count], #1",
        f"cbz w{COUNTER}, 3f",
        "2:",
        *_load(),
        *_window(kind, 0),
        *_window(kind, 1),
        f"subs w{COUNTER}, w{COUNTER}, #1",
        "b.ne 2b",
        "3:",
        "tbz %w[count], #0, 4f",
        *_load(),
        *_window(kind, 0),
        "4:",
    ]
    sorting = _sorting()
    setup = [f"    static const uint8_t sorting[{len(sorting)}] = {{"]
    setup += [f"        {', '.join(map(str, sorting[i : i + BLOCK]))}," for i in range(0, len(sorting), BLOCK)]
    setup.append("    };")
    for r in range(ROWS):
        setup.append(f"    const int8_t *s{r} = source[{r}];")
    for r in range(ROWS):
        setup.append(f"    const intptr_t move{r} = 2 * (intptr_t)(step & mask[{r}]);")
    setup.append("    const intptr_t y_pitch = pitch;")
    arguments = [
        "int8_t *y, int32_t pitch, const int8_t *const *source, const int32_t *mask, int32_t step",
        "const int8_t *w, const int32_t *bias",
        *neon_rescale.parameters(kind),
        "int32_t count",
    ]
    source = asm_function(
        (
            f"/* {CHANNELS} channels of count windows, step <= {FARTHEST} bytes apart where a row's mask is -1. */",
            neon_tile.signature(windows_name(kind), arguments),
        ),
        setup,
        lines,
        outputs=[f'[{name}] "+&r"({name})' for name in ("y", "s0", "s1", "s2")],
        inputs=[
            *(f'[{name}] "r"({name})' for name in ("y_pitch", "move0", "move1", "move2", "step", "w", "bias")),
            *neon_rescale.operands(kind),
            *(f'[{name}] "r"({name})' for name in ("sorting", "count")),
        ],
        clobbers=[f"x{COUNTER}", *(f"v{v}" for v in range(32)), "cc", "memory"],
    )
    return Helper(windows_name(kind), source, neon_tile.meaning)


def row_name(kind: Kind) -> str:
    """The helper that makes a row."""
    return f"image_row_{kind}"


def row(kind: Kind) -> Helper:
    """A row of windows. Those that reach beyond a row's ends are read from copies of the ends, in three parts."""
    per_channel = [array for array, _ in neon_rescale.arrays(kind)]
    starts = CHANNELS * (2 if neon_rescale.adds(kind) else 1)
    given = [f"w + panel * {K * CHANNELS}", f"bias + panel * {starts}"]
    given += [f"{array} + panel * {CHANNELS}" for array in per_channel] + list(neon_rescale.scalars(kind))
    arguments = [
        "int8_t *y, int32_t pitch, const int8_t *x, const int32_t *rows, int32_t kh_begin, int32_t kh_end",
        "const int8_t *w, const int32_t *bias",
        *neon_rescale.parameters(kind),
        "int32_t start, int32_t step, int32_t row_bytes, int32_t x_zero_point, int32_t panels, int32_t ow",
    ]
    text = f"""\
/*
 * A row of ow windows, panels of {CHANNELS} channels; the last panel lies over the one before it. The first window
 * starts at byte `start` <= 0 of each row, the next ones `step` <= {FARTHEST} bytes further on.
 */
{neon_tile.signature(row_name(kind), arguments)}
{{
    static const int32_t whole[{ROWS}] = {{-1, -1, -1}};
    const int32_t last = row_bytes - {BLOCK}; /* the last byte from which a block lies in the row */
    const int32_t before = (step - 1 - start) / step;
    const int32_t inner = last < before * step + start ? 0 : (last - before * step - start) / step + 1;
    const int32_t within = inner < ow - before ? inner : ow - before;
    const int32_t count[3] = {{before, within, ow - before - within}};
    int8_t left[{ROWS}][2 * {BLOCK}];
    int8_t right[{ROWS}][2 * {BLOCK}];
    int8_t edge[{BLOCK}];
    const int8_t *source[3][{ROWS}];
    int32_t inside[{ROWS}];

    memset(edge, x_zero_point, sizeof edge);
    for (int32_t r = 0; r < {ROWS}; r++) {{
        const int8_t *const from = r >= kh_begin && r < kh_end ? x + rows[r] : edge;

        inside[r] = from == edge ? 0 : -1;
        memset(left[r], x_zero_point, {BLOCK});
        memcpy(left[r] - start, from, {BLOCK});
        memcpy(right[r], from + (last & inside[r]), {BLOCK});
        memset(right[r] + {BLOCK}, x_zero_point, {BLOCK});
        source[0][r] = left[r];
        source[1][r] = from + ((before * step + start) & inside[r]);
        source[2][r] = right[r] + ((before + within) * step + start - last);
    }}
    for (int32_t panel = 0; panel < panels; panel++) {{
        const int32_t n = panel * {CHANNELS};
        int8_t *target = y + (n + {CHANNELS} <= pitch ? n : pitch - {CHANNELS});

        for (int32_t part = 0; part < 3; part++) {{
            if (count[part] > 0) {{
                name_{windows_name(kind)}(target, pitch, source[part], part == 1 ? inside : whole, step,
                    {", ".join(given)}, count[part]);
                target += count[part] * (intptr_t)pitch;
            }}
        }}
    }}
}}
"""
    requires = (f"{windows_name(kind)}@neon-dotprod",)
    return Helper(row_name(kind), text, neon_tile.meaning, ("string.h",), requires=requires)


DOTPROD_IMAGE = (*map(windows, neon_rescale.KINDS), *map(row, neon_rescale.KINDS))
