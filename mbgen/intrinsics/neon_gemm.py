"""float32 GEMM tiles for Advanced SIMD (AArch64): one asm block a tile, since C compilers spill its 32 registers.

A vector register holds four output channels of a pixel, or four k of one: `fmla` by lane multiplies all channels by one
of them, so x needs no copies and one load serves four k.
"""

from __future__ import annotations

from collections.abc import Iterator

from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.tile import asm_function, gemm_meaning, gemm_name, gemm_signature

LANES = 4
REGISTERS = 32
UNROLLED = 2  # steps of k in the main loop


def _pairs(count: int) -> Iterator[int]:
    return iter(range(0, count, 2))


def _step(mr: int, vectors: int, loaded: int) -> list[str]:
    """Multiply-accumulates of `loaded` registers of x a pixel: 4 k each, or one k where it is 0."""
    sums = mr * vectors
    x, weights = sums, range(sums + mr * max(loaded, 1), REGISTERS)
    rotation = [(a, a + 1) for a in weights[::2] if a + 1 < REGISTERS]
    lines = []
    for p in range(mr):
        if loaded == 2:
            lines.append(f"ldp q{x + 2 * p}, q{x + 2 * p + 1}, [%[x{p}]], #32")
        else:
            lines.append(f"ldr {'q' if loaded else 's'}{x + p}, [%[x{p}]], #{16 if loaded else 4}")
    turn = 0
    for k in range(4 * loaded or 1):
        for q in _pairs(vectors):
            pair = rotation[turn % len(rotation)]
            turn += 1
            lines.append(f"ldp q{pair[0]}, q{pair[1]}, [%[w]], #32")
            for half, register in enumerate(pair):
                for p in range(mr):
                    lane = f"v{x + max(loaded, 1) * p + k // 4}.s[{k % 4}]"
                    lines.append(f"fmla v{vectors * p + q + half}.4s, v{register}.4s, {lane}")
    return lines


def _loop(label: int, step: int, body: list[str]) -> list[str]:
    """`body` as often as `step` k are left."""
    count = f"subs %w[k], %w[k], #{step}"
    return [count, f"b.lt {label + 1}f", f"{label}:", *body, count, f"b.ge {label}b", f"{label + 1}:",
            f"add %w[k], %w[k], #{step}"]  # fmt: skip


def gemm(mr: int, vectors: int, *, clamped: bool) -> Helper:
    """A tile of `mr` pixels by `vectors` (even) vectors of channels; x is loaded in pairs where registers allow it."""
    sums = mr * vectors
    loaded = 2 if sums + 2 * mr + 2 <= REGISTERS else 1
    lines = []
    for p in range(mr):
        for q in _pairs(vectors):
            lines.append(f"ldp q{vectors * p + q}, q{vectors * p + q + 1}, [%[bias], #{16 * q}]")
    step = _step(mr, vectors, loaded)
    lines += _loop(1, 4 * loaded * UNROLLED, step * UNROLLED)
    lines += _loop(3, 4 * loaded, step)
    lines += ["cbz %w[k], 6f", "5:", *_step(mr, vectors, 0), "subs %w[k], %w[k], #1", "b.ne 5b", "6:"]
    if clamped:
        lines += ["ld1r {v30.4s}, %[low]", "ld1r {v31.4s}, %[high]"]
        lines += [f"fmax v{a}.4s, v{a}.4s, v30.4s" for a in range(sums)]
        lines += [f"fmin v{a}.4s, v{a}.4s, v31.4s" for a in range(sums)]
    for p in range(mr):
        for q in _pairs(vectors):
            lines.append(f"stp q{vectors * p + q}, q{vectors * p + q + 1}, [%[y], #{16 * q}]")
        lines += ["add %[y], %[y], %[y_pitch]"] if p + 1 < mr else []
    pixels = [f"    const float *x{p} = x{p - 1} + x_pitch;" for p in range(1, mr)]
    bounds = ['[low] "Q"(lowest)', '[high] "Q"(highest)'] if clamped else []
    source = asm_function(
        gemm_signature(mr, vectors * LANES, clamped),
        ["    const float *x0 = x;", *pixels, "    const intptr_t y_pitch = (intptr_t)pitch * 4;", "",
         "    (void)x_pitch;", "    (void)next;"],
        lines,
        outputs=[*(f'[x{p}] "+r"(x{p})' for p in range(mr)), '[w] "+r"(w)', '[k] "+r"(k)', '[y] "+r"(y)'],
        inputs=['[bias] "r"(bias)', '[y_pitch] "r"(y_pitch)', *bounds],
        clobbers=[*(f"v{register}" for register in range(REGISTERS)), "cc", "memory"],
    )  # fmt: skip
    return Helper(gemm_name(mr, vectors * LANES, clamped), source, gemm_meaning)


TILES = (*((mr, 4) for mr in range(1, 7)), (1, 10))  # pixels and vectors
NEON_GEMM = tuple(gemm(*tile, clamped=clamped) for tile in TILES for clamped in (True, False))
