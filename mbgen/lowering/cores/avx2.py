"""Quantised layers on x86-64 with AVX2: products of int16 pairs (vpmaddwd)."""

from __future__ import annotations

from mbgen.graph import Conv2D, DepthwiseConv2D, DType, Graph, WeightedLayer
from mbgen.lowering import pair_conv, pair_gemm
from mbgen.lowering.conv import Convolution
from mbgen.lowering.cores.portable import gemm_form, window_bias, window_form
from mbgen.lowering.epilogue import weighted_epilogue
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.tiling import panels
from mbgen.lowering.weighted import bias, constants, gemm_facts, gemm_family, matrix, window_facts
from mbgen.schedules.pairs import pair_depthwise_space, pair_direct_space, pair_gemm_space, pair_tile, row_tile
from mbgen.schedules.tile import lanes
from mbgen.target import Target


def prepare_gemm(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared | None:
    """A pointwise or dense layer; None where its input channels make no pairs."""
    form, arrays = gemm_form(layer, graph, context)
    if form.k % 2 or not _has_pairs(form.n, form.weight_dtype, form.weight_zero_point, context.target):
        return None
    facts = {**gemm_facts(layer, graph, context), "epilogue": form.epilogue.kind}
    chosen = context.choose(pair_gemm_space(facts, context.target))
    tile = pair_tile(chosen.point)
    return Prepared(
        gemm_family(layer),
        form,
        f"gemm of pairs {tile}",
        lambda: pair_gemm.schedule(pair_gemm.define(form, tile), form, tile),
        constants(
            pair_gemm.pack_weights(matrix(layer, graph), tile.nr),
            f"[{form.n}][{form.k}] in pairs of k, in panels of {tile.nr} output channels",
            bias(layer, graph, folded=True),
            arrays,
            lambda values: panels(values, tile.nr),
        ),
        chosen.source,
    )


def prepare_conv(layer: Conv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a convolution over a window; None where it is dilated or its weights have a zero point."""
    form = window_form(layer, graph)
    if not _serves(form, context.target):
        return None
    weights = graph.constant(layer.weights)
    chosen = context.choose(pair_direct_space(window_facts(layer, graph), context.target))
    tile = row_tile(chosen.point)
    return Prepared(
        "conv2d",
        form,
        f"direct on pairs {tile}",
        lambda: pair_conv.schedule_direct(pair_conv.define_direct(form, tile), form, tile),
        constants(
            pair_conv.pack_direct(weights, tile.nr),
            f"{list(weights.shape)} in pairs of a row's elements, in panels of {tile.nr} output channels",
            window_bias(layer, graph, form),
            weighted_epilogue(layer, graph)[1],
            lambda values: panels(values, tile.nr),
        ),
        chosen.source,
    )


def prepare_depthwise(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a depthwise convolution; None where its window is not 3x3, strides far or has a multiplier."""
    form, weights = window_form(layer, graph), graph.constant(layer.weights)
    if not _serves(form, context.target) or weights.shape[:2] != (3, 3) or form.multiplier > 1:
        return None
    if form.window.stride > 2:
        return None
    chosen = context.choose(pair_depthwise_space(window_facts(layer, graph), context.target))
    tile = row_tile(chosen.point)
    return Prepared(
        "depthwise",
        form,
        f"depthwise on pairs {tile}",
        lambda: pair_conv.schedule_depthwise(pair_conv.define_depthwise(form, tile), form, tile),
        constants(
            pair_conv.pack_depthwise(weights),
            f"{list(weights.shape)} in pairs",
            window_bias(layer, graph, form),
            weighted_epilogue(layer, graph)[1],
            lambda values: values,
        ),
        chosen.source,
    )


def _serves(form: Convolution, target: Target) -> bool:
    pairs = _has_pairs(form.oc, form.weight_dtype, form.weight_zero_point, target)
    return pairs and form.window.dilation == 1


def _has_pairs(channels: int, weight_dtype: DType, zero_point: int, target: Target) -> bool:
    """Whether the core has products of int16 pairs that serve these weights: int8 without a zero point."""
    vectors = "avx2" in target.instruction_set and channels >= lanes(target)
    return vectors and weight_dtype == "int8" and zero_point == 0
