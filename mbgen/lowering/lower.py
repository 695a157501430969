"""A whole network to kernels, calls and constants.

Each layer becomes a *form*: a frozen value that says everything its code depends on. Layers of equal forms share one
kernel, which is named after the first of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tvm import tirx

from mbgen import numerics
from mbgen.errors import UnsupportedError
from mbgen.graph import AveragePool2D, Conv2D, DepthwiseConv2D, Graph, Layer, Reshape, Tensor, WeightedLayer, macs
from mbgen.kernel import (
    ActivationArgument,
    Argument,
    Call,
    Constant,
    ConstantArgument,
    Kernel,
    LoweredNetwork,
    Parameter,
    Scalar,
    Tuned,
    WindowArgument,
)
from mbgen.lowering import bands, tir
from mbgen.lowering.allowance import within_allowance
from mbgen.lowering.layers import prepare
from mbgen.lowering.prepared import Context, Prepared
from mbgen.lowering.printer import print_body
from mbgen.options import Optimize
from mbgen.plan import Plan
from mbgen.schedules.records import Record, find_record
from mbgen.schedules.space import Choose, default_schedule
from mbgen.target import Target

COMPARED = 3  # tuned kernels whose default is kept beside them, for the report


def lower(
    graph: Graph,
    plan: Plan,
    target: Target,
    name: str,
    choose: Choose = default_schedule,
    threads: int = 1,
    optimize: Optimize = "speed",
) -> LoweredNetwork:
    """Kernels for every layer of `graph`, run as `plan` says, on `target`; `name` is the prefix of all symbols.

    `choose` gives each kernel's schedule from its space. With more than one thread, kernels that make a whole layer say
    which of their loops threads may share. `optimize` decides between kernels that are fast and those that take least.

    Raises UnsupportedError, naming the layer, for what no kernel computes.
    """
    kernels: dict[Any, Kernel] = {}
    calls, constants = [], []
    layers = [layer for layer in graph.layers if not isinstance(layer, Reshape)]
    for layer in layers:
        _check_indices(layer, graph)
    all_prepared = within_allowance(
        {layer.name: prepare_planned(layer, graph, plan, target, choose, optimize) for layer in layers}
    )
    for layer in layers:
        prepared = all_prepared[layer.name]
        kernel = kernels.get((prepared.form, prepared.schedule))
        if kernel is None:
            symbol = f"{name}_{layer.name}_{_OPERATIONS[prepared.family]}"
            shared = threads > 1 and layer.name not in plan.rows
            kernel = kernels[prepared.form, prepared.schedule] = _kernel(
                prepared, layer, graph, target, name, symbol, shared
            )
        symbols = {role: f"{name}_{layer.name}_{role}" for role in prepared.constants}
        for role, (data, summary) in prepared.constants.items():
            constants.append(Constant(symbols[role], data.reshape(-1), str(data.dtype), layer.name, summary))
        window = any(parameter.name == "rows" for parameter in kernel.parameters)
        arguments = [_argument(parameter.name, layer, symbols, window) for parameter in kernel.parameters]
        calls.append(Call(layer.name, kernel.symbol, tuple(arguments)))
    packing = None
    if plan.bands:
        first = graph.layers[0]
        assert isinstance(first, Conv2D)
        prepared = bands.prepare_rows(first, graph)
        packing = _kernel(prepared, first, graph, target, name, f"{name}_{first.name}_pack")
    return LoweredNetwork(tuple(kernels.values()), tuple(calls), tuple(constants), packing)


def tuned_kernels(
    lowered: LoweredNetwork,
    records: Sequence[Record],
    graph: Graph,
    plan: Plan,
    target: Target,
    name: str,
    threads: int = 1,
    optimize: Optimize = "speed",
) -> tuple[Tuned, ...]:
    """The kernels with schedules from `records`, those with the most work first; arguments as `lower` had them.

    COMPARED of those whose schedule is not the default's have the default's kernel beside them.
    """
    kernels = {kernel.symbol: kernel for kernel in lowered.kernels}
    layers = {layer.name: layer for layer in graph.layers}
    served: dict[str, list[Layer]] = {}
    for call in lowered.calls:
        served.setdefault(call.kernel, []).append(layers[call.layer])
    tuned: list[Tuned] = []
    compared = 0
    for symbol in sorted(served, key=lambda one: -sum(macs(layer, graph) for layer in served[one])):
        record, layer = find_record(records, kernels[symbol].schedule_source), served[symbol][0]
        default = None
        if record is not None and compared < COMPARED:
            prepared = prepare_planned(layer, graph, plan, target, default_schedule, optimize)
            if prepared.schedule != kernels[symbol].schedule:
                shared = threads > 1 and layer.name not in plan.rows
                default = _kernel(prepared, layer, graph, target, name, symbol, shared)
                compared += 1
        if record is not None:
            tuned.append(Tuned(symbol, record, default))
    return tuple(tuned)


def prepare_planned(
    layer: Layer, graph: Graph, plan: Plan, target: Target, choose: Choose, optimize: Optimize = "speed"
) -> Prepared:
    """A layer as `plan` runs it: in a band, row by row or whole."""
    if layer.name in plan.banded and isinstance(layer, WeightedLayer):
        return bands.prepare_banded(layer, graph, plan, Context(target, True, choose))
    return prepare(layer, graph, Context(target, layer.name in plan.rows, choose, plan.apart(layer), optimize))


def _check_indices(layer: Layer, graph: Graph) -> None:
    """Refuse a tensor, with the padding around it, that int32 cannot index: that is what the kernels count with."""
    elements = [graph.tensors[name].elements for name in (*layer.inputs, *layer.constants, layer.output)]
    if isinstance(layer, Conv2D | DepthwiseConv2D | AveragePool2D):
        (_, height, width, channels), pad = graph.layer_inputs(layer)[0].shape, layer.padding
        elements.append((height + pad.top + pad.bottom) * (width + pad.left + pad.right) * channels)
    if max(elements) > numerics.INT32_MAX:
        raise UnsupportedError(
            f"{layer.name}: one of its tensors has {max(elements):,} elements, more than int32 can index; "
            "use a smaller resolution or fewer channels"
        )


def _argument(parameter: str, layer: Layer, symbols: Mapping[str, str], window: bool) -> Argument:
    """What a call passes for a kernel's parameter."""
    if parameter in symbols:
        return ConstantArgument(symbols[parameter])
    if parameter == "output":
        return ActivationArgument(layer.output)
    if window:
        return WindowArgument(parameter)  # type: ignore[arg-type]  # the kernel's remaining parameters are these
    index = int(parameter.removeprefix("input_")) if parameter != "input" else 0
    return ActivationArgument(layer.inputs[index])


def _kernel(
    prepared: Prepared, layer: Layer, graph: Graph, target: Target, name: str, symbol: str, shared: bool = False
) -> Kernel:
    function = tir.lower(prepared.function())
    parallel = shared and prepared.family in _SHARED_FAMILIES
    printed = print_body(function, name, sorted(target.instruction_set), parallel=parallel)
    parameters = tuple(_parameter(variable) for variable in function.params)
    return Kernel(
        symbol=symbol,
        family=prepared.family,
        summary=(_shapes(layer, graph), prepared.schedule),
        parameters=parameters,
        body=printed.body,
        vectors=printed.vectors,
        helpers=printed.helpers,
        schedule=prepared.schedule,
        schedule_source=prepared.source,
    )


def _parameter(variable: Any) -> Parameter | Scalar:
    if not tirx.is_buffer_var(variable):
        return Scalar(variable.name)
    elements = math.prod(int(extent) for extent in variable.shape)
    return Parameter(variable.name, str(variable.dtype), elements, variable.name != "output")


# whose outermost loops are over rows or panels, each of which writes its own part of the output; where the last lies
# over the one before, both write the same
_SHARED_FAMILIES = ("pointwise", "dense")

# what a kernel does, as the last part of its symbol; no constant's role is named like it
_OPERATIONS = {
    "pointwise": "gemm",
    "dense": "gemm",
    "conv2d": "direct",
    "depthwise": "direct",
    "average_pool": "mean",
    "mean": "mean",
    "add": "sum",
    "softmax": "rows",
    "table": "lookup",
    "map": "map",
    "pad": "copy",
    "concat": "copy",
}


def _shapes(layer: Layer, graph: Graph) -> str:
    def spelled(tensor: Tensor) -> str:
        return "x".join(str(extent) for extent in tensor.shape[1:]) + f" {tensor.dtype}"

    inputs = " and ".join(spelled(tensor) for tensor in graph.layer_inputs(layer))
    return f"{inputs} -> {spelled(graph.layer_output(layer))}"
