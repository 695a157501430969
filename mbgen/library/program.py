"""The network's own C file, NAME.c, as text: the row pipeline's stages, and the layers that run after it.

Knows plans, calls and C. May not know templates, kernels' bodies or weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mbgen.graph import ITEM_BYTES, Conv2D, DepthwiseConv2D, DType, Layer, is_pointwise
from mbgen.intrinsics import find
from mbgen.kernel import ConstantArgument, WindowArgument
from mbgen.library.bands import BandText, ImageRow, StepText, band_text, image_row
from mbgen.library.network import Network, Place
from mbgen.library.text import C_TYPES, joined
from mbgen.library.text import shape as shape_text
from mbgen.plan import Stage

# the members of a `struct NAME_rows`, in order, and what they mean
_MEMBERS = (
    ("height", "rows of the input"),
    ("kh", "rows of a window"),
    ("stride", "input rows from one window to the next"),
    ("dilation", "input rows from one row of a window to the next"),
    ("top", "rows of padding above the input"),
    ("pitch", "elements from one row to the next"),
)
# more of them where there is a row pipeline
_STAGE_MEMBERS = (
    ("oh", "rows of the output"),
    ("slots", "input row q is in slot q % slots of the ring"),
    ("newest", "elements from the ring to the row that came last, until it is in its slot"),
)


@dataclass(frozen=True)
class StageText:
    """A function that takes one row of its window layer's input and makes the rows that this completes."""

    number: int
    layers: str  # names, joined
    shapes: str
    rows: str  # C name of the window layer's `struct NAME_rows`
    row: int  # bytes from the start of the arena to the newest row
    ring: int  # bytes from the start of the arena to the rows before it
    ring_address: str
    kept: int  # how many these are
    window: StepText
    pointwise: tuple[StepText, ...]


@dataclass(frozen=True)
class Program:
    """All that NAME.c is printed from beside names, layers and hooks."""

    members: tuple[tuple[str, str], ...]  # of `struct NAME_rows`, and their comments
    tables: tuple[str, ...]  # one for each layer that asks for windows of rows
    taps: int  # rows of the tallest window
    find_rows: str  # functions' heads
    keep_row: str | None  # None: no stage has a ring
    stages: tuple[StageText, ...]
    tail: tuple[str | None, ...]  # statements of each layer after the pipeline; None where only the shape changes
    windows_in_tail: bool
    copy: str  # the function that copies rows
    input: str  # address of the row that comes or, without stages, of the whole input
    state: int  # bytes from the start of the arena to the count of rows
    threads: int  # that share the loops marked for them
    bands: tuple[BandText, ...]  # instead of stages
    image: ImageRow | None  # where there are bands


def program(network: Network) -> Program:
    """The program of a network whose plan and calls agree (Network has checked them)."""
    plan, graph, name = network.plan, network.graph, network.name
    tail = graph.layers[max(len(plan.streamed), len(plan.banded)) :]
    windows = [layer for layer in graph.layers if _is_window(network, layer)]
    members = _MEMBERS + _STAGE_MEMBERS if plan.stages else _MEMBERS
    tables = [(f"{name}_{layer.name}_rows", _rows(network, layer)) for layer in windows]
    stages = tuple(_stage(network, number, stage) for number, stage in enumerate(plan.stages, 1))
    layer_rows, newest = f"const struct {name}_rows *layer", ["int32_t newest"] if plan.stages else []
    first = Place("arena", plan.stages[0].row) if plan.stages else network.place(graph.input)
    return Program(
        members=members,
        tables=tuple(
            joined(f"static const struct {name}_rows {table} = {{", [str(values[key]) for key, _ in members], "};")
            for table, values in tables
        ),
        taps=max((plan.rows[layer.name].kh for layer in windows), default=0),
        find_rows=joined(
            f"static void {name}_find_rows(", [f"struct {name}_window *window", layer_rows, "int32_t oh", *newest], ")"
        ),
        keep_row=joined(
            f"static int32_t {name}_keep_row(",
            [f"{C_TYPES[network.input.dtype]} *ring", layer_rows, "int32_t row"],
            ")",
        )
        if any(stage.kept for stage in stages)
        else None,
        stages=stages,
        tail=tuple(_statements(network, layer) for layer in tail),
        windows_in_tail=any(_is_window(network, layer) for layer in tail),
        copy="memcpy" if copy_helper(network) is None else f"{name}_copy_bytes",
        input=_address(first, "int8"),  # memcpy takes any pointer
        state=plan.state,
        threads=network.threads,
        bands=tuple(band_text(network, number) for number in range(len(plan.bands))),
        image=image_row(network) if plan.bands else None,
    )


def copy_helper(network: Network) -> str | None:
    """The key of the helper that copies rows; None where that is left to memcpy."""
    isa = network.target.instruction_set
    copied = bool(network.plan.stages) or "mve" in isa  # bands pack the rows of the image
    return find("copy_bytes", isa) if copied and isa & {"dsp", "mve"} else None


def _is_window(network: Network, layer: Layer) -> bool:
    """Whether the layer's kernel asks where the rows of a window lie."""
    call = network.calls.get(layer.name)
    return call is not None and any(isinstance(argument, WindowArgument) for argument in call.arguments)


def _runs_whole(network: Network, layer: Layer) -> bool:
    """Whether a layer of windows has a kernel that finds them by itself, in whole tensors."""
    windows = isinstance(layer, Conv2D | DepthwiseConv2D) and not is_pointwise(layer, network.graph)
    return windows and not _is_window(network, layer)


def _rows(network: Network, layer: Layer) -> dict[str, int]:
    """The values of a `struct NAME_rows` by member."""
    rows = network.plan.rows[layer.name]
    item = ITEM_BYTES[network.graph.tensors[layer.inputs[0]].dtype]
    stage = next((stage for stage in network.plan.stages if stage.window == layer.name), None)
    return {
        "height": rows.height,
        "kh": rows.kh,
        "stride": rows.stride,
        "dilation": rows.dilation,
        "top": rows.top,
        "pitch": rows.input_row,
        "oh": rows.oh,
        "slots": rows.height if stage is None else max(stage.ring_rows, 1),
        "newest": 0 if stage is None or not stage.ring_rows else (stage.row - stage.ring) // item,
    }


# --- the row pipeline ----------------------------------------------------------------------------------------------


def _stage(network: Network, number: int, stage: Stage) -> StageText:
    graph = network.graph
    layers = {layer.name: (index, layer) for index, layer in enumerate(graph.layers)}
    element = graph.layer_inputs(layers[stage.window][1])[0].dtype
    source, ring = Place("arena", stage.row), _address(Place("arena", stage.ring), element)
    memory = "ring" if stage.ring_rows else _address(source, element)
    steps = []
    for name, offset in zip(stage.layers, stage.outputs, strict=True):
        index, layer = layers[name]
        output, dtype = Place("arena", offset), graph.layer_output(layer).dtype
        whole = network.place(layer.output).where == "arena"
        step = network.plan.rows[name].output_row * ITEM_BYTES[dtype] if whole else 0
        given = memory if name == stage.window else _address(source, graph.layer_inputs(layer)[0].dtype)
        steps.append(StepText(index, _call(network, layer, [given], _address(output, dtype, step), 8)))
        source = output
    first, last = layers[stage.window][1], layers[stage.layers[-1]][1]
    return StageText(
        number=number,
        layers=" and ".join(stage.layers),
        shapes=f"{shape_text(graph.layer_inputs(first)[0].shape)} -> {shape_text(graph.layer_output(last).shape)}",
        rows=f"{network.name}_{stage.window}_rows",
        row=stage.row,
        ring=stage.ring,
        ring_address=ring,
        kept=stage.ring_rows,
        window=steps[0],
        pointwise=tuple(steps[1:]),
    )


# --- the layers after it -------------------------------------------------------------------------------------------


def _statements(network: Network, layer: Layer) -> str | None:
    """C statements that run one layer, indented once."""
    if layer.name not in network.calls:
        return None
    graph, walk = network.graph, network.plan.walks.get(layer.name)
    places = [(network.place(tensor.name), tensor.dtype) for tensor in graph.layer_inputs(layer)]
    output = network.place(layer.output), graph.layer_output(layer).dtype
    if walk is None or _runs_whole(network, layer):
        return _call(network, layer, [_address(*place) for place in places], _address(*output), 4)
    rows = network.plan.rows[layer.name]
    window = _is_window(network, layer)
    source = _address(*places[0], 0 if window else rows.input_row * ITEM_BYTES[places[0][1]])
    target = _address(*output, rows.output_row * ITEM_BYTES[output[1]])
    upwards = f"    for (int32_t oh = 0; oh < {rows.oh}; oh++) {{"
    downwards = f"    for (int32_t oh = {rows.oh - 1}; oh >= 0; oh--) {{"
    lines = [upwards if walk > 0 else downwards]
    if network.threads > 1 and not _overlap(network, layer):
        own = "private(window)" if window else ""
        lines.insert(0, f"    {network.name.upper()}_PARALLEL({own})")
    if window:
        given = ["&window", f"&{network.name}_{layer.name}_rows", "oh"]
        if network.plan.stages:
            given.append(f"{network.name.upper()}_IN_ITS_SLOT")
        lines.append(joined(f"        {network.name}_find_rows(", given, ");"))
    return "\n".join([*lines, _call(network, layer, [source], target, 8), "    }"])


def _overlap(network: Network, layer: Layer) -> bool:
    """Whether the layer's output lies over its input, so that its rows must be made in order."""
    buffers = {buffer.name: buffer for buffer in network.plan.buffers}
    source, target = (buffers.get(network.plan.owner(tensor)) for tensor in (layer.inputs[0], layer.output))
    if source is None or target is None:
        return False
    return source.offset < target.offset + target.size and target.offset < source.offset + source.size


def _address(place: Place, dtype: DType, step: int = 0) -> str:
    """The address of a tensor or, `step` bytes after each other, of its row `oh`."""
    if place.where == "output":
        return f"output + oh * {step // ITEM_BYTES[dtype]}" if step else "output"
    terms = [*([str(place.offset)] if place.offset else []), *([f"oh * {step}"] if step else [])]
    address = " + ".join(["arena->bytes", *terms])
    if dtype == "int8":
        return address
    inner = f"({address})" if terms else address
    return f"({C_TYPES[dtype]} *){'(void *)' if ITEM_BYTES[dtype] > 1 else ''}{inner}"


def _call(network: Network, layer: Layer, inputs: Sequence[str], output: str, indent: int) -> str:
    """The call of a layer's kernel, indented by `indent` spaces.

    `inputs` are the addresses of its inputs; of a window layer's, that from which rows are counted.
    """
    call = network.calls[layer.name]
    sources = iter(inputs)
    given = []
    for argument in call.arguments:
        if isinstance(argument, ConstantArgument):
            given.append(argument.symbol)
        elif isinstance(argument, WindowArgument):
            given.append(next(sources) if argument.part == "input" else f"window.{argument.part}")
        else:
            given.append(output if argument.tensor == layer.output else next(sources))
    return joined(f"{' ' * indent}{call.kernel}(", given, ");")
