"""The row pipeline's memory: rings, rows in passing, and the tensor at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
                row=None if stage.row is None else stage.row + base,
                ring=stage.ring + base,
                outputs=tuple(offset + base for offset in stage.outputs),
            )
            for stage in self.stages
        ]
        if stages:
            stages[-1] = replace(stages[-1], outputs=(*stages[-1].outputs[:-1], tensor))
        return tuple(stages), tuple(replace(buffer, offset=buffer.offset + base) for buffer in self.buffers)


def compact(stages: Sequence[Sequence[Layer]], graph: Graph) -> Layout:
    """Least bytes: rings for all stages, if any, and two buffers through which rows pass from kernel to kernel.

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

    kept = {stage[0].name: _rows(stage[0], graph).span - 1 for stage in stages}
    rings = {_ring(stage): kept[stage[0].name] * _row_bytes(stage[0], graph)[0] for stage in stages}
    buffers = _side_by_side(passing, rings, stages)
    places = {buffer.name: buffer.offset for buffer in buffers}
    made = []
    for stage, (row, *route) in zip(stages, routes, strict=True):
        window, *pointwise = (layer.name for layer in stage)
        outputs = [0 if layer is final else places[_passing(index)] for layer, index in zip(stage, route, strict=True)]
        ring = places.get(_ring(stage), 0)
        made.append(Stage(window, tuple(pointwise), places[_passing(row)], ring, kept[window], tuple(outputs)))
    return _layout(made, buffers)


def direct(stages: Sequence[Sequence[Layer]], graph: Graph) -> Layout:
    """Fewest moves: each stage leaves its rows in the next one's ring, which has room for a whole window.

    A row takes the place of the oldest, which no later window reads. Only from a window to the pointwise layers behind
    it rows pass through a buffer, or through two by turns.
    """
    passing = [0, 0]
    for stage in stages:
        for index, layer in enumerate(stage[:-1]):
            passing[index % 2] = max(passing[index % 2], _row_bytes(layer, graph)[1])
    spans = {_ring(stage): _rows(stage[0], graph).span for stage in stages}
    rings = {_ring(stage): spans[_ring(stage)] * _row_bytes(stage[0], graph)[0] for stage in stages}
    buffers = _side_by_side(passing, rings, stages)
    places = {buffer.name: buffer.offset for buffer in buffers}
    made = []
    following = [*(places[_ring(stage)] for stage in stages[1:]), 0]
    for stage, target in zip(stages, following, strict=False):
        window, *pointwise = (layer.name for layer in stage)
        within = [places[_passing(index % 2)] for index in range(len(pointwise))]
        ring = _ring(stage)
        made.append(Stage(window, tuple(pointwise), None, places[ring], spans[ring], (*within, target)))
    return _layout(made, buffers)


def _passing(index: int) -> str:
    return f"row in passing {index}"


def _ring(stage: Sequence[Layer]) -> str:
    return f"ring of {stage[0].name}"


def _side_by_side(
    passing: Sequence[int], rings: Mapping[str, int], stages: Sequence[Sequence[Layer]]
) -> tuple[Buffer, ...]:
    """Buffers of these bytes, but for those of none, and the count of rows, all alive while any stage runs."""
    last = max(sum(len(stage) for stage in stages) - 1, 0)
    sizes = {**{_passing(index): size for index, size in enumerate(passing)}, **rings, "rows so far": STATE_BYTES}
    buffers: list[Buffer] = []
    for name, size in sizes.items():
        if size:
            start = aligned(buffers[-1].offset + buffers[-1].size) if buffers else 0
            buffers.append(Buffer(name, start, size, 0, last))
    return tuple(buffers)


def _layout(stages: Sequence[Stage], buffers: tuple[Buffer, ...]) -> Layout:
    state = buffers[-1].offset
    return Layout(tuple(stages), buffers, state, aligned(state + STATE_BYTES))


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
