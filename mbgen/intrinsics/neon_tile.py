"""What the int8 GEMM tiles for Advanced SIMD (AArch64) share: name, signature, meaning and the loop over tiles.

A call covers a run of tiles: `count` times `mr` pixels by `nr` channels, whose weights are one panel.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mbgen.graph import Array
from mbgen.intrinsics import neon_rescale
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.neon_rescale import Kind, Rescale
from mbgen.intrinsics.tile import asm_function

PIXEL = 9  # the general register of pixel 0's address; the other pixels' follow
COLUMNS = 110  # of a line of C, before NAME_ becomes the library's
WEIGHTS, COUNTER = 14, 15  # general registers: the address of the weights, and what counts steps of k

# tree: sums are spread over the k of a channel and added up at the end; 4 channels.
# lanes: the lanes of a register are output channels.
# dot: lanes are output channels, and SDOT adds four products to each.
Form = Literal["tree", "lanes", "dot"]
STEPS: dict[Form, int] = {"tree": 32, "lanes": 4, "dot": 4}  # k must be a multiple of this


@dataclass(frozen=True)
class Tile:
    """`mr` pixels by `nr` output channels, multiplied in the way of `form`; the sums end as `kind` says."""

    form: Form
    mr: int
    nr: int
    kind: Kind

    @property
    def name(self) -> str:
        """The helper."""
        return f"gemm_{self.form}_{self.kind}_{self.mr}x{self.nr}"


def meaning(x: Array, weights: Array, bias: Array, rescale: Rescale) -> Array:
    """`x[pixels, k]`, `weights[nr, k]`, `bias[nr]` to bytes `[pixels, nr]`."""
    sums: Array = x.astype(np.int64) @ weights.astype(np.int64).T + bias
    return rescale.apply(sums)


def pack(weights: Array, form: Form) -> Array:
    """`[tiles, nr, k]` to the order in which a form's tiles read their weights.

    tree: 32 k of each channel after each other; lanes: 8 channels by 2 k, twice for 4 k; dot: 4 channels by 4 k.
    """
    tiles, nr, k = weights.shape
    if form == "tree":
        return np.ascontiguousarray(weights.reshape(tiles, nr, k // 32, 32).transpose(0, 2, 1, 3))
    if form == "dot":
        return np.ascontiguousarray(weights.reshape(tiles, nr // 4, 4, k // 4, 4).transpose(0, 3, 1, 2, 4))
    split = weights.reshape(tiles, nr // 8, 8, k // 4, 2, 2)
    return np.ascontiguousarray(split.transpose(0, 3, 1, 4, 2, 5))


def run(tile: Tile, begin: Sequence[str], steps: Sequence[str], end: Sequence[str], comment: str = "") -> Helper:
    """The helper of a tile: `begin`, `steps` over all k, then `end`, for each tile of the run.

    While `steps` run, the pixels' addresses and that of the weights move on by all they read; `end` moves `%[y]`.
    """
    last = PIXEL + tile.mr - 1
    lines = [
        "1:",
        f"mov x{PIXEL}, %[x]",
        *(f"add x{PIXEL + p}, x{PIXEL + p - 1}, %[k]" for p in range(1, tile.mr)),
        f"mov x{WEIGHTS}, %[w]",
        *begin,
        *steps,
        *end,
        f"mov %[x], x{last}",
        "subs %w[count], %w[count], #1",
        "b.ne 1b",
    ]
    arguments = ["int8_t *y", "int32_t pitch", "const int8_t *x", "const int8_t *w", "const int32_t *bias"]
    arguments += [*neon_rescale.parameters(tile.kind), "int32_t k", "int32_t count"]
    head = (
        f"/* count times: bytes of y[{tile.mr}][{tile.nr}] from bias[{tile.nr}] + x[{tile.mr}][k] * w; "
        f"pixels of y lie pitch apart.{comment} */",
        signature(tile.name, arguments),
    )
    source = asm_function(
        head,
        ["    const intptr_t y_pitch = pitch;", "    const intptr_t k_bytes = k;"],
        lines,
        outputs=[f'[{name}] "+&r"({name})' for name in ("y", "x", "count")],
        inputs=[
            *(f'[{name}] "r"({name})' for name in ("w", "bias", "y_pitch")),
            *([f'[addend] "r"(bias + {tile.nr})'] if neon_rescale.adds(tile.kind) else []),
            '[k] "r"(k_bytes)',
            *neon_rescale.operands(tile.kind),
        ],
        clobbers=[
            *(f"x{x}" for x in range(PIXEL, COUNTER + 1)),
            *(f"v{v}" for v in range(32)),
            "cc",
            "memory",
        ],
    )
    return Helper(tile.name, source, meaning)


def signature(name: str, arguments: Sequence[str]) -> str:
    """The head of a helper without a result, in lines that can be read."""
    head = f"static NAME_INLINE void name_{name}({', '.join(arguments)})"
    return textwrap.fill(head, COLUMNS, subsequent_indent="    ", break_long_words=False)


def load(name: str, registers: Sequence[int], first: int = 0) -> list[str]:
    """Loads of neighbouring vectors from `%[name]`, from vector number `first` on, as many at once as there can be."""
    if len(registers) == 4 and first == 0 and registers[3] == registers[0] + 3:
        return [f"ld1 {{v{registers[0]}.4s-v{registers[3]}.4s}}, [%[{name}]]"]
    lines = []
    for i in range(0, len(registers), 2):
        pair, offset = registers[i : i + 2], 16 * (first + i)
        place = f"[%[{name}], #{offset}]" if offset else f"[%[{name}]]"
        lines.append(f"ldp q{pair[0]}, q{pair[1]}, {place}" if len(pair) > 1 else f"ldr q{pair[0]}, {place}")
    return lines


def finish(
    tile: Tile, sums: Callable[[int, int], int], free: Sequence[int], store: Callable[[int], list[str]]
) -> list[str]:
    """Rescale a tile of `sums(vector, pixel)`, lanes being channels, four vectors at a time; then store each pixel.

    `free` are registers for constants: eight, and three more.
    """
    lines = []
    common = list(free[8 : 8 + neon_rescale.commons(tile.kind)])
    lines += neon_rescale.load_common(tile.kind, common)
    vectors = tile.nr // 4
    for first in range(0, vectors, 4):
        group = range(first, min(first + 4, vectors))
        held = [free[4 * i : 4 * i + len(group)] for i in range(2)]
        for (name, _), registers in zip(neon_rescale.arrays(tile.kind), held, strict=False):
            lines += load(name, registers, first)
        constants = neon_rescale.Registers(held[0], held[1], common)
        for p in range(tile.mr):
            lines += load("addend", held[1], first) if neon_rescale.adds(tile.kind) else []
            lines += neon_rescale.rescale(tile.kind, [sums(q, p) for q in group], constants)
    for p in range(tile.mr):
        lines += store(p)
    return lines
