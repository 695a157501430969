"""TFLite files through TVM Relax's frontend to the Graph.

Knows TVM's TFLite frontend. The file's own form is `tflite_file`'s affair, Relax's form `relax`'s.
"""

from __future__ import annotations

from typing import Any

import tflite
from tvm import relax
from tvm.relax.frontend.tflite import from_tflite
from tvm.relax.frontend.tflite.tflite_frontend import OperatorConverter

from mbgen.errors import InputError, MbgenError
from mbgen.graph import NO_CLAMP, Clamp, DType, Graph, Numerics, Quantization
from mbgen.importers.assembly import NHWC
from mbgen.importers.constant import quantized_clamp
from mbgen.importers.files import first_line
from mbgen.importers.relax import Origin, abandon, to_graph
from mbgen.importers.tflite_file import SHAPE_ARITHMETIC, TFLiteFile, read

ACTIVATION_BOUNDS = {
    tflite.ActivationFunctionType.NONE: NO_CLAMP,
    tflite.ActivationFunctionType.RELU: Clamp(low=0.0),
    tflite.ActivationFunctionType.RELU_N1_TO_1: Clamp(-1.0, 1.0),
    tflite.ActivationFunctionType.RELU6: Clamp(0.0, 6.0),
}


def import_tflite(content: bytes, where: str) -> Graph:
    """The Graph of a TFLite file; each layer's `source` is its tensor's index in the file, as decimal text.

    Raises InputError or UnsupportedError naming `where`, which is how messages call the file.
    """
    file = read(content, where)
    main, origins = _to_relax(file, where)
    graph = to_graph(main, origins, Numerics.TFLITE, NHWC, where)
    _check_against_file(graph, file, where)
    return graph


def _to_relax(file: TFLiteFile, where: str) -> tuple[relax.Function, dict[relax.Var, Origin]]:
    """TVM's Relax function, and which of the file's tensors its variables hold."""
    converters = []

    def converter(*args: Any) -> _Converter:
        converters.append(_Converter(file, where, *args))
        return converters[0]

    try:
        main = from_tflite(_NumberedModel(file.model), op_converter=converter)["main"]
    except MbgenError:
        abandon(converters[0].bb)
        raise
    except Exception as error:  # TVM raises what it likes
        raise InputError(f"{where}: TVM cannot import the model ({first_line(error)}); convert it again") from error
    nodes = {op.outputs[0]: str(op) for op in file.operators}
    origins = {
        variable: Origin(name, nodes.get(int(name), "the input"), file.tensors[int(name)].quantization)
        for name, variable in converters[0].exp_tab.exprs.items()
        if isinstance(variable, relax.Var)
    }
    return main, origins


class _Converter(OperatorConverter):  # type: ignore[misc]
    """TVM's converter with each operator's result bound to a variable, and its departures from TFLite put right."""

    def __init__(self, file: TFLiteFile, where: str, *args: Any) -> None:
        super().__init__(*args)
        self.file, self.where = file, where

    def check_unsupported_ops(self) -> None:
        """The file is checked already; TVM's own list leaves out quantised PAD, which it does convert."""

    def convert_op_to_relax(self) -> None:
        for op in self.file.operators:
            if op.kind in SHAPE_ARITHMETIC:
                continue
            try:
                result = self.bb.emit(self.convert_map[op.kind](op=self.subgraph.Operators(op.index)))
            except Exception as error:  # TVM raises what it likes
                raise InputError(
                    f"{self.where}: {op}: TVM cannot import it ({first_line(error)}); the file is damaged or the "
                    "operator is used in a way that mbgen does not know"
                ) from error
            self.exp_tab.set_expr(str(op.outputs[0]), result)

    def convert_reshape(self, op: tflite.Operator) -> relax.Expr:
        """To the shape that the file declares for the output, which saves folding shape arithmetic."""
        return relax.op.reshape(self.get_expr(op.Inputs(0)), self.file.tensors[op.Outputs(0)].shape)

    def convert_fully_connected(self, op: tflite.Operator) -> relax.Expr:
        """TFLite flattens any input to [batch, ic]; TVM would multiply along the last axis."""
        name, shape = str(op.Inputs(0)), self.file.tensors[op.Inputs(0)].shape
        operand = self.get_expr(op.Inputs(0))
        ic = self.file.tensors[op.Inputs(1)].shape[-1]
        self.exp_tab.set_expr(name, relax.op.reshape(operand, (1, ic)), force_override=len(shape) != 2)
        result = super().convert_fully_connected(op)
        self.exp_tab.set_expr(name, operand, force_override=True)
        return relax.op.reshape(result, self.file.tensors[op.Outputs(0)].shape)

    def convert_qnn_fused_activation_function(
        self, expr: relax.Expr, fused_activation_fn: int, scale: float, zero_point: int, dtype: DType
    ) -> relax.Expr:
        """Bounds as TFLite rounds them: TVM divides in double and rounds half to even."""
        q = Quantization((scale,), (zero_point,))
        clamp = quantized_clamp(ACTIVATION_BOUNDS[fused_activation_fn], q, dtype, Numerics.TFLITE)
        return expr if clamp == NO_CLAMP else relax.op.clip(expr, clamp.low, clamp.high)


class _NumberedTensor(tflite.Tensor):  # type: ignore[misc]
    """A tensor named by its index."""

    def __init__(self, tensor: tflite.Tensor, index: int) -> None:
        super().__init__()
        self.Init(tensor._tab.Bytes, tensor._tab.Pos)
        self.index = index

    def Name(self) -> bytes:  # noqa: N802
        return str(self.index).encode()


class _NumberedSubGraph(tflite.SubGraph):  # type: ignore[misc]
    def __init__(self, graph: tflite.SubGraph) -> None:
        super().__init__()
        self.Init(graph._tab.Bytes, graph._tab.Pos)

    def Tensors(self, j: int) -> _NumberedTensor:  # noqa: N802
        return _NumberedTensor(super().Tensors(j), j)


class _NumberedModel(tflite.Model):  # type: ignore[misc]
    """The same file with every tensor named by its index: TVM tells tensors apart by name, TFLite by index."""

    def __init__(self, model: tflite.Model) -> None:
        super().__init__()
        self.Init(model._tab.Bytes, model._tab.Pos)

    def Subgraphs(self, j: int) -> _NumberedSubGraph:  # noqa: N802
        return _NumberedSubGraph(super().Subgraphs(j))


def _check_against_file(graph: Graph, file: TFLiteFile, where: str) -> None:
    """Every layer that names a tensor of the file must have that tensor's shape, type and quantisation."""
    for layer in graph.layers:
        if layer.source:
            tensor, output = file.tensors[int(layer.source)], graph.layer_output(layer)
            if (output.shape, output.dtype, output.quantization) != (tensor.shape, tensor.dtype, tensor.quantization):
                raise InputError(
                    f"{where}: {tensor} is declared {tensor.dtype}{list(tensor.shape)} but its operator makes "
                    f"{output.dtype}{list(output.shape)}, or their quantisation differs; the file is damaged"
                )
