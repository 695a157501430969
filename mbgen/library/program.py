"""The network's own C file, NAME.c, as text: the row pipeline's stages, and the layers that run after it.

Knows plans, calls and C. May not know templates, kernels' bodies or weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbgen.graph import ITEM_BYTES, Layer
from mbgen.kernel import ActivationArgument, ConstantArgument, WindowArgument
from mbgen.library.network import Network
from mbgen.library.text import C_TYPES, joined
from mbgen.plan import Rows, Stage


@dataclass(frozen=True)
class RowsText:
    """How the rows of a layer follow from those before it: the members of a `struct NAME_rows`, in order."""

    layer: str
    values: str


@dataclass(frozen=True)
class StepText:
    """One kernel call of a stage."""

    index: int
    layer: str
    call: str


@dataclass(frozen=True)
class StageText:
    """A function that takes one row of the input of `window` and makes the rows that it completes."""

    number: int
    layers: str  # names, joined
    shapes: str
    window: StepText
    pointwise: tuple[StepText, ...]
    row: int  # bytes from the start of the arena to the newest row
    row_element: int  # the same in elements
    row_bytes: int
    ring: int  # bytes; 0 rows kept: the newest row is all that a window reads
    kept: int
    last: bool


@dataclass(frozen=True)
class Program:
    """All that NAME.c is printed from beside names and hooks."""

    rows: tuple[RowsText, ...]
    taps: int  # rows of the tallest window
    stages: tuple[StageText, ...]
    tail: tuple[str | None, ...]  # statements of each layer after the pipeline; None where only the shape changes
    windows_in_tail: bool
    input_rows: int
    input_row_bytes: int
    input_row_elements: int
    input_place: int  # where a row goes: the first stage's, or the whole input's first
    whole_input: bool
    state: int


def program(network: Network) -> Program:
    """The program of a network whose plan and calls agree (Network has checked them)."""
    plan, graph = network.plan, network.graph
    streamed = len(plan.streamed)
    windows = [layer for layer in graph.layers if _is_window(network, layer.name)]
    shape = network.input.shape
    input_rows = shape[1] if len(shape) == 4 else 1
    tail = graph.layers[streamed:]
    return Program(
        rows=tuple(_rows(network, layer) for layer in windows),
        taps=max((plan.rows[layer.name].kh for layer in windows), default=1),
        stages=tuple(_stage(network, number, stage) for number, stage in enumerate(plan.stages, 1)),
        tail=tuple(_statements(network, layer) for layer in tail),
        windows_in_tail=any(_is_window(network, layer.name) for layer in tail),
        input_rows=input_rows,
        input_row_bytes=network.input.nbytes // input_rows,
        input_row_elements=network.input.elements // input_rows,
        input_place=plan.stages[0].row if plan.stages else network.place(graph.input).offset,
        whole_input=not plan.stages,
        state=plan.state,
    )


def _is_window(network: Network, layer: str) -> bool:
    """Whether the layer's kernel asks where the rows of a window lie."""
    call = network.calls.get(layer)
    return call is not None and any(isinstance(argument, WindowArgument) for argument in call.arguments)


def _rows(network: Network, layer: Layer) -> RowsText:
    """The struct's members: height, oh, kh, stride, dilation, top, kept, first, pitch."""
    plan = network.plan
    rows = plan.rows[layer.name]
    stage = next((stage for stage in plan.stages if stage.window == layer.name), None)
    item = ITEM_BYTES[network.graph.tensors[layer.inputs[0]].dtype]
    if stage is not None:
        slots, place = max(stage.ring_rows, 1), stage.ring
    else:
        slots, place = rows.height, network.place(layer.inputs[0]).offset
    members = (
        rows.height,
        rows.oh,
        rows.kh,
        rows.stride,
        rows.dilation,
        rows.top,
        slots,
        place // item,
        rows.input_row,
    )
    return RowsText(layer.name, ", ".join(map(str, members)))


# --- the row pipeline ----------------------------------------------------------------------------------------------


def _stage(network: Network, number: int, stage: Stage) -> StageText:
    graph = network.graph
    layers = {layer.name: layer for layer in graph.layers}
    source = graph.tensors[layers[stage.window].inputs[0]]
    target = graph.layer_output(layers[stage.layers[-1]])
    item, row_bytes = ITEM_BYTES[source.dtype], network.plan.rows[stage.window].input_row * ITEM_BYTES[source.dtype]
    last = stage is network.plan.stages[-1]
    steps = []
    before = stage.row
    for name, place in zip(stage.layers, stage.outputs, strict=True):
        layer = layers[name]
        final = last and name == stage.layers[-1]
        step = network.plan.rows[name].output_row * ITEM_BYTES[graph.layer_output(layer).dtype] if final else 0
        inputs = _address(before, "", graph.layer_inputs(layer)[0].dtype)
        output = _address(place, f" + oh * {step}" if step else "", graph.layer_output(layer).dtype)
        steps.append(StepText(graph.layers.index(layer), name, _call(network, layer, [inputs], output, 8)))
        before = place
    return StageText(
        number=number,
        layers=" and ".join(stage.layers),
        shapes=f"{_spelled(source.shape)} -> {_spelled(target.shape)}",
        window=steps[0],
        pointwise=tuple(steps[1:]),
        row=stage.row,
        row_element=stage.row // item,
        row_bytes=row_bytes,
        ring=stage.ring,
        kept=stage.ring_rows,
        last=last,
    )


def _spelled(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[1:]))


# --- the layers after it -------------------------------------------------------------------------------------------


def _statements(network: Network, layer: Layer) -> str | None:
    """C statements that run one layer, indented once."""
    if layer.name not in network.calls:
        return None
    walk = network.plan.walks.get(layer.name)
    if walk is None:
        inputs = [_tensor(network, name) for name in layer.inputs]
        return _call(network, layer, inputs, _tensor(network, layer.output), 4)
    rows, graph = network.plan.rows[layer.name], network.graph
    step_in = rows.input_row * ITEM_BYTES[graph.layer_inputs(layer)[0].dtype]
    step_out = rows.output_row * ITEM_BYTES[graph.layer_output(layer).dtype]
    source = _tensor(network, layer.inputs[0], f"oh * {step_in}")
    body = _call(network, layer, [source], _tensor(network, layer.output, f"oh * {step_out}"), 8)
    lines = [_loop(rows, walk)]
    if _is_window(network, layer.name):
        lines.append(f"        {network.name}_find_rows(&window, &{network.name}_{layer.name}_rows, oh, -1, 0);")
    return "\n".join([*lines, body, "    }"])


def _loop(rows: Rows, walk: int) -> str:
    if walk > 0:
        return f"    for (int32_t oh = 0; oh < {rows.oh}; oh++) {{"
    return f"    for (int32_t oh = {rows.oh - 1}; oh >= 0; oh--) {{"


def _tensor(network: Network, name: str, step: str = "") -> str:
    """Address of a tensor, or of a row of it at `step` bytes."""
    place, dtype = network.place(name), network.graph.tensors[name].dtype
    if place.where == "output":
        item = ITEM_BYTES[dtype]
        if not step:
            return "output"
        variable, _, size = step.partition(" * ")
        return f"output + {variable} * {int(size) // item}"
    return _address(place.offset, f" + {step}" if step else "", dtype)


def _address(offset: int, step: str, dtype: str) -> str:
    address = f"arena->bytes + {offset}{step}" if offset else f"arena->bytes{step}"
    if dtype == "int8":
        return address
    inner = f"({address})" if " " in address else address
    return f"({C_TYPES[dtype]} *){'(void *)' if ITEM_BYTES[dtype] > 1 else ''}{inner}"


def _call(network: Network, layer: Layer, inputs: Sequence[str], output: str, indent: int) -> str:
    """The call of a layer's kernel with the addresses of its inputs and output, indented by `indent` spaces."""
    call = network.calls[layer.name]
    sources = iter(inputs)
    memory = _address(0, "", network.graph.tensors[layer.inputs[0]].dtype)
    given = []
    for argument in call.arguments:
        if isinstance(argument, ConstantArgument):
            given.append(argument.symbol)
        elif isinstance(argument, ActivationArgument):
            given.append(output if argument.tensor == layer.output else next(sources))
        else:
            given.append(memory if argument.part == "input" else f"window.{argument.part}")
    return joined(f"{' ' * indent}{call.kernel}(", given, ");")
