"""Float32 layers on cores with vectors of floats (AVX2 with FMA, Neon): micro-kernels and rows in assembly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mbgen.graph import Conv2D, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.intrinsics import neon_depthwise
from mbgen.lowering import conv, depthwise, gemm, micro, softmax
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.tiling import panels
from mbgen.lowering.weighted import (
    bias,
    channel_multiplier,
    constants,
    gemm_facts,
    gemm_family,
    gemm_rows,
    matrix,
    row_window,
    taps_inside,
    window_facts,
)
from mbgen.schedules.columns import LANES, columns_of, columns_space
from mbgen.schedules.micro import has_cuts, micro_costs, micro_space, microtiles


def prepare_gemm(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared | None:
    """A pointwise or dense layer; None where the core has no micro-kernels, or the layer too few channels for one."""
    if not _is_float(layer, graph):
        return None
    facts = gemm_facts(layer, graph, context)
    space = micro_space(facts, context.target)
    if space is None:
        return None
    weights = matrix(layer, graph)
    n, k = weights.shape
    chosen = context.choose(space)
    tiled = microtiles(chosen.point, facts, context.target)
    form = micro.MicroGemm(gemm_rows(layer, graph, context), n, k, micro.Bounds(*layer.clamp))
    return Prepared(
        gemm_family(layer),
        form,
        f"gemm {tiled}",
        lambda: micro.define(form, tiled),
        constants(
            gemm.pack_weights(weights, tiled.nr),
            f"[{n}][{k}] in panels of {tiled.nr} output channels",
            bias(layer, graph, folded=False),
            {},
            lambda values: panels(values, tiled.nr),
        ),
        chosen.source,
    )


def prepare_conv(layer: Conv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a convolution over a window; None where the core's micro-kernels cannot compute it."""
    if not _is_float(layer, graph):
        return None
    weights = graph.constant(layer.weights)
    oc, kh, kw, ic = weights.shape
    window = row_window(layer, graph)
    form = micro.MicroConvolution(window, ic, oc, micro.Bounds(*layer.clamp))
    facts = {**window_facts(layer, graph), "m": window.ow, "n": oc, "k": kh * kw * ic}
    space = micro_space(facts, context.target)
    if space is None or not form.possible or not all(taps_inside(layer, graph)):
        return None
    chosen = context.choose(space)
    tiled = microtiles(chosen.point, facts, context.target)
    return Prepared(
        "conv2d",
        form,
        f"direct, gemm {tiled}",
        lambda: micro.define_convolution(
            form, tiled.nr, micro_costs(chosen.point, facts, context.target), cuts=has_cuts(context.target)
        ),
        constants(
            conv.pack_direct(weights, tiled.nr),
            f"[{oc}][{kh}][{kw}][{ic}] in panels of {tiled.nr} output channels",
            bias(layer, graph, folded=False),
            {},
            lambda values: panels(values, tiled.nr),
        ),
        chosen.source,
    )


def prepare_depthwise(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a depthwise convolution; None where the core has no way of its own for it."""
    if not _is_float(layer, graph) or channel_multiplier(layer, graph) > 1:
        return None
    weights, biases = graph.constant(layer.weights), bias(layer, graph, folded=False)
    kh, kw, oc = weights.shape
    form = depthwise.DepthwiseRow(row_window(layer, graph), oc, micro.Bounds(*layer.clamp))
    space = columns_space(window_facts(layer, graph), context.target)
    row = form.row

    def prepared(nr: int, schedule: str, function: Callable[[], Any], source: str) -> Prepared:
        packed = np.ascontiguousarray(panels(weights.transpose(2, 0, 1), nr).transpose(0, 2, 3, 1))
        packing = f"[{kh}][{kw}][{oc}] in panels of {nr} channels"
        arrays = constants(packed, packing, biases, {}, lambda values: panels(values, nr))
        return Prepared("depthwise", form, schedule, function, arrays, source)

    if space is not None:
        chosen = context.choose(space)
        columns = columns_of(chosen.point)
        nr = columns.lanes * columns.vectors
        return prepared(nr, f"depthwise {columns}", lambda: depthwise.define_columns(form, columns), chosen.source)
    centred = all(1 in taps for taps in taps_inside(layer, graph))
    if row is not None and centred and "neon" in context.target.instruction_set:
        return prepared(neon_depthwise.LANES, "depthwise rows", lambda: depthwise.define_row(form, row), "default")
    return None


def prepare_softmax(form: softmax.Rows, context: Context) -> Prepared | None:
    """Softmax in vectors; None on bytes, with fewer classes than one has, or where the core has no exponential."""
    if form.kind != "float" or form.classes < LANES or "avx2" not in context.target.instruction_set:
        return None
    return Prepared("softmax", form, f"vectors of {LANES}", lambda: softmax.define_vectors(form, LANES), {})


def _is_float(layer: WeightedLayer, graph: Graph) -> bool:
    return graph.layer_output(layer).dtype == "float32"
