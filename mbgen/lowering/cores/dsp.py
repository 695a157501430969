"""Int8 layers on Cortex-M with the DSP extension, outside of bands: bytes in memory, pairs of int16 in registers."""

from __future__ import annotations

import numpy as np

from mbgen.graph import INTEGER_RANGE, Graph, WeightedLayer
from mbgen.lowering import byte_gemm
from mbgen.lowering.epilogue import weighted_epilogue
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.rescale import levels, sums
from mbgen.lowering.tiling import panels
from mbgen.lowering.weighted import bias, constants, gemm_facts, gemm_family, gemm_rows, matrix, weight_zero_point
from mbgen.planning.bands import lowest
from mbgen.schedules.byte_gemm import byte_space, byte_tile


def prepare_gemm(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared | None:
    """A pointwise or dense layer; None where its weights are not int8 without a zero point."""
    if {"dsp", "mve"} & context.target.instruction_set != {"dsp"}:
        return None
    if graph.tensors[layer.weights].dtype != "int8" or weight_zero_point(layer, graph) != 0:
        return None
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    weights = matrix(layer, graph)
    n, k = weights.shape
    chosen = context.choose(byte_space(gemm_facts(layer, graph, context)))
    mr, nr = byte_tile(chosen.point)
    epilogue, arrays = weighted_epilogue(layer, graph)
    shift, start = None, bias(layer, graph, folded=True)
    if epilogue.kind != "single":
        over = sums(layer, graph, 0, *INTEGER_RANGE[x.dtype])
        made = levels(layer, graph, over, np.zeros(n, np.int64), np.full(n, 1 << 18))
        if made.scales is not None and not any(made.patches):
            shift, start = made.shift, (start.astype(np.int64) + made.offset).astype(np.int32)
            arrays = {"multiplier": made.scales[:, 0], "addend": made.scales[:, 1]}
    rows = gemm_rows(layer, graph, context)
    form = byte_gemm.ByteGemm(rows, n, k, mr, nr, x.dtype, shift, lowest(layer, output), epilogue)
    return Prepared(
        gemm_family(layer),
        form,
        f"gemm of bytes mr={mr} nr={nr}",
        lambda: byte_gemm.define(form),
        constants(
            byte_gemm.pack_weights(weights, nr),
            f"[{n}][{k}] in panels of {nr} output channels, four k a step",
            start,
            arrays,
            lambda values: panels(values, nr),
        ),
        chosen.source,
    )
