"""Small TFLite files made on the spot, so that tests need neither a converter nor a model from elsewhere.

    model = TFLiteBuilder()
    image = model.tensor("image", [1, 8, 8, 3], "int8", scale=0.5, zero_point=-128)
    kernel = model.constant("kernel", weights, scale=[...], zero_point=0, axis=0)
    out = model.tensor("out", [1, 8, 8, 4], "int8", scale=0.1, zero_point=3)
    model.operator("CONV_2D", [image, kernel], [out], Padding="SAME", StrideH=1, StrideW=1)
    content = model.build(inputs=[image], outputs=[out])

Tensors are known by their index in the file. Option names and values are those of the TFLite schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

Array = NDArray[Any]
TENSOR_TYPES = ("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8")

# Operator -> its table of options in the schema; those absent here have none.
OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "SOFTMAX": "SoftmaxOptions",
    "RESHAPE": "ReshapeOptions",
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "PAD": "PadOptions",
    "MEAN": "ReducerOptions",
    "SQUEEZE": "SqueezeOptions",
    "SHAPE": "ShapeOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "PACK": "PackOptions",
}


@dataclass
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    data: bytes | None
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int
    signature: tuple[int, ...] | None


@dataclass
class _Operator:
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclass
class TFLiteBuilder:
    """Collects tensors and operators in order and writes them as one TFLite file."""

    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        scale: float | Sequence[float] | None = None,
        zero_point: int | Sequence[int] = 0,
        axis: int = 0,
        data: bytes | None = None,
        signature: Sequence[int] | None = None,
    ) -> int:
        """Add a tensor and return its index; `scale=None` leaves it without quantisation."""
        scales = () if scale is None else tuple(np.atleast_1d(np.asarray(scale, np.float64)).tolist())
        points = tuple(np.broadcast_to(np.asarray(zero_point), len(scales)).tolist())
        signature = None if signature is None else tuple(signature)
        self.tensors.append(_Tensor(name, tuple(shape), dtype, data, scales, points, axis, signature))
        return len(self.tensors) - 1

    def constant(self, name: str, value: Array, **quantization: Any) -> int:
        """Add a constant tensor and return its index; keywords as for `tensor`."""
        return self.tensor(name, value.shape, str(value.dtype), data=value.tobytes(), **quantization)

    def operator(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> None:
        """Add an operator by its schema name; an option's value may be an enumerator's name ("SAME", "RELU6")."""
        self.operators.append(_Operator(kind, tuple(inputs), tuple(outputs), options))

    def build(self, inputs: Sequence[int], outputs: Sequence[int], subgraphs: int = 1) -> bytes:
        """Return the file's bytes; `subgraphs` > 1 repeats the graph."""
        b = flatbuffers.Builder(4096)
        kinds = list(dict.fromkeys(op.kind for op in self.operators))
        codes = [_table(b, "OperatorCode", **_operator_code(kind)) for kind in kinds]
        buffers = [_table(b, "Buffer")] + [
            _table(b, "Buffer", Data=b.CreateByteVector(t.data)) for t in self.tensors if t.data is not None
        ]
        numbers = iter(range(1, len(buffers)))
        tensors = [_tensor(b, t, next(numbers) if t.data is not None else 0) for t in self.tensors]
        operators = [_operator(b, op, kinds.index(op.kind)) for op in self.operators]
        graph = {
            "Tensors": _offsets(b, tensors),
            "Inputs": _vector(b, inputs, np.int32),
            "Outputs": _vector(b, outputs, np.int32),
            "Operators": _offsets(b, operators),
            "Name": b.CreateString("main"),
        }
        root = _table(
            b,
            "Model",
            Version=3,
            OperatorCodes=_offsets(b, codes),
            Subgraphs=_offsets(b, [_table(b, "SubGraph", **graph) for _ in range(subgraphs)]),
            Description=b.CreateString("made by mbgen's tests"),
            Buffers=_offsets(b, buffers),
        )
        b.Finish(root, b"TFL3")
        return bytes(b.Output())


def _table(b: flatbuffers.Builder, kind: str, **fields: Any) -> int:
    """Write one schema table; offsets among the fields must exist already."""
    getattr(tflite, f"{kind}Start")(b)
    for name, value in fields.items():
        getattr(tflite, f"{kind}Add{name}")(b, value)
    return int(getattr(tflite, f"{kind}End")(b))


def _vector(b: flatbuffers.Builder, values: Sequence[float], dtype: Any) -> int:
    return int(b.CreateNumpyVector(np.array(values, dtype)))


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _operator_code(kind: str) -> dict[str, int]:
    code = getattr(tflite.BuiltinOperator, kind)
    return {"DeprecatedBuiltinCode": min(code, 127), "BuiltinCode": code, "Version": 1}


def _tensor(b: flatbuffers.Builder, tensor: _Tensor, buffer: int) -> int:
    fields: dict[str, Any] = {
        "Shape": _vector(b, tensor.shape, np.int32),
        "Type": getattr(tflite.TensorType, tensor.dtype.upper()),
        "Buffer": buffer,
        "Name": b.CreateString(tensor.name),
    }
    if tensor.signature is not None:
        fields["ShapeSignature"] = _vector(b, tensor.signature, np.int32)
    if tensor.scale:
        fields["Quantization"] = _table(
            b,
            "QuantizationParameters",
            Scale=_vector(b, tensor.scale, np.float32),
            ZeroPoint=_vector(b, tensor.zero_point, np.int64),
            QuantizedDimension=tensor.axis,
        )
    return _table(b, "Tensor", **fields)


def _operator(b: flatbuffers.Builder, op: _Operator, code: int) -> int:
    fields: dict[str, Any] = {
        "OpcodeIndex": code,
        "Inputs": _vector(b, op.inputs, np.int32),
        "Outputs": _vector(b, op.outputs, np.int32),
    }
    if op.kind in OPTIONS:
        table = OPTIONS[op.kind]
        options = {name: _option(b, name, value) for name, value in op.options.items()}
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, table)
        fields["BuiltinOptions"] = _table(b, table, **options)
    return _table(b, "Operator", **fields)


def _option(b: flatbuffers.Builder, name: str, value: Any) -> Any:
    if isinstance(value, str):
        return getattr(tflite.Padding if name == "Padding" else tflite.ActivationFunctionType, value)
    return _vector(b, value, np.int32) if isinstance(value, list | tuple) else value
