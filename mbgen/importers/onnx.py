"""ONNX files through TVM Relax's frontend to the Graph.

Knows TVM's ONNX frontend. The file's own form is `onnx_file`'s affair, Relax's form `relax`'s.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

from tvm import ir, relax
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter

from mbgen.errors import InputError, MbgenError, UnsupportedError
from mbgen.graph import Graph, Numerics
from mbgen.importers.assembly import NCHW
from mbgen.importers.files import first_line
from mbgen.importers.onnx_file import MAX_WINDOW, OnnxFile, node_name, read
from mbgen.importers.relax import Origin, abandon, to_graph


def import_onnx(content: bytes, where: str) -> Graph:
    """The Graph of an ONNX model; each layer's `source` is the name of the value that its output equals.

    Values of four dimensions lie in the Graph as NHWC whatever their layout in the file; those with a `source` are NCHW
    there. Raises InputError or UnsupportedError naming `where`, which is how messages call the file.
    """
    file = read(content, where)
    importer = _Importer(file, where)
    try:
        # TVM prints what it fails on, and warns about what it works around
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main = importer.from_onnx(file.model.graph, file.opset)["main"]
    except MbgenError:
        abandon(importer.bb)
        raise
    except Exception as error:  # TVM raises what it likes
        raise InputError(f"{where}: TVM cannot import the model ({first_line(error)}); export it again") from error
    nodes = {name: node_name(node) for node in file.model.graph.node for name in node.output}
    origins: dict[relax.Var, Origin] = {}
    for name, value in importer.values.items():
        if isinstance(value, relax.Var):
            origins.setdefault(value, Origin(name, nodes.get(name, "the input")))
    return to_graph(main, origins, Numerics.QDQ, NCHW, where)


class _Importer(ONNXGraphImporter):  # type: ignore[misc]
    """TVM's importer with each node's result bound to a variable, and plain Relax operators where TVM emits loops."""

    def __init__(self, file: OnnxFile, where: str) -> None:
        super().__init__({}, {}, sanitize=False)
        self.where = where
        self.remaining = iter(file.model.graph.node)

    @property
    def values(self) -> dict[str, relax.Expr]:
        """The file's values by name."""
        return self._nodes  # type: ignore[no-any-return]

    def _convert_operator(self, op_name: str, inputs: Any, attrs: dict[str, Any], opset: int) -> relax.Expr:
        node = node_name(next(self.remaining))
        try:
            if op_name in ("Conv", "AveragePool"):
                attrs = _with_pads(attrs, inputs)
            result = (
                CONVERTERS[op_name](inputs, attrs)
                if op_name in CONVERTERS
                else super()._convert_operator(op_name, inputs, attrs, opset)
            )
            if isinstance(result, relax.Tuple):
                return relax.Tuple([self.bb.emit(field) for field in result.fields])
            return self.bb.emit(result) if isinstance(result, relax.Call) else result
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.where}: {node}: {error}") from None
        except Exception as error:  # TVM raises what it likes
            raise InputError(
                f"{self.where}: {node}: TVM cannot import it ({first_line(error)}); the file is damaged or the "
                "operator is used in a way that mbgen does not know"
            ) from error


def _clip(inputs: Any, attrs: dict[str, Any]) -> relax.Expr:
    """Bounds are attributes up to operator set 10, inputs from 11."""
    low = attrs.get("min", -float("inf")) if inputs[1] is None else _number(inputs[1], "lower bound")
    high = attrs.get("max", float("inf")) if inputs[2] is None else _number(inputs[2], "upper bound")
    return relax.op.clip(inputs[0], float(low), float(high))


def _pad(inputs: Any, attrs: dict[str, Any]) -> relax.Expr:
    """Paddings are an attribute up to operator set 10, an input from 11; before all axes, then behind all axes."""
    rank = len(inputs[0].ty.shape)
    pads = [int(n) for n in attrs["pads"]] if inputs[1] is None else _integers(inputs[1], "paddings")
    axes = list(range(rank)) if inputs[3] is None else [axis % rank for axis in _integers(inputs[3], "axes")]
    value = attrs.get("value", 0.0) if inputs[2] is None else _number(inputs[2], "value")
    if len(pads) != 2 * len(axes) or not all(0 <= n <= MAX_WINDOW for n in pads):
        raise UnsupportedError(f"its paddings are {pads}; mbgen compiles paddings from 0 to {MAX_WINDOW}")
    widths = [0] * (2 * rank)
    for axis, before, behind in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[2 * axis : 2 * axis + 2] = before, behind
    return relax.op.nn.pad(inputs[0], widths, attrs.get("mode", b"constant").decode(), float(value))


def _dropout(inputs: Any, attrs: dict[str, Any]) -> relax.Expr:
    if inputs[2] is not None and _number(inputs[2], "training mode"):
        raise UnsupportedError("it drops values as in training; export the model for inference")
    return inputs[0]


CONVERTERS = {"Clip": _clip, "Dropout": _dropout, "Pad": _pad}


def _with_pads(attrs: dict[str, Any], inputs: Any) -> dict[str, Any]:
    """`auto_pad` as explicit paddings: TVM would put a padding of its own before the operator."""
    mode = attrs.pop("auto_pad", b"NOTSET").decode()
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        return attrs | {"pads": (0, 0, 0, 0)} if mode == "VALID" else attrs
    sizes = [int(n) for n in inputs[0].ty.shape][2:]
    kernel = attrs.get("kernel_shape") or [int(n) for n in inputs[1].ty.shape][2:]
    before, behind = [], []
    for size, k, stride, dilation in zip(
        sizes, kernel, attrs.get("strides", (1, 1)), attrs.get("dilations", (1, 1)), strict=True
    ):
        positions = -(-size // stride)
        total = max((positions - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        before.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
        behind.append(total - before[-1])
    return attrs | {"pads": (*before, *behind)}


def _number(value: relax.Expr, role: str) -> float:
    numbers = _constant(value, role)
    if numbers.size != 1 or numbers.reshape(-1)[0] != numbers.reshape(-1)[0]:
        raise UnsupportedError(f"its {role} is not one number; export the model with a constant {role}")
    return float(numbers.reshape(-1)[0])


def _integers(value: relax.Expr, role: str) -> list[int]:
    return [int(n) for n in _constant(value, role).reshape(-1)]


def _constant(value: relax.Expr, role: str) -> Any:
    if not isinstance(value, ir.GenericConst):
        raise UnsupportedError(f"its {role} is computed, not constant; export the model with a constant {role}")
    return value.value.numpy()
