"""int8 convolutions over windows of few bytes for AArch64: windows are gathered next to each other, then multiplied.

A row of a window (columns and channels) is at most sixteen bytes: an image's first convolution. Gathering
costs two instructions a row, which is copied with what lies behind it; the next copy lies over that.
"""

from __future__ import annotations

from mbgen.intrinsics import dotprod, neon_int8, neon_rescale, neon_tile
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.neon_tile import Tile

BLOCK = 16  # bytes that are copied at once
CHUNK = 32  # pixels that are gathered before they are multiplied
ROWS = 3  # of a window

GATHER = Helper(
    "gather_windows_i8",
    f"""\
/*
 * target[count][k] = windows of {ROWS} rows of `taps` bytes; the first starts at byte `first` of each row, the next
 * ones `step` further on. Beyond its row_bytes a row reads as zero_point; where its mask is 0, not -1, it is padding.
 * A row is copied in blocks of {BLOCK} bytes where it has them, so that up to {BLOCK} bytes behind target are written.
 */
static NAME_INLINE void name_gather_windows_i8(int8_t *target, int32_t k, const int8_t *const *source,
    const int32_t *mask, int32_t taps, int32_t first, int32_t step, int32_t row_bytes, int32_t zero_point,
    int32_t count)
{{
    while (count > 0) {{
        if (first >= 0 && first + {BLOCK} <= row_bytes) {{
            const int32_t whole = (row_bytes - {BLOCK} - first) / step + 1;
            const int32_t many = whole < count ? whole : count;
            const int8_t *s0 = source[0] + (first & mask[0]);
            const int8_t *s1 = source[1] + (first & mask[1]);
            const int8_t *s2 = source[2] + (first & mask[2]);
            int8_t *t0 = target;
            int8_t *t1 = t0 + taps;
            int8_t *t2 = t1 + taps;
            int32_t left = many;

            __asm__ volatile(
                "1:\\n\\t"
                "ld1 {{v0.16b}}, [%[s0]], %[m0]\\n\\t"
                "ld1 {{v1.16b}}, [%[s1]], %[m1]\\n\\t"
                "ld1 {{v2.16b}}, [%[s2]], %[m2]\\n\\t"
                "subs %w[left], %w[left], #1\\n\\t"
                "st1 {{v0.16b}}, [%[t0]], %[k]\\n\\t"
                "st1 {{v1.16b}}, [%[t1]], %[k]\\n\\t"
                "st1 {{v2.16b}}, [%[t2]], %[k]\\n\\t"
                "b.ne 1b\\n\\t"
                : [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2), [t0] "+&r"(t0), [t1] "+&r"(t1), [t2] "+&r"(t2),
                  [left] "+&r"(left)
                : [m0] "r"((intptr_t)(step & mask[0])), [m1] "r"((intptr_t)(step & mask[1])),
                  [m2] "r"((intptr_t)(step & mask[2])), [k] "r"((intptr_t)k)
                : "v0", "v1", "v2", "cc", "memory");
            target += many * k;
            first += many * step;
            count -= many;
        }} else {{
            for (int32_t r = 0; r < {ROWS}; r++) {{
                for (int32_t t = 0; t < taps; t++) {{
                    const int32_t place = first + t;
                    const int inside = place >= 0 && place < row_bytes && mask[r] != 0;

                    target[r * taps + t] = (int8_t)(inside ? source[r][place] : zero_point);
                }}
            }}
            target += k;
            first += step;
            count--;
        }}
    }}
}}
""",
    neon_tile.meaning,
)


def name(tile: Tile) -> str:
    """The helper that makes a row with a tile."""
    return f"conv_{tile.name.removeprefix('gemm_')}"


def convolution(tile: Tile, isa: str) -> Helper:
    """A row of windows by tiles of `tile.mr` pixels, and of one for a rest; panels of `tile.nr` channels."""
    single = Tile(tile.form, 1, tile.nr, tile.kind)
    per_channel = [array for array, _ in neon_rescale.arrays(tile.kind)]
    arguments = [
        "int8_t *y, int32_t pitch, const int8_t *x, const int32_t *rows, int32_t kh_begin, int32_t kh_end",
        "const int8_t *w, const int32_t *bias",
        *neon_rescale.parameters(tile.kind),
        "int32_t k, int32_t taps, int32_t start, int32_t step, int32_t row_bytes, int32_t x_zero_point",
        "int32_t panels, int32_t ow",
    ]
    starts = 2 * tile.nr if neon_rescale.adds(tile.kind) else tile.nr
    panel = [f"bias + panel * {starts}", *(f"{array} + panel * {tile.nr}" for array in per_channel)]
    given = ", ".join(["w + panel * k * " + str(tile.nr), *panel, *neon_rescale.scalars(tile.kind), "k"])
    channel = f"n + {tile.nr} <= pitch ? n : pitch - {tile.nr}"

    def call(one: Tile, pixel: str, count: str) -> str:
        target, source = "target", "windows"
        if pixel:
            target, source = f"target + {pixel} * (intptr_t)pitch", f"windows + {pixel} * k"
        return f"name_{one.name}({target}, pitch, {source}, {given}, {count});"

    body = [f"            {call(tile, '', 'many')}"]
    if tile.mr > 1:
        body = [
            f"            if (many >= {tile.mr}) {{",
            f"                {call(tile, '', f'many / {tile.mr}')}",
            "            }",
            f"            if (many % {tile.mr} > 0) {{",
            f"                {call(single, f'(many - many % {tile.mr})', f'many % {tile.mr}')}",
            "            }",
        ]
    text = [
        f"/* A row of ow windows, panels of {tile.nr} channels; the last panel lies over the one before it. */",
        neon_tile.signature(name(tile), arguments),
        "{",
        f"    int8_t windows[{CHUNK} * {ROWS} * {BLOCK} + {BLOCK}];",
        f"    int8_t edge[{BLOCK}];",
        f"    const int8_t *source[{ROWS}];",
        f"    int32_t mask[{ROWS}];",
        "",
        "    memset(edge, x_zero_point, sizeof edge);",
        f"    for (int32_t r = 0; r < {ROWS}; r++) {{",
        "        const int32_t inside = r >= kh_begin && r < kh_end;",
        "",
        "        source[r] = inside ? x + rows[r] : edge;",
        "        mask[r] = inside ? -1 : 0;",
        "    }",
        f"    for (int32_t p = 0; p < ow; p += {CHUNK}) {{",
        f"        const int32_t many = ow - p < {CHUNK} ? ow - p : {CHUNK};",
        "",
        "        name_gather_windows_i8(windows, k, source, mask, taps, start + p * step, step, row_bytes,",
        "            x_zero_point, many);",
        "        for (int32_t panel = 0; panel < panels; panel++) {",
        f"            const int32_t n = panel * {tile.nr};",
        f"            int8_t *const target = y + p * (intptr_t)pitch + ({channel});",
        "",
        *body,
        "        }",
        "    }",
        "}",
        "",
    ]
    required = dict.fromkeys(f"{one.name}@{isa}" for one in (tile, single))
    return Helper(
        name(tile), "\n".join(text), neon_tile.meaning, ("string.h",), requires=("gather_windows_i8@neon", *required)
    )


NEON_CONVOLUTIONS = tuple(convolution(tile, "neon") for tile in neon_int8.LANES)
DOTPROD_CONVOLUTIONS = tuple(convolution(tile, "neon-dotprod") for tile in dotprod.DOTS)
