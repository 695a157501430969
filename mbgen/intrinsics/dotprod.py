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


def dots(sums: list[list[int]], x: list[int], quads: int, spare: range) -> list[str]:
    """`4 * quads` k for `sums[pixel][vector]`; a pixel's k are in registers from `x[pixel]` on.

    Weights pass through the registers `spare`, four of them at a time.
    """
    vectors = len(sums[0])
    places = [spare[i : i + 4] for i in range(0, len(spare) - 3, 4)]
    lines = []
    for turn, first in enumerate(range(0, quads * vectors, 4)):
        held = places[turn % len(places)][: quads * vectors - first]
        lines.append(f"ld1 {{v{held[0]}.16b-v{held[-1]}.16b}}, [x{WEIGHTS}], #{16 * len(held)}")
        for number, w in enumerate(held, first):
            quad, q = divmod(number, vectors)
            for totals, pixel in zip(sums, x, strict=True):
                lines.append(f"sdot v{totals[q]}.4s, v{w}.16b, v{pixel + quad // 4}.4b[{quad % 4}]")
    return lines


def width(mr: int, vectors: int) -> int:
    """Registers that a pixel's x takes: two where four are left for weights."""
    return 2 if mr * (vectors + 2) + 4 <= REGISTERS else 1


def dot(tile: Tile) -> Helper:
    """8 or 16 channels; up to 32 k of x at a time, in one or two registers a pixel behind the sums."""
    mr, vectors = tile.mr, tile.nr // 4
    sums = [[vectors * p + q for q in range(vectors)] for p in range(mr)]
    first = mr * vectors
    wide = width(mr, vectors)
    x = [first + wide * p for p in range(mr)]
    spare = range(first + wide * mr, REGISTERS)

    def step(ks: int) -> list[str]:
        if ks == 32:
            lines = [f"ldp q{x[p]}, q{x[p] + 1}, [x{PIXEL + p}], #32" for p in range(mr)]
        else:
            kind = {16: "q", 8: "d", 4: "s"}[ks]
            lines = [f"ldr {kind}{x[p]}, [x{PIXEL + p}], #{ks}" for p in range(mr)]
        return lines + dots(sums, x, ks // 4, spare)

    begin = [line for p in range(mr) for line in neon_tile.load("bias", sums[p])]
    whole = 16 * wide
    steps = [f"lsr w{COUNTER}, %w[k], #{whole.bit_length() - 1}", f"cbz w{COUNTER}, 3f", "2:", *step(whole)]
    steps += [f"subs w{COUNTER}, w{COUNTER}, #1", "b.ne 2b", "3:"]
    for number, ks in enumerate((16, 8, 4)[2 - wide :], 4):
        steps += [f"tbz %w[k], #{ks.bit_length() - 1}, {number}f", *step(ks), f"{number}:"]
    end = neon_tile.finish(tile, lambda q, p: sums[p][q], range(first, REGISTERS), lambda p: store_lanes(tile, sums[p]))
    return neon_tile.run(tile, begin, steps, end, " k is a multiple of 4.")


SIZES = {8: range(1, 6), 16: range(1, 6)}  # channels: pixels
DOTS = tuple(Tile("dot", mr, nr, kind) for nr in SIZES for mr in SIZES[nr] for kind in neon_rescale.KINDS)
NEON_DOTPROD = tuple(map(dot, DOTS))
