"""Plans of bands: depthwise and pointwise made tile by tile, on planes of 16-bit values with a border of zeros.

For cores with the DSP extension. Knows shapes, clamps and zero points, which decide where such planes can be; may not
know kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mbgen.graph import INTEGER_RANGE, Conv2D, DepthwiseConv2D, Graph, Layer, Tensor, WeightedLayer, is_pointwise
from mbgen.numerics import bounds, zero_point
from mbgen.plan import Band, Plan, Storage, Tiles
from mbgen.planning.lifetimes import Lifetime, aliases, lifetimes
from mbgen.planning.pipeline import STATE_BYTES
from mbgen.planning.place import place, pressure
from mbgen.planning.rows import rows_of
from mbgen.planning.sizes import aligned

WINDOW = 3  # rows and columns of a depthwise window; rows in a ring
TRIPLE = 3  # pixels in a pair of packed words
WORD, HALF = 4, 2  # bytes
CHANNEL_BLOCK = 4  # channels that a pointwise makes at a time; a plane has room for whole blocks
# of constants for each channel, at most: a depthwise's taps as words, start, and scale; starts and scales of others
DEPTHWISE_BYTES, BANDED_BYTES, CHANNEL_BYTES = 112, 40, 16
WIDEST = 8  # bytes a weight takes in the rows of a first convolution
SLACK = 16  # bytes behind the last row that wide loads may touch


@dataclass(frozen=True)
class Shape:
    """A band before it has a place."""

    layers: tuple[WeightedLayer, ...]
    tiles: Tiles


def plan_bands(graph: Graph, fits: Callable[[Plan], bool]) -> Plan | None:
    """The plan whose first layers run as bands, as many as fit, in the least arena; None where the first layers cannot.

    Of as many bands only the plan of least arena is asked for whether it fits.
    """
    shapes = _shapes(graph)
    for count in range(len(shapes), 1, -1):
        plans = (_plan(graph, shapes[:count], cut) for cut in range(1, count + 1))
        least = min(plans, key=lambda made: made.arena_bytes)
        if fits(least):
            return least
    return None


def packed_bytes(made: Plan, graph: Graph) -> int:
    """What the constants of a plan with bands take, at most, where those of other layers are bytes; but for patches."""
    total = 0
    for layer in graph.layers:
        if not isinstance(layer, WeightedLayer):
            continue
        weights, channels = graph.tensors[layer.weights].elements, graph.layer_output(layer).shape[-1]
        if layer.name not in made.banded:
            total += weights + CHANNEL_BYTES * channels
        elif isinstance(layer, DepthwiseConv2D):
            total += DEPTHWISE_BYTES * channels
        else:
            total += (2 if is_pointwise(layer, graph) else WIDEST) * weights + BANDED_BYTES * channels
    return total


# --- which layers --------------------------------------------------------------------------------------------------


def _shapes(graph: Graph) -> list[Shape]:
    """A first convolution and as many pairs behind it as there are; the network's output is never of a band."""
    readers: dict[str, int] = {}
    for layer in graph.layers:
        for name in layer.inputs:
            readers[name] = readers.get(name, 0) + 1
    layers = list(graph.layers)
    if not layers or not _is_first(layers[0], graph):
        return []
    first = layers[0]
    assert isinstance(first, Conv2D)
    columns = graph.layer_output(first).shape[2]
    made = [Shape((first,), Tiles(1, columns, columns, 0))]
    for depthwise, pointwise in zip(layers[1::2], layers[2::2], strict=False):
        if any(readers.get(one.output) != 1 or one.output == graph.output for one in (depthwise, pointwise)):
            break
        chained = depthwise.inputs == (made[-1].layers[-1].output,) and pointwise.inputs == (depthwise.output,)
        if not chained or not isinstance(pointwise, Conv2D) or not is_pointwise(pointwise, graph):
            break
        tiles = _tiles(depthwise, graph)
        if not isinstance(depthwise, DepthwiseConv2D) or tiles is None:
            break
        made.append(Shape((depthwise, pointwise), tiles))
    return made


def _is_first(layer: Layer, graph: Graph) -> bool:
    """A convolution on bytes whose input is the network's, on at least a triple of columns."""
    if not isinstance(layer, Conv2D) or layer.inputs != (graph.input,) or is_pointwise(layer, graph):
        return False
    output = graph.layer_output(layer)
    return layer.dilation == (1, 1) and output.dtype in INTEGER_RANGE and output.shape[2] >= TRIPLE


def _tiles(layer: Layer, graph: Graph) -> Tiles | None:
    """The tiles of a depthwise that planes serve, each at an even column of its input; None for any other layer."""
    if not isinstance(layer, DepthwiseConv2D) or layer.dilation != (1, 1):
        return None
    (x,), columns = graph.layer_inputs(layer), graph.layer_output(layer).shape[2]
    kh, kw, oc = graph.tensors[layer.weights].shape
    if (kh, kw, oc) != (WINDOW, WINDOW, x.shape[3]) or layer.stride not in ((1, 1), (2, 2)):
        return None
    producer = next(one for one in graph.layers if one.output == x.name)
    if not isinstance(producer, WeightedLayer) or x.dtype not in INTEGER_RANGE or zero_point(x) != lowest(producer, x):
        return None  # the zeros of the border would not be the padding
    for size, step in ((6, 6), (3, 3), (3, 2)):
        if columns >= size:
            tiles = Tiles(-(-(columns - size) // step) + 1, size, step, columns - size)
            if layer.stride[1] == 2 or all(start % 2 == 0 for start in tiles.starts):
                return tiles
    return None


def lowest(layer: WeightedLayer, output: Tensor) -> int:
    """The value that planes and triples of a layer's output hold as 0."""
    return int(bounds(layer.clamp, output)[0])


# --- how tensors lie -----------------------------------------------------------------------------------------------


def packed_rows(layer: Conv2D, graph: Graph) -> Storage:
    """A ring of the rows of an image as the first convolution reads them: for each triple the words of its windows."""
    _, kh, kw, ic = graph.tensors[layer.weights].shape
    triples = -(-graph.layer_output(layer).shape[2] // TRIPLE)
    column = kw * ic * 2 * WORD
    return Storage(
        "int32", kh * triples * column, triples * column, column, 2 * WORD, 0, layer.padding.top, kh, 0, True
    )


def image_row_bytes(layer: Conv2D, graph: Graph) -> int:
    """Bytes of one row of an image with the padding at both its ends."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    kw = graph.tensors[layer.weights].shape[2]
    reach = (output.shape[2] - 1) * layer.stride[1] + kw
    return max(reach, layer.padding.left + x.shape[2]) * x.shape[3]


def plane(producer: WeightedLayer, reader: DepthwiseConv2D, graph: Graph, *, ring: bool) -> Storage:
    """Planes of 16-bit values with the border that `reader` asks for; all rows, or a ring of as many as it looks at."""
    tensor = graph.layer_output(producer)
    _, height, width, channels = tensor.shape
    _, oh, ow, _ = graph.layer_output(reader).shape
    stride, padding = reader.stride[0], reader.padding
    columns = max((ow - 1) * stride + WINDOW, padding.left + width)
    rows = WINDOW if ring else max((oh - 1) * stride + WINDOW, padding.top + height)
    row = -(-columns * HALF // WORD) * WORD
    blocks = -(-channels // CHANNEL_BLOCK) * CHANNEL_BLOCK
    nbytes = aligned(blocks * rows * row + SLACK)
    origin, add = padding.left * HALF, -lowest(producer, tensor)
    return Storage("uint16", nbytes, row, HALF, rows * row, origin, padding.top, rows, add)


def tile(layer: WeightedLayer, graph: Graph, columns: int) -> Storage:
    """The scratch between depthwise and pointwise: a tile of one row in triples."""
    tensor = graph.layer_output(layer)
    column = tensor.shape[3] * 2 * WORD
    nbytes = columns // TRIPLE * column
    return Storage("int32", nbytes, nbytes, column, 2 * WORD, 0, 0, 1, -lowest(layer, tensor), True)


# --- places --------------------------------------------------------------------------------------------------------


def _plan(graph: Graph, shapes: Sequence[Shape], cut: int) -> Plan:
    """The plan whose first `cut` bands take the image row by row; the others run one after the other."""
    alias = aliases(graph)
    index = {layer.name: number for number, layer in enumerate(graph.layers)}
    first = shapes[0].layers[0]
    assert isinstance(first, Conv2D)
    streamed = [layer for shape in shapes[:cut] for layer in shape.layers]
    last_streamed, last_banded = len(streamed) - 1, index[shapes[-1].layers[-1].name]

    storage = {graph.input: packed_rows(first, graph)}
    alive = [Lifetime("rows of the image", storage[graph.input].nbytes, 0, last_streamed)]
    scratch = image_row_bytes(first, graph)
    for number, shape in enumerate(shapes):
        if number > 0:
            depthwise = shape.layers[0]
            storage[depthwise.output] = tile(depthwise, graph, shape.tiles.columns)
            scratch = max(scratch, storage[depthwise.output].nbytes)
        if number + 1 < len(shapes):
            reader = shapes[number + 1].layers[0]
            assert isinstance(reader, DepthwiseConv2D)
            output = shape.layers[-1].output
            ring = number + 1 < cut
            storage[output] = plane(shape.layers[-1], reader, graph, ring=ring)
            # the border is cleared before the band begins
            begins = 0 if number < cut else index[shape.layers[0].name]
            ends = last_streamed if ring else index[shapes[number + 1].layers[-1].name]
            name = f"ring of {reader.name}" if ring else output
            alive.append(Lifetime(name, storage[output].nbytes, begins, ends))
    alive.append(Lifetime("tile in passing", scratch, 0, last_banded))
    alive.append(Lifetime("rows so far", STATE_BYTES, 0, last_streamed))
    begins = 0 if cut == len(shapes) else index[shapes[-1].layers[0].name]
    for life in lifetimes(graph, alias, last_banded + 1):
        alive.append(replace(life, first=begins) if life.first == last_banded else life)

    buffers = place(alive)
    peaks = pressure(alive)
    offsets = {buffer.name: buffer.offset for buffer in buffers}
    by_row = {layer.name: rows_of(layer, graph) for layer in graph.layers}
    windows = [layer.name for layer in graph.layers[last_banded + 1 :] if _is_window(layer, graph)]
    wanted = {*windows, *(layer.name for layer in graph.layers[: last_banded + 1])}
    return Plan(
        stages=(),
        rows={name: rows for name, rows in by_row.items() if rows is not None and name in wanted},
        walks=dict.fromkeys(windows, 1),
        buffers=buffers,
        alias=alias,
        state=offsets["rows so far"],
        arena_bytes=max(aligned(buffer.offset + buffer.size) for buffer in buffers),
        lower_bound=max(peaks),
        peak_layer=graph.layers[peaks.index(max(peaks))].name,
        bands=tuple(_band(shapes, number, cut, graph, offsets) for number in range(len(shapes))),
        storage=storage,
    )


def _band(shapes: Sequence[Shape], number: int, cut: int, graph: Graph, offsets: dict[str, int]) -> Band:
    def offset(tensor: str, reader: str) -> int:
        return offsets.get(f"ring of {reader}", offsets.get(tensor, -1))

    shape = shapes[number]
    source, target = shape.layers[0], shape.layers[-1]
    reader = shapes[number + 1].layers[0].name if number + 1 < len(shapes) else ""
    owner = aliases(graph).get(target.output, target.output)
    return Band(
        layers=tuple(layer.name for layer in shape.layers),
        source=offsets["rows of the image"] if number == 0 else offset(source.inputs[0], source.name),
        scratch=offsets["tile in passing"],
        target=offset(owner, reader),
        tiles=shape.tiles,
        streamed=number < cut,
    )


def _is_window(layer: Layer, graph: Graph) -> bool:
    return isinstance(layer, Conv2D | DepthwiseConv2D) and not is_pointwise(layer, graph)
