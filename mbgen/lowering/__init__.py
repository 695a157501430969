"""From a layer to a C kernel: compute definition, schedule, lowered TIR, C text."""

from mbgen.lowering.lower import lower, tuned_kernels

__all__ = ["lower", "tuned_kernels"]
