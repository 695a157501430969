"""All that a library is made of: the network as planned and lowered, where it came from, and what it must answer.

Checks that the parts agree with each other, because the C that is written from them cannot. May not know templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from mbgen.costs import Prediction
from mbgen.graph import ITEM_BYTES, Array, Graph, Layer, Reshape, Tensor, macs
from mbgen.kernel import ActivationArgument, Call, Constant, Kernel, LoweredNetwork, Scalar, Tuned, WindowArgument
from mbgen.library.identifiers import check_name
from mbgen.passes.simplify import Removal
from mbgen.plan import Plan
from mbgen.target import Target

Option = str | int | float | bool | None

_FUNCTIONS = ("begin", "push_rows", "finish", "invoke", "self_test")
# other names that the C has
_OWN = ("arena", "status", "rows", "window", "find_rows", "rows_ready", "keep_row", "input_rows", "run")


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Where the model came from. Texts are for people and hold no paths."""

    source: Literal["builtin", "onnx", "tflite"]
    sha256: str | None = None  # of the model file, or of the weights file of the built-in model
    alpha: float | None = None
    resolution: int | None = None
    classes: int | None = None
    weights: str = "the model file's own"
    random_weights: bool = False
    calibration: str | None = None  # what set the activations' ranges, if mbgen quantised the model


def arena_bytes(plan: Plan, target: Target) -> int:
    """What the caller provides: the plan's bytes as a whole number of the target's alignments, and never none."""
    return max(-(-plan.arena_bytes // target.alignment), 1) * target.alignment


@dataclass(frozen=True, eq=False)
class Rewrites:
    """What the exact rewrites took out of the model's own graph.

    `kept` has, for each layer, the channels of the model's layer that are still computed, in order; `macs` the
    multiply-accumulates of each layer of the model, removed ones included.
    """

    removals: tuple[Removal, ...]
    kept: Mapping[str, tuple[int, ...]] = field(repr=False)
    macs: Mapping[str, int] = field(repr=False)

    @classmethod
    def none(cls, graph: Graph) -> Rewrites:
        """Of a graph that is the model's own."""
        channels = {layer.name: graph.layer_output(layer).shape[-1] for layer in graph.layers}
        kept = {name: tuple(range(count)) for name, count in channels.items()}
        return cls((), kept, {layer.name: macs(layer, graph) for layer in graph.layers})

    def gone(self, layer: str) -> int:
        """How many channels of the model's layer are not computed."""
        return sum(removal.channels for removal in self.removals if removal.layer == layer)


@dataclass(frozen=True)
class Place:
    """Where a tensor's bytes are while the network runs: the caller's `input` or `output`, or bytes of the arena.

    The offset is in bytes from the start of the arena.

    Of a tensor that passes through the row pipeline there is one `row` at a time, row q in slot q % slots, and of one
    within a band a `tile`.
    """

    where: Literal["input", "output", "arena", "row", "tile"]
    offset: int = 0
    slots: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Network:
    """What `render` turns into a library. ValueError if its parts contradict each other: a defect in mbgen.

    `test_input` and `test_output` have the elements of the graph's ends; `options` is all that changed the output;
    `reference` is a file name and its content, what `mbgen verify` compares with; `predicted` is what an inference
    should cost, where the core has a cost model.
    """

    name: str
    graph: Graph
    rewrites: Rewrites
    target: Target
    plan: Plan
    lowered: LoweredNetwork
    model: ModelInfo
    options: Mapping[str, Option]
    test_input: Array = field(repr=False)
    test_output: Array = field(repr=False)
    reference: tuple[str, bytes] | None = field(default=None, repr=False)
    predicted: Prediction | None = None
    tuned: tuple[Tuned, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", MappingProxyType(dict(sorted(self.options.items()))))
        check_name(self.name)
        _check_test(self)
        _check_symbols(self)
        _check_arena(self)
        _check_calls(self)

    @property
    def arena_bytes(self) -> int:
        return arena_bytes(self.plan, self.target)

    @property
    def threads(self) -> int:
        """How many threads run one inference."""
        return int(self.options.get("threads") or 1)

    @property
    def constant_bytes(self) -> int:
        return sum(constant.nbytes for constant in self.lowered.constants)

    @property
    def input(self) -> Tensor:
        return self.graph.tensors[self.graph.input]

    @property
    def output(self) -> Tensor:
        return self.graph.tensors[self.graph.output]

    @property
    def calls(self) -> Mapping[str, Call]:
        """Calls by layer; a reshape has none."""
        return {call.layer: call for call in self.lowered.calls}

    def place(self, tensor: str) -> Place:
        """Where the plan puts an activation; a reshape of the caller's output is the caller's output too."""
        owner = self.plan.owner(tensor)
        if owner == self.plan.owner(self.graph.output):
            return Place("output")
        for buffer in self.plan.buffers:
            if buffer.name == owner:
                return Place("arena", buffer.offset)
        if self.plan.bands:
            return _band_places(self)[tensor]
        return _row_places(self)[tensor]

    def stored(self, tensor: str) -> tuple[str, int]:
        """Element type and number of elements of an activation as it lies in memory."""
        storage = self.plan.storage.get(tensor)
        if storage is None:
            return self.graph.tensors[tensor].dtype, self.graph.tensors[tensor].elements
        return storage.item, storage.nbytes // np.dtype(storage.item).itemsize


def _band_places(network: Network) -> dict[str, Place]:
    """Where the rows and tiles that bands hand on are, by tensor."""
    outputs = {layer.name: layer.output for layer in network.graph.layers}
    places = {network.graph.input: Place("row", network.plan.bands[0].scratch)}
    for band in network.plan.bands:
        *within, last = band.layers
        places |= {outputs[name]: Place("tile", band.scratch) for name in within}
        places[outputs[last]] = Place("row", band.target)
    return places


def _row_places(network: Network) -> dict[str, Place]:
    """Where each row that passes through the row pipeline is, by tensor."""
    layers = {layer.name: layer for layer in network.graph.layers}
    places = {}
    for stage in network.plan.stages:
        for name, offset in zip(stage.layers, stage.outputs, strict=True):
            places[layers[name].output] = Place("row", offset)
    for stage in network.plan.stages:
        newest = Place("row", stage.ring, stage.ring_rows) if stage.row is None else Place("row", stage.row)
        places[layers[stage.window].inputs[0]] = newest
    return places


def _check_test(network: Network) -> None:
    ends = (("input", network.test_input, network.input), ("output", network.test_output, network.output))
    for end, values, tensor in ends:
        if values.size != tensor.elements or values.dtype != tensor.dtype:
            raise ValueError(
                f"the self-test's {end} is {values.dtype}{list(values.shape)}, "
                f"the network's is {tensor.dtype}{list(tensor.shape)}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"the self-test's {end} holds a value that is not finite")


def _check_symbols(network: Network) -> None:
    taken = {f"{network.name}_{word}" for word in (*_FUNCTIONS, *_OWN)}
    seen: set[str] = set()
    for symbol in (*(k.symbol for k in network.lowered.kernels), *(c.symbol for c in network.lowered.constants)):
        if not re.fullmatch(rf"{network.name}_[a-z0-9_]+", symbol) or symbol in taken:
            raise ValueError(f"{symbol!r} cannot be a symbol of library {network.name!r}")
        if symbol in seen:
            raise ValueError(f"two kernels or constants are named {symbol!r}")
        seen.add(symbol)
    for layer in network.graph.layers:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", layer.name):
            raise ValueError(f"the layer's name {layer.name!r} is not one that mbgen makes")
    for constant in network.lowered.constants:
        if constant.data.ndim != 1 or constant.data.dtype != constant.dtype or np.isnan(constant.data).any():
            raise ValueError(f"{constant.symbol}: is not one dimension of {constant.dtype} without NaN")


def _check_arena(network: Network) -> None:
    plan, graph = network.plan, network.graph
    item = max(ITEM_BYTES[tensor.dtype] for tensor in graph.tensors.values() if tensor.data is None)
    for buffer in plan.buffers:
        if buffer.offset < 0 or buffer.offset + buffer.size > plan.arena_bytes:
            raise ValueError(f"{buffer.name}: bytes {buffer.offset} to {buffer.offset + buffer.size} leave the arena")
        if buffer.offset % item:
            raise ValueError(f"{buffer.name}: offset {buffer.offset} is not aligned for elements of {item} bytes")
    if plan.owner(graph.input) == plan.owner(graph.output):
        raise ValueError("the network's output is its input: there is nothing to compute")
    placed = {buffer.name for buffer in plan.buffers} | {plan.owner(graph.output)}
    if not plan.streamed and plan.owner(graph.input) not in placed:
        raise ValueError("the plan has no place for the network's input")
    for layer in graph.layers:
        if plan.owner(layer.output) not in placed and layer.name not in (*plan.streamed, *plan.banded):
            raise ValueError(f"{layer.name}: the plan has no place for its output")
    starts = {buffer.offset for buffer in plan.buffers}
    for stage in plan.stages:
        rows = ([] if stage.row is None else [stage.row]) + ([stage.ring] if stage.ring_rows else [])
        if not {*rows, *stage.outputs} <= starts:
            raise ValueError(f"{stage.window}: its stage uses bytes that are no buffer of the plan")
    for band in plan.bands:
        if not {band.source, band.scratch, band.target} <= starts:
            raise ValueError(f"{band.layers[0]}: its band uses bytes that are no buffer of the plan")
    if plan.state not in starts:
        raise ValueError("the count of rows is no buffer of the plan")


def _check_calls(network: Network) -> None:
    kernels = {kernel.symbol: kernel for kernel in network.lowered.kernels}
    constants = {constant.symbol: constant for constant in network.lowered.constants}
    running = [layer for layer in network.graph.layers if not isinstance(layer, Reshape)]
    if [call.layer for call in network.lowered.calls] != [layer.name for layer in running]:
        raise ValueError("the calls are not one for each layer that computes, in running order")
    for layer, call in zip(running, network.lowered.calls, strict=True):
        _check_arguments(layer, call, kernels[call.kernel], constants, network)


def _check_arguments(
    layer: Layer, call: Call, kernel: Kernel, constants: Mapping[str, Constant], network: Network
) -> None:
    if len(call.arguments) != len(kernel.parameters):
        raise ValueError(f"{layer.name}: {len(call.arguments)} arguments for {len(kernel.parameters)} parameters")
    for argument, parameter in zip(call.arguments, kernel.parameters, strict=True):
        if isinstance(argument, WindowArgument):
            if argument.part != parameter.name:
                raise ValueError(f"{layer.name}: {argument.part!r} is given for {parameter.name!r} of {kernel.symbol}")
            continue
        if isinstance(parameter, Scalar):
            raise ValueError(f"{layer.name}: {parameter.name!r} of {kernel.symbol} is a number, not an array")
        if isinstance(argument, ActivationArgument):
            given: tuple[str, int] = network.stored(argument.tensor)
            fits = argument.tensor in (layer.inputs if parameter.const else (layer.output,))
        else:
            given = (constants[argument.symbol].dtype, constants[argument.symbol].data.size)
            fits = parameter.const
        if not fits or given[0] != parameter.element or given[1] < parameter.elements:
            raise ValueError(f"{layer.name}: argument {parameter.name!r} of {kernel.symbol} does not fit")
