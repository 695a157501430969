"""A process that runs one TFLite model in LiteRT: `python -m mbgen.litert_process MODEL [INDEX ...]`.

It stands alone because LiteRT ends the process it is in where it meets what its kernels do not allow. For each pickled
array on standard input it writes a pickled list of arrays to standard output: the tensors of the given indices, then
the network's output. Knows LiteRT only.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import BinaryIO

from ai_edge_litert.interpreter import Interpreter, OpResolverType


def serve(model: Path, indices: list[int], source: BinaryIO, sink: BinaryIO) -> None:
    """Answer inputs until there are no more."""
    interpreter = Interpreter(
        model_path=str(model),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    while True:
        try:
            image = pickle.load(source)
        except EOFError:
            return
        interpreter.set_tensor(entry["index"], image)
        interpreter.invoke()
        pickle.dump([interpreter.get_tensor(index) for index in (*indices, exit_["index"])], sink)
        sink.flush()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), [int(index) for index in sys.argv[2:]], sys.stdin.buffer, sys.stdout.buffer)
