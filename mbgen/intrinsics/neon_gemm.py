"""float32 GEMM tiles for Advanced SIMD (AArch64): one asm block a tile, since C compilers spill its 32 registers.

A vector register holds four output channels of a pixel, or four k of one: `fmla` by lane multiplies all channels by one
of them, so x needs no copies. `ld1` loads up to four registers, weights of one k, and `st1` stores a pixel.
"""

from __future__ import annotations

from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.tile import Shape, asm_function, gemm_meaning, gemm_name, gemm_signature

LANES = 4
REGISTERS = 32
FIRST_POINTER = 8  # x8 and on point to the pixels
UNROLLED = 2  # steps in the main loop
# pixels and vectors; k of a pixel are loaded in pairs of registers where these are left, which 4 x 4 has and 5 x 4 not
TILES = (*((mr, 4) for mr in range(1, 7)), (1, 10), *((mr, 2) for mr in range(1, 9)))


def chunks(first: int, vectors: int) -> list[list[int]]:
    """Registers from `first` on in groups that one instruction loads."""
    registers = [first + index for index in range(vectors)]
    return [registers[start : start + 4] for start in range(0, vectors, 4)]


def x_registers(mr: int, vectors: int) -> int:
    """Registers for x of one pixel: two where they leave room for the weights of one k, else one."""
    return 2 if mr * vectors + 2 * mr + min(vectors, 4) <= REGISTERS else 1


def _listed(registers: list[int]) -> str:
    return "{" + ", ".join(f"v{register}.4s" for register in registers) + "}"


def _step(mr: int, vectors: int, loaded: int) -> list[str]:
    """Multiply-accumulates of `loaded` registers of x a pixel: 4 k each, or one k where it is 0."""
    x, ks = mr * vectors, 4 * loaded or 1
    weights = list(range(x + mr * max(loaded, 1), REGISTERS))
    width = min(4, ks * vectors, len(weights) // 2 * 2)  # registers of one load, which may hold weights of several k
    places = [weights[start : start + width] for start in range(0, len(weights) - width + 1, width)]
    lines = []
    for p in range(mr):
        pointer = f"[x{FIRST_POINTER + p}]"
        if loaded == 2:
            lines.append(f"ldp q{x + 2 * p}, q{x + 2 * p + 1}, {pointer}, #32")
        else:
            lines.append(f"ldr {'q' if loaded else 's'}{x + p}, {pointer}, #{16 if loaded else 4}")
    for first in range(0, ks * vectors, width):
        place = places[first // width % len(places)][: ks * vectors - first]
        lines.append(f"ld1 {_listed(place)}, [%[w]], #{16 * len(place)}")
        for offset, register in enumerate(place):
            k, q = divmod(first + offset, vectors)
            for p in range(mr):
                lane = f"v{x + max(loaded, 1) * p + k // 4}.s[{k % 4}]"
                lines.append(f"fmla v{vectors * p + q}.4s, v{register}.4s, {lane}")
    return lines


def _loop(label: int, step: int, body: list[str]) -> list[str]:
    """`body` as often as `step` k are left in x7."""
    count = f"subs w7, w7, #{step}"
    return [count, f"b.lt {label + 1}f", f"{label}:", *body, count, f"b.ge {label}b", f"{label + 1}:",
            f"add w7, w7, #{step}"]  # fmt: skip


def _sums(mr: int, vectors: int) -> list[str]:
    """All products of one row of x, whose first pixel is in x8."""
    loaded = x_registers(mr, vectors)
    pixels = [f"add x{FIRST_POINTER + p}, x{FIRST_POINTER + p - 1}, %[x_bytes]" for p in range(1, mr)]
    step = _step(mr, vectors, loaded)
    long = _loop(1, 4 * loaded * UNROLLED, step * UNROLLED)
    rest = ["cbz w7, 6f", "5:", *_step(mr, vectors, 0), "subs w7, w7, #1", "b.ne 5b", "6:"]
    return ["mov w7, %w[k]", *pixels, *long, *_loop(3, 4 * loaded, step), *rest]


def gemm(shape: Shape) -> Helper:
    """A tile of `shape.mr` pixels by `shape.nr` channels."""
    mr, vectors = shape.mr, shape.nr // LANES
    pixels = [chunks(vectors * p, vectors) for p in range(mr)]
    lines = []
    for pixel in pixels:
        lines += [f"ld1 {_listed(group)}, [%[bias]]" for group in pixel[:1]]
        lines += [
            f"ldr q{register}, [%[bias], #{16 * (register - pixel[0][0])}]" for group in pixel[1:] for register in group
        ]
    if shape.rows:
        lines += ["7:", "ldrsw x8, [%[rows]], #4", "add x8, %[x], x8, lsl #2", *_sums(mr, vectors)]
        lines += ["add %[w], %[w], %[skip]", "subs %w[count], %w[count], #1", "b.ne 7b"]
    else:
        lines += ["mov x8, %[x]", *_sums(mr, vectors)]
    if shape.clamped:
        lines += ["ld1r {v30.4s}, %[low]", "ld1r {v31.4s}, %[high]"]
        lines += [f"fmax v{a}.4s, v{a}.4s, v30.4s" for a in range(mr * vectors)]
        lines += [f"fmin v{a}.4s, v{a}.4s, v31.4s" for a in range(mr * vectors)]
    for pixel in pixels:
        if len(pixel) == 1:
            lines.append(f"st1 {_listed(pixel[0])}, [%[y]], %[y_bytes]")
        else:
            lines += [f"st1 {_listed(group)}, [%[y]], #{16 * len(group)}" for group in pixel]
    setup = [f"    const intptr_t {axis}_bytes = (intptr_t){axis}_pitch * 4;" for axis in "yx"]
    setup += ["    const intptr_t skip = (intptr_t)w_skip * 4;"] if shape.rows else []
    outputs = ['[w] "+&r"(w)', '[y] "+&r"(y)', *(['[rows] "+&r"(rows)', '[count] "+&r"(count)'] if shape.rows else [])]
    inputs = ['[x] "r"(x)', '[bias] "r"(bias)', '[k] "r"(k)', '[x_bytes] "r"(x_bytes)', '[y_bytes] "r"(y_bytes)']
    inputs += ['[skip] "r"(skip)'] if shape.rows else []
    inputs += ['[low] "Q"(lowest)', '[high] "Q"(highest)'] if shape.clamped else []
    pointers = range(FIRST_POINTER - 1, FIRST_POINTER + mr)
    clobbers = [*(f"x{p}" for p in pointers), *(f"v{v}" for v in range(REGISTERS)), "cc", "memory"]
    unused = [] if shape.rows else ["next"]
    source = asm_function(
        gemm_signature(shape), setup, lines, outputs=outputs, inputs=inputs, clobbers=clobbers, unused=unused
    )
    return Helper(gemm_name(shape), source, gemm_meaning)


NEON_GEMM = tuple(
    gemm(Shape(mr, vectors * LANES, clamped, rows))
    for mr, vectors in TILES
    for clamped in (True, False)
    for rows in (False, True)
)
