"""float32 GEMM tiles for AVX2 with FMA: one asm block a tile, since GCC folds loads into FMAs and then spills sums.

A vector register holds eight output channels of a pixel; x is broadcast from memory, one k of one pixel at a time.
"""

from __future__ import annotations

from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.tile import asm_function, gemm_meaning, gemm_name, gemm_signature

LANES = 8
REGISTERS = 16
UNROLLED = 4  # k in the main loop, whose x are one cache line of a panel of 16 channels
LINE = 64
AHEAD = 10 * LINE * UNROLLED  # bytes of its own weights that a tile of one pixel, which reads each once, prefetches


def _pixel(p: int, displacement: int) -> str:
    """The operand in memory for pixel `p`: bases at every third, since an index may be scaled by 1 and 2 only."""
    base = "%[x]" if p < 3 else "%[x3]"
    index = ("", ",%[x_pitch]", ",%[x_pitch],2")[p % 3]
    return f"{displacement or ''}({base}{index})"


def _step(mr: int, vectors: int, ks: int) -> list[str]:
    """`ks` k, and the pointers moved past them."""
    lines, row = [], 4 * LANES * vectors
    weights, x = mr * vectors, mr * vectors + vectors
    for k in range(ks):
        lines += [f"vmovups {k * row + 4 * LANES * j or ''}(%[w]), %%ymm{weights + j}" for j in range(vectors)]
        for p in range(mr):
            lines.append(f"vbroadcastss {_pixel(p, 4 * k)}, %%ymm{x}")
            lines += [f"vfmadd231ps %%ymm{weights + j}, %%ymm{x}, %%ymm{vectors * p + j}" for j in range(vectors)]
    lines += [f"add ${4 * ks}, %[x]", *([f"add ${4 * ks}, %[x3]"] if mr > 3 else []), f"add ${ks * row}, %[w]"]
    return lines


def _prefetch(mr: int, vectors: int) -> list[str]:
    """The lines that a step fetches early: the next panel's, or where weights are read once those further on."""
    if mr > 1:
        return ["prefetcht1 (%[next])", f"add ${LINE}, %[next]"]
    lines = -(-UNROLLED * vectors * 4 * LANES // LINE)
    return [f"prefetcht0 {AHEAD + LINE * line}(%[w])" for line in range(lines)]


def gemm(mr: int, vectors: int, *, clamped: bool) -> Helper:
    """A tile of `mr` pixels by `vectors` vectors of channels."""
    lines = [f"vmovups {4 * LANES * j or ''}(%[bias]), %%ymm{j}" for j in range(vectors)]
    for p in range(1, mr):
        lines += [f"vmovaps %%ymm{j}, %%ymm{vectors * p + j}" for j in range(vectors)]
    count = f"sub ${UNROLLED}, %[k]"
    lines += [count, "jl 2f", "1:", *_prefetch(mr, vectors), *_step(mr, vectors, UNROLLED), count, "jge 1b", "2:"]
    lines += [f"add ${UNROLLED}, %[k]", "jz 4f", "3:", *_step(mr, vectors, 1), "dec %[k]", "jnz 3b", "4:"]
    if clamped:
        low, high = mr * vectors, mr * vectors + 1
        lines += [f"vbroadcastss %[low], %%ymm{low}", f"vbroadcastss %[high], %%ymm{high}"]
        lines += [f"vmaxps %%ymm{low}, %%ymm{a}, %%ymm{a}" for a in range(mr * vectors)]
        lines += [f"vminps %%ymm{high}, %%ymm{a}, %%ymm{a}" for a in range(mr * vectors)]
    for p in range(mr):
        lines += [f"vmovups %%ymm{vectors * p + j}, {4 * LANES * j or ''}(%[y])" for j in range(vectors)]
        lines += ["add %[y_pitch], %[y]"] if p + 1 < mr else []
    lines.append("vzeroupper")  # the compiler does not know of the upper halves
    setup = [
        "    const intptr_t x_pitch_bytes = (intptr_t)x_pitch * 4;",
        "    const intptr_t y_pitch = (intptr_t)pitch * 4;",
    ]
    setup += ["    const float *x3 = x + 3 * (intptr_t)x_pitch;"] if mr > 3 else []
    outputs = ['[x] "+r"(x)', *(['[x3] "+r"(x3)'] if mr > 3 else []), '[w] "+r"(w)', '[k] "+r"(k)', '[y] "+r"(y)']
    outputs += ['[next] "+r"(next)'] if mr > 1 else []
    setup += [] if mr > 1 else ["", "    (void)next;"]
    bounds = ['[low] "m"(lowest)', '[high] "m"(highest)'] if clamped else []
    source = asm_function(
        gemm_signature(mr, vectors * LANES, clamped),
        setup,
        lines,
        outputs=outputs,
        inputs=['[bias] "r"(bias)', '[x_pitch] "r"(x_pitch_bytes)', '[y_pitch] "r"(y_pitch)', *bounds],
        clobbers=[*(f"xmm{register}" for register in range(REGISTERS)), "cc", "memory"],
    )
    return Helper(gemm_name(mr, vectors * LANES, clamped), source, gemm_meaning)


TILES = (*((mr, 2) for mr in range(1, 7)), (1, 5))  # pixels and vectors
AVX2_GEMM = tuple(gemm(*tile, clamped=clamped) for tile in TILES for clamped in (True, False))
