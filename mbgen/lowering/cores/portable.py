"""Layers with weights on any core: tiles of TIR that the C compiler vectorises or not."""

from __future__ import annotations

from mbgen import numerics
from mbgen.graph import Array, Conv2D, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.lowering import conv, gemm
from mbgen.lowering.epilogue import weighted_epilogue
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.tiling import panels
from mbgen.lowering.weighted import (
    Window,
    bias,
    channel_multiplier,
    constants,
    gemm_facts,
    gemm_family,
    gemm_rows,
    matrix,
    row_window,
    weight_zero_point,
    window_facts,
)
from mbgen.schedules.tile import Tile, channel_space, channel_tile, gemm_space, gemm_tile


def prepare_gemm(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared:
    """A pointwise or dense layer."""
    form, arrays = gemm_form(layer, graph, context)
    facts = {**gemm_facts(layer, graph, context), "epilogue": form.epilogue.kind}
    chosen = context.choose(gemm_space(facts, context.target, fused=form.dtype == "float32"))
    tile = gemm_tile(chosen.point)
    return Prepared(
        gemm_family(layer),
        form,
        f"gemm {tile}",
        lambda: gemm.schedule(gemm.define(form, tile), form, tile),
        constants(
            gemm.pack_weights(matrix(layer, graph), tile.nr),
            f"[{form.n}][{form.k}] in panels of {tile.nr} output channels",
            bias(layer, graph, folded=form.dtype != "float32"),
            arrays,
            lambda values: panels(values, tile.nr),
        ),
        chosen.source,
    )


def gemm_form(layer: WeightedLayer, graph: Graph, context: Context) -> tuple[gemm.Gemm, dict[str, Array]]:
    """A GEMM in plain TIR, and the arrays that its epilogue reads."""
    n, k = matrix(layer, graph).shape
    dtype, weight_dtype = graph.layer_output(layer).dtype, graph.tensors[layer.weights].dtype
    epilogue, arrays = weighted_epilogue(layer, graph)
    rows = gemm_rows(layer, graph, context)
    return gemm.Gemm(rows, n, k, dtype, weight_dtype, weight_zero_point(layer, graph), epilogue), arrays


def prepare_conv(layer: Conv2D, graph: Graph, context: Context) -> Prepared:
    """A row of a convolution over a window."""
    weights = graph.constant(layer.weights)
    oc, kh, kw, ic = weights.shape
    chosen = context.choose(channel_space("conv2d", window_facts(layer, graph), context.target, vectors=4))
    tile = channel_tile(chosen.point)
    packing = f"[{oc}][{kh}][{kw}][{ic}] in panels of {tile.nr} output channels"
    return _window(layer, graph, tile, conv.pack_direct(weights, tile.nr), packing, chosen.source)


def prepare_depthwise(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared:
    """A row of a depthwise convolution."""
    weights = graph.constant(layer.weights)
    kh, kw, oc = weights.shape
    # with a multiplier, neighbouring outputs read the same input: no vector load serves
    vectorized = channel_multiplier(layer, graph) == 1
    chosen = context.choose(
        channel_space("depthwise", window_facts(layer, graph), context.target, vectorized=vectorized)
    )
    return _window(layer, graph, channel_tile(chosen.point), weights, f"[{kh}][{kw}][{oc}]", chosen.source)


def _window(layer: Window, graph: Graph, tile: Tile, packed: Array, packing: str, source: str) -> Prepared:
    form = window_form(layer, graph)
    return Prepared(
        "depthwise" if form.kind == "depthwise" else "conv2d",
        form,
        f"{form.kind} {tile}",
        lambda: conv.schedule(conv.define(form, tile.nr), form, tile),
        constants(packed, packing, window_bias(layer, graph, form), weighted_epilogue(layer, graph)[1], lambda v: v),
        source,
    )


def window_form(layer: Window, graph: Graph) -> conv.Convolution:
    """A convolution over a window in plain TIR."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    window = row_window(layer, graph)
    # padded taps are skipped, so the zero point may be folded into the bias only where there are none
    zero_point = 0 if x.dtype == "float32" or not window.padded else numerics.zero_point(x)
    return conv.Convolution(
        "depthwise" if isinstance(layer, DepthwiseConv2D) else "direct",
        window,
        x.shape[3],
        output.shape[3],
        x.dtype,
        graph.tensors[layer.weights].dtype,
        zero_point,
        weight_zero_point(layer, graph),
        weighted_epilogue(layer, graph)[0],
    )


def window_bias(layer: Window, graph: Graph, form: conv.Convolution) -> Array:
    """The bias that goes with `form`."""
    return bias(layer, graph, folded=form.dtype != "float32" and form.zero_point == 0)
