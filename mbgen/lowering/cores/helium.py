"""Int8 layers on cores with Helium (MVE): which kernel serves a layer, its schedule, and its constants."""

from __future__ import annotations

from mbgen import numerics
from mbgen.graph import Conv2D, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.intrinsics.mve_depthwise import depthwise_stream
from mbgen.intrinsics.mve_gemm import CHANNELS, PIXELS, gemm_stream, row_stream
from mbgen.lowering import mve_conv, mve_depthwise, mve_gemm, mve_pool, pool
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.vector_scale import VectorScale, vector_scale
from mbgen.lowering.weighted import gemm_family, gemm_rows, row_window
from mbgen.schedules.helium import ROW, SCRATCH_BYTES, SQUARE, depthwise_space, gemm_space, patch_space, strip_columns

VECTOR = 16


def prepare_gemm(layer: WeightedLayer, graph: Graph, context: Context) -> Prepared | None:
    """A pointwise or dense layer; None where no tile serves it."""
    scale = _scale(layer, graph, context)
    if scale is None or len(scale.weights) < CHANNELS:
        return None
    n, k = scale.weights.shape
    rows = gemm_rows(layer, graph, context)
    chosen = context.choose(gemm_space({"m": rows, "n": n, "k": k, "dtype": "int8", "scale": scale.kind}))
    tile = str(chosen.point["tile"])
    constants = (scale.weights, scale.start, scale.multiplier, scale.addend)
    stream = row_stream(*constants) if tile == ROW else gemm_stream(*constants, rows % PIXELS)
    form = mve_gemm.MveGemm(rows, n, k, tile, stream.size, scale.shift)
    channels, pixels = tile.split("x")
    packing = f"weights [{n}][{k}] in vectors of {VECTOR} k of {channels} channels, with starts and rescaling"
    return Prepared(
        gemm_family(layer),
        form,
        f"gemm of {channels} channels by {pixels} pixels, {scale.kind}",
        lambda: mve_gemm.define(form),
        {"weights": (stream, packing)},
        chosen.source,
    )


def prepare_conv(layer: Conv2D, graph: Graph, context: Context) -> Prepared | None:
    """A row of a convolution over a window; None where no tile serves it."""
    scale, window = _scale(layer, graph, context), row_window(layer, graph)
    if scale is None or len(scale.weights) < CHANNELS or layer.dilation != (1, 1) or window.kw > window.width:
        return None
    (x,) = graph.layer_inputs(layer)
    n, k = scale.weights.shape
    facts = {"ow": window.ow, "n": n, "k": k, "kw": window.kw, "dtype": "int8", "scale": scale.kind}
    space = patch_space({**facts, "stride": f"{window.stride}"})
    if space is None:
        return None
    chosen = context.choose(space)
    span = int(chosen.point["columns"])
    stream = gemm_stream(scale.weights, scale.start, scale.multiplier, scale.addend, window.ow % PIXELS)
    gemm = mve_gemm.MveGemm(span, n, k, SQUARE, stream.size, scale.shift)
    form = mve_conv.MveConvolution(window, x.shape[3], numerics.zero_point(x), span, gemm)
    packing = f"weights [{n}][{k}] in vectors of {VECTOR} k of {CHANNELS} channels, with starts and rescaling"
    return Prepared(
        "conv2d",
        form,
        f"windows of {span} pixels, then gemm of 2 channels by 4 pixels, {scale.kind}",
        lambda: mve_conv.define(form),
        {"weights": (stream, packing)},
        chosen.source,
    )


def prepare_depthwise(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared | None:
    """A depthwise layer with windows of 3x3 that runs whole; None where no tile serves it."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    (_, height, width, channels), (_, oh, ow, oc) = x.shape, output.shape
    if not context.whole or oc != channels or min(oh, ow) < 2:
        return None
    if graph.tensors[layer.weights].shape[:2] != (3, 3) or layer.dilation != (1, 1):
        return None
    if layer.stride not in ((1, 1), (2, 2)):
        return None
    scale = _scale(layer, graph, context)
    if scale is None:
        return None
    stride = layer.stride[0]
    facts = {"oh": oh, "ow": ow, "channels": channels, "stride": stride}
    space = depthwise_space({**facts, "window": f"3x3 by {stride}", "dtype": "int8", "scale": scale.kind})
    if space is None:
        return None
    chosen = context.choose(space)
    span = int(chosen.point["columns"])
    columns = strip_columns(span + ow % 2, stride)
    taps = scale.weights.T.reshape(3, 3, channels)
    stream = depthwise_stream(taps, scale.start, scale.multiplier, scale.addend, stride, columns, ow * channels)
    form = mve_depthwise.MveDepthwise(
        height=height,
        width=width,
        channels=channels,
        oh=oh,
        ow=ow,
        stride=stride,
        top=layer.padding.top,
        left=layer.padding.left,
        zero_point=numerics.zero_point(x),
        span=span,
        words=stream.size,
        shift=scale.shift,
    )
    return Prepared(
        "depthwise",
        form,
        f"depthwise of 2x2 outputs, {span} columns at a time, {scale.kind}",
        lambda: mve_depthwise.define(form),
        {"weights": (stream, f"weights [{channels}] in patches of 4x4, with starts and rescaling")},
        chosen.source,
    )


def prepare_pool(family: str, form: pool.AveragePool, context: Context) -> Prepared | None:
    """The mean of a whole image; None where it is another or has too many channels."""
    if "mve" not in context.target.instruction_set or not mve_pool.serves(form) or 4 * form.channels > SCRATCH_BYTES:
        return None
    return Prepared(family, form, "four channels at a time", lambda: mve_pool.define(form), {})


def _scale(layer: WeightedLayer, graph: Graph, context: Context) -> VectorScale | None:
    return vector_scale(layer, graph) if "mve" in context.target.instruction_set else None
