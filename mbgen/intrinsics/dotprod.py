"""int8 GEMM tiles for Advanced SIMD with dot products (FEAT_DotProd): one asm block for a run of tiles.

SDOT by lane multiplies four k of one pixel with those of four channels: sixteen products an instruction, and x needs no
copies.
"""

from __future__ import annotations

from mbgen.intrinsics import neon_rescale, neon_tile
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.neon_int8 import store_lanes
from mbgen.intrinsics.neon_tile import COUNTER, PIXEL, WEIGHTS, Tile

REGISTERS = 32


def dots(sums: list[list[int]], x: list[tuple[int, int]], rotation: list[tuple[int, int]]) -> list[str]:
    """4 k for `sums[pixel][vector]`.

    `x` says where a pixel's four k are (register, quarter), `rotation` which pairs of registers weights take in turn.
    """
    lines = []
    for turn, q in enumerate(range(0, len(sums[0]), 2)):
        pair = rotation[turn % len(rotation)]
        lines.append(f"ldp q{pair[0]}, q{pair[1]}, [x{WEIGHTS}], #32")
        for half, w in enumerate(pair):
            for totals, (register, quarter) in zip(sums, x, strict=True):
                lines.append(f"sdot v{totals[q + half]}.4s, v{w}.16b, v{register}.4b[{quarter}]")
    return lines


def dot(tile: Tile) -> Helper:
    """8 or 16 channels; 32 k of x at a time, in two registers a pixel behind the sums."""
    mr, vectors = tile.mr, tile.nr // 4
    sums = [[vectors * p + q for q in range(vectors)] for p in range(mr)]
    x = mr * vectors
    spare = range(x + 2 * mr, REGISTERS)
    rotation = [(a, a + 1) for a in spare[:4:2] if a + 1 < REGISTERS]

    def step(ks: int) -> list[str]:
        if ks == 32:
            lines = [f"ldp q{x + 2 * p}, q{x + 2 * p + 1}, [x{PIXEL + p}], #32" for p in range(mr)]
        else:
            lines = [f"ldr {'q' if ks == 16 else 'd' if ks == 8 else 's'}{x + 2 * p}, [x{PIXEL + p}], #{ks}"
                     for p in range(mr)]  # fmt: skip
        for quad in range(ks // 4):
            turned = rotation if quad % 2 == 0 or vectors > 2 else rotation[::-1]
            lines += dots(sums, [(x + 2 * p + quad // 4, quad % 4) for p in range(mr)], turned)
        return lines

    begin = [line for p in range(mr) for line in neon_tile.load("bias", sums[p])]
    steps = [f"lsr w{COUNTER}, %w[k], #5", f"cbz w{COUNTER}, 3f", "2:", *step(32)]
    steps += [f"subs w{COUNTER}, w{COUNTER}, #1", "b.ne 2b", "3:"]
    for number, ks in enumerate((16, 8, 4), 4):
        steps += [f"tbz %w[k], #{ks.bit_length() - 1}, {number}f", *step(ks), f"{number}:"]
    end = neon_tile.finish(tile, lambda q, p: sums[p][q], range(x, REGISTERS), lambda p: store_lanes(tile, sums[p]))
    return neon_tile.run(tile, begin, steps, end, " k is a multiple of 4.")


SIZES = {8: range(1, 6), 16: range(1, 6)}  # channels: pixels
DOTS = tuple(Tile("dot", mr, nr, kind) for nr in SIZES for mr in SIZES[nr] for kind in neon_rescale.KINDS)
NEON_DOTPROD = tuple(map(dot, DOTS))
