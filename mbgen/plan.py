"""The memory plan: which layers run row by row, and where every activation lives, and when.

Knows sizes, rows and lifetimes. May not know kernels, targets or C. Made by mbgen.planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from mbgen.graph import Layer


@dataclass(frozen=True)
class Rows:
    """How the rows of a layer's output follow from the rows of its input.

    Output row oh looks at the input rows oh * stride + kh * dilation - top; those outside 0 .. height - 1 are padding.
    Sizes of rows are in elements.
    """

    height: int
    oh: int
    kh: int
    stride: int
    dilation: int
    top: int
    input_row: int
    output_row: int

    @property
    def span(self) -> int:
        """Input rows from the first to the last that one output row looks at."""
        return (self.kh - 1) * self.dilation + 1

    def first(self, oh: int) -> int:
        """The first input row that output row oh reads."""
        return max(0, oh * self.stride - self.top)

    def last(self, oh: int) -> int:
        """The last input row that output row oh reads."""
        return min(self.height, oh * self.stride - self.top + self.span) - 1


@dataclass(frozen=True)
class Stage:
    """One link of the row pipeline: for each row that comes, a window layer and the pointwise layers behind it.

    Offsets are in bytes from the start of the arena. Of the input, `ring_rows` are kept in a ring, row q in slot
    q % ring_rows. The newest row comes at `row` and the ring holds those before it; where `row` is None it comes
    straight into its slot, so the ring holds a whole window. `outputs` says where each layer leaves its output row, the
    window's first: the last where the next stage's newest row comes. The last layer of the last stage leaves whole rows
    one after the other, its tensor.
    """

    window: str
    pointwise: tuple[str, ...]
    row: int | None
    ring: int
    ring_rows: int
    outputs: tuple[int, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.window, *self.pointwise)


@dataclass(frozen=True)
class Storage:
    """How a tensor lies in memory where it does not lie as NHWC of its own type.

    Element (h, w, c) is the item at byte (h + border) % slots * row + w * column + c * channel + origin, and holds
    the tensor's value plus `add`. In `triples` a column is three pixels wide: its items are two words a channel, pixel
    0 plus pixel 1 times 2^21, and pixel 1 plus pixel 2 times 2^21.
    """

    item: Literal["uint16", "int32"]
    nbytes: int
    row: int
    column: int
    channel: int
    origin: int
    border: int  # rows of padding above row 0
    slots: int  # rows that there is room for: those of a whole tensor, or of a ring
    add: int
    triples: bool = False


@dataclass(frozen=True)
class Tiles:
    """How a row is cut into tiles of `columns` output columns: tile i starts at min(i * step, last)."""

    count: int
    columns: int
    step: int
    last: int

    @property
    def starts(self) -> tuple[int, ...]:
        return tuple(min(tile * self.step, self.last) for tile in range(self.count))


@dataclass(frozen=True)
class Band:
    """Layers that make an output row together, tile by tile: a depthwise and the pointwise behind it.

    The depthwise leaves a tile in `scratch`, from where the pointwise reads it. A first convolution is a band of its
    own: the rows of the image come to `scratch`, with padding at both ends, and are packed into `source`. Offsets are
    in bytes from the start of the arena. A streamed band's rows are made as the rows of its source come.
    """

    layers: tuple[str, ...]
    source: int
    scratch: int
    target: int
    tiles: Tiles
    streamed: bool


@dataclass(frozen=True)
class Buffer:
    """A stretch of the arena, live from layer index `first` to layer index `last`, both included.

    `name` is the tensor that lies there, or says what part of the row pipeline does.
    """

    name: str
    offset: int  # bytes from the start of the arena
    size: int  # bytes
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """Every activation's place. The network's output is the caller's, not the arena's.

    `stages` take the input row by row, as far as they reach; then the other layers run one after the other. Where a
    layer is in `walks` it runs row by row too, upwards (+1) or downwards (-1), which may let it write over its input.
    `alias` maps a tensor that is another one under a new shape (a reshape) to the tensor that owns the bytes.
    """

    stages: tuple[Stage, ...]
    rows: Mapping[str, Rows]  # of every layer that runs row by row
    walks: Mapping[str, int]
    buffers: tuple[Buffer, ...]
    alias: Mapping[str, str]
    state: int  # offset of the count of rows that came in, four bytes
    arena_bytes: int
    lower_bound: int  # bytes alive at the worst moment of this choice of stages; no placement can do with less
    peak_layer: str  # name of the layer of that moment
    bands: tuple[Band, ...] = ()  # instead of `stages`, on cores with kernels for them
    storage: Mapping[str, Storage] = field(default_factory=dict)  # of the tensors between the layers of bands

    def __post_init__(self) -> None:
        for name in ("rows", "walks", "alias", "storage"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def owner(self, tensor: str) -> str:
        while tensor in self.alias:
            tensor = self.alias[tensor]
        return tensor

    def apart(self, layer: Layer) -> bool:
        """Whether the layer runs after the row pipeline and no byte of its inputs is one of its output's."""
        if layer.name in self.streamed:
            return False
        buffers = {buffer.name: buffer for buffer in self.buffers}
        target = buffers.get(self.owner(layer.output))
        sources = [buffers[self.owner(name)] for name in layer.inputs if self.owner(name) in buffers]
        return target is None or all(
            target.offset + target.size <= source.offset or source.offset + source.size <= target.offset
            for source in sources
        )

    @property
    def streamed(self) -> tuple[str, ...]:
        """Layers of the row pipeline, in running order."""
        bands = (band.layers for band in self.bands if band.streamed)
        return tuple(layer for layers in (*(stage.layers for stage in self.stages), *bands) for layer in layers)

    @property
    def banded(self) -> tuple[str, ...]:
        """Layers of all bands, in running order."""
        return tuple(layer for band in self.bands for layer in band.layers)
