"""int8 GEMM tiles for Advanced SIMD (AArch64) without dot products: one asm block for a run of tiles.

Two products fit int16 while no weight is -128, so that SMULL and SMLAL make two products of each lane before SADALP
adds neighbouring lanes to the int32 sums: three instructions for sixteen products.
"""

from __future__ import annotations

from mbgen.intrinsics import neon_rescale, neon_tile
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.neon_tile import COUNTER, PIXEL, WEIGHTS, Tile

UNROLLED = 2  # steps of a tree's loop


def _tree_step(mr: int, *, first: bool) -> list[str]:
    """32 k: x in v16 to v23, weights in v24 to v27, products in v28 to v30; an accumulate behind its multiplies."""
    lines = [f"ldp q{16 + 2 * p}, q{17 + 2 * p}, [x{PIXEL + p}], #32" for p in range(mr)]
    waiting: list[str] = []
    turn = 0
    for channel in range(4):
        weights = (24, 25) if channel % 2 == 0 else (26, 27)
        lines.append(f"ldp q{weights[0]}, q{weights[1]}, [x{WEIGHTS}], #32")
        for half in range(2):
            for p in range(mr):
                x, product, total = 16 + 2 * p + half, 28 + turn % 3, 4 * p + channel
                turn += 1
                lines.append(f"smull v{product}.8h, v{weights[half]}.8b, v{x}.8b")
                lines.append(f"smlal2 v{product}.8h, v{weights[half]}.16b, v{x}.16b")
                add = "saddlp" if first and half == 0 else "sadalp"
                waiting.append(f"{add} v{total}.4s, v{product}.8h")
                if len(waiting) > 1:
                    lines.append(waiting.pop(0))
    return lines + waiting


def tree(tile: Tile) -> Helper:
    """4 channels: the sum of channel c of pixel p is spread over the lanes of register 4 p + c until the end."""
    mr = tile.mr
    step = _tree_step(mr, first=False)
    count = f"subs w{COUNTER}, w{COUNTER}, "
    steps = [f"lsr w{COUNTER}, %w[k], #5", *_tree_step(mr, first=True), f"{count}#1", "b.eq 4f"]
    steps += [f"tbz w{COUNTER}, #0, 3f", *step, f"{count}#1", "b.eq 4f", "3:", *step * UNROLLED]
    steps += [f"{count}#{UNROLLED}", "b.ne 3b", "4:"]
    sums = [4 * p for p in range(mr)]
    for a in sums:
        steps += [f"addp v{a}.4s, v{a}.4s, v{a + 1}.4s", f"addp v{a + 2}.4s, v{a + 2}.4s, v{a + 3}.4s"]
    steps += [f"addp v{a}.4s, v{a}.4s, v{a + 2}.4s" for a in sums]
    common = list(range(20, 20 + neon_rescale.commons(tile.kind)))
    end = ["ldr q16, [%[bias]]", *(f"add v{a}.4s, v{a}.4s, v16.4s" for a in sums)]
    for (name, _), register in zip(neon_rescale.arrays(tile.kind), (17, 18), strict=False):
        end.append(f"ldr q{register}, [%[{name}]]")
    end += neon_rescale.load_common(tile.kind, common)
    seconds = [18] * mr
    if neon_rescale.adds(tile.kind):
        seconds = list(range(24, 24 + mr))
        end += [f"ldr q{register}, [%[addend]]" for register in seconds]
    constants = neon_rescale.Registers([17] * mr, seconds, common)
    end += neon_rescale.rescale(tile.kind, sums, constants)
    end += [f"st1 {{v0.s}}[{p}], [%[y]], %[y_pitch]" for p in range(mr)]
    return neon_tile.run(tile, [], steps, end, " k is a multiple of 32.")


def lane_products(sums: list[list[int]], x: list[tuple[int, int]]) -> list[str]:
    """4 k of lanes: `sums[pixel][vector]`, and where in the registers of x each pixel's four k are: register, quarter.

    Copies of x are in v20 to v23, weights in v24 to v27, products in v28 to v30.
    """
    mr, pairs = len(sums), len(sums[0]) // 2
    wide = mr <= 2  # the copies of all pixels fit, and weights stream past them; else four weights stay
    lines: list[str] = []
    waiting: list[str] = []
    turn = 0

    def copy(p: int, registers: tuple[int, int]) -> list[str]:
        register, quarter = x[p]
        return [f"dup v{r}.8h, v{register}.h[{2 * quarter + i}]" for i, r in enumerate(registers)]

    def weights(pair: int) -> tuple[int, int]:
        return (24, 25) if pair % 2 == 0 else (26, 27)

    def fetch(pair: int) -> str:
        return "ldp q{}, q{}, [x{}], #32".format(*weights(pair), WEIGHTS)

    if wide:
        places = [(20, 21), (22, 23)][:mr]
        for p in range(mr):
            lines += copy(p, places[p])
        order = [(pair, p) for pair in range(pairs) for p in range(mr)]
    else:
        places = [[(20, 21), (22, 23)][p % 2] for p in range(mr)]
        lines += [fetch(pair) for pair in range(pairs)]
        order = [(pair, p) for p in range(mr) for pair in range(pairs)]
    for pair, p in order:
        if wide and p == 0:
            lines.append(fetch(pair))
        if not wide and pair == 0:
            lines += copy(p, places[p])
        w, copies = weights(pair), places[p]
        for half, (suffix, view) in enumerate((("", "8b"), ("2", "16b"))):
            product = 28 + turn % 3
            turn += 1
            lines.append(f"smull{suffix} v{product}.8h, v{w[0]}.{view}, v{copies[0]}.{view}")
            lines.append(f"smlal{suffix} v{product}.8h, v{w[1]}.{view}, v{copies[1]}.{view}")
            waiting.append(f"sadalp v{sums[p][2 * pair + half]}.4s, v{product}.8h")
            if len(waiting) > 1:
                lines.append(waiting.pop(0))
    return lines + waiting


def store_lanes(tile: Tile, sums: list[int]) -> list[str]:
    """Store a pixel's bytes, 16 in each fourth register of `sums`, or 8 in the first."""
    if len(sums) == 8:
        return [f"stp q{sums[0]}, q{sums[4]}, [%[y]]", "add %[y], %[y], %[y_pitch]"]
    return [f"st1 {{v{sums[0]}.{'16b' if len(sums) == 4 else '8b'}}}, [%[y]], %[y_pitch]"]


def lanes(tile: Tile) -> Helper:
    """8, 16 or 32 channels: pairs of k are copied to all lanes; no reduction at the end. x is in v16 to v19."""
    vectors = tile.nr // 4
    sums = [[vectors * p + q for q in range(vectors)] for p in range(tile.mr)]

    def step(ks: int) -> list[str]:
        kind = {16: "q", 8: "d", 4: "s"}[ks]
        lines = [f"ldr {kind}{16 + p}, [x{PIXEL + p}], #{ks}" for p in range(tile.mr)]
        for quarter in range(ks // 4):
            lines += lane_products(sums, [(16 + p, quarter) for p in range(tile.mr)])
        return lines

    begin = [line for p in range(tile.mr) for line in neon_tile.load("bias", sums[p])]
    steps = [f"lsr w{COUNTER}, %w[k], #4", f"cbz w{COUNTER}, 3f", "2:", *step(16)]
    steps += [f"subs w{COUNTER}, w{COUNTER}, #1", "b.ne 2b", "3:"]
    steps += ["tbz %w[k], #3, 4f", *step(8), "4:", "tbz %w[k], #2, 5f", *step(4), "5:"]
    end = neon_tile.finish(tile, lambda q, p: sums[p][q], range(16, 27), lambda p: store_lanes(tile, sums[p]))
    return neon_tile.run(tile, begin, steps, end, " k is a multiple of 4.")


SIZES = {4: range(1, 5), 8: range(1, 5), 16: range(1, 5), 32: range(1, 3)}  # channels: pixels
TREES = tuple(Tile("tree", mr, 4, kind) for mr in SIZES[4] for kind in neon_rescale.KINDS)
LANES = tuple(Tile("lanes", mr, nr, kind) for nr in (8, 16, 32) for mr in SIZES[nr] for kind in neon_rescale.KINDS)
NEON_INT8 = (*map(tree, TREES), *map(lanes, LANES))
