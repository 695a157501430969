"""Small ONNX models made on the spot, and what ONNX Runtime computes for every value in them.

net = OnnxBuilder([1, 3, 8, 8])
x = net.conv("image", 8, 3, strides=[2, 2], pads=[0, 0, 1, 1])
x = net.node("Relu", [x])
model = net.build(x)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
TYPES = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8, "uint8": TensorProto.UINT8}


class OnnxBuilder:
    """Collects nodes in order; every node has one output, named after the node."""

    def __init__(
        self, shape: Sequence[int | str | None], dtype: str = "float32", opset: int = 17, seed: int = 0
    ) -> None:
        self.image = helper.make_tensor_value_info("image", TYPES[dtype], shape)
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: object, dtype: str = "float32") -> str:
        """Add an initialiser and return its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Add a node and return its output's name."""
        output = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x: str, shape: Sequence[int], name: str = "", bias: bool = True, **attributes: Any) -> str:
        """Convolution with random weights of `shape`, [oc, ic / group, kh, kw]."""
        weights = self.rng.normal(0, 2 / math.sqrt(math.prod(shape[1:])), shape)
        inputs = [x, self.constant(weights)] + ([self.constant(self.rng.normal(0, 0.2, shape[0]))] if bias else [])
        return self.node("Conv", inputs, name, **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        """Batch normalisation with random statistics."""
        parameters = [
            self.constant(self.rng.uniform(0.5, 1.5, channels)),
            self.constant(self.rng.normal(0, 0.3, channels)),
            self.constant(self.rng.normal(0, 0.3, channels)),
            self.constant(self.rng.uniform(0.5, 2, channels)),
        ]
        return self.node("BatchNormalization", [x, *parameters], epsilon=1e-3)

    def clip(self, x: str, low: float, high: float, name: str = "") -> str:
        return self.node("Clip", [x, self.constant(low), self.constant(high)], name)

    def gemm(self, x: str, ic: int, oc: int, name: str = "") -> str:
        """Dense layer with random weights [oc, ic]."""
        weights, bias = self.rng.normal(0, 1 / math.sqrt(ic), (oc, ic)), self.rng.normal(0, 0.1, oc)
        return self.node("Gemm", [x, self.constant(weights), self.constant(bias)], name, transB=1)

    def quantize(self, x: str, scale: float, zero_point: int, dtype: str = "int8", name: str = "") -> str:
        q = [self.constant(scale), self.constant(zero_point, dtype)]
        return self.node("QuantizeLinear", [x, *q], name)

    def dequantize(
        self, x: str, scale: object, zero_point: object, dtype: str = "int8", axis: int | None = None
    ) -> str:
        """Dequantise; per channel along `axis` where it is given."""
        q = [self.constant(scale), self.constant(zero_point, dtype)]
        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        return self.node("DequantizeLinear", [x, *q], **attributes)

    def qdq(self, x: str, scale: float, zero_point: int, dtype: str = "int8", name: str = "") -> str:
        """Quantise to integers named `name`, and back to real numbers."""
        return self.dequantize(self.quantize(x, scale, zero_point, dtype, name), scale, zero_point, dtype)

    def quantized_conv(self, x: str, shape: Sequence[int], input_scale: float, **attributes: Any) -> str:
        """Convolution with int8 weights per channel and an int32 bias."""
        oc = shape[0]
        scales = self.rng.uniform(0.005, 0.01, oc).astype(np.float32)
        integers = self.constant(self.rng.integers(-127, 128, shape), "int8")
        weights = self.dequantize(integers, scales, np.zeros(oc), axis=0)
        bias = self.dequantize(
            self.constant(self.rng.integers(-900, 900, oc), "int32"),
            scales * np.float32(input_scale),
            np.zeros(oc),
            "int32",
            axis=0,
        )
        return self.node("Conv", [x, weights, bias], **attributes)

    def model(self, output: str, dtype: str = "float32") -> onnx.ModelProto:
        """The model that returns `output`, with shapes inferred."""
        result = helper.make_tensor_value_info(output, TYPES[dtype], None)
        graph = helper.make_graph(self.nodes, "net", [self.image], [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)

    def build(self, output: str, dtype: str = "float32") -> bytes:
        content: bytes = self.model(output, dtype).SerializeToString()
        return content


def run_values(content: bytes, image: Array, names: Sequence[str]) -> dict[str, Array]:
    """What ONNX Runtime computes for the values `names`, in the file's layout, operator by operator."""
    import onnxruntime

    model = onnx.load_model_from_string(content)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names) if name not in present
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, {session.get_inputs()[0].name: image}), strict=True))


def mobilenet_v1(batch_norm: bool = False, seed: int = 0) -> bytes:
    """A tiny MobileNet V1, NCHW, float32, ReLU6, one input `image` [1, 3, 12, 12]."""
    net = OnnxBuilder([1, 3, 12, 12], seed=seed)

    def finish(x: str, channels: int) -> str:
        return net.clip(net.batch_norm(x, channels) if batch_norm else x, 0, 6)

    bias = not batch_norm
    x = finish(net.conv("image", [8, 3, 3, 3], bias=bias, strides=[2, 2], pads=[0, 0, 1, 1]), 8)
    ic = 8
    for oc, stride in ((16, 1), (24, 2)):
        pads = [1, 1, 1, 1] if stride == 1 else [0, 0, 1, 1]
        x = finish(net.conv(x, [ic, 1, 3, 3], bias=bias, group=ic, strides=[stride, stride], pads=pads), ic)
        x = finish(net.conv(x, [oc, ic, 1, 1], bias=bias), oc)
        ic = oc
    x = net.node("Flatten", [net.node("GlobalAveragePool", [x])])
    return net.build(net.node("Softmax", [net.gemm(x, ic, 5)], "probabilities", axis=-1))


def mobilenet_v2(batch_norm: bool = False, seed: int = 0) -> bytes:
    """A tiny MobileNet V2, NCHW, float32: inverted residuals with linear bottlenecks and one addition."""
    net = OnnxBuilder([1, 3, 12, 12], seed=seed)

    def conv(x: str, shape: list[int], relu: bool = True, **attributes: Any) -> str:
        x = net.conv(x, shape, bias=not batch_norm, **attributes)
        x = net.batch_norm(x, shape[0]) if batch_norm else x
        return net.clip(x, 0, 6) if relu else x

    def block(x: str, ic: int, oc: int, stride: int) -> str:
        middle = 3 * ic
        y = conv(x, [middle, ic, 1, 1])
        y = conv(y, [middle, 1, 3, 3], group=middle, strides=[stride, stride], pads=[1, 1, 1, 1])
        y = conv(y, [oc, middle, 1, 1], relu=False)
        return net.node("Add", [x, y]) if stride == 1 and ic == oc else y

    x = conv("image", [8, 3, 3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = block(block(x, 8, 8, 1), 8, 12, 2)
    x = conv(x, [20, 12, 1, 1])
    x = net.node("ReduceMean", [x], axes=[2, 3], keepdims=0)
    return net.build(net.gemm(x, 20, 5, "logits"))
