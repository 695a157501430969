"""A layer to its form, schedule and constants: which kernels may serve its kind, and in which order they are asked."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from mbgen import numerics
from mbgen.errors import UnsupportedError
from mbgen.graph import (
    INTEGER_RANGE,
    NO_CLAMP,
    NO_PADDING,
    Add,
    AveragePool2D,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Quantize,
    Requantize,
    Softmax,
    Tensor,
    WeightedLayer,
    is_pointwise,
)
from mbgen.lowering import elementwise, pool, softmax
from mbgen.lowering.cores import avx2, dsp, floats, helium, neon, portable
from mbgen.lowering.epilogue import Epilogue, plain_epilogue
from mbgen.lowering.prepared import Context, Prepared

L = TypeVar("L", bound=WeightedLayer)

MAX_POOL_PLACES = numerics.INT32_MAX // 2**8  # sums of bytes, and half the count that rounding adds

# Who is asked for a layer's kernel, in turn: the first that serves it is taken, and the portable one serves all.
_GEMMS: tuple[Callable[[WeightedLayer, Graph, Context], Prepared | None], ...] = (
    floats.prepare_gemm,
    neon.prepare_gemm,
    helium.prepare_gemm,
    dsp.prepare_gemm,
    avx2.prepare_gemm,
    portable.prepare_gemm,
)
_CONVOLUTIONS: tuple[Callable[[Conv2D, Graph, Context], Prepared | None], ...] = (
    floats.prepare_conv,
    neon.prepare_conv,
    helium.prepare_conv,
    dsp.prepare_conv,
    avx2.prepare_conv,
    portable.prepare_conv,
)
_DEPTHWISE: tuple[Callable[[DepthwiseConv2D, Graph, Context], Prepared | None], ...] = (
    floats.prepare_depthwise,
    neon.prepare_depthwise,
    helium.prepare_depthwise,
    dsp.prepare_depthwise,
    avx2.prepare_depthwise,
    portable.prepare_depthwise,
)


@functools.singledispatch
def prepare(layer: Layer, graph: Graph, context: Context) -> Prepared:
    """The layer's form, its schedule as `context` chooses it, and its packed constants.

    Raises UnsupportedError, naming the layer, for what no kernel computes.
    """
    raise UnsupportedError(f"{layer.name}: mbgen has no kernel for {type(layer).__name__}")


@prepare.register
def _(layer: Dense, graph: Graph, context: Context) -> Prepared:
    return _first_of(_GEMMS, layer, graph, context)


@prepare.register
def _(layer: Conv2D, graph: Graph, context: Context) -> Prepared:
    if is_pointwise(layer, graph):
        return _first_of(_GEMMS, layer, graph, context)
    return _first_of(_CONVOLUTIONS, layer, graph, context)


@prepare.register
def _(layer: DepthwiseConv2D, graph: Graph, context: Context) -> Prepared:
    return _first_of(_DEPTHWISE, layer, graph, context)


def _first_of(
    ways: Sequence[Callable[[L, Graph, Context], Prepared | None]], layer: L, graph: Graph, context: Context
) -> Prepared:
    return next(prepared for way in ways if (prepared := way(layer, graph, context)) is not None)


@prepare.register
def _(layer: AveragePool2D, graph: Graph, context: Context) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    _, height, width, channels = x.shape
    _, oh, ow, _ = output.shape
    window = pool.Window(height, width, oh, ow, *layer.kernel, layer.stride, layer.padding)
    epilogue = plain_epilogue(layer, graph, layer.clamp)
    if x.dtype == "float32":
        form = pool.AveragePool("float", window, channels, x.dtype, 0, (), epilogue)
        return _pool("average_pool", layer, form, context)
    if graph.numerics is Numerics.QDQ:
        scales = numerics.tensor_scale(x), numerics.tensor_scale(output)
        form = pool.AveragePool("scale", window, channels, x.dtype, numerics.zero_point(x), scales, epilogue)
        return _pool("average_pool", layer, form, context)
    stored = replace(epilogue, zero_point=0)  # input and output share one quantisation
    form = pool.AveragePool("average", window, channels, x.dtype, 0, (), stored)
    return _pool("average_pool", layer, form, context)


@prepare.register
def _(layer: Mean, graph: Graph, context: Context) -> Prepared:
    (x,) = graph.layer_inputs(layer)
    _, height, width, channels = x.shape
    window = pool.Window(height, width, 1, 1, height, width, (1, 1), NO_PADDING)
    scale = numerics.mean_scale(layer, graph)
    factor = int(scale.multiplier[0]), int(scale.shift[0])
    epilogue = plain_epilogue(layer, graph, NO_CLAMP)
    form = pool.AveragePool("fixed", window, channels, x.dtype, numerics.zero_point(x), factor, epilogue)
    return _pool("mean", layer, form, context)


def _pool(family: str, layer: Layer, form: pool.AveragePool, context: Context) -> Prepared:
    places = form.window.kh * form.window.kw
    if form.dtype != "float32" and places > MAX_POOL_PLACES:
        raise UnsupportedError(
            f"{layer.name}: averages {places:,} places; int32 holds the sum of at most {MAX_POOL_PLACES:,}"
        )
    portable = Prepared(family, form, "one channel at a time", lambda: pool.schedule(pool.define(form)), {})
    return helium.prepare_pool(family, form, context) or portable


@prepare.register
def _(layer: Add, graph: Graph, context: Context) -> Prepared:
    (a, b), output = graph.layer_inputs(layer), graph.layer_output(layer)
    quantized = output.dtype != "float32"
    form = elementwise.Sum(
        output.elements,
        a.dtype,
        (numerics.zero_point(a), numerics.zero_point(b)) if quantized else (0, 0),
        numerics.add_parameters(layer, graph) if quantized else None,
        plain_epilogue(layer, graph, layer.clamp),
    )
    return Prepared("add", form, "one element at a time", lambda: elementwise.define_sum(form), {})


@prepare.register
def _(layer: Softmax, graph: Graph, context: Context) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    classes = output.shape[-1]
    kind = {Numerics.TFLITE: "tflite", Numerics.QDQ: "qdq", Numerics.FLOAT32: "float"}[graph.numerics]
    if x.dtype == "float32":
        kind = "float"
    if kind == "tflite" and classes > softmax.MAX_CLASSES:
        raise UnsupportedError(
            f"{layer.name}: TFLite's int32 sum of exponentials holds {softmax.MAX_CLASSES:,} classes, "
            f"not {classes:,}; remove the last softmax from the model"
        )
    form = softmax.Rows(
        kind,  # type: ignore[arg-type]
        output.elements // classes,
        classes,
        x.dtype,
        layer.beta if kind == "float" else 1.0,
        numerics.tensor_scale(output) if kind == "qdq" else 1.0,
        plain_epilogue(layer, graph, NO_CLAMP),
    )
    constants = {}
    if kind != "float":
        constants["table"] = (numerics.softmax_table(layer, graph), "exponentials of the distance from the greatest")
    vectors = floats.prepare_softmax(form, context)
    if vectors is not None:
        return vectors
    return Prepared("softmax", form, "row by row", lambda: softmax.schedule(softmax.define(form)), constants)


@prepare.register(Requantize)
def _table(layer: Layer, graph: Graph, context: Context) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    form = elementwise.Table(output.elements, x.dtype, INTEGER_RANGE[x.dtype][0], output.dtype)
    constants = {"table": (numerics.lookup_table(layer, graph), "output of each possible input")}
    return Prepared("table", form, "one element at a time", lambda: elementwise.define_table(form), constants)


def _map(layer: Layer, graph: Graph, kind: str, quantized: Tensor | None, epilogue: Epilogue) -> Prepared:
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    scale, zero_point = (1.0, 0)
    if quantized is not None:
        scale, zero_point = numerics.tensor_scale(quantized), numerics.zero_point(quantized)
    form = elementwise.Map(kind, output.elements, x.dtype, scale, zero_point, epilogue)
    return Prepared("map", form, "one element at a time", lambda: elementwise.define_map(form), {})


@prepare.register
def _(layer: Clip, graph: Graph, context: Context) -> Prepared:
    if graph.layer_output(layer).dtype != "float32":
        return _table(layer, graph, context)
    return _map(layer, graph, "clip", None, plain_epilogue(layer, graph, layer.clamp))


@prepare.register
def _(layer: Logistic, graph: Graph, context: Context) -> Prepared:
    if graph.layer_output(layer).dtype != "float32":
        return _table(layer, graph, context)
    return _map(layer, graph, "logistic", None, plain_epilogue(layer, graph, NO_CLAMP))


@prepare.register
def _(layer: Quantize, graph: Graph, context: Context) -> Prepared:
    kind = "quantize_even" if graph.numerics is Numerics.QDQ else "quantize_away"
    return _map(layer, graph, kind, graph.layer_output(layer), plain_epilogue(layer, graph, NO_CLAMP))


@prepare.register
def _(layer: Dequantize, graph: Graph, context: Context) -> Prepared:
    return _map(layer, graph, "dequantize", graph.layer_inputs(layer)[0], plain_epilogue(layer, graph, NO_CLAMP))


@prepare.register
def _(layer: Pad, graph: Graph, context: Context) -> Prepared:
    (x,) = graph.layer_inputs(layer)
    _, height, width, channels = x.shape
    value = 0 if x.dtype == "float32" else numerics.zero_point(x)
    form = elementwise.Border((height, width, channels), layer.padding, x.dtype, value)
    return Prepared("pad", form, "one element at a time", lambda: elementwise.define_border(form), {})


@prepare.register
def _(layer: Concat, graph: Graph, context: Context) -> Prepared:
    inputs, output = graph.layer_inputs(layer), graph.layer_output(layer)
    axis = layer.axis % len(output.shape)
    parts = tuple(math.prod(tensor.shape[axis:]) for tensor in inputs)
    form = elementwise.Joined(math.prod(output.shape[:axis]), parts, output.dtype)
    return Prepared("concat", form, "one element at a time", lambda: elementwise.define_joined(form), {})
