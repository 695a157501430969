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
# fused: magic for sums below 2^23 and a zero point of -128: a sum starts from BASE, so that its bits are the float32
#     2^23 + sum, and one FMLA onto -2^23 * scale rounds sum * scale once. The bits of a negative sum are those of a
#     greater negative one, which becomes -128 just so.
# fixed: TFLite's multiplier and right shift of at least 1, rounded twice.
Kind = Literal["scale", "magic", "fused", "fixed"]
KINDS: tuple[Kind, ...] = ("scale", "magic", "fused", "fixed")

MAGIC = 12582912  # 1.5 * 2^23: float32 values near it are integers, whose low 16 bits are those of the difference
LARGEST = 1 << 23  # sums below it are the mantissa of a float32
BASE = 0x4B000000  # the bits of 2^23
INT16_MAX = 32767


@dataclass(frozen=True)
class Registers:
    """Vector registers that hold a kind's constants.

    `first` are the factors, one register for each of sums; `second`, as many, TFLite's shifts or what products are
    added to, which must be loaded anew each time; `common` the zero point and the bounds, or the magic number.
    """

    first: Sequence[int]
    second: Sequence[int]
    common: Sequence[int]


def arrays(kind: Kind) -> tuple[tuple[str, str], ...]:
    """Name and C type of the per-channel constants; shifts are negative, as SRSHL wants them."""
    return (("multiplier", "int32_t"), ("shift", "int32_t")) if kind == "fixed" else (("scale", "float"),)


def adds(kind: Kind) -> bool:
    """Whether products are added to constants, which lie behind the bias of their panel."""
    return kind == "fused"


def scalars(kind: Kind) -> tuple[str, ...]:
    """Names of the constants of a whole layer; `offset` is MAGIC with the zero point, a float."""
    return ("offset",) if kind in ("magic", "fused") else ("zero_point", "low", "high")


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
    if len(registers) == 1:
        return [f"ld1r {{v{registers[0]}.4s}}, %[offset]"]
    zero_point, low, high = registers
    return [f"dup v{zero_point}.8h, %w[zero_point]", f"dup v{low}.16b, %w[low]", f"dup v{high}.16b, %w[high]"]


def rescale(kind: Kind, sums: Sequence[int], constants: Registers) -> list[str]:
    """Instructions that turn one to four registers of sums into bytes, in order, in the first of them."""
    magic = len(constants.common) == 1
    factors = list(zip(sums, constants.first, strict=True))
    if kind == "fixed":
        lines = [f"sqrdmulh v{a}.4s, v{a}.4s, v{m}.4s" for a, m in factors]
        lines += [f"ssra v{a}.4s, v{a}.4s, #31" for a in sums]  # halves of negative sums go down
        lines += [f"srshl v{a}.4s, v{a}.4s, v{s}.4s" for a, s in zip(sums, constants.second, strict=True)]
    elif kind == "fused":
        scaled = list(zip(sums, constants.first, constants.second, strict=True))
        lines = [f"fmla v{s}.4s, v{a}.4s, v{m}.4s" for a, m, s in scaled]
        lines += [f"fadd v{a}.4s, v{s}.4s, v{constants.common[0]}.4s" for a, _, s in scaled]
    else:
        lines = [f"scvtf v{a}.4s, v{a}.4s" for a in sums]
        lines += [f"fmul v{a}.4s, v{a}.4s, v{m}.4s" for a, m in factors]
        if magic:
            lines += [f"fadd v{a}.4s, v{a}.4s, v{constants.common[0]}.4s" for a in sums]
        else:
            lines += [f"fcvtns v{a}.4s, v{a}.4s" for a in sums]
    halves = [sums[i : i + 2] for i in range(0, len(sums), 2)]
    for half in halves:
        if magic:
            lines.append(f"uzp1 v{half[0]}.8h, v{half[0]}.8h, v{half[-1]}.8h")
            continue
        lines.append(f"sqxtn v{half[0]}.4h, v{half[0]}.4s")
        lines += [f"sqxtn2 v{half[0]}.8h, v{half[1]}.4s"] if len(half) > 1 else []
        lines.append(f"sqadd v{half[0]}.8h, v{half[0]}.8h, v{constants.common[0]}.8h")
    lines.append(f"sqxtn v{sums[0]}.8b, v{sums[0]}.8h")
    lines += [f"sqxtn2 v{sums[0]}.16b, v{halves[1][0]}.8h"] if len(halves) > 1 else []
    if not magic:
        lines += [f"{cut} v{sums[0]}.16b, v{sums[0]}.16b, v{constants.common[1 + i]}.16b"
                  for i, cut in enumerate(("smax", "smin"))]  # fmt: skip
    return lines


@dataclass(frozen=True, eq=False)
class Rescale:
    """The constants of a kind as NumPy values, for meanings: those of `arrays` and `scalars`."""

    kind: Kind
    per_channel: tuple[Array, ...]
    common: tuple[float, ...]

    def of(self, channels: int) -> Rescale:
        """That of the first channels."""
        return Rescale(self.kind, tuple(values[:channels] for values in self.per_channel), self.common)

    def starts(self, bias: Array) -> Array:
        """int32 `[1 or 2, channels]`: what sums start from, and what products are added to."""
        if self.kind != "fused":
            return bias[np.newaxis].astype(np.int32)
        addends = np.float32(-LARGEST) * self.per_channel[0].astype(np.float32)
        return np.stack([bias.astype(np.int32) + np.int32(BASE), addends.view(np.int32)])

    def apply(self, sums: Array) -> Array:
        """Sums `[..., channels]` to bytes."""
        if self.kind in ("magic", "fused"):
            zero_point, low, high = self.common[0] - MAGIC, -128.0, 127.0
        else:
            zero_point, low, high = self.common
        if self.kind == "fixed":
            multiplier, shift = self.per_channel
            scaled = numerics.multiply_by_quantized_multiplier(sums, multiplier, shift)
        else:
            scaled = np.rint(sums.astype(np.float32) * self.per_channel[0])
        return np.clip(scaled + zero_point, low, high).astype(np.int8)
