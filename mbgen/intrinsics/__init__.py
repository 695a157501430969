"""C helpers and instructions, each text beside its meaning.

A helper's key is its C name without prefix, with `@` and the instruction set behind it where it is not portable.
Knows C and arithmetic. May not know TVM, layers or templates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from mbgen.intrinsics.avx2 import AVX2
from mbgen.intrinsics.avx2_gemm import AVX2_GEMM
from mbgen.intrinsics.dotprod import NEON_DOTPROD
from mbgen.intrinsics.dotprod_image import DOTPROD_IMAGE
from mbgen.intrinsics.dsp import DSP
from mbgen.intrinsics.dsp_byte_depthwise import DSP_BYTE_DEPTHWISE
from mbgen.intrinsics.dsp_byte_gemm import DSP_BYTE_GEMM
from mbgen.intrinsics.dsp_byte_patches import DSP_BYTE_PATCHES
from mbgen.intrinsics.dsp_bytes import DSP_BYTES
from mbgen.intrinsics.dsp_copy import DSP_COPY
from mbgen.intrinsics.dsp_row import DSP_ROW
from mbgen.intrinsics.dsp_runs import DSP_RUNS
from mbgen.intrinsics.helper import Helper
from mbgen.intrinsics.mve import MVE
from mbgen.intrinsics.mve_depthwise import MVE_DEPTHWISE
from mbgen.intrinsics.mve_gemm import MVE_GEMM
from mbgen.intrinsics.neon import NEON
from mbgen.intrinsics.neon_convolution import DOTPROD_CONVOLUTIONS, GATHER, NEON_CONVOLUTIONS
from mbgen.intrinsics.neon_depthwise import NEON_DEPTHWISE
from mbgen.intrinsics.neon_gemm import NEON_GEMM
from mbgen.intrinsics.neon_int8 import NEON_INT8
from mbgen.intrinsics.neon_rows import DOTPROD_ROWS, NEON_ROWS
from mbgen.intrinsics.scalar import SCALAR
from mbgen.intrinsics.vector import portable

__all__ = ["HELPERS", "Helper", "closure", "find"]

_SETS = {
    "avx2": AVX2 + AVX2_GEMM,
    "mve": MVE + MVE_GEMM + MVE_DEPTHWISE,
    "neon": NEON + NEON_GEMM + NEON_DEPTHWISE + NEON_INT8 + NEON_ROWS + (GATHER, *NEON_CONVOLUTIONS),
    "neon-dotprod": NEON_DOTPROD + DOTPROD_ROWS + DOTPROD_CONVOLUTIONS + DOTPROD_IMAGE,
}
_PORTABLE = (
    *(*SCALAR, *portable(4), *portable(8)),
    *(*DSP, *DSP_RUNS, *DSP_ROW, *DSP_BYTES, *DSP_BYTE_GEMM, *DSP_BYTE_DEPTHWISE, *DSP_BYTE_PATCHES, *DSP_COPY),
)

HELPERS: Mapping[str, Helper] = MappingProxyType(
    {helper.name: helper for helper in _PORTABLE}
    | {f"{helper.name}@{isa}": helper for isa, helpers in _SETS.items() for helper in helpers}
)


def find(name: str, instruction_set: Iterable[str]) -> str:
    """The key of the best helper called `name` for a core with these instruction sets."""
    for isa in instruction_set:
        if f"{name}@{isa}" in HELPERS:
            return f"{name}@{isa}"
    return name


def closure(keys: Iterable[str]) -> tuple[str, ...]:
    """The keys and all that they require, each after what it requires, in an order that does not depend on hashing."""
    ordered: dict[str, None] = {}

    def visit(key: str) -> None:
        if key not in ordered:
            for required in HELPERS[key].requires:
                visit(required)
            ordered[key] = None

    for key in sorted(keys):
        visit(key)
    return tuple(ordered)
