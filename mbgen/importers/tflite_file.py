"""A TFLite file, read and checked before TVM sees it: FlatBuffers has no verifier in Python, and files may be hostile.

Knows the TFLite schema. May not know TVM or the Graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import tflite

from mbgen.errors import InputError, UnsupportedError
from mbgen.graph import INTEGER_RANGE, Array, Quantization, Shape
from mbgen.importers.constant import quantization
from mbgen.importers.files import LIMIT, describe, first_of_each, shown

# What mbgen compiles, and each operator's table of options in the schema.
OPTIONS: Mapping[str, Any] = {
    "ADD": tflite.AddOptions,
    "AVERAGE_POOL_2D": tflite.Pool2DOptions,
    "CONCATENATION": tflite.ConcatenationOptions,
    "CONV_2D": tflite.Conv2DOptions,
    "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
    "DEQUANTIZE": None,
    "FULLY_CONNECTED": tflite.FullyConnectedOptions,
    "LOGISTIC": None,
    "MEAN": tflite.ReducerOptions,
    "PAD": None,
    "QUANTIZE": None,
    "RELU": None,
    "RELU6": None,
    "RELU_N1_TO_1": None,
    "RESHAPE": None,
    "SOFTMAX": tflite.SoftmaxOptions,
    "SQUEEZE": None,
}
# Operators on integers that only compute the shape which RESHAPE's output declares anyway.
SHAPE_ARITHMETIC = frozenset({"SHAPE", "STRIDED_SLICE", "PACK"})
WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
KEEPING_QUANTIZATION = frozenset({"AVERAGE_POOL_2D", "CONCATENATION", "PAD", "RESHAPE", "SQUEEZE"})
CONTROL_FLOW = frozenset({"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE"})
REMEDIES: Mapping[str, str] = {
    "MAX_POOL_2D": "MobileNets shrink their maps with strided convolutions",
    "HARD_SWISH": "MobileNet V3 is not compiled; V1 and V2 are",
    "CUSTOM": "convert with TFLITE_BUILTINS only",
}


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


OPERATOR_NAMES, TYPE_NAMES, ACTIVATION_NAMES = map(
    _names, (tflite.BuiltinOperator, tflite.TensorType, tflite.ActivationFunctionType)
)
ACTIVATIONS = frozenset({"NONE", "RELU", "RELU_N1_TO_1", "RELU6"})
ITEM_BYTES = {"float32": 4, "int32": 4, "int64": 8, "int8": 1, "uint8": 1}
OPTION_NAMES = (
    *("StrideH", "StrideW", "FilterHeight", "FilterWidth", "DilationHFactor", "DilationWFactor"),
    *("Padding", "FusedActivationFunction", "Beta"),
)
MAX_RANK = 8
MAX_WINDOW = 2**15  # strides, kernels, dilations: far beyond any image, far below an overflow in TVM


@dataclass(frozen=True)
class FileTensor:
    """A tensor of the file's one subgraph."""

    index: int
    name: str
    shape: Shape
    signature: Shape  # as `shape`, -1 where the converter left it open
    dtype: str
    scale: Array = field(repr=False)  # empty if the tensor is not quantised
    zero_point: Array = field(repr=False)
    axis: int = 0
    nbytes: int = 0  # of its buffer; 0 if it is no constant

    @property
    def quantization(self) -> Quantization | None:
        if not len(self.scale):
            return None
        return quantization(self.scale, self.zero_point, self.axis, len(self.shape))

    def __str__(self) -> str:
        return f"tensor {self.index} {shown(self.name)}"


@dataclass(frozen=True)
class FileOperator:
    """An operator; `inputs` and `outputs` are tensor indices, absent optional inputs left out."""

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, float]  # by the schema's names, those in OPTION_NAMES
    name: str  # of its first output

    def __str__(self) -> str:
        return f"operator {self.index} ({self.kind}, output {shown(self.name)})"


@dataclass(frozen=True)
class TFLiteFile:
    """A file whose every index, size and type has been checked."""

    model: tflite.Model
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    input: int
    output: int


def read(content: bytes, where: str) -> TFLiteFile:
    """Read and check a TFLite file.

    Raises InputError for what is no TFLite file or is damaged, UnsupportedError for a sound file with something that
    mbgen does not compile; `where` names the file.
    """
    if content[4:8] != b"TFL3":
        raise InputError(f"{where}: {describe(content)}, not a TFLite model; give a .tflite or .onnx file")
    try:
        file = _Reader(content).file()
    except UnsupportedError as error:
        raise UnsupportedError(f"{where}: {error}") from None
    except Exception:  # FlatBuffers' accessors raise whatever a bad offset leads them to
        raise InputError(
            f"{where}: the TFLite file is truncated or damaged: its tables point outside the file or contradict each "
            "other; copy or convert it again"
        ) from None
    _Checker(file, where).check()
    return file


class _Reader:
    """Reads the tables within a budget, so that overlapping vectors cannot make a small file cost much."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.budget = 8 * len(content) + 2**16
        self.model = tflite.Model.GetRootAsModel(content, 0)

    def spend(self, count: int) -> range:
        self.budget -= count
        if not 0 <= count <= len(self.content) or self.budget < 0:
            raise ValueError("its tables are longer than the file")
        return range(count)

    def integers(self, length: int, values: Any) -> tuple[int, ...]:
        self.spend(4 * length)
        return tuple(int(v) for v in values()) if length else ()

    def file(self) -> TFLiteFile:
        if (count := self.model.SubgraphsLength()) != 1:
            raise UnsupportedError(
                f"the model has {count} subgraphs; convert a model without control flow and with one signature"
            )
        graph = self.model.Subgraphs(0)
        tensors = tuple(self.tensor(graph, i) for i in self.spend(graph.TensorsLength()))
        kinds = [self.kind(i) for i in self.spend(self.model.OperatorCodesLength())]
        operators = tuple(self.operator(graph, i, kinds, tensors) for i in self.spend(graph.OperatorsLength()))
        ends = []
        for what, length, values in (
            ("inputs", graph.InputsLength(), graph.InputsAsNumpy),
            ("outputs", graph.OutputsLength(), graph.OutputsAsNumpy),
        ):
            indices = self.integers(length, values)
            if len(indices) != 1:
                raise UnsupportedError(
                    f"the model has {len(indices)} {what}; mbgen compiles one image in, one result out"
                )
            ends.append(tensors[_index(indices[0], tensors)].index)
        return TFLiteFile(self.model, tensors, operators, *ends)

    def kind(self, index: int) -> str:
        code = self.model.OperatorCodes(index)
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        return OPERATOR_NAMES.get(number, f"builtin operator {number}")

    def tensor(self, graph: tflite.SubGraph, index: int) -> FileTensor:
        table = graph.Tensors(index)
        name = table.Name() or b""
        self.spend(len(name))
        if table.ShapeLength() > MAX_RANK:
            raise ValueError(f"tensor {index} has {table.ShapeLength()} dimensions")
        shape = self.integers(table.ShapeLength(), table.ShapeAsNumpy)
        signature = self.integers(table.ShapeSignatureLength(), table.ShapeSignatureAsNumpy)
        q, none = table.Quantization(), np.zeros(0)
        quantised = q is not None and q.ScaleLength() > 0 and q.ZeroPointLength() > 0
        if quantised:
            self.spend(4 * q.ScaleLength() + 8 * q.ZeroPointLength())
        if table.Sparsity() is not None:
            raise UnsupportedError(f"tensor {index} {shown(_text(name))} is sparse; convert without weight sparsity")
        return FileTensor(
            index,
            _text(name),
            shape,
            signature or shape,
            TYPE_NAMES.get(table.Type(), f"type {table.Type()}").lower(),
            q.ScaleAsNumpy() if quantised else none,
            q.ZeroPointAsNumpy() if quantised else none,
            q.QuantizedDimension() if quantised else 0,
            self.buffer_bytes(table.Buffer()),
        )

    def buffer_bytes(self, index: int) -> int:
        if not 0 <= index < self.model.BuffersLength():
            raise IndexError(f"buffer {index} does not exist")
        buffer = self.model.Buffers(index)
        if buffer.Size() or buffer.Offset():
            raise UnsupportedError("the model keeps its weights outside its tables; convert it to less than 2 GB")
        return len(buffer.DataAsNumpy()) if buffer.DataLength() else 0

    def operator(
        self, graph: tflite.SubGraph, index: int, kinds: list[str], tensors: tuple[FileTensor, ...]
    ) -> FileOperator:
        table = graph.Operators(index)
        kind = kinds[table.OpcodeIndex()]
        inputs = tuple(i for i in self.integers(table.InputsLength(), table.InputsAsNumpy) if i != -1)
        outputs = self.integers(table.OutputsLength(), table.OutputsAsNumpy)
        for i in (*inputs, *outputs):
            _index(i, tensors)
        name = tensors[outputs[0]].name if outputs else ""
        options: dict[str, float] = {}
        wanted = OPTIONS.get(kind)
        if wanted is not None:
            found = table.BuiltinOptions()
            if found is None or table.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, wanted.__name__):
                raise ValueError(f"operator {index} ({kind}) lacks its options")
            values = wanted()
            values.Init(found.Bytes, found.Pos)
            options = {name: getattr(values, name)() for name in OPTION_NAMES if hasattr(values, name)}
        return FileOperator(index, kind, inputs, outputs, options, name)


class _Checker:
    def __init__(self, file: TFLiteFile, where: str) -> None:
        self.file, self.where = file, where

    def check(self) -> None:
        self.check_operators_are_known()
        self.check_input()
        produced = {self.file.input}
        for op in self.file.operators:
            self.check_wiring(op, produced)
            for tensor in self.tensors(op.inputs + op.outputs):
                self.check_tensor(op, tensor)
            if op.kind not in SHAPE_ARITHMETIC:
                self.check_types(op)
                self.check_options(op)
        if self.file.output not in produced:
            self.damaged(f"no operator makes the output, {self.file.tensors[self.file.output]}")

    def tensors(self, indices: tuple[int, ...]) -> Iterator[FileTensor]:
        return (self.file.tensors[i] for i in indices)

    def check_operators_are_known(self) -> None:
        unknown = [op for op in self.file.operators if op.kind not in OPTIONS and op.kind not in SHAPE_ARITHMETIC]
        if not unknown:
            return
        remedies = [REMEDIES[kind] for kind in dict.fromkeys(op.kind for op in unknown) if kind in REMEDIES]
        if any(op.kind in CONTROL_FLOW for op in unknown):
            remedies.append("convert a model without control flow")
        self.unsupported(
            f"unsupported operators: {first_of_each([(op.kind, str(op)) for op in unknown])}",
            "; ".join([*remedies, f"mbgen compiles {', '.join(OPTIONS)}"]),
        )

    def check_input(self) -> None:
        tensor = self.file.tensors[self.file.input]
        if len(tensor.signature) != len(tensor.shape):
            self.damaged(f"the input, {tensor}, has two different ranks")
        if any(n < 0 for n in tensor.signature[1:]) or any(n < 1 for n in tensor.shape):
            fixed = [1] + [n if n > 0 else 224 for n in tensor.signature[1:]]
            self.unsupported(
                f"the input, {tensor}, has the dynamic shape {list(tensor.signature)}",
                f"convert the model with a fixed input shape, for example {fixed}",
            )
        if len(tensor.shape) != 4:
            self.unsupported(
                f"the input, {tensor}, has shape {list(tensor.shape)}",
                "mbgen compiles networks of one image, [1, height, width, channels]",
            )
        if tensor.shape[0] != 1:
            self.unsupported(f"the input, {tensor}, is a batch of {tensor.shape[0]}", "convert with a batch size of 1")

    def check_wiring(self, op: FileOperator, produced: set[int]) -> None:
        for tensor in self.tensors(op.inputs):
            if not tensor.nbytes and tensor.index not in produced:
                self.damaged(f"{op}: reads {tensor} before anything has made it")
        for tensor in self.tensors(op.outputs):
            if tensor.nbytes or tensor.index in produced:
                self.damaged(f"{op}: makes {tensor}, which exists already")
            produced.add(tensor.index)
        if not op.inputs or len(op.outputs) != 1:
            self.damaged(f"{op}: has {len(op.inputs)} inputs and {len(op.outputs)} outputs")

    def check_tensor(self, op: FileOperator, tensor: FileTensor) -> None:
        if tensor.dtype not in ITEM_BYTES:
            self.unsupported(
                f"{op}: {tensor} is {tensor.dtype}",
                "convert to float32, or with full integer quantisation to int8",
            )
        if any(n < 1 for n in tensor.shape) or math.prod(tensor.shape) > LIMIT:
            raise InputError(
                f"{self.where}: {op}: {tensor} has the shape {list(tensor.shape)}, which is empty or beyond {LIMIT:,} "
                "elements; the file is damaged or the resolution absurd"
            )
        if tensor.nbytes not in (0, math.prod(tensor.shape) * ITEM_BYTES[tensor.dtype]):
            self.damaged(f"{op}: {tensor} is {tensor.dtype}{list(tensor.shape)} but holds {tensor.nbytes:,} bytes")
        count = len(tensor.scale)
        if count:
            axis_size = tensor.shape[tensor.axis] if 0 <= tensor.axis < len(tensor.shape) else 1
            if count not in (1, axis_size) or len(tensor.zero_point) not in (1, count):
                self.damaged(f"{op}: {tensor} has {count} scales and {len(tensor.zero_point)} zero points")
            if not (np.isfinite(tensor.scale).all() and (tensor.scale > 0).all()):
                self.damaged(f"{op}: {tensor} has a scale that is not a positive finite number")
            low, high = INTEGER_RANGE.get(tensor.dtype, (0, 0))
            if (tensor.zero_point < low).any() or (tensor.zero_point > high).any():
                self.damaged(f"{op}: {tensor} has a zero point outside {tensor.dtype}")
            if count > 1 and tensor.zero_point.any():
                self.unsupported(
                    f"{op}: {tensor} has zero points for each channel", "quantise weights per channel symmetrically"
                )

    def check_types(self, op: FileOperator) -> None:
        data, *operands = self.tensors(op.inputs)
        (result,) = self.tensors(op.outputs)
        activations = [data, result, *(operands if op.kind in ("ADD", "CONCATENATION") else ())]
        for tensor in activations:
            if tensor.dtype not in ("float32", "int8", "uint8"):
                self.unsupported(
                    f"{op}: {tensor} is {tensor.dtype}", "convert with full integer quantisation to int8, or to float32"
                )
            if (tensor.dtype == "float32") != (len(tensor.scale) == 0) or len(tensor.scale) > 1:
                self.unsupported(
                    f"{op}: {tensor} is {tensor.dtype} with {len(tensor.scale)} scales",
                    "activations must be float32, or int8 or uint8 with one scale",
                )
        if op.kind not in ("QUANTIZE", "DEQUANTIZE") and len({tensor.dtype for tensor in activations}) > 1:
            self.unsupported(
                f"{op}: mixes {data.dtype} and {result.dtype}", "convert it again with one type throughout"
            )
        if op.kind in WEIGHTED:
            self.check_weights(op, data, operands)
        if op.kind in KEEPING_QUANTIZATION:
            readers = [*activations[2:], data]
            if any(tensor.quantization != result.quantization for tensor in readers):
                self.unsupported(
                    f"{op}: its input and its output differ in quantisation",
                    "convert it again; current converters give both the same",
                )

    def check_weights(self, op: FileOperator, data: FileTensor, operands: list[FileTensor]) -> None:
        if not operands or not all(tensor.nbytes for tensor in operands):
            self.unsupported(f"{op}: its weights are not constant", "convert a frozen model")
        weights, *bias = operands
        if weights.dtype != data.dtype or bool(len(weights.scale)) != bool(len(data.scale)):
            self.unsupported(
                f"{op}: {weights.dtype} weights with {data.dtype} activations (dynamic range quantisation)",
                "convert with full integer quantisation and a representative dataset, or without quantisation",
            )
        if any(tensor.dtype != ("float32" if data.dtype == "float32" else "int32") for tensor in bias):
            self.unsupported(f"{op}: its bias is {bias[0].dtype}", "convert with int8 activations, not int16")

    def check_options(self, op: FileOperator) -> None:
        for name, value in op.options.items():
            if name == "Beta":
                if value != 1:
                    self.unsupported(f"{op}: beta is {value:g}", "use a softmax with beta 1")
            elif name == "FusedActivationFunction":
                activation = ACTIVATION_NAMES.get(int(value), "an unknown activation")
                if activation not in ACTIVATIONS:
                    self.unsupported(f"{op}: it is fused with {activation}", "use ReLU or ReLU6")
            elif name == "Padding":
                if value not in (tflite.Padding.SAME, tflite.Padding.VALID):
                    self.damaged(f"{op}: its padding is neither SAME nor VALID")
            elif not 1 <= value <= MAX_WINDOW:
                self.damaged(f"{op}: {name} is {value}")

    def unsupported(self, why: str, remedy: str) -> NoReturn:
        raise UnsupportedError(f"{self.where}: {why}; {remedy}")

    def damaged(self, why: str) -> NoReturn:
        raise InputError(f"{self.where}: {why}; the file is damaged, copy or convert it again")


def _index(index: int, tensors: tuple[FileTensor, ...]) -> int:
    if not 0 <= index < len(tensors):
        raise IndexError(f"tensor {index} does not exist")
    return index


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
