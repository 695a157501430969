"""How long mbgen's libraries for this machine take, beside the runtimes that people use: `make bench-peers`.

    python -m scripts.bench_peers [--models float32:1.0/224,int8:0.25/96] [--threads 2] [--clock cpu] [--json FILE]

Run it from the repository. Each runtime has a process of its own, bound to the same cores, and they take turns: what
else the machine does meets all of them alike. docs/peers.md explains what is compared with what.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from mbgen.errors import MbgenError
from mbgen.graph import Graph, Quantization, Softmax
from mbgen.importers import import_onnx
from mbgen.library import Network, render
from mbgen.library.write import write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model, read_builtin
from scripts.ncnn_export import to_ncnn
from scripts.peers import PEERS, Array, Files

DEFAULT_MODELS = "float32:1.0/224,float32:0.25/96,int8:1.0/224,int8:0.25/96,int8:0.25/128"
TURN_SECONDS = 0.06  # of one runtime, before the next has its turn
WARM_UP_RUNS = 3  # at the start of a turn, since the turns before have emptied the caches; their times do not count
# of a runtime's output with mbgen's: other rounding in 28 layers of random weights, and still far above another image's
LEAST_CORRELATION = {"float32": 0.999, "int8": 0.85}
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Model:
    """A built-in MobileNet V1."""

    dtype: str
    alpha: float
    resolution: int

    def __str__(self) -> str:
        return f"{self.dtype} {self.alpha:g}/{self.resolution}"


@dataclass(frozen=True)
class Result:
    """One runtime's times for one model, in milliseconds; `ratio` is to the median of the fastest peer."""

    model: str
    runtime: str
    version: str
    median: float
    p95: float
    least: float
    runs: int
    ratio: float | None


def parse_models(text: str) -> list[Model]:
    """`float32:1.0/224,int8:0.25/96`; ValueError where a model is none."""
    models = []
    for part in text.split(","):
        found = re.fullmatch(r"(float32|int8):(\d+(?:\.\d+)?)/(\d+)", part.strip())
        if found is None:
            raise ValueError(f"{part!r} is no model; write for example int8:0.25/96 (type, alpha, resolution)")
        models.append(Model(found[1], float(found[2]), int(found[3])))
    return models


def turn_length(seconds: float) -> int:
    """Inferences in one turn for a runtime that takes so many seconds for one."""
    return max(3, round(TURN_SECONDS / max(seconds, 1e-6)))


def results(model: Model, times: Mapping[str, Sequence[float]]) -> list[Result]:
    """Statistics of each runtime's seconds, the fastest first; mbgen is no peer of itself."""
    medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
    fastest = min((median for name, median in medians.items() if name != "mbgen"), default=None)
    return [
        Result(
            str(model),
            name,
            PEERS[name].version or "?",
            medians[name] * 1e3,
            float(np.percentile(times[name], 95)) * 1e3,
            min(times[name]) * 1e3,
            len(times[name]),
            None if fastest is None else medians[name] / fastest,
        )
        for name in sorted(medians, key=medians.__getitem__)
    ]


HEAD = f"{'model':<18} {'runtime':<30} {'median ms':>9} {'p95':>9} {'least':>9} {'of fastest peer':>16}"


def table(found: Sequence[Result]) -> str:
    """The results as text below HEAD, one line a runtime."""
    lines = []
    for one in found:
        runtime = f"{PEERS[one.runtime].title} {one.version}"
        ratio = "-" if one.ratio is None else f"{one.ratio:.3f}"
        numbers = f"{one.median:>9.3f} {one.p95:>9.3f} {one.least:>9.3f} {ratio:>16}"
        lines.append(f"{one.model:<18} {runtime:<30} {numbers}")
    return "\n".join(lines)


# --- the networks --------------------------------------------------------------------------------------------------


def prepare(model: Model, threads: int, folder: Path) -> Files:
    """Compile and build mbgen's library, and write the same network for each runtime."""
    options = CompileOptions("host", alpha=model.alpha, resolution=model.resolution, dtype=model.dtype, threads=threads)
    network = compile_model(options, lambda *_: None)
    write(render(network), folder / "library")
    build(network, folder / "library", folder / "library.so")
    content = network.reference[1] if network.reference is not None else b""
    (folder / "model.onnx").write_bytes(content)
    write_tflite(model, options, content, folder / "model.tflite")
    if model.dtype == "float32":
        files = to_ncnn(read_builtin(options).graph)
        (folder / "model.param").write_text(files.param)
        (folder / "model.bin").write_bytes(files.bin)
    np.save(folder / "input.npy", network.test_input.reshape(network.input.shape))
    return Files(folder, network.name, network.arena_bytes, network.output.elements)


def build(network: Network, source: Path, target: Path) -> None:
    """The library as a shared object, with the flags that it asks for."""
    sources = sorted((source / "src").glob("*.c"))
    folders = [f"-I{source / name}" for name in ("include", "src")]
    command: list[str | Path] = [
        network.target.compiler,
        *network.target.c_flags,
        "-std=c99",
        "-shared",
        "-fPIC",
        *folders,
        *sources,
    ]
    subprocess.run([*command, "-o", target], check=True)


def write_tflite(model: Model, options: CompileOptions, onnx: bytes, path: Path) -> None:
    """The network for LiteRT, with the exporter that the tests use; nothing where that one is not installed."""
    try:
        from tests.support.tflite_export import to_tflite
    except ImportError:
        return
    if model.dtype == "float32":
        path.write_bytes(to_tflite(read_builtin(options).graph))
    else:
        path.write_bytes(to_tflite(with_tflite_softmax(import_onnx(onnx, "the quantised model"))))


def with_tflite_softmax(graph: Graph) -> Graph:
    """The graph with the one quantisation that TFLite allows a softmax to give."""
    if not isinstance(graph.layers[-1], Softmax):
        return graph
    output = replace(graph.tensors[graph.output], quantization=Quantization((1 / 256,), (-128,)))
    return replace(graph, tensors={**graph.tensors, output.name: output})


# --- turns ---------------------------------------------------------------------------------------------------------


def serve(connection: Connection, name: str, files: Files, threads: int, cpus: set[int], clock: str) -> None:
    """A runtime's process: load, give the output of one inference, then the times of as many as are asked for."""
    os.sched_setaffinity(0, cpus)
    now = CLOCKS[clock]
    try:
        loaded = PEERS[name].load(files, threads)
        loaded.run()
        connection.send(loaded.output())
    except Exception as error:  # whatever a runtime raises, the others go on
        connection.send(f"{type(error).__name__}: {error}")
        return
    while True:
        count = connection.recv()
        if count == 0:
            return
        for _ in range(WARM_UP_RUNS):
            loaded.run()
        times = []
        for _ in range(count):
            start = now()
            loaded.run()
            times.append(now() - start)
        connection.send(times)


@contextlib.contextmanager
def process(name: str, *settings: Any) -> Iterator[Connection]:
    """The process of one runtime and the connection to it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=serve, args=(there, name, *settings), daemon=True)
    child.start()
    there.close()
    try:
        yield here
    finally:
        with contextlib.suppress(OSError):
            here.send(0)
        child.join(10)
        if child.is_alive():
            child.kill()


def measure(model: Model, files: Files, names: Sequence[str], settings: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of every inference by runtime, taken in turns; one that fails or computes something else is left out."""
    cpus = set(sorted(os.sched_getaffinity(0))[-settings.threads :])
    times: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        started = {}
        outputs: dict[str, Array] = {}
        for name in names:
            connection = stack.enter_context(process(name, files, settings.threads, cpus, settings.clock))
            answer = connection.recv()
            if isinstance(answer, str):
                print(f"{model}: {PEERS[name].title} failed: {answer}", file=sys.stderr)
                continue
            started[name], outputs[name] = connection, answer
        counts = {}
        for name, connection in started.items():
            correlation = np.corrcoef(outputs[name].astype(float), outputs["mbgen"].astype(float))[0, 1]
            if not correlation >= LEAST_CORRELATION[model.dtype]:
                print(
                    f"{model}: {PEERS[name].title} gives another output ({correlation:.4f}): left out", file=sys.stderr
                )
                continue
            connection.send(3)
            counts[name] = turn_length(min(connection.recv()))
            times[name] = []
        for turn in range(settings.turns):
            for name in [*counts][:: 1 if turn % 2 == 0 else -1]:
                started[name].send(counts[name])
                times[name] += started[name].recv()
    return times


def cpu_name() -> str:
    """The processor as Linux calls it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "unknown"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="mbgen's libraries for this machine beside other runtimes")
    parser.add_argument("--models", default=DEFAULT_MODELS, type=parse_models, help=f"default: {DEFAULT_MODELS}")
    parser.add_argument("--runtimes", default=",".join(PEERS), help="default: all that are installed")
    parser.add_argument("--threads", default=1, type=int)
    parser.add_argument("--turns", default=30, type=int, help="of each runtime")
    parser.add_argument("--clock", default="wall", choices=CLOCKS, help="cpu: for one thread on a busy machine")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    settings = parser.parse_args()

    wanted = ["mbgen", *(name for name in settings.runtimes.split(",") if name != "mbgen")]
    missing = [name for name in wanted if PEERS[name].version is None]
    for name in missing:
        print(f"{PEERS[name].title} is not installed: pip install {PEERS[name].package}", file=sys.stderr)
    found: list[Result] = []
    print(f"{cpu_name()}, {settings.threads} thread(s), {settings.clock} time", file=sys.stderr)
    print(HEAD, flush=True)
    for model in settings.models:
        names = [name for name in wanted if name not in missing and model.dtype in PEERS[name].dtypes]
        with tempfile.TemporaryDirectory(prefix="mbgen-") as folder:
            try:
                files = prepare(model, settings.threads, Path(folder))
            except MbgenError as error:
                print(f"{model}: {error}", file=sys.stderr)
                return 1
            found += results(model, measure(model, files, names, settings))
        print(table([one for one in found if one.model == str(model)]), flush=True)
    if settings.json is not None:
        head = {"cpu": cpu_name(), "threads": settings.threads, "clock": settings.clock}
        settings.json.write_text(json.dumps({**head, "results": [asdict(one) for one in found]}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
