"""From a layer to a C kernel: compute definition, schedule, lowered TIR, C text."""

from mbgen.lowering.lower import lower

__all__ = ["lower"]
