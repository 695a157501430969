"""float32 GEMM tiles for AVX2 with FMA: one asm block a tile, since GCC folds loads into FMAs and then spills sums.

A vector register holds eight output channels of a pixel; x is broadcast from memory, one k of one pixel at a time.
"""

from __future__ import annotations

from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.tile import Shape, asm_function, gemm_meaning, gemm_name, gemm_signature
from mbgen.intrinsics.vector import vector

LANES = 8
REGISTERS = 16
UNROLLED = 4  # k in the main loop
UNROLLED_ROWS = 3  # where k are those of a row of a window, on images of three channels a multiple of it
LINE = 64
AHEAD = 10 * LINE * UNROLLED  # bytes of its own weights that a tile of one pixel, which reads each once, prefetches
TILES = (*((mr, 2) for mr in range(1, 7)), (1, 5), *((mr, 1) for mr in range(1, 13)))  # pixels and vectors


def _pixel(p: int, displacement: int) -> str:
    """The operand in memory for pixel `p`: bases at every third, since an index may be scaled by 1 and 2 only."""
    base = f"%[x{p // 3 * 3}]"
    index = ("", ",%[x_bytes]", ",%[x_bytes],2")[p % 3]
    return f"{displacement or ''}({base}{index})"


def bases(mr: int) -> list[str]:
    """The pointers that pixels are reached from."""
    return [f"x{p}" for p in range(0, mr, 3)]


def _step(shape: Shape, mr: int, ks: int) -> list[str]:
    """`ks` k of the first `mr` pixels, and the pointers moved past them."""
    vectors = shape.nr // LANES
    lines, row = [], 4 * LANES * vectors
    weights, x = shape.mr * vectors, shape.mr * vectors + vectors
    for k in range(ks):
        lines += [f"vmovups {k * row + 4 * LANES * j or ''}(%[w]), %%ymm{weights + j}" for j in range(vectors)]
        for p in range(mr):
            lines.append(f"vbroadcastss {_pixel(p, 4 * k)}, %%ymm{x}")
            lines += [f"vfmadd231ps %%ymm{weights + j}, %%ymm{x}, %%ymm{vectors * p + j}" for j in range(vectors)]
    return [*lines, *(f"add ${4 * ks}, %[{base}]" for base in bases(mr)), f"add ${ks * row}, %[w]"]


def _prefetch(shape: Shape) -> list[str]:
    """The lines that a step fetches early: the next panel's, or where weights are read once those further on."""
    if shape.rows:
        return []
    if shape.mr > 1:
        return ["prefetcht1 (%[next])", f"add ${LINE}, %[next]"]
    lines = -(-UNROLLED * shape.nr * 4 // LINE)
    return [f"prefetcht0 {AHEAD + LINE * line}(%[w])" for line in range(lines)]


def _sums(shape: Shape) -> list[str]:
    """All products of one row of x, whose first pixel is in `x0`."""
    lines = []
    for before, base in zip(bases(shape.mr), bases(shape.mr)[1:], strict=False):
        lines += [f"lea (%[{before}],%[x_bytes],2), %[{base}]", f"add %[x_bytes], %[{base}]"]
    lines += _products(shape, shape.mr, "k")
    return [*lines, *_products(shape, shape.mr - 1, "k_cut")] if shape.cut else lines


def _products(shape: Shape, mr: int, k: str) -> list[str]:
    """The products of the first `mr` pixels for the next so many k."""
    unrolled = UNROLLED_ROWS if shape.rows else UNROLLED
    count = f"sub ${unrolled}, %[left]"
    return [
        f"mov %[{k}], %[left]",
        count,
        "jl 2f",
        "1:",
        *_prefetch(shape),
        *_step(shape, mr, unrolled),
        count,
        "jge 1b",
        "2:",
        f"add ${unrolled}, %[left]",
        "jz 4f",
        "3:",
        *_step(shape, mr, 1),
        "dec %[left]",
        "jnz 3b",
        "4:",
    ]


def gemm(shape: Shape) -> Helper:
    """A tile of `shape.mr` pixels by `shape.nr` channels."""
    mr, vectors = shape.mr, shape.nr // LANES
    lines = [
        "mov %[bias], %[x0]"
    ]  # x0 is free until the first pixel and after the last; so bias and y may stay in memory
    lines += [f"vmovups {4 * LANES * j or ''}(%[x0]), %%ymm{j}" for j in range(vectors)]
    for p in range(1, mr):
        lines += [f"vmovaps %%ymm{j}, %%ymm{vectors * p + j}" for j in range(vectors)]
    if shape.rows:
        lines += ["5:", "movslq (%[rows]), %[x0]", "add $4, %[rows]", "shl $2, %[x0]", "add %[x], %[x0]", *_sums(shape)]
        lines += ["add %[skip], %[w]", "decl %[count]", "jnz 5b"]
    else:
        lines += ["mov %[x], %[x0]", *_sums(shape)]
    low, high = mr * vectors, mr * vectors + 1
    if shape.clamped:
        lines += [f"vbroadcastss %[low], %%ymm{low}", f"vbroadcastss %[high], %%ymm{high}"]
    spare = bases(mr)[1:2]
    lines += ["mov %[y], %[x0]", *(f"mov %[y_bytes], %[{base}]" for base in spare)]
    for p in range(mr):
        sums = range(vectors * p, vectors * (p + 1))
        if shape.clamped:
            lines += [f"vmaxps %%ymm{low}, %%ymm{a}, %%ymm{a}" for a in sums]
            lines += [f"vminps %%ymm{high}, %%ymm{a}, %%ymm{a}" for a in sums]
        lines += [f"vmovups %%ymm{a}, {4 * LANES * j or ''}(%[x0])" for j, a in enumerate(sums)]
        lines += [f"add %[{spare[0] if spare else 'y_bytes'}], %[x0]"] if p + 1 < mr else []
    prefetches = mr > 1 and not shape.rows
    setup = [f"    const intptr_t {axis}_bytes = (intptr_t){axis}_pitch * 4;" for axis in "yx"]
    setup += ["    const intptr_t skip = (intptr_t)w_skip * 4;"] if shape.rows else []
    setup += [f"    const float *{', *'.join(bases(mr))};", "    int32_t left;"]
    setup += ["    name_f32x8 upper; /* tells the compiler to clear the upper halves when the kernel ends */"]
    outputs = [*(f'[{base}] "=&r"({base})' for base in bases(mr)), '[left] "=&r"(left)', '[w] "+&r"(w)']
    outputs += ['[rows] "+&r"(rows)', '[count] "+m"(count)'] if shape.rows else []
    outputs += [*(['[next] "+&r"(next)'] if prefetches else []), '"=x"(upper)']
    # what is read at the end of a row or tile may lie in memory, and must where pointers to x leave few registers
    late = ["y", *(["y_bytes"] if mr > 1 else []), *(["skip"] if shape.rows else []), *(["k_cut"] if shape.cut else [])]
    inputs = ['[x] "rm"(x)', '[bias] "rm"(bias)', '[k] "rm"(k)', '[x_bytes] "r"(x_bytes)']
    inputs += [f'[{name}] "{"m" if shape.rows else "rm"}"({name})' for name in late]
    inputs += ['[low] "m"(lowest)', '[high] "m"(highest)'] if shape.clamped else []
    clobbers = [*(f"xmm{register}" for register in range(REGISTERS - 1)), "cc", "memory"]
    unused = [*([] if mr > 1 else ["y_bytes"]), *([] if prefetches or shape.rows else ["next"]), "upper"]
    source = asm_function(
        gemm_signature(shape), setup, lines, outputs=outputs, inputs=inputs, clobbers=clobbers, unused=unused
    )
    return Helper(gemm_name(shape), source, gemm_meaning, vectors=frozenset({vector("f32", LANES)}))


BOTH = (True, False)
CUTS = tuple(
    Shape(mr, vectors * LANES, clamped, rows=True, cut=True) for mr, vectors in TILES if mr > 1 for clamped in BOTH
)
AVX2_GEMM = tuple(
    gemm(shape)
    for shape in (
        *(Shape(mr, vectors * LANES, clamped, rows) for mr, vectors in TILES for clamped in BOTH for rows in BOTH),
        *CUTS,
    )
)
