"""The normal form is read operator by operator; what TVM may give beyond it is refused with the file's node."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tvm import relax, tirx

from mbgen.errors import UnsupportedError
from mbgen.graph import Graph, Numerics, Softmax
from mbgen.importers.assembly import NHWC
from mbgen.importers.relax import Origin, to_graph

Body = Callable[[relax.BlockBuilder, relax.Var], relax.Expr]


def graph_of(body: Body, shape: tuple[object, ...] = (1, 4, 4, 3)) -> Graph:
    """The Graph of a function of one float32 image whose result the file calls `result`, made by its `node`."""
    builder, image = relax.BlockBuilder(), relax.Var("image", relax.TensorType(shape, "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            result = builder.emit(body(builder, image))
            output = builder.emit_output(result)
        builder.emit_func_output(output)
    origins = {image: Origin("image", "the input"), result: Origin("result", "node 'last'")}
    return to_graph(builder.get()["main"], origins, Numerics.TFLITE, NHWC, "net")


def message(body: Body, shape: tuple[object, ...] = (1, 4, 4, 3)) -> str:
    with pytest.raises(UnsupportedError) as caught:
        graph_of(body, shape)
    return str(caught.value)


def test_a_function_of_one_operator() -> None:
    graph = graph_of(lambda _, x: relax.op.nn.softmax(x))
    (layer,) = graph.layers
    assert isinstance(layer, Softmax)
    assert (layer.name, layer.source, graph.numerics) == ("softmax_1", "result", Numerics.FLOAT32)


def test_bindings_that_the_result_does_not_need_are_not_read() -> None:
    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        builder.emit(relax.op.tanh(x))
        return relax.op.nn.relu(relax.op.nn.softmax(x))

    assert [layer.name for layer in graph_of(body).layers] == ["softmax_1", "clip_1"]


def test_other_operators_are_refused() -> None:
    assert message(lambda _, x: relax.op.tanh(x)) == (
        "net: node 'last': TVM turns it into relax.tanh, which mbgen does not compile; "
        "replace the operator in the model"
    )


def test_other_expressions_are_refused() -> None:
    assert message(lambda _, x: relax.Tuple([x, x])) == (
        "net: node 'last': TVM turns it into Tuple, which mbgen does not compile; replace the operator in the model"
    )


def test_a_dynamic_shape_is_refused() -> None:
    size = tirx.Var("size", "int64")
    assert message(lambda _, x: relax.op.nn.relu(x), (1, size, size, 3)) == (
        "net: the input: its shape is dynamic; export the model with fixed shapes"
    )


def test_a_cast_of_real_numbers_is_refused() -> None:
    assert message(lambda _, x: relax.op.astype(x, "int32")) == (
        "net: node 'last': it casts float32 to int32; remove the cast"
    )


def test_batch_norm_in_training_is_refused() -> None:
    def body(builder: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        channel = relax.const(np.ones(3, np.float32))
        normal = relax.op.nn.batch_norm(x, channel, channel, channel, channel, axis=3, training=True)
        return relax.TupleGetItem(builder.emit(normal), 0)

    assert message(body) == ("net: node 'last': it normalises as in training; export the model for inference")
