"""Bands as C text: functions that make one output row of several layers, tile by tile.

Knows plans, calls and C. May not know templates, or what kernels compute.
"""

from __future__ import annotations

from dataclasses import dataclass

from mbgen.graph import Conv2D, WeightedLayer
from mbgen.kernel import ConstantArgument
from mbgen.library.network import Network
from mbgen.library.text import C_TYPES, joined
from mbgen.library.text import shape as shape_text
from mbgen.numerics import zero_point
from mbgen.plan import Band, Storage
from mbgen.planning.bands import image_row_bytes


@dataclass(frozen=True)
class StepText:
    """One kernel call of a stage or a band."""

    index: int  # of the layer
    call: str


@dataclass(frozen=True)
class BandText:
    """A function that makes row `oh` of a band's output; if streamed also one that takes row `ih` of its input."""

    number: int
    layers: str  # names, joined
    shapes: str
    rows: int  # of its output
    turn: str | None  # which of a ring's slots the window of row oh begins in
    tiles: int
    column: str | None  # the first column of a tile; None: a tile is the row
    indent: str  # of its calls
    places: str  # where in the arena it reads, works and writes
    steps: tuple[StepText, ...]
    streamed: bool
    ready: str  # arguments of NAME_rows_ready behind the number of rows that have come
    height: int  # rows of the input
    reach: str | None  # the row behind the last that output row oh looks at; None: no row of padding comes from here
    padding: str  # the statement that makes row `ih` of the input padding
    clear: str | None  # the statement that clears the border of its output


@dataclass(frozen=True)
class ImageRow:
    """How the rows of the image come to the first band: one at a time, between padding at both ends."""

    element: str
    address: str
    left: int  # elements
    right: int
    elements: int  # of the row with its padding
    zero: int  # the byte of padding
    pack: str  # the statement that packs the row as number `ih`
    top: int  # rows of padding above the image


def band_text(network: Network, number: int) -> BandText:
    """The text of one of the plan's bands; the first is that of the image."""
    plan, graph = network.plan, network.graph
    band = plan.bands[number]
    index = {layer.name: place for place, layer in enumerate(graph.layers)}
    first, last = (graph.layers[index[band.layers[end]]] for end in (0, -1))
    source = plan.storage[first.inputs[0]]
    rows, tiles = plan.rows[first.name], band.tiles
    ring = source.slots == rows.kh and (band.streamed or number == 0)
    padded = (rows.oh - 1) * rows.stride - rows.top + rows.kh > rows.height
    column = None
    if tiles.count > 1:
        column = f"tile * {tiles.step}" if tiles.step else "0"
        if (tiles.count - 1) * tiles.step != tiles.last:
            column = f"tile < {tiles.count - 1} ? {column} : {tiles.last}"
    indent = "    " if column is None else "        "
    return BandText(
        number=number + 1,
        layers=" and ".join(band.layers),
        shapes=f"{shape_text(graph.layer_inputs(first)[0].shape)} -> {shape_text(graph.layer_output(last).shape)}",
        rows=rows.oh,
        turn=_modulo(rows.stride, 0, source.slots) if ring else None,
        tiles=tiles.count,
        column=column,
        indent=indent,
        places=_places(band, last.output == graph.output),
        steps=tuple(
            StepText(index[name], _call(network, band, position, ring, indent))
            for position, name in enumerate(band.layers)
        ),
        streamed=band.streamed,
        ready=f"{rows.height}, {rows.oh}, {rows.span - rows.top}, {rows.stride}",
        height=rows.height,
        reach=f"{'oh' if rows.stride == 1 else f'oh * {rows.stride}'} + {rows.kh - rows.top}"
        if ring and padded
        else None,
        padding=_padding(network, band, source) if number else "",
        clear=_clear(band, plan.storage.get(last.output)),
    )


def image_row(network: Network) -> ImageRow:
    """The image's rows on their way to the first band."""
    band, first, packing = network.plan.bands[0], network.graph.layers[0], network.lowered.packing
    assert isinstance(first, Conv2D)
    assert packing is not None
    x, storage = network.input, network.plan.storage[network.graph.input]
    element, channels = C_TYPES[x.dtype], x.shape[3]
    elements, left = image_row_bytes(first, network.graph), first.padding.left * channels
    address = f"({element} *){_bytes(band.scratch)}" if x.dtype != "int8" else _bytes(band.scratch).strip("()")
    slot = _address("int32", band.source, (_modulo(1, storage.border, storage.slots, "ih"), storage.row))
    return ImageRow(
        element,
        address,
        left,
        elements - left - x.shape[2] * channels,
        elements,
        zero_point(x) & 0xFF,
        joined(f"    {packing.symbol}(", ["row", slot], ");"),
        storage.border,
    )


def _places(band: Band, last: bool) -> str:
    """In words, where the bytes are that a band works on; the scratch of the image's band holds the row that comes."""
    passing = f"; a tile of {band.layers[0]} passes through byte {band.scratch}" if len(band.layers) > 1 else ""
    written = "the caller's output" if last else f"byte {band.target}"
    return f"Reads from byte {band.source} of the arena on, writes from {written} on{passing}."


def _call(network: Network, band: Band, position: int, ring: bool, indent: str) -> str:
    """The call of the layer at `position` in the band, for row `oh` and, where there are tiles, from column `ow` on."""
    name = band.layers[position]
    call = network.calls[name]
    layer = next(one for one in network.graph.layers if one.name == name)
    assert isinstance(layer, WeightedLayer)
    kernel = next(one for one in network.lowered.kernels if one.symbol == call.kernel)
    given = []
    for argument, parameter in zip(call.arguments, kernel.parameters, strict=True):
        if isinstance(argument, ConstantArgument):
            turned = ring and position == 0 and parameter.name == "weights"
            elements = getattr(parameter, "elements", 0)
            given.append(f"{argument.symbol} + turn * {elements}" if turned else argument.symbol)
        elif parameter.name == "output":
            given.append(_output(network, band, layer, position))
        else:
            given.append(_input(network, band, layer, position, ring))
    return joined(f"{indent}{call.kernel}(", given, ");")


def _input(network: Network, band: Band, layer: WeightedLayer, position: int, ring: bool) -> str:
    storage, rows = network.plan.storage[layer.inputs[0]], network.plan.rows[layer.name]
    if position > 0:
        return _address(storage.item, band.scratch)
    columns = ("ow", storage.column * rows.stride) if band.tiles.count > 1 else ("0", 0)
    if ring:
        return _address(storage.item, band.source, columns)
    return _address(storage.item, band.source, ("oh", rows.stride * storage.row), columns)


def _output(network: Network, band: Band, layer: WeightedLayer, position: int) -> str:
    storage = network.plan.storage.get(layer.output)
    if position < len(band.layers) - 1:
        assert storage is not None
        return _address(storage.item, band.scratch)
    tiled = band.tiles.count > 1
    if storage is None:
        _, _, width, channels = network.graph.layer_output(layer).shape
        columns = ("ow", channels) if tiled else ("0", 0)
        return _address(network.graph.layer_output(layer).dtype, band.target, ("oh", width * channels), columns)
    oh = network.plan.rows[layer.name].oh
    whole = storage.slots >= oh + storage.border
    row = ("oh", storage.row) if whole else (_modulo(1, storage.border, storage.slots), storage.row)
    start = band.target + storage.origin + (storage.border * storage.row if whole else 0)
    return _address(storage.item, start, row, ("ow", storage.column) if tiled else ("0", 0))


def _padding(network: Network, band: Band, storage: Storage) -> str:
    """The statement that clears row `ih` of all planes of a ring."""
    row = _address("int8", band.source, (_modulo(1, storage.border, storage.slots, "ih"), storage.row))
    channels = network.graph.tensors[next(iter(_inputs(network, band)))].shape[3]
    given = [row, str(channels), str(storage.channel), str(storage.row)]
    return joined(f"            {network.name}_clear_row(", given, ");")


def _inputs(network: Network, band: Band) -> tuple[str, ...]:
    return next(layer.inputs for layer in network.graph.layers if layer.name == band.layers[0])


def _clear(band: Band, storage: Storage | None) -> str | None:
    if storage is None:
        return None
    return f"    (void)memset({_bytes(band.target).strip('()')}, 0, {storage.nbytes});"


def _modulo(factor: int, border: int, slots: int, row: str = "oh") -> str:
    scaled = f"{row} * {factor}" if factor > 1 else row
    return f"({scaled} + {border}) % {slots}" if border else f"{scaled} % {slots}"


def _address(item: str, offset: int, *steps: tuple[str, int]) -> str:
    terms = [str(offset)] if offset else []
    terms += [f"{variable} * {step}" for variable, step in steps if step]
    address = " + ".join(["arena->bytes", *terms])
    if item == "int8":
        return address
    inner = f"({address})" if terms else address
    return f"({C_TYPES[item]} *){'(void *)' if item != 'uint8' else ''}{inner}"


def _bytes(offset: int) -> str:
    return f"(arena->bytes + {offset})" if offset else "arena->bytes"
