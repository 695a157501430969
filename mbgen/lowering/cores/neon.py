"""Int8 layers on AArch64: tiles and rows of the instruction set's own, rescaled in their registers."""

from __future__ import annotations

import numpy as np

from mbgen import numerics
from mbgen.graph import Array, Conv2D, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.intrinsics import dotprod_image, neon_rows, neon_tile
from mbgen.lowering import neon_int8
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.tiling import panels
from mbgen.lowering.weighted import (
    bias,
    channel_multiplier,
    gemm_facts,
    gemm_family,
    gemm_rows,
    matrix,
    row_window,
    window_facts,
)
from mbgen.schedules.neon import row_form, row_space, runs_of, runs_space, tile_of, tile_space


def prepare_gemm(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared | None:
    """A pointwise or dense layer; None where no tile serves it."""
    facts = {**gemm_facts(layer, graph, context), "dtype": "int8"}
    space = runs_space(facts, context.target)
    rescaling = neon_int8.rescaling(layer, graph) if space is not None else None
    if space is None or rescaling is None:
        return None
    weights = matrix(layer, graph)
    n, k = weights.shape
    chosen = context.choose(space)
    runs = runs_of(chosen.point, facts, context.target)
    form = neon_int8.NeonGemm(gemm_rows(layer, graph, context), n, k, rescaling)
    return Prepared(
        gemm_family(layer),
        form,
        f"gemm {runs}",
        lambda: neon_int8.define(form, runs),
        _constants(
            neon_tile.pack(panels(weights, runs.nr), runs.form),
            f"[{n}][{k}] in panels of {runs.nr} output channels, as {runs.form} tiles read them",
            bias(layer, graph, folded=True),
            rescaling,
            runs.nr,
        ),
        chosen.source,
    )


def prepare_conv(layer: Conv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a convolution over a window; None where no tile serves it."""
    rescaling = neon_int8.rescaling(layer, graph) if "neon" in context.target.instruction_set else None
    if rescaling is None:
        return None
    (x,), weights = graph.layer_inputs(layer), graph.constant(layer.weights)
    oc, kh, kw, ic = weights.shape
    form = neon_int8.NeonConvolution(row_window(layer, graph), ic, oc, numerics.zero_point(x), rescaling)
    flat = np.pad(weights.reshape(oc, -1), ((0, 0), (0, form.k - kh * kw * ic)))
    if form.of_image and "neon-dotprod" in context.target.instruction_set:
        return _image(layer, graph, form, flat)
    facts = window_facts(layer, graph)
    space = tile_space(facts | {"m": form.window.ow, "n": oc, "k": form.k}, context.target)
    if space is None or not form.possible:
        return None
    chosen = context.choose(space)
    tile = tile_of(chosen.point, rescaling.kind)
    return Prepared(
        "conv2d",
        form,
        f"direct {tile.form} {tile.mr} pixels x {tile.nr} channels, windows gathered",
        lambda: neon_int8.define_convolution(form, tile),
        _constants(
            neon_tile.pack(panels(flat, tile.nr), tile.form),
            f"[{oc}][{form.k}] in panels of {tile.nr} output channels, as {tile.form} tiles read them",
            bias(layer, graph, folded=True),
            rescaling,
            tile.nr,
        ),
        chosen.source,
    )


def _image(layer: Conv2D, graph: Graph, form: neon_int8.NeonConvolution, weights: Array) -> Prepared:
    """A row of an image's convolution, from weights `[oc, k]`."""
    nr = dotprod_image.CHANNELS
    return Prepared(
        "conv2d",
        form,
        f"direct dot 2 pixels x {nr} channels, windows in registers",
        lambda: neon_int8.define_image(form),
        _constants(
            neon_tile.pack(panels(weights, nr), "dot"),
            f"[{form.oc}][{form.k}] in panels of {nr} output channels, as dot tiles read them",
            bias(layer, graph, folded=True),
            form.rescaling,
            nr,
        ),
    )


def prepare_depthwise(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a depthwise convolution; None where no helper computes it."""
    if channel_multiplier(layer, graph) > 1:
        return None
    space = row_space(window_facts(layer, graph), context.target)
    rescaling = neon_int8.rescaling(layer, graph) if space is not None else None
    if space is None or rescaling is None:
        return None
    (x,), weights = graph.layer_inputs(layer), graph.constant(layer.weights)
    form = neon_int8.NeonRow(row_window(layer, graph), x.shape[3], numerics.zero_point(x), rescaling)
    chosen = context.choose(space)
    row = form.helper(row_form(chosen.point))
    if row is None:
        return None
    panelled = panels(weights.transpose(2, 0, 1), neon_rows.LANES)
    return Prepared(
        "depthwise",
        form,
        f"depthwise {row.form}",
        lambda: neon_int8.define_row(form, row),
        _constants(
            neon_rows.pack(panelled, row.form),
            f"[3][3][{x.shape[3]}] in panels of {neon_rows.LANES} channels, as {row.form} read them",
            bias(layer, graph, folded=True),
            rescaling,
            neon_rows.LANES,
        ),
        chosen.source,
    )


def _constants(
    weights: Array, packing: str, bias: Array, rescaling: neon_int8.Rescaling, nr: int
) -> dict[str, tuple[Array, str]]:
    """What a kernel reads beside its input: packed weights, and values of output channels in panels of `nr`."""
    return {"weights": (weights, f"weights {packing}")} | rescaling.constants(bias, nr)
