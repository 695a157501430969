"""From a layer to a C kernel: compute definition, schedule, lowered TIR, C text."""
