"""How each runtime that mbgen is compared with loads a network and runs it once.

Knows the runtimes' own interfaces. May not know how a network was made, or how times are taken.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float32 or int8

ARENA_ALIGNMENT = 64


@dataclass(frozen=True)
class Files:
    """One network in every form that a runtime reads, and its input, NHWC, as `.npy`."""

    folder: Path
    library: str  # the prefix of mbgen's C symbols
    arena_bytes: int
    outputs: int

    @property
    def input(self) -> Array:
        image: Array = np.load(self.folder / "input.npy")
        return image

    def path(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True)
class Loaded:
    """A network that is ready: `run` is one inference, the time of which counts; `output` is what it gave."""

    run: Callable[[], object]
    output: Callable[[], Array]


@dataclass(frozen=True)
class Peer:
    """A runtime. `load` takes the files and the number of threads; `package` is None for mbgen's own code."""

    title: str
    package: str | None
    dtypes: frozenset[str]
    load: Callable[[Files, int], Loaded]

    @property
    def version(self) -> str | None:
        """Of the package that is installed; None where it is not."""
        if self.package is None:
            return importlib.metadata.version("mbgen")
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            return None


def nchw(image: Array) -> Array:
    """An image as ONNX models take it."""
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def load_mbgen(files: Files, threads: int) -> Loaded:
    """The compiled library, called through ctypes; its number of threads was settled when it was compiled."""
    del threads
    image = np.ascontiguousarray(files.input)
    output = np.zeros(files.outputs, image.dtype)
    memory = np.zeros(files.arena_bytes + ARENA_ALIGNMENT, np.int8)
    arena = memory.ctypes.data + -memory.ctypes.data % ARENA_ALIGNMENT
    invoke = getattr(ctypes.CDLL(str(files.path("library.so"))), f"{files.library}_invoke")
    invoke.argtypes = [ctypes.c_void_p] * 3
    places = arena, image.ctypes.data, output.ctypes.data

    def run() -> None:
        if invoke(*places) != 0:
            raise RuntimeError(f"{files.library}_invoke failed")

    def given() -> Array:
        _ = memory, image  # what `places` points into lives as long as this
        return output

    return Loaded(run, given)


def load_onnxruntime(files: Files, threads: int) -> Loaded:
    """ONNX Runtime's CPU provider, input and output bound once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(files.path("model.onnx"), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    image = onnxruntime.OrtValue.ortvalue_from_numpy(nchw(files.input))  # a copy, kept by the binding
    binding.bind_ortvalue_input(session.get_inputs()[0].name, image)
    binding.bind_output(session.get_outputs()[0].name)
    return Loaded(lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0].reshape(-1))


def load_litert(files: Files, threads: int) -> Loaded:
    """LiteRT with its default delegate, XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(files.path("model.tflite")), num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], files.input)
    place = interpreter.get_output_details()[0]["index"]
    return Loaded(interpreter.invoke, lambda: interpreter.get_tensor(place).reshape(-1))


def load_openvino(files: Files, threads: int) -> Loaded:
    """OpenVINO's CPU plugin, one stream for the least latency, float32 kept as it is."""
    import openvino

    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,
    }
    request = core.compile_model(core.read_model(files.path("model.onnx")), "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(nchw(files.input)))

    def run() -> None:
        request.start_async()
        request.wait()

    return Loaded(run, lambda: np.array(request.get_output_tensor().data).reshape(-1))


def load_ncnn(files: Files, threads: int) -> Loaded:
    """ncnn in float32: half precision, which it would take by itself where the processor has it, stays off."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.load_param(str(files.path("model.param")))
    net.load_model(str(files.path("model.bin")))
    image = ncnn.Mat(nchw(files.input)[0]).clone()  # a Mat of its own, not a view of an array that goes
    found: list[Any] = []

    def run() -> None:
        extractor = net.create_extractor()
        extractor.input("input", image)
        found[:] = [extractor.extract("output")[1]]

    return Loaded(run, lambda: np.array(found[0]).reshape(-1))


BOTH = frozenset({"float32", "int8"})
PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        "mbgen": Peer("mbgen", None, BOTH, load_mbgen),
        "onnxruntime": Peer("ONNX Runtime", "onnxruntime", BOTH, load_onnxruntime),
        "litert": Peer("LiteRT (XNNPACK)", "ai-edge-litert", BOTH, load_litert),
        "openvino": Peer("OpenVINO", "openvino", BOTH, load_openvino),
        "ncnn": Peer("ncnn", "ncnn", frozenset({"float32"}), load_ncnn),
    }
)
