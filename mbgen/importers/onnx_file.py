"""An ONNX file, read, checked and simplified before TVM sees it: it may be damaged, hostile, or ask for other files.

Knows the ONNX format. May not know TVM or the Graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mbgen.errors import InputError, UnsupportedError
from mbgen.importers.files import LIMIT, describe, first_line, first_of_each, listed, shown

OPERATORS = frozenset(
    {
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Clip",
        "Concat",
        "Conv",
        "DequantizeLinear",
        "Dropout",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "Identity",
        "MatMul",
        "Pad",
        "QuantizeLinear",
        "ReduceMean",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Softmax",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
REMEDIES: Mapping[str, str] = {
    "If": "export a model without control flow",
    "Loop": "export a model without control flow",
    "Scan": "export a model without control flow",
    "MaxPool": "MobileNets shrink their maps with strided convolutions",
    "HardSwish": "MobileNet V3 is not compiled; V1 and V2 are",
    "HardSigmoid": "MobileNet V3 is not compiled; V1 and V2 are",
    "QLinearConv": "quantise in the QDQ format (onnxruntime.quantization, quant_format=QuantFormat.QDQ)",
    "ConvInteger": "quantise statically, in the QDQ format",
    "DynamicQuantizeLinear": "quantise statically, in the QDQ format",
    "Cast": "keep one type throughout the model",
    "Shape": "export with fixed shapes, or simplify the model with onnxsim",
}
CONSTANT_TYPES = frozenset(
    {TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
)
INPUT_TYPES = frozenset({TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8})
OLDEST_OPSET = 7  # before it, element-wise operators broadcast by attribute
MAX_BYTES = 2**31 - 2**20  # what one protobuf message can hold, less some room
MAX_WINDOW = 2**15  # strides, kernels, paddings: far beyond any image, far below an overflow in TVM


@dataclass(frozen=True)
class OnnxFile:
    """A checked model with fixed shapes, its constants inside, and only nodes that the output needs."""

    model: onnx.ModelProto
    opset: int
    input: str


def read(content: bytes, where: str) -> OnnxFile:
    """Read and check an ONNX model that has its weights inside.

    Raises InputError for what is no ONNX model or is damaged, UnsupportedError for a sound model with something that
    mbgen does not compile; `where` names the file.
    """
    return _Reader(where).read(content)


def with_weights_inside(content: bytes, where: str, folder: Path) -> bytes:
    """The same model in one piece: weights that it keeps in other files are looked for in `folder`, nowhere else.

    Raises InputError for weights that are missing, too short, or ask for a file outside the folder.
    """
    reader = _Reader(where)
    model = reader.parse(content)
    held = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    outside = [t for t in (*model.graph.initializer, *held) if t.data_location == TensorProto.EXTERNAL]
    if len(content) + sum(reader.data_bytes(tensor) for tensor in outside) > MAX_BYTES:
        raise UnsupportedError(f"{where}: the model holds more than 2 GB of weights; mbgen compiles MobileNets")
    for tensor in outside:
        reader.load_external(tensor, folder)
    return bytes(model.SerializeToString()) if outside else content


def node_name(node: onnx.NodeProto) -> str:
    """How messages call a node."""
    output = shown(node.output[0]) if node.output else "none"
    kind = f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
    return f"node {shown(node.name)} ({kind}, output {output})" if node.name else f"node {kind} with output {output}"


class _Reader:
    def __init__(self, where: str) -> None:
        self.where = where

    def read(self, content: bytes) -> OnnxFile:
        model = self.parse(content)
        graph = model.graph
        _constants_to_initializers(graph)
        for tensor in graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                raise InputError(
                    f"{self.where}: the weights {shown(tensor.name)} lie in another file; "
                    "save the model with its weights inside"
                )
        image = self.check_ends(graph)
        self.fix_shape(image)
        opset = self.check_opset(model)
        _prune(graph)
        self.check_constants(graph)
        for node in graph.node:
            self.check_windows(node)
        self.check_validity(model)
        _fold_shape_arithmetic(model)
        _prune(graph)
        self.check_operators(graph)
        return OnnxFile(model, opset, image.name)

    def parse(self, content: bytes) -> onnx.ModelProto:
        kind = describe(content)
        model = onnx.ModelProto()
        try:
            model.ParseFromString(content)
            sound = bool(model.ir_version and model.graph.node)
        except Exception:  # protobuf's DecodeError, which its several implementations place differently
            sound = False
        if not sound:
            if kind.endswith("some other kind of file"):
                kind = "the file is truncated, damaged or of another kind"
            raise InputError(f"{self.where}: {kind}, not an ONNX model; give a .tflite or .onnx file")
        return model

    def load_external(self, tensor: TensorProto, folder: Path) -> None:
        """Bring weights kept in another file into the model; that file must lie in the model's own folder."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location, what = entries.get("location", ""), f"{self.where}: the weights {shown(tensor.name)}"
        windows, posix = PureWindowsPath(location), PurePosixPath(location)
        outside = posix.is_absolute() or windows.drive or windows.root or ".." in (*posix.parts, *windows.parts)
        path = folder / location
        if not location or outside or not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"{what} ask for the file {shown(location)} outside the model's folder; mbgen reads no such file"
            )
        if not path.is_file():
            raise InputError(f"{what} lie in {shown(location)}, which is not in the model's folder; put it there")
        size = self.data_bytes(tensor)
        offset, length = (_integer(entries.get(key, default)) for key, default in (("offset", 0), ("length", size)))
        if offset is None or length != size or offset + size > path.stat().st_size:
            raise InputError(
                f"{what} need {size:,} bytes, which {shown(location)} does not hold; export the model again"
            )
        with path.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(size)
        tensor.data_location = TensorProto.DEFAULT
        tensor.ClearField("external_data")

    def data_bytes(self, tensor: TensorProto) -> int:
        elements: int = math.prod(tensor.dims)
        if any(n < 0 for n in tensor.dims) or elements > LIMIT or tensor.data_type not in CONSTANT_TYPES:
            kind = f"{_type_name(tensor.data_type)}{list(tensor.dims)}"
            raise UnsupportedError(
                f"{self.where}: the constant {shown(tensor.name)} is {kind}; "
                f"mbgen reads float32, int8, uint8 and int32 of at most {LIMIT:,} elements"
            )
        return elements * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)

    def check_ends(self, graph: onnx.GraphProto) -> onnx.ValueInfoProto:
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in constants]
        for what, values in (("inputs", inputs), ("outputs", list(graph.output))):
            if len(values) != 1:
                names = listed([shown(value.name) for value in values])
                raise UnsupportedError(
                    f"{self.where}: the model has {len(values)} {what} ({names}); "
                    "mbgen compiles one image in, one result out"
                )
        return inputs[0]

    def fix_shape(self, image: onnx.ValueInfoProto) -> None:
        """Refuse shapes that are not fixed, except that an open batch becomes 1: one image at a time is what runs."""
        what, dims = f"{self.where}: the input {shown(image.name)}", image.type.tensor_type.shape.dim
        if image.type.tensor_type.elem_type not in INPUT_TYPES:
            raise UnsupportedError(
                f"{what} is {_type_name(image.type.tensor_type.elem_type)}; export with float32, int8 or uint8 input"
            )
        sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
        if len(sizes) != 4:
            raise UnsupportedError(
                f"{what} has {len(sizes)} dimensions; mbgen compiles networks of one image, "
                "[1, channels, height, width]"
            )
        if None in sizes[1:]:
            shape = [dim.dim_value if dim.dim_value > 0 else shown(dim.dim_param or "?") for dim in dims]
            example = ",".join(str(n or 224) for n in [1, *sizes[1:]])
            raise UnsupportedError(
                f"{what} has the dynamic shape [{', '.join(map(str, shape))}]; export it with a fixed shape, or run "
                f"python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name {image.name!r} "
                f"--input_shape {example}"
            )
        if sizes[0] not in (None, 1):
            raise UnsupportedError(f"{what} is a batch of {sizes[0]}; export with a batch size of 1")
        dims[0].dim_value = 1
        if math.prod(dim.dim_value for dim in dims) > LIMIT:
            raise InputError(f"{what} has more than {LIMIT:,} elements; the file is damaged or the resolution absurd")

    def check_opset(self, model: onnx.ModelProto) -> int:
        versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
        if not versions or versions[0] < OLDEST_OPSET:
            raise UnsupportedError(
                f"{self.where}: the model uses ONNX operator set {versions[0] if versions else 'none'}; export it with "
                "operator set 13 or newer"
            )
        return int(versions[0])

    def check_validity(self, model: onnx.ModelProto) -> None:
        try:
            onnx.checker.check_model(model)
        except Exception as error:
            raise InputError(
                f"{self.where}: the ONNX checker refuses the model ({first_line(error)}); export it again"
            ) from error

    def check_operators(self, graph: onnx.GraphProto) -> None:
        unknown = [n for n in graph.node if n.op_type not in OPERATORS or n.domain not in ("", "ai.onnx")]
        if unknown:
            remedies = [REMEDIES[kind] for kind in dict.fromkeys(node.op_type for node in unknown) if kind in REMEDIES]
            remedies = [*dict.fromkeys(remedies), f"mbgen compiles {', '.join(sorted(OPERATORS))}"]
            raise UnsupportedError(
                f"{self.where}: unsupported operators: "
                f"{first_of_each([(node.op_type, node_name(node)) for node in unknown])}; "
                f"{'; '.join(remedies)}"
            )

    def check_constants(self, graph: onnx.GraphProto) -> None:
        readers = {name: node for node in graph.node for name in node.input}
        for tensor in graph.initializer:
            if tensor.name not in readers:
                continue
            node = node_name(readers[tensor.name])
            if tensor.data_type not in CONSTANT_TYPES:
                raise UnsupportedError(
                    f"{self.where}: {node}: the constant {shown(tensor.name)} is {_type_name(tensor.data_type)}; "
                    "export the model in float32, or quantise it to int8 or uint8"
                )
            try:
                numpy_helper.to_array(tensor)
            except Exception:
                raise InputError(
                    f"{self.where}: {node}: the constant {shown(tensor.name)} does not hold the "
                    f"{_type_name(tensor.data_type)}{list(tensor.dims)} that it declares; the file is damaged"
                ) from None
        if graph.sparse_initializer:
            raise UnsupportedError(f"{self.where}: the model has sparse weights; export it with dense weights")

    def check_windows(self, node: onnx.NodeProto) -> None:
        if node.op_type not in ("Conv", "AveragePool"):
            return
        for attribute in node.attribute:
            least, count = {"pads": (0, 4)}.get(attribute.name, (1, 2))
            if attribute.name not in ("pads", "strides", "dilations", "kernel_shape"):
                continue
            if len(attribute.ints) != count or not all(least <= n <= MAX_WINDOW for n in attribute.ints):
                values = listed([str(n) for n in attribute.ints])
                raise UnsupportedError(
                    f"{self.where}: {node_name(node)}: its {attribute.name} are {values}; "
                    f"mbgen compiles two-dimensional windows, with {count} values from {least} to {MAX_WINDOW}"
                )


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Constant nodes as initialisers, so that there is one kind of constant to check."""
    for node in graph.node:
        value = _constant_value(node)
        if value is not None:
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
            node.ClearField("output")  # which makes it a node that nothing needs


def _fold_shape_arithmetic(model: onnx.ModelProto) -> None:
    """Give each Reshape to a computed shape the constant one that ONNX infers; the computation is not needed then."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    computed = [node for node in graph.node if node.op_type == "Reshape" and node.input[1] not in constants]
    if not computed:
        return
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _static_shape(value) for value in (*inferred.value_info, *inferred.output)}
    for node in computed:
        if (shape := shapes.get(node.output[0])) is not None:
            node.input[1] = f"{node.output[0]}/shape"
            graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), node.input[1]))


def _prune(graph: onnx.GraphProto) -> None:
    """Drop the nodes that the output does not need."""
    wanted = {value.name for value in graph.output}
    for index in reversed(range(len(graph.node))):
        node = graph.node[index]
        if wanted.isdisjoint(node.output):
            del graph.node[index]
        else:
            wanted.update(node.input)


def _constant_value(node: onnx.NodeProto) -> TensorProto | None:
    """The tensor that a Constant node makes, None for other nodes and for values that are no numbers."""
    if node.op_type != "Constant" or node.domain or len(node.attribute) != 1 or len(node.output) != 1:
        return None
    (attribute,) = node.attribute
    if attribute.name == "value":
        return attribute.t
    dtype = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in dtype:
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), dtype[attribute.name]))


def _static_shape(value: onnx.ValueInfoProto) -> list[int] | None:
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return sizes if sizes and all(n > 0 for n in sizes) else None


def _type_name(data_type: int) -> str:
    names = {number: name for name, number in TensorProto.DataType.items()}
    return str(names.get(data_type, f"type {data_type}")).lower()


def _integer(text: Any) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    return number if number >= 0 else None
