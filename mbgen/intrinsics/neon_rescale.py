"""How int8 kernels for Advanced SIMD (AArch64) end: int32 sums in registers become bytes, exactly as the layer says.

Four registers of sums become one of bytes. Which form serves a layer is mbgen.lowering.neon_int8's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mbgen import numerics
from mbgen.graph import Array

# scale: QDQ's float32 factor, rounded half to even.
# magic: the same by adding 1.5 * 2^23 and the zero point in float32, which rounds; for even zero points (an odd one
#     would change which neighbour of a half is even), bounds of the whole type and results within int16.
# fixed: TFLite's multiplier and right shift of at least 1, rounded twice.
Kind = Literal["scale", "magic", "fixed"]
KINDS: tuple[Kind, ...] = ("scale", "magic", "fixed")

MAGIC = 12582912  # 1.5 * 2^23: float32 values near it are integers, whose low 16 bits are those of the difference
INT16_MAX = 32767


@dataclass(frozen=True)
class Registers:
    """Vector registers that hold a kind's constants.

    `first` are the factors, one register for each of sums; `second` TFLite's shifts, as many; `common` the zero point
    and the bounds, or the magic number.
    """

    first: Sequence[int]
    second: Sequence[int]
    common: Sequence[int]


def arrays(kind: Kind) -> tuple[tuple[str, str], ...]:
    """Name and C type of the per-channel constants; shifts are negative, as SRSHL wants them."""
    return (("multiplier", "int32_t"), ("shift", "int32_t")) if kind == "fixed" else (("scale", "float"),)


def scalars(kind: Kind) -> tuple[str, ...]:
    """Names of the constants of a whole layer; `offset` is MAGIC with the zero point, a float."""
    return ("offset",) if kind == "magic" else ("zero_point", "low", "high")


def commons(kind: Kind) -> int:
    """How many registers `Registers.common` has."""
    return len(scalars(kind))


def parameters(kind: Kind) -> list[str]:
    """C parameters."""
    pointers = [f"const {c_type} *{name}" for name, c_type in arrays(kind)]
    return pointers + [f"{'float' if name == 'offset' else 'int32_t'} {name}" for name in scalars(kind)]


def operands(kind: Kind) -> list[str]:
    """Input operands of the asm statement."""
    pointers = [f'[{name}] "r"({name})' for name, _ in arrays(kind)]
    return pointers + [f'[{name}] "{"Q" if name == "offset" else "r"}"({name})' for name in scalars(kind)]


def load_common(kind: Kind, registers: Sequence[int]) -> list[str]:
    """Instructions that fill `Registers.common`."""
    if kind == "magic":
        return [f"ld1r {{v{registers[0]}.4s}}, %[offset]"]
    zero_point, low, high = registers
    return [f"dup v{zero_point}.8h, %w[zero_point]", f"dup v{low}.16b, %w[low]", f"dup v{high}.16b, %w[high]"]


def rescale(kind: Kind, sums: Sequence[int], constants: Registers) -> list[str]:
    """Instructions that turn one to four registers of sums into bytes, in order, in the first of them."""
    if kind == "fixed":
        lines = [f"sqrdmulh v{a}.4s, v{a}.4s, v{m}.4s" for a, m in zip(sums, constants.first, strict=True)]
        lines += [f"ssra v{a}.4s, v{a}.4s, #31" for a in sums]  # halves of negative sums go down
        lines += [f"srshl v{a}.4s, v{a}.4s, v{s}.4s" for a, s in zip(sums, constants.second, strict=True)]
    else:
        lines = [f"scvtf v{a}.4s, v{a}.4s" for a in sums]
        lines += [f"fmul v{a}.4s, v{a}.4s, v{m}.4s" for a, m in zip(sums, constants.first, strict=True)]
        if kind == "magic":
            lines += [f"fadd v{a}.4s, v{a}.4s, v{constants.common[0]}.4s" for a in sums]
        else:
            lines += [f"fcvtns v{a}.4s, v{a}.4s" for a in sums]
    halves = [sums[i : i + 2] for i in range(0, len(sums), 2)]
    for half in halves:
        if kind == "magic":
            lines.append(f"uzp1 v{half[0]}.8h, v{half[0]}.8h, v{half[-1]}.8h")
            continue
        lines.append(f"sqxtn v{half[0]}.4h, v{half[0]}.4s")
        lines += [f"sqxtn2 v{half[0]}.8h, v{half[1]}.4s"] if len(half) > 1 else []
        lines.append(f"sqadd v{half[0]}.8h, v{half[0]}.8h, v{constants.common[0]}.8h")
    lines.append(f"sqxtn v{sums[0]}.8b, v{sums[0]}.8h")
    lines += [f"sqxtn2 v{sums[0]}.16b, v{halves[1][0]}.8h"] if len(halves) > 1 else []
    if kind != "magic":
        lines += [f"{cut} v{sums[0]}.16b, v{sums[0]}.16b, v{constants.common[1 + i]}.16b"
                  for i, cut in enumerate(("smax", "smin"))]  # fmt: skip
    return lines


@dataclass(frozen=True, eq=False)
class Rescale:
    """The constants of a kind as NumPy values, for meanings: those of `arrays` and `scalars`."""

    kind: Kind
    per_channel: tuple[Array, ...]
    common: tuple[float, ...]

    def apply(self, sums: Array) -> Array:
        """Sums `[..., channels]` to bytes."""
        if self.kind == "magic":
            zero_point, low, high = self.common[0] - MAGIC, -128.0, 127.0
        else:
            zero_point, low, high = self.common
        if self.kind == "fixed":
            multiplier, shift = self.per_channel
            scaled = numerics.multiply_by_quantized_multiplier(sums, multiplier, shift)
        else:
            scaled = np.rint(sums.astype(np.float32) * self.per_channel[0])
        return np.clip(scaled + zero_point, low, high).astype(np.int8)
