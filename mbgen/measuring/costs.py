"""What counted code costs on a core: exact instructions, and cycles by the cost model that the target names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mbgen.measuring import cortex_m4, llvm
from mbgen.measuring.blocks import Block
from mbgen.measuring.measurement import Measurement, Unit
from mbgen.target import Target


def price(blocks: Sequence[Block], target: Target) -> Measurement:
    """Figures by segment and in all; without a cost model of the core, instructions only."""
    if target.cost_model is None:
        return _sums(blocks, {}, None)
    assembly = llvm.disassemble([block.code for block in blocks], target)
    if target.cost_model == "cortex-m4-manual":
        by_rule = {code: float(cortex_m4.cycles(lines)) for code, lines in assembly.items()}
        return _sums(blocks, by_rule, "the instruction timings of the Cortex-M4 manual")
    return _sums(blocks, llvm.block_cycles(assembly, target), f"llvm-mca {llvm.VERSION}, {target.mca_cpu}")


def _sums(blocks: Sequence[Block], cycles: Mapping[bytes, float], model: str | None) -> Measurement:
    units: list[Unit] = ["instructions"] if model is None else ["instructions", "cycles~"]
    segments: dict[int, dict[Unit, float]] = {}
    for block in blocks:
        figures = segments.setdefault(block.segment, dict.fromkeys(units, 0.0))
        figures["instructions"] += block.instructions * block.count
        if model is not None:
            figures["cycles~"] += cycles.get(block.code, 0.0) * block.count
    total = {unit: sum(figures[unit] for figures in segments.values()) for unit in units}
    return Measurement(dict(sorted(segments.items())), total, model)
