"""The models' own runtimes: what LiteRT and ONNX Runtime compute for an input, value by value, to compare with.

Knows model files and these two runtimes. May not know libraries, graphs or what a difference means.
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

from mbgen.errors import InputError, MissingToolError
from mbgen.graph import Array, Shape

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True)
class Runtime:
    """A model ready to run.

    `values` maps an input, NHWC with a batch of 1, to the values asked for, by name, and to the network's output.
    """

    title: str  # the runtime and its version, for people
    values: Callable[[Array], tuple[dict[str, Array], Array]]


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

            def values(image: Array) -> tuple[dict[str, Array], Array]:
                try:
                    pickle.dump(image, sink)
                    sink.flush()
                    *found, output = pickle.load(source)
                    return dict(zip(names, found, strict=True)), output
                except (OSError, EOFError, pickle.UnpicklingError) as error:  # the process has ended
                    raise InputError(_litert_failure(process.wait(), log)) from error

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
def onnx_runtime(model: bytes, shapes: Mapping[str, Shape]) -> Iterator[Runtime]:
    """ONNX Runtime, the operators one by one; `shapes` are the values wanted by name, with their shapes as NHWC.

    Its fused kernels are not used: those for uint8 saturate sums of two products at 16 bits on x86 without VNNI.
    Raises MissingToolError without ONNX Runtime, InputError where it cannot run the model.
    """
    version = _version("onnxruntime", "comparing with an ONNX model")
    import onnx
    import onnxruntime

    described = onnx.load_from_string(model)
    output = described.graph.output[0].name
    names = [output, *sorted(shapes.keys() - {output})]
    described.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names[1:])
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(
            described.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors have no common class of their own
        raise InputError(f"ONNX Runtime cannot load the model: {error}") from error
    (entry,) = session.get_inputs()

    def values(image: Array) -> tuple[dict[str, Array], Array]:
        nchw = image.transpose(TO_NCHW) if image.ndim == 4 else image
        given = nchw if list(nchw.shape) == entry.shape else image
        found = dict(zip(names, session.run(names, {entry.name: given}), strict=True))
        return {name: _as_nhwc(found[name], shape) for name, shape in shapes.items()}, found[output]

    yield Runtime(f"ONNX Runtime {version}", values)


def _as_nhwc(value: Array, shape: Shape) -> Array:
    """A value in the layout of the library; a model turned round by a Transpose may hold some as NHWC already."""
    turned = value.transpose(TO_NHWC) if value.ndim == 4 else value
    return turned if turned.shape == shape else value
