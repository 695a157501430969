"""A process that runs one TFLite model in LiteRT: `python -m mbgen.litert_process MODEL [INDEX ...]`.

It stands alone because LiteRT ends the process it is in where it meets what its kernels do not allow. For each pickled
pair of an input and known tensors on standard input, it writes a pickled pair to standard output: the tensors of the
given indices, each computed from the known ones nearest before it, and the output of the model as it is. Knows LiteRT
only.
"""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from typing import Any, BinaryIO

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def cut(model: bytes, indices: list[int]) -> tuple[bytes, dict[int, int]]:
    """The model with every operator reading each of the tensors from an input of its own; the inputs by tensor."""
    parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    (graph,) = parsed.subgraphs
    given: dict[int, int] = {}
    for index in indices:
        readers = [operator for operator in graph.operators if index in operator.inputs]
        if readers:
            given[index] = len(graph.tensors)
            tensor = copy.copy(graph.tensors[index])
            tensor.buffer = 0  # the schema's buffer without data
            graph.tensors.append(tensor)
        for operator in readers:
            operator.inputs = [given.get(place, place) if place == index else place for place in operator.inputs]
    graph.inputs = [*graph.inputs, *given.values()]
    builder = flatbuffers.Builder(len(model))
    builder.Finish(parsed.Pack(builder), b"TFL3")
    return bytes(builder.Output()), given


def start(model: bytes) -> Any:
    """An interpreter with the reference kernels that keeps every tensor."""
    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    return interpreter


def serve(model: bytes, indices: list[int], source: BinaryIO, sink: BinaryIO) -> None:
    """Answer inputs until there are no more."""
    whole = start(model)
    pieces_model, given = cut(model, indices)
    pieces = start(pieces_model)
    (entry,), (exit_,) = whole.get_input_details(), whole.get_output_details()
    shapes = {tensor["index"]: tensor["shape"] for tensor in pieces.get_input_details()}
    while True:
        try:
            image, known = pickle.load(source)
        except EOFError:
            return
        for interpreter in (whole, pieces):
            interpreter.set_tensor(entry["index"], image)
        for index, place in given.items():
            pieces.set_tensor(place, known[index].reshape(shapes[place]))
        whole.invoke()
        pieces.invoke()
        found = {index: pieces.get_tensor(index) for index in indices}
        pickle.dump((found, whole.get_tensor(exit_["index"])), sink)
        sink.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]).read_bytes(), [int(index) for index in sys.argv[2:]], sys.stdin.buffer, sys.stdout.buffer)
