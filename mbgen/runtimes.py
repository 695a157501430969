"""The models' own runtimes: what LiteRT and ONNX Runtime compute, value by value, to compare with.

A model is cut at the values asked for: each is computed from those that the caller knows, so that what is wrong with
one is not passed on to the next. Knows model files and these two runtimes. May not know libraries, graphs or what a
difference means.
"""

from __future__ import annotations

import importlib.metadata
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mbgen.errors import InputError, MissingToolError
from mbgen.graph import Array, Shape

if TYPE_CHECKING:
    import onnx
    import onnxruntime

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


Values = dict[str, Array]


@dataclass(frozen=True)
class Runtime:
    """A model ready to run.

    `values(image, known)` takes an input, NHWC with a batch of 1, and every value asked for as the caller knows it, by
    name and in the library's layout. It gives the same values, each computed from the known ones nearest before it, and
    the output of the model as it is.
    """

    title: str  # the runtime and its version, for people
    values: Callable[[Array, Values], tuple[Values, Array]]


def _version(package: str, purpose: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise MissingToolError(f"{package} is not installed; {purpose} needs it: pip install {package}") from None


# --- LiteRT --------------------------------------------------------------------------------------------------------


@contextmanager
def litert(model: bytes, names: Sequence[str]) -> Iterator[Runtime]:
    """LiteRT's reference kernels, in a process of their own; `names` are indices of the file's tensors, in decimal.

    Raises MissingToolError without LiteRT, InputError where it cannot run the model.
    """
    version = _version("ai-edge-litert", "comparing with a TFLite model")
    with tempfile.TemporaryDirectory(prefix="mbgen-") as folder:
        path, log = Path(folder, "model.tflite"), Path(folder, "log")
        path.write_bytes(model)
        with (
            log.open("wb") as errors,
            subprocess.Popen(
                [sys.executable, "-m", "mbgen.litert_process", str(path), *names],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            source, sink = process.stdout, process.stdin

            def values(image: Array, known: Values) -> tuple[Values, Array]:
                try:
                    pickle.dump((image, {int(name): known[name] for name in names}), sink)
                    sink.flush()
                    found, output = pickle.load(source)
                except (OSError, EOFError, pickle.UnpicklingError) as error:  # the process has ended
                    raise InputError(_litert_failure(process.wait(), log)) from error
                return {name: found[int(name)] for name in names}, output

            try:
                yield Runtime(f"LiteRT {version}, reference kernels", values)
            finally:
                process.kill()


def _litert_failure(exit_code: int, log: Path) -> str:
    if exit_code < 0:
        return (
            f"LiteRT crashed on this input (signal {-exit_code}); its 8-bit softmax does where 512 or more classes are "
            "nearly equal: leave that input out"
        )
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"LiteRT cannot run the model: {' '.join(lines[-1:]) or 'it gives no reason'}"


# --- ONNX Runtime --------------------------------------------------------------------------------------------------


@contextmanager
def onnx_runtime(model: bytes, shapes: Mapping[str, Shape], example: Array) -> Iterator[Runtime]:
    """ONNX Runtime, the operators one by one; `shapes` are the values wanted by name, with their shapes as NHWC.

    `example` is any input. The fused kernels are not used: those for uint8 saturate sums of two products at 16 bits on
    x86 without VNNI. Raises MissingToolError without ONNX Runtime, InputError where it cannot run the model.
    """
    title = f"ONNX Runtime {_version('onnxruntime', 'comparing with an ONNX model')}"
    import onnx

    parsed = onnx.load_from_string(model)
    output = parsed.graph.output[0].name
    inner = sorted(shapes.keys() - {output})
    parsed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in inner)
    whole = _session(parsed)
    entry = whole.get_inputs()[0]
    first = whole.run(inner, {entry.name: _in_file(example, entry.shape)}) if inner else []
    given = _cut(parsed, dict(zip(inner, first, strict=True)))
    pieces = _session(parsed)

    def values(image: Array, known: Values) -> tuple[Values, Array]:
        try:
            feeds = {entry.name: _in_file(image, entry.shape)}
            cuts = {place: _in_file(known[name], shape) for name, (place, shape) in given.items()}
            found = pieces.run(list(shapes), feeds | cuts)
            by_name = {name: _in_library(value, shapes[name]) for name, value in zip(shapes, found, strict=True)}
            return by_name, whole.run([output], feeds)[0]
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise InputError(f"ONNX Runtime cannot run the model: {error}") from error

    yield Runtime(title, values)


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the library runs beside it
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InputError(f"ONNX Runtime cannot load the model: {error}") from error


def _cut(model: onnx.ModelProto, values: Values) -> dict[str, tuple[str, Shape]]:
    """Let all nodes read each value from an input of its own; its name and shape in the file, by value."""
    import onnx

    read = {name for node in model.graph.node for name in node.input}
    given = {name: (f"{name}/given", value.shape) for name, value in values.items() if name in read}
    for name, (place, shape) in given.items():
        dtype = onnx.helper.np_dtype_to_tensor_dtype(values[name].dtype)
        model.graph.input.append(onnx.helper.make_tensor_value_info(place, dtype, shape))
    for node in model.graph.node:
        node.input[:] = [given[name][0] if name in given else name for name in node.input]
    return given


def _in_file(value: Array, shape: Sequence[int]) -> Array:
    """A value of the library in the file's layout, which is NCHW but where the model turns its image round itself."""
    if value.ndim == 4 and value.transpose(TO_NCHW).shape == tuple(shape):
        return value.transpose(TO_NCHW)
    return value.reshape(shape)


def _in_library(value: Array, shape: Shape) -> Array:
    """A value of the file in the library's layout, NHWC."""
    if value.ndim == 4 and value.transpose(TO_NHWC).shape == shape:
        return value.transpose(TO_NHWC)
    return value.reshape(shape)
