"""Writes a Graph as a TFLite file and runs it in LiteRT, so that any layer can be compared with TFLite's own kernel."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from mbgen.graph import (
    NO_CLAMP,
    NO_PADDING,
    Add,
    Array,
    AveragePool2D,
    Clamp,
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
    Pad,
    Quantize,
    Requantize,
    Reshape,
    Softmax,
    Tensor,
    WeightedLayer,
)
from tests.support.layers import relu, same_padding
from tests.support.tflite_builder import TFLiteBuilder


def run_litert(model: bytes, image: Array) -> dict[str, Array]:
    """Every tensor by name, from LiteRT's reference kernels."""
    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return {t["name"]: interpreter.get_tensor(t["index"]) for t in interpreter.get_tensor_details() if t["name"]}


def to_tflite(graph: Graph) -> bytes:
    """The graph as a TFLite file whose tensors have the graph's names."""
    builder = TFLiteBuilder()
    index: dict[str, int] = {}
    for name, tensor in graph.tensors.items():
        if tensor.data is None:
            index[name] = builder.tensor(name, tensor.shape, tensor.dtype, **_quantization(tensor))
    for layer in graph.layers:
        for name in layer.constants:
            index[name] = _constant(builder, layer, graph, name)
        kind, extra, options = _operator(layer, graph, builder)
        operands = [index[name] for name in (*layer.inputs, *layer.constants)] + extra
        builder.operator(kind, operands, [index[layer.output]], **options)
    return builder.build([index[graph.input]], [index[graph.output]])


def _quantization(tensor: Tensor) -> dict[str, Any]:
    q = tensor.quantization
    return {} if q is None else {"scale": q.scale, "zero_point": q.zero_point, "axis": q.axis or 0}


def _constant(builder: TFLiteBuilder, layer: Layer, graph: Graph, name: str) -> int:
    tensor, data = graph.tensors[name], graph.constant(name)
    assert isinstance(layer, WeightedLayer)
    if isinstance(layer, DepthwiseConv2D) and name == layer.weights:
        q = tensor.quantization
        axis = {} if q is None else {"scale": q.scale, "zero_point": q.zero_point, "axis": 3}
        return builder.constant(name, data[np.newaxis], **axis)
    if tensor.dtype == "int32":
        (x, *_), w = graph.layer_inputs(layer), graph.tensors[layer.weights]
        assert x.quantization is not None
        assert w.quantization is not None
        scales = np.float32(x.quantization.scale[0]) * np.array(w.quantization.scale, np.float32)
        return builder.constant(name, data, scale=scales.tolist(), zero_point=0)
    return builder.constant(name, data, **_quantization(tensor))


def _activation(clamp: Clamp, tensor: Tensor) -> str:
    """The fused activation whose bounds are the clamp."""
    if clamp == NO_CLAMP:
        return "NONE"
    for name, top in (("RELU", math.inf), ("RELU6", 6.0)):
        if clamp == relu(tensor, top):
            return name
    raise AssertionError(f"no TFLite activation is {clamp}")


def _padding(layer: Conv2D | DepthwiseConv2D | AveragePool2D, graph: Graph, kernel: tuple[int, int]) -> str:
    image = graph.layer_inputs(layer)[0].shape
    dilation = (1, 1) if isinstance(layer, AveragePool2D) else layer.dilation
    if layer.padding == NO_PADDING:
        return "VALID"
    assert layer.padding == same_padding(image, kernel, layer.stride, dilation)
    return "SAME"


Operator = tuple[str, list[int], dict[str, Any]]  # kind, further operands, options


@functools.singledispatch
def _operator(layer: Layer, graph: Graph, builder: TFLiteBuilder) -> Operator:
    plain = {Logistic: "LOGISTIC", Dequantize: "DEQUANTIZE", Quantize: "QUANTIZE", Requantize: "QUANTIZE"}
    return plain[type(layer)], [], {}


def _convolution(layer: Conv2D | DepthwiseConv2D, graph: Graph, kernel: tuple[int, int]) -> dict[str, Any]:
    return {
        "Padding": _padding(layer, graph, kernel),
        "StrideH": layer.stride[0],
        "StrideW": layer.stride[1],
        "DilationHFactor": layer.dilation[0],
        "DilationWFactor": layer.dilation[1],
        "FusedActivationFunction": _activation(layer.clamp, graph.layer_output(layer)),
    }


@_operator.register
def _(layer: Conv2D, graph: Graph, builder: TFLiteBuilder) -> Operator:
    _, kh, kw, _ = graph.tensors[layer.weights].shape
    return "CONV_2D", [], _convolution(layer, graph, (kh, kw))


@_operator.register
def _(layer: DepthwiseConv2D, graph: Graph, builder: TFLiteBuilder) -> Operator:
    kh, kw, oc = graph.tensors[layer.weights].shape
    multiplier = oc // graph.layer_inputs(layer)[0].shape[-1]
    return "DEPTHWISE_CONV_2D", [], _convolution(layer, graph, (kh, kw)) | {"DepthMultiplier": multiplier}


@_operator.register
def _(layer: Dense, graph: Graph, builder: TFLiteBuilder) -> Operator:
    activation = _activation(layer.clamp, graph.layer_output(layer))
    return "FULLY_CONNECTED", [], {"FusedActivationFunction": activation}


@_operator.register
def _(layer: AveragePool2D, graph: Graph, builder: TFLiteBuilder) -> Operator:
    options = {
        "Padding": _padding(layer, graph, layer.kernel),
        "FilterHeight": layer.kernel[0],
        "FilterWidth": layer.kernel[1],
        "StrideH": layer.stride[0],
        "StrideW": layer.stride[1],
        "FusedActivationFunction": _activation(layer.clamp, graph.layer_output(layer)),
    }
    return "AVERAGE_POOL_2D", [], options


@_operator.register
def _(layer: Mean, graph: Graph, builder: TFLiteBuilder) -> Operator:
    return "MEAN", [builder.constant(f"{layer.name}.axes", np.array([1, 2], np.int32))], {"KeepDims": True}


@_operator.register
def _(layer: Add, graph: Graph, builder: TFLiteBuilder) -> Operator:
    return "ADD", [], {"FusedActivationFunction": _activation(layer.clamp, graph.layer_output(layer))}


@_operator.register
def _(layer: Pad, graph: Graph, builder: TFLiteBuilder) -> Operator:
    p = layer.padding
    places = np.array([[0, 0], [p.top, p.bottom], [p.left, p.right], [0, 0]], np.int32)
    return "PAD", [builder.constant(f"{layer.name}.places", places)], {}


@_operator.register
def _(layer: Concat, graph: Graph, builder: TFLiteBuilder) -> Operator:
    return "CONCATENATION", [], {"Axis": layer.axis}


@_operator.register
def _(layer: Reshape, graph: Graph, builder: TFLiteBuilder) -> Operator:
    shape = graph.layer_output(layer).shape
    return "RESHAPE", [builder.constant(f"{layer.name}.shape", np.array(shape, np.int32))], {"NewShape": shape}


@_operator.register
def _(layer: Softmax, graph: Graph, builder: TFLiteBuilder) -> Operator:
    return "SOFTMAX", [], {"Beta": layer.beta}


@_operator.register
def _(layer: Clip, graph: Graph, builder: TFLiteBuilder) -> Operator:
    return _activation(layer.clamp, graph.layer_output(layer)), [], {}
