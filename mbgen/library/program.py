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
# more of them where there is a row pipeline, and where its rows do not come straight into their slots
_STAGE_MEMBERS = (("oh", "rows of the output"), ("slots", "input row q is in slot q % slots of the ring"))
_NEWEST = ("newest", "elements from the ring to the row that came last, until it is in its slot")


@dataclass(frozen=True)
class StageText:
    """A function that takes one row of its window layer's input and makes the rows that this completes."""

    number: int
    layers: str  # names, joined
    shapes: str
    rows: str | None  # C name of the window layer's `struct NAME_rows`; None where that is a parameter
    head: str  # the function's, without the brace
    takes: str  # where row ih of its input is, for the comment
    ring: str | None  # address of the ring that the newest row moves into; None where none does
    window: StepText
    pointwise: tuple[StepText, ...]


@dataclass(frozen=True)
class Program:
    """All that NAME.c is printed from beside names, layers and hooks."""

    members: tuple[tuple[str, str], ...]  # of `struct NAME_rows`, and their comments
    tables: tuple[str, ...]  # one for each layer that asks for windows of rows
    taps: int  # rows of the tallest window
    find_rows: str  # functions' heads
    keep_row: str | None  # None: no row moves into a ring
    newest: bool  # whether the newest row of a stage's input may lie elsewhere than in its slot
    stages: tuple[StageText, ...]
    tail: tuple[str | None, ...]  # statements of each layer after the pipeline; None where only the shape changes
    windows_in_tail: bool
    copy: str  # the function that copies rows
    input: str  # address of the row that comes or, without stages, of the whole input
    take_row: str | None  # the call of the first stage with a row that has come; None without stages
    run: str | None  # head of the function that runs all layers; None where rows are streamed
    run_arena: str | None  # its call with the input that was copied into the arena
    take_input_row: str | None  # and with one of the caller's whole input; None where rows must be copied first
    state: int  # bytes from the start of the arena to the count of rows
    threads: int  # that share the loops marked for them
    bands: tuple[BandText, ...]  # instead of stages
    image: ImageRow | None  # where there are bands


def program(network: Network) -> Program:
    """The program of a network whose plan and calls agree (Network has checked them)."""
    plan, graph, name = network.plan, network.graph, network.name
    tail = graph.layers[max(len(plan.streamed), len(plan.banded)) :]
    windows = [layer for layer in graph.layers if _is_window(network, layer)]
    stages = tuple(_stage(network, number, stage) for number, stage in enumerate(plan.stages, 1))
    newest, whole = _has_newest(network), _starts_whole(network)
    members = [*_MEMBERS, *(_STAGE_MEMBERS if stages else ()), *([_NEWEST] if newest else [])]
    tables = [(f"{name}_{layer.name}_rows", _rows(network, layer)) for layer in windows]
    if stages and not newest:
        first = _rows(network, windows[0])
        tables.insert(0, (f"{name}_input_rows", {**first, "slots": first["height"]}))
    layer_rows = f"const struct {name}_rows *layer"
    found = [f"struct {name}_window *window", layer_rows, "int32_t oh", *(["int32_t newest"] if newest else [])]
    return Program(
        members=tuple(members),
        tables=tuple(
            joined(f"static const struct {name}_rows {table} = {{", [str(values[key]) for key, _ in members], "};")
            for table, values in tables
        ),
        taps=max((plan.rows[layer.name].kh for layer in windows), default=0),
        find_rows=joined(f"static void {name}_find_rows(", found, ")"),
        keep_row=joined(
            f"static int32_t {name}_keep_row(",
            [f"{C_TYPES[network.input.dtype]} *ring", layer_rows, "int32_t row"],
            ")",
        )
        if any(stage.ring is not None for stage in stages)
        else None,
        newest=newest,
        stages=stages,
        tail=tuple(_statements(network, layer) for layer in tail),
        windows_in_tail=any(_is_window(network, layer) for layer in tail),
        copy="memcpy" if copy_helper(network) is None else f"{name}_copy_bytes",
        input=_arriving(network),
        run=_run(network) if whole else None,
        run_arena=joined(f"    return {name}_run(", ["arena", _copied_input(network), "output"], ");")
        if whole
        else None,
        take_row=_take_row(network) if stages else None,
        take_input_row=_call_of_stage_1(network, ["input", f"&{name}_input_rows"], "ih")
        if stages and not newest
        else None,
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
        "newest": 0 if stage is None or stage.row is None or not stage.ring_rows else (stage.row - stage.ring) // item,
    }


def _starts_whole(network: Network) -> bool:
    """Whether the first layer runs on the whole input."""
    return not network.plan.stages and not network.plan.bands


def _has_newest(network: Network) -> bool:
    """Whether the newest row of a stage's input may lie elsewhere than in its slot."""
    return any(stage.row is not None for stage in network.plan.stages)


# --- the row pipeline ----------------------------------------------------------------------------------------------


def _stage(network: Network, number: int, stage: Stage) -> StageText:
    graph, name = network.graph, network.name
    layers = {layer.name: (index, layer) for index, layer in enumerate(graph.layers)}
    first, last = layers[stage.window][1], layers[stage.layers[-1]][1]
    source = network.place(first.inputs[0])
    element = graph.layer_inputs(first)[0].dtype
    moves = stage.row is not None and stage.ring_rows > 0
    anywhere = stage.row is None and number == 1
    ring = _address(Place("arena", stage.ring), element)
    memory = "input" if anywhere else "ring" if moves else _address(Place("arena", source.offset), element)
    steps = []
    for layer_name in stage.layers:
        index, layer = layers[layer_name]
        target, dtype = network.place(layer.output), graph.layer_output(layer).dtype
        many = target.where == "arena" or target.slots > 1
        step = network.plan.rows[layer_name].output_row * ITEM_BYTES[dtype] if many else 0
        given = memory if layer is first else _address(source, graph.layer_inputs(layer)[0].dtype)
        steps.append(StepText(index, _call(network, layer, [given], _address(target, dtype, step), 8)))
        source = target
    where = [f"const {C_TYPES[element]} *input", f"const struct {name}_rows *layer"] if anywhere else []
    return StageText(
        number=number,
        layers=" and ".join(stage.layers),
        shapes=f"{shape_text(graph.layer_inputs(first)[0].shape)} -> {shape_text(graph.layer_output(last).shape)}",
        rows=None if anywhere else f"{name}_{stage.window}_rows",
        head=joined(f"static void {name}_stage_{number}(", [f"struct {name}_arena *arena", *where, "int32_t ih"], ")"),
        takes=_takes(stage, anywhere),
        ring=ring if moves else None,
        window=steps[0],
        pointwise=tuple(steps[1:]),
    )


def _takes(stage: Stage, anywhere: bool) -> str:
    if anywhere:
        return "where `layer` says: in its slot of a ring, or in the caller's whole input"
    if stage.row is None:
        return f"in slot ih % {stage.ring_rows} of a ring at byte {stage.ring} of the arena"
    kept = f"; keeps the last {stage.ring_rows} in a ring at byte {stage.ring}" if stage.ring_rows else ""
    return f"at byte {stage.row} of the arena{kept}"


def _arriving(network: Network) -> str:
    """The address of the row that comes or, without stages, of the whole input."""
    place = network.place(network.graph.input)
    address = _address(Place("arena", place.offset), "int8")  # memcpy takes any pointer
    if place.slots == 1:
        return address
    layer = network.graph.layers[0]
    row = network.plan.rows[layer.name].input_row * ITEM_BYTES[network.input.dtype]
    return f"{address} + (come + i) % {place.slots}U * {row}U"


def _take_row(network: Network) -> str:
    first = network.plan.stages[0]
    ring = _address(Place("arena", first.ring), network.input.dtype)
    where = [ring, f"&{network.name}_{first.window}_rows"] if first.row is None else []
    return _call_of_stage_1(network, where, "(int32_t)come + (int32_t)i")


def _call_of_stage_1(network: Network, where: Sequence[str], row: str) -> str:
    return joined(f"        {network.name}_stage_1(", ["arena", *where, row], ");")


# --- the layers after it -------------------------------------------------------------------------------------------


def _statements(network: Network, layer: Layer) -> str | None:
    """C statements that run one layer, indented once."""
    if layer.name not in network.calls:
        return None
    graph, walk = network.graph, network.plan.walks.get(layer.name)
    places = [(_read_from(network, tensor.name), tensor.dtype) for tensor in graph.layer_inputs(layer)]
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
        if _has_newest(network):
            given.append(f"{network.name.upper()}_IN_ITS_SLOT")
        lines.append(joined(f"        {network.name}_find_rows(", given, ");"))
    return "\n".join([*lines, _call(network, layer, [source], target, 8), "    }"])


def _run(network: Network) -> str:
    """The head of the function that runs all layers."""
    types = f"const {C_TYPES[network.input.dtype]} *input", f"{C_TYPES[network.output.dtype]} *output"
    head = f"static enum {network.name}_status {network.name}_run("
    return joined(head, [f"struct {network.name}_arena *arena", *types], ")")


def _copied_input(network: Network) -> str:
    return _address(network.place(network.graph.input), network.input.dtype)


def _read_from(network: Network, tensor: str) -> Place:
    """Where a layer after the pipeline finds an input; without one the network's is where the caller has it."""
    if _starts_whole(network) and network.plan.owner(tensor) == network.plan.owner(network.graph.input):
        return Place("input")
    return network.place(tensor)


def _overlap(network: Network, layer: Layer) -> bool:
    """Whether the layer's output lies over its input, so that its rows must be made in order."""
    buffers = {buffer.name: buffer for buffer in network.plan.buffers}
    source, target = (buffers.get(network.plan.owner(tensor)) for tensor in (layer.inputs[0], layer.output))
    if source is None or target is None:
        return False
    return source.offset < target.offset + target.size and target.offset < source.offset + source.size


def _address(place: Place, dtype: DType, step: int = 0) -> str:
    """The address of a tensor or, `step` bytes after each other, of its row `oh` or the slot of that."""
    if place.where in ("input", "output"):
        return f"{place.where} + oh * {step // ITEM_BYTES[dtype]}" if step else place.where
    slot = f"oh % {place.slots}" if place.slots > 1 else "oh"
    terms = [*([str(place.offset)] if place.offset else []), *([f"{slot} * {step}"] if step else [])]
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
