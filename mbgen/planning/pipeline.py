"""The row pipeline's memory: rings, two rows in passing, and the tensor at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mbgen.errors import GraphError
from mbgen.graph import ITEM_BYTES, Graph, Layer
from mbgen.plan import Buffer, Rows, Stage
from mbgen.planning.rows import rows_of
from mbgen.planning.sizes import aligned

STATE_BYTES = 4


@dataclass(frozen=True)
class Layout:
    """The pipeline's stages with offsets from a base that the placement chooses later, and the bytes they take.

    The last stage's last layer writes its tensor, which is not part of these bytes: its offset in `stages` is 0.
    """

    stages: tuple[Stage, ...]
    buffers: tuple[Buffer, ...]
    state: int
    size: int

    def moved(self, base: int, tensor: int) -> tuple[tuple[Stage, ...], tuple[Buffer, ...]]:
        """Stages and buffers with the pipeline's bytes at `base` and the tensor at `tensor`."""
        stages = [
            replace(
                stage,
                row=stage.row + base,
                ring=stage.ring + base,
                outputs=tuple(offset + base for offset in stage.outputs),
            )
            for stage in self.stages
        ]
        if stages:
            stages[-1] = replace(stages[-1], outputs=(*stages[-1].outputs[:-1], tensor))
        return tuple(stages), tuple(replace(buffer, offset=buffer.offset + base) for buffer in self.buffers)


def layout(stages: Sequence[Sequence[Layer]], graph: Graph) -> Layout:
    """Rings for all stages, if any, and two buffers through which rows pass from kernel to kernel.

    A stage's window reads the newest row from one of the two and writes to the other; the newest row then moves into
    the ring, in the place of the oldest, which no later window reads; so its buffer is free for the next kernel.
    """
    final = stages[-1][-1] if stages else None
    passing = [0, 0]  # bytes of the two buffers
    routes: list[list[int]] = []  # per stage: which of the two each row is in, the stage's input row first
    newest = 0
    for stage in stages:
        route = [newest]
        for layer in stage:
            row, output = _row_bytes(layer, graph)
            passing[newest] = max(passing[newest], row)
            newest = 1 - newest
            route.append(newest)
            if layer is not final:
                passing[newest] = max(passing[newest], output)
        routes.append(route)

    buffers: list[Buffer] = []
    last = max(sum(len(stage) for stage in stages) - 1, 0)

    def reserve(name: str, size: int) -> int:
        offset = aligned(buffers[-1].offset + buffers[-1].size) if buffers else 0
        buffers.append(Buffer(name, offset, size, 0, last))
        return offset

    places = [reserve(f"row in passing {index}", size) for index, size in enumerate(passing) if size]
    made = []
    for stage, (row, *route) in zip(stages, routes, strict=True):
        kept = _rows(stage[0], graph).span - 1
        ring = reserve(f"ring of {stage[0].name}", kept * _row_bytes(stage[0], graph)[0]) if kept else 0
        outputs = tuple(0 if layer is final else places[index] for layer, index in zip(stage, route, strict=True))
        window, *pointwise = (layer.name for layer in stage)
        made.append(Stage(window, tuple(pointwise), places[row], ring, kept, outputs))
    state = reserve("rows so far", STATE_BYTES)
    return Layout(tuple(made), tuple(buffers), state, aligned(state + STATE_BYTES))


def _rows(layer: Layer, graph: Graph) -> Rows:
    rows = rows_of(layer, graph)
    if rows is None:
        raise GraphError(f"{layer.name}: cannot run row by row")
    return rows


def _row_bytes(layer: Layer, graph: Graph) -> tuple[int, int]:
    """Bytes of one row of the layer's input and of its output."""
    rows = _rows(layer, graph)
    (source,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    return rows.input_row * ITEM_BYTES[source.dtype], rows.output_row * ITEM_BYTES[output.dtype]
