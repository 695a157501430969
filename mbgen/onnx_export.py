"""Write a float32 Graph as an ONNX model, for ONNX Runtime to quantise, to calibrate and to compare with.

Knows Graph and ONNX's operators. May not know where the graph came from or what the model is for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mbgen.errors import UnsupportedError
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
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Reshape,
    Shape,
    Softmax,
)

OPSET = 17  # ONNX Runtime and TVM both read it, and no operator here needs a newer one
IR_VERSION = 8  # the file format that came with opset 17; a reader may refuse a newer one
FROM_NCHW, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def to_onnx(graph: Graph) -> bytes:
    """The model as an ONNX file: images `[1, c, h, w]`, everything that is not 4-D as it is; values keep their names.

    The same graph gives the same bytes. Raises UnsupportedError for a quantised graph.
    """
    if graph.numerics is not Numerics.FLOAT32:
        raise UnsupportedError(
            f"{graph.name} is quantised already ({graph.numerics.value}); only a float32 network can be written as ONNX"
        )
    writer = _Writer(graph)
    for layer in graph.layers:
        _write(layer, writer)
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            graph.name,
            [_value_info(graph, graph.input)],
            [_value_info(graph, graph.output)],
            list(writer.initializers.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mbgen",
    )
    encoded: bytes = model.SerializeToString(deterministic=True)
    return encoded


class _Writer:
    """Collects the nodes and constants of one model."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}  # layers may share a constant

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))

    def constant(self, name: str, data: Array) -> str:
        self.initializers[name] = numpy_helper.from_array(data, name)
        return name

    def clamped(self, operator: str, inputs: Sequence[str], output: str, clamp: Clamp, **attributes: Any) -> None:
        """The operator, and after it the clamp if there is one."""
        if clamp == NO_CLAMP:
            self.node(operator, inputs, output, **attributes)
        else:
            self.node(operator, inputs, f"{output}.unclamped", **attributes)
            self.clip(f"{output}.unclamped", output, clamp)

    def clip(self, source: str, output: str, clamp: Clamp) -> None:
        if clamp == Clamp(0.0, math.inf):
            self.node("Relu", [source], output)
            return
        bounds = [
            self.constant(f"{output}.{end}", np.array(bound, np.float32)) if math.isfinite(bound) else ""
            for end, bound in clamp._asdict().items()
        ]
        self.node("Clip", [source, *bounds], output)


def _value_info(graph: Graph, name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _nchw(graph.tensors[name].shape))


def _nchw(shape: Shape) -> Shape:
    return tuple(shape[axis] for axis in TO_NCHW) if len(shape) == 4 else shape


def _same_order(shape: Shape) -> bool:
    """True where NHWC and NCHW hold the elements in the same order."""
    return len(shape) != 4 or shape[1:3] == (1, 1) or shape[3] == 1


def _pads(padding: Padding) -> list[int]:
    return [padding.top, padding.left, padding.bottom, padding.right]


@functools.singledispatch
def _write(layer: Layer, writer: _Writer) -> None:
    raise AssertionError(f"no float32 graph has a {type(layer).__name__}")  # graph.verify sees to it


@_write.register(Conv2D)
@_write.register(DepthwiseConv2D)
def _(layer: Conv2D | DepthwiseConv2D, writer: _Writer) -> None:
    weights, group = writer.graph.constant(layer.weights), 1
    if isinstance(layer, DepthwiseConv2D):
        group = writer.graph.layer_inputs(layer)[0].shape[3]
        weights = weights.transpose(2, 0, 1)[:, np.newaxis]
    else:
        weights = weights.transpose(TO_NCHW)
    writer.clamped(
        "Conv",
        [layer.inputs[0], writer.constant(layer.weights, weights), *_bias(layer, writer)],
        layer.output,
        layer.clamp,
        kernel_shape=weights.shape[2:],
        strides=layer.stride,
        pads=_pads(layer.padding),
        dilations=layer.dilation,
        group=group,
    )


@_write.register
def _(layer: Dense, writer: _Writer) -> None:
    weights = writer.constant(layer.weights, writer.graph.constant(layer.weights))
    writer.clamped("Gemm", [layer.inputs[0], weights, *_bias(layer, writer)], layer.output, layer.clamp, transB=1)


def _bias(layer: Conv2D | DepthwiseConv2D | Dense, writer: _Writer) -> list[str]:
    return [] if layer.bias is None else [writer.constant(layer.bias, writer.graph.constant(layer.bias))]


@_write.register
def _(layer: AveragePool2D, writer: _Writer) -> None:
    (source,) = writer.graph.layer_inputs(layer)
    if layer.kernel == source.shape[1:3] and layer.padding == NO_PADDING:
        writer.clamped("GlobalAveragePool", layer.inputs, layer.output, layer.clamp)
        return
    writer.clamped(
        "AveragePool",
        layer.inputs,
        layer.output,
        layer.clamp,
        kernel_shape=layer.kernel,
        strides=layer.stride,
        pads=_pads(layer.padding),
        count_include_pad=0,
    )


@_write.register
def _(layer: Mean, writer: _Writer) -> None:
    writer.node("GlobalAveragePool", layer.inputs, layer.output)


@_write.register
def _(layer: Add, writer: _Writer) -> None:
    writer.clamped("Add", layer.inputs, layer.output, layer.clamp)


@_write.register
def _(layer: Pad, writer: _Writer) -> None:
    top, left, bottom, right = _pads(layer.padding)
    pads = writer.constant(f"{layer.output}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    writer.node("Pad", [layer.inputs[0], pads], layer.output, mode="constant")


@_write.register
def _(layer: Concat, writer: _Writer) -> None:
    writer.node("Concat", layer.inputs, layer.output, axis=_axis(layer.axis, writer.graph.layer_output(layer).shape))


@_write.register
def _(layer: Softmax, writer: _Writer) -> None:
    source = layer.inputs[0]
    if layer.beta != 1.0:
        beta = writer.constant(f"{layer.output}.beta", np.array(layer.beta, np.float32))
        writer.node("Mul", [source, beta], f"{layer.output}.scaled")
        source = f"{layer.output}.scaled"
    writer.node("Softmax", [source], layer.output, axis=_axis(-1, writer.graph.layer_output(layer).shape))


def _axis(axis: int, shape: Shape) -> int:
    """The axis of the ONNX value for an axis of the tensor."""
    axis %= len(shape)
    return TO_NCHW.index(axis) if len(shape) == 4 else axis


@_write.register
def _(layer: Logistic, writer: _Writer) -> None:
    writer.node("Sigmoid", layer.inputs, layer.output)


@_write.register
def _(layer: Clip, writer: _Writer) -> None:
    writer.clip(layer.inputs[0], layer.output, layer.clamp)


@_write.register
def _(layer: Reshape, writer: _Writer) -> None:
    """Elements keep their NHWC order, so an image is transposed to NHWC before and back after."""
    (source,), target = writer.graph.layer_inputs(layer), writer.graph.layer_output(layer)
    name, output = source.name, target.name
    if not _same_order(source.shape):
        writer.node("Transpose", [name], f"{output}.nhwc", perm=FROM_NCHW)
        name = f"{output}.nhwc"
    if _same_order(target.shape):
        _reshape(name, output, _nchw(target.shape), writer)
    else:
        _reshape(name, f"{output}.reshaped", target.shape, writer)
        writer.node("Transpose", [f"{output}.reshaped"], output, perm=TO_NCHW)


def _reshape(source: str, output: str, shape: Shape, writer: _Writer) -> None:
    if len(shape) == 2 and shape[0] == 1:
        writer.node("Flatten", [source], output, axis=1)
    else:
        writer.node("Reshape", [source, writer.constant(f"{output}.shape", np.array(shape, np.int64))], output)
