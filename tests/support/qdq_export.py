"""Writes a QDQ Graph as an ONNX file and runs it in ONNX Runtime, so that any layer can be compared with it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

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
    Pad,
    Padding,
    Quantization,
    Quantize,
    Requantize,
    Reshape,
    Softmax,
    Tensor,
    WeightedLayer,
)

ELEMENT_TYPES = {
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "float32": TensorProto.FLOAT,
}


def run_onnx(model: bytes, image: Array, *, optimised: bool) -> dict[str, Array]:
    """Every output by name, NHWC, with ONNX Runtime's fused integer kernels or with the operators one by one."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: nchw(image)})
    return {output.name: nhwc(value) for output, value in zip(session.get_outputs(), values, strict=True)}


def nchw(value: Array) -> Array:
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value


def nhwc(value: Array) -> Array:
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 else value


class Writer:
    """Collects nodes and constants; each tensor of the graph has a real value, named NAME/real."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Array) -> str:
        if name not in {constant.name for constant in self.constants}:
            self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def parameters(self, tensor: Tensor, q: Quantization) -> list[str]:
        shape = (-1,) if q.per_channel else ()
        return [
            self.constant(f"{tensor.name}/scale", np.array(q.scale, np.float32).reshape(shape)),
            self.constant(f"{tensor.name}/zero", np.array(q.zero_point, tensor.dtype).reshape(shape)),
        ]

    def real(self, name: str) -> str:
        """The name of a tensor's real value."""
        tensor = self.graph.tensors[name]
        if tensor.quantization is None:
            return name
        output = f"{name}/real"
        if output not in {node.output[0] for node in self.nodes}:
            self.node("DequantizeLinear", [name, *self.parameters(tensor, tensor.quantization)], output)
        return output

    def store(self, value: str, output: Tensor, clamp: Clamp = NO_CLAMP) -> None:
        """Clamp a real value and quantise it into a tensor of the graph."""
        q = output.quantization
        if clamp != NO_CLAMP:
            real = np.array(clamp, np.float32)
            if q is not None:
                real = (real - np.float32(q.zero_point[0])) * np.float32(q.scale[0])
            limits = [self.constant(f"{output.name}/{end}", real[i]) for i, end in enumerate(("low", "high"))]
            value = self.node("Clip", [value, *limits], f"{output.name}/clipped")
        if q is None:
            self.node("Identity", [value], output.name)
        else:
            self.node("QuantizeLinear", [value, *self.parameters(output, q)], output.name)

    def weights(self, layer: WeightedLayer, values: Array, axis: int) -> list[str]:
        """Real weights and bias, from stored ones."""
        tensor, (x, *_) = self.graph.tensors[layer.weights], self.graph.layer_inputs(layer)
        name = self.constant(tensor.name, values)
        if tensor.quantization is None:
            biases = [] if layer.bias is None else [self.constant(layer.bias, self.graph.constant(layer.bias))]
            return [name, *biases]
        attributes = {"axis": axis} if tensor.quantization.per_channel else {}
        parameters = self.parameters(tensor, tensor.quantization)
        real = [self.node("DequantizeLinear", [name, *parameters], f"{name}/real", **attributes)]
        if layer.bias is not None:
            assert x.quantization is not None
            scale = np.float32(x.quantization.scale[0]) * np.array(tensor.quantization.scale, np.float32)
            scale = scale if tensor.quantization.per_channel else scale[0]
            bias = self.constant(layer.bias, self.graph.constant(layer.bias))
            scales = self.constant(f"{bias}/scale", np.asarray(scale, np.float32))
            real.append(
                self.node("DequantizeLinear", [bias, scales], f"{bias}/real", **({"axis": 0} if attributes else {}))
            )
        return real


def to_qdq(graph: Graph, outputs: Sequence[str] | None = None) -> bytes:
    """The graph as an ONNX file, NCHW, its values named as in the graph; all layers' outputs are outputs, or some."""
    outputs = [layer.output for layer in graph.layers] if outputs is None else outputs
    writer = Writer(graph)
    for layer in graph.layers:
        _write(layer, graph, writer)
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            "model",
            [_value(graph.tensors[graph.input])],
            [_value(graph.tensors[name]) for name in outputs],
            writer.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    shape = tensor.shape if len(tensor.shape) != 4 else (1, tensor.shape[3], *tensor.shape[1:3])
    return helper.make_tensor_value_info(tensor.name, ELEMENT_TYPES[tensor.dtype], shape)


def _pads(padding: Padding) -> list[int]:
    return [padding.top, padding.left, padding.bottom, padding.right]


@functools.singledispatch
def _write(layer: Layer, graph: Graph, writer: Writer) -> None:
    """Quantize, Dequantize and Requantize: nothing but the tensors' own quantisation."""
    assert isinstance(layer, Quantize | Dequantize | Requantize)
    writer.store(writer.real(layer.inputs[0]), graph.layer_output(layer))


@_write.register
def _(layer: Conv2D, graph: Graph, writer: Writer) -> None:
    _convolution(layer, graph, writer, graph.constant(layer.weights).transpose(0, 3, 1, 2), group=1)


@_write.register
def _(layer: DepthwiseConv2D, graph: Graph, writer: Writer) -> None:
    weights = graph.constant(layer.weights).transpose(2, 0, 1)[:, np.newaxis]
    _convolution(layer, graph, writer, weights, group=graph.layer_inputs(layer)[0].shape[-1])


def _convolution(layer: Conv2D | DepthwiseConv2D, graph: Graph, writer: Writer, weights: Array, group: int) -> None:
    value = writer.node(
        "Conv",
        [writer.real(layer.inputs[0]), *writer.weights(layer, weights, axis=0)],
        f"{layer.output}/sum",
        strides=layer.stride,
        pads=_pads(layer.padding),
        dilations=layer.dilation,
        group=group,
    )
    writer.store(value, graph.layer_output(layer), layer.clamp)


@_write.register
def _(layer: Dense, graph: Graph, writer: Writer) -> None:
    operands = [writer.real(layer.inputs[0]), *writer.weights(layer, graph.constant(layer.weights), axis=0)]
    value = writer.node("Gemm", operands, f"{layer.output}/sum", transB=1)
    writer.store(value, graph.layer_output(layer), layer.clamp)


@_write.register
def _(layer: AveragePool2D, graph: Graph, writer: Writer) -> None:
    image, inputs, output = graph.layer_inputs(layer)[0].shape, [writer.real(layer.inputs[0])], f"{layer.output}/mean"
    if layer.kernel == image[1:3] and layer.padding == NO_PADDING:
        value = writer.node("GlobalAveragePool", inputs, output)
    else:
        options: dict[str, Any] = {"kernel_shape": layer.kernel, "strides": layer.stride, "pads": _pads(layer.padding)}
        value = writer.node("AveragePool", inputs, output, **options)
    writer.store(value, graph.layer_output(layer), layer.clamp)


@_write.register
def _(layer: Add, graph: Graph, writer: Writer) -> None:
    value = writer.node("Add", [writer.real(name) for name in layer.inputs], f"{layer.output}/sum")
    writer.store(value, graph.layer_output(layer), layer.clamp)


@_write.register
def _(layer: Pad, graph: Graph, writer: Writer) -> None:
    top, left, bottom, right = _pads(layer.padding)
    places = writer.constant(f"{layer.name}/places", np.array([0, 0, top, left, 0, 0, bottom, right]))
    writer.store(
        writer.node("Pad", [writer.real(layer.inputs[0]), places], f"{layer.output}/padded"), graph.layer_output(layer)
    )


@_write.register
def _(layer: Concat, graph: Graph, writer: Writer) -> None:
    axis = {0: 0, 1: 2, 2: 3, 3: 1}[layer.axis] if len(graph.layer_output(layer).shape) == 4 else layer.axis
    value = writer.node("Concat", [writer.real(name) for name in layer.inputs], f"{layer.output}/joined", axis=axis)
    writer.store(value, graph.layer_output(layer))


@_write.register
def _(layer: Reshape, graph: Graph, writer: Writer) -> None:
    """Only where NCHW and NHWC flatten alike: one place of many channels."""
    assert graph.layer_inputs(layer)[0].shape[1:3] == (1, 1)
    shape = writer.constant(f"{layer.name}/shape", np.array(graph.layer_output(layer).shape))
    writer.store(
        writer.node("Reshape", [writer.real(layer.inputs[0]), shape], f"{layer.output}/flat"), graph.layer_output(layer)
    )


@_write.register
def _(layer: Softmax, graph: Graph, writer: Writer) -> None:
    assert layer.beta == 1.0
    writer.store(
        writer.node("Softmax", [writer.real(layer.inputs[0])], f"{layer.output}/p", axis=-1), graph.layer_output(layer)
    )


@_write.register
def _(layer: Logistic, graph: Graph, writer: Writer) -> None:
    writer.store(writer.node("Sigmoid", [writer.real(layer.inputs[0])], f"{layer.output}/p"), graph.layer_output(layer))


@_write.register
def _(layer: Clip, graph: Graph, writer: Writer) -> None:
    writer.store(writer.real(layer.inputs[0]), graph.layer_output(layer), layer.clamp)
