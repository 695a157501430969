"""Which alpha and which resolution fit a budget: the paper's own question (section 3.3 and 3.4), answered for one core.

Plans every network of the grid as `compile` would, with made-up weights, and predicts its time. May not know lowering.
"""

from __future__ import annotations

import csv
import itertools
import math
import shlex
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from mbgen import mobilenet
from mbgen.costs import predict
from mbgen.errors import InputError, MissingToolError, RefusedError
from mbgen.graph import NO_CLAMP, Array, Graph, Numerics, Quantization, Tensor, WeightedLayer, macs
from mbgen.library import Network, arena_bytes, render, write
from mbgen.mobilenet import MobileNetV1
from mbgen.options import CompileOptions, Optimize
from mbgen.pipeline import DEFAULT_CLASSES, chosen_plan, compile_model
from mbgen.report.listing import read_listing
from mbgen.target import Target, load_target
from mbgen.toolchain import require

Progress = Callable[[str, int, int], None]

OBJECTIVES: tuple[Optimize, ...] = ("speed", "flash", "ram")
ALPHAS = (0.25, 0.5, 0.75, 1.0)
RESOLUTIONS = (96, 128, 160, 192, 224)

# ImageNet top-1 of the released networks, float and quantised (tensorflow/models, research/slim/nets/mobilenet_v1.md)
PUBLISHED: Mapping[tuple[float, int], tuple[float, float]] = MappingProxyType(
    {
        (1.0, 224): (70.9, 69.7),
        (1.0, 192): (70.0, 69.0),
        (1.0, 160): (68.0, 67.3),
        (1.0, 128): (65.2, 64.0),
        (0.75, 224): (68.4, 67.9),
        (0.75, 192): (67.2, 66.2),
        (0.75, 160): (65.3, 63.9),
        (0.75, 128): (62.1, 59.8),
        (0.5, 224): (63.3, 62.2),
        (0.5, 192): (61.7, 60.4),
        (0.5, 160): (59.1, 57.7),
        (0.5, 128): (56.3, 54.9),
        (0.25, 224): (49.8, 48.2),
        (0.25, 192): (47.7, 45.8),
        (0.25, 160): (45.5, 43.5),
        (0.25, 128): (41.5, 39.9),
    }
)

# constants that a layer has for each output channel beside its weights: a bias and, quantised, a factor
CHANNEL_BYTES = {"int8": 8, "float32": 4}


@dataclass(frozen=True)
class Budget:
    """What is at hand, None for no limit: bytes, seconds; and the accuracy that is asked for, in percent."""

    ram: int | None = None
    flash: int | None = None
    latency: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One network of the grid. `accuracy` in percent, None where nobody has published or given it.

    `arena` is exact for `--optimize speed`; `flash` is the least that constants can be: code comes on top, and kernels
    that pack their weights take more. `cost` is predicted in `unit`, to about `error`; `latency` in seconds where the
    target has a clock.
    """

    alpha: float
    resolution: int
    dtype: str
    macs: int
    accuracy: float | None
    arena: int
    flash: int
    cost: float | None
    unit: str | None
    error: float | None
    latency: float | None
    fits: bool
    frontier: bool  # no other candidate is better in accuracy and at least as good in cost


@dataclass(frozen=True)
class Exploration:
    """All candidates, the cheapest first."""

    target: str
    dtype: str
    classes: int
    budget: Budget
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Choice:
    """The best candidate that fits, as it was compiled: bytes of its arena, constants and code, and the line for it.

    `code` is None where the target's compiler is not installed.
    """

    candidate: Candidate
    arena: int
    constants: int
    code: int | None
    line: str


def explore(
    target_name: str,
    dtype: str | None,
    budget: Budget,
    classes: int,
    accuracies: Mapping[tuple[float, int], float] | None,
    progress: Progress,
) -> Exploration:
    """The grid on one core. `accuracies` replaces the published ones and then is the grid itself. Raises InputError."""
    target = load_target(target_name)
    chosen = dtype or ("int8" if target.is_microcontroller else "float32")
    grid = sorted(accuracies) if accuracies else list(itertools.product(ALPHAS, RESOLUTIONS))
    made = []
    for index, (alpha, resolution) in enumerate(grid):
        progress("planning", index, len(grid))
        net = MobileNetV1(alpha, resolution, classes)
        accuracy = accuracies[alpha, resolution] if accuracies else _published(alpha, resolution, chosen)
        made.append(_candidate(net, chosen, accuracy, target, budget))
    progress("done", len(grid), len(grid))
    ordered = tuple(sorted(_with_frontier(made), key=lambda one: (one.cost or one.macs, one.macs)))
    return Exploration(target.name, chosen, classes, budget, ordered)


def _published(alpha: float, resolution: int, dtype: str) -> float | None:
    pair = PUBLISHED.get((alpha, resolution))
    return None if pair is None else pair[1 if dtype == "int8" else 0]


def _candidate(net: MobileNetV1, dtype: str, accuracy: float | None, target: Target, budget: Budget) -> Candidate:
    graph = stand_in(net, dtype)
    ram = budget.ram if budget.ram is not None else target.ram
    room = budget.flash if budget.flash is not None else target.flash
    planned = chosen_plan(graph, "speed", ram, room, target)
    arena = arena_bytes(planned, target)
    predicted = predict(target.name, graph, planned)
    seconds = None
    if predicted is not None and predicted.unit == "cycles~" and target.clock_hz is not None:
        seconds = predicted.cost / target.clock_hz
    flash = constant_bytes(graph, dtype)
    limits = (
        (ram, arena),
        (room, flash),
        (budget.latency, math.inf if seconds is None else seconds),
        (None if budget.accuracy is None else -budget.accuracy, -(accuracy if accuracy is not None else -math.inf)),
    )
    return Candidate(
        alpha=net.alpha,
        resolution=net.resolution,
        dtype=dtype,
        macs=sum(macs(layer, graph) for layer in graph.layers),
        accuracy=accuracy,
        arena=arena,
        flash=flash,
        cost=None if predicted is None else predicted.cost,
        unit=None if predicted is None else predicted.unit,
        error=None if predicted is None else predicted.error,
        latency=seconds,
        fits=all(limit is None or value <= limit for limit, value in limits),
        frontier=False,
    )


def _with_frontier(candidates: Sequence[Candidate]) -> Iterable[Candidate]:
    for one in candidates:
        price = one.cost or one.macs
        beaten = one.accuracy is None or any(
            other.accuracy is not None
            and one.accuracy is not None
            and (other.cost or other.macs) <= price
            and (other.accuracy, -(other.cost or other.macs)) > (one.accuracy, -price)
            for other in candidates
        )
        yield replace(one, frontier=not beaten)


def choose(exploration: Exploration, progress: Progress) -> Choice | None:
    """The most accurate candidate whose library fits, found by compiling from the best down; None if none does.

    Where no accuracy is known, the one with the most multiply-accumulates stands for the most accurate.
    """
    target, budget = load_target(exploration.target), exploration.budget
    fitting = [one for one in exploration.candidates if one.fits]
    ranked = sorted(fitting, key=lambda one: (one.accuracy or 0.0, one.accuracy is None, one.macs), reverse=True)
    for candidate in ranked:
        for optimize in OBJECTIVES:
            choice = _compiled(candidate, optimize, target, exploration, progress)
            if choice is None:
                continue
            flash = budget.flash if budget.flash is not None else target.flash
            if flash is None or choice.constants + (choice.code or 0) <= flash:
                return choice
    return None


def _compiled(
    candidate: Candidate, optimize: Optimize, target: Target, exploration: Exploration, progress: Progress
) -> Choice | None:
    """A candidate compiled for an objective; None if it is refused."""
    options = CompileOptions(
        target=target.name,
        alpha=candidate.alpha,
        resolution=candidate.resolution,
        classes=exploration.classes,
        dtype=candidate.dtype,
        optimize=optimize,
        ram=exploration.budget.ram,
        flash=exploration.budget.flash,
    )
    try:
        network = compile_model(options, progress)
    except RefusedError:
        return None
    line = _line(options)
    return Choice(candidate, network.arena_bytes, network.constant_bytes, _code_bytes(network, target), line)


def _code_bytes(network: Network, target: Target) -> int | None:
    """Machine code of the library's kernels; None where it cannot be built here."""
    try:
        require(target, ["build"])
    except MissingToolError:
        return None
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        write(render(network), Path(name) / "library")
        return sum(read_listing(Path(name) / "library").code_bytes.values())


def _line(options: CompileOptions) -> str:
    words = ["mbgen", "compile", "--target", options.target, "--alpha", f"{options.alpha:g}"]
    words += ["--resolution", str(options.resolution), "--dtype", str(options.dtype)]
    if options.classes != DEFAULT_CLASSES:
        words += ["--classes", str(options.classes)]
    if options.optimize != "speed":
        words += ["--optimize", options.optimize]
    for option, value in (("--ram", options.ram), ("--flash", options.flash)):
        if value is not None:
            words += [option, _size(value)]
    return shlex.join(words)


def _size(value: int) -> str:
    for unit, letter in ((1024 * 1024, "M"), (1024, "K")):
        if value % unit == 0:
            return f"{value // unit}{letter}"
    return str(value)


def read_accuracies(path: Path) -> dict[tuple[float, int], float]:
    """A CSV with the columns alpha, resolution and accuracy (percent) of a user's own networks. Raises InputError."""
    found: dict[tuple[float, int], float] = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            missing = {"alpha", "resolution", "accuracy"} - set(reader.fieldnames or ())
            if missing:
                raise InputError(
                    f"{path}: no column {', '.join(sorted(missing))}; it needs alpha, resolution, accuracy"
                )
            for number, row in enumerate(reader, 2):
                try:
                    point = float(row["alpha"]), int(row["resolution"])
                    found[point] = float(row["accuracy"])
                except (TypeError, ValueError) as error:
                    raise InputError(f"{path}, line {number}: not a number ({error})") from error
                if not 0 <= found[point] <= 100:
                    raise InputError(f"{path}, line {number}: the accuracy {found[point]:g} is not a percentage")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a CSV file ({error})") from error
    if not found:
        raise InputError(f"{path}: holds no networks; give a line for each, with alpha, resolution and accuracy")
    return found


# --- networks with made-up weights ---------------------------------------------------------------------------------


def stand_in(net: MobileNetV1, dtype: str) -> Graph:
    """A network with the shapes and types that `compile` would plan, and weights that stand for any others."""
    shapes = mobilenet.weight_shapes(net)
    ones = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    graph = mobilenet.build(net, ones)
    if dtype == "float32":
        return graph
    tensors = {name: _quantized(tensor, graph) for name, tensor in graph.tensors.items()}
    # the types' own bounds are the clamps, in the outputs' units
    layers = [replace(layer, clamp=NO_CLAMP) if isinstance(layer, WeightedLayer) else layer for layer in graph.layers]
    return Graph(graph.name, Numerics.QDQ, tensors, tuple(layers), graph.input, graph.output)


def _quantized(tensor: Tensor, graph: Graph) -> Tensor:
    if tensor.data is None:
        relu6 = tensor.name not in (graph.input, graph.output, "dense_1")
        zero = -128 if relu6 or tensor.name == graph.output else 0
        return Tensor(tensor.name, tensor.shape, "int8", Quantization((6 / 255,), (zero,)))
    if tensor.name.endswith(".bias"):
        return Tensor(tensor.name, tensor.shape, "int32", None, np.zeros(tensor.shape, np.int32))
    axis = 2 if tensor.name.startswith("depthwise") else 0
    channels = tensor.shape[axis]
    quantization = Quantization((1 / 256,) * channels, (0,) * channels, axis)
    return Tensor(tensor.name, tensor.shape, "int8", quantization, _small_weights(tensor.shape))


def _small_weights(shape: tuple[int, ...]) -> Array:
    """Weights with small sums, as trained ones have: their signs alternate."""
    flat = np.arange(math.prod(shape)) % 7 - 3
    weights: Array = flat.reshape(shape).astype(np.int8)
    return weights


def constant_bytes(graph: Graph, dtype: str) -> int:
    """What a library's constants are at least: weights, and what each output channel has beside them."""
    total = 0
    for layer in graph.layers:
        weights, *_ = (*layer.constants, None)
        if weights is not None:
            tensor = graph.tensors[weights]
            total += tensor.nbytes + graph.layer_output(layer).shape[-1] * CHANNEL_BYTES[dtype]
    return total + (1024 if dtype == "int8" else 0)  # the softmax's table
