"""Runs a plan on paper: every byte of the arena knows which row of which tensor it holds, and every read is checked."""

from __future__ import annotations

import numpy as np

from mbgen.graph import ITEM_BYTES, Conv2D, DepthwiseConv2D, Graph, Layer, Reshape, is_pointwise
from mbgen.plan import Plan, Stage
from mbgen.planning.rows import rows_of

NOBODY = -1


class Simulator:
    """The arena as owners of bytes: (tensor, row) by number."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.owners = np.full(plan.arena_bytes, NOBODY)
        self.numbers: dict[tuple[str, int], int] = {}
        self.offsets = {buffer.name: buffer.offset for buffer in plan.buffers}

    def number(self, tensor: str, row: int) -> int:
        return self.numbers.setdefault((self.plan.owner(tensor), row), len(self.numbers))

    def write(self, offset: int, size: int, tensor: str, row: int) -> None:
        assert offset >= 0
        assert offset + size <= self.plan.arena_bytes
        self.owners[offset : offset + size] = self.number(tensor, row)

    def read(self, offset: int, size: int, tensor: str, row: int) -> None:
        assert (self.owners[offset : offset + size] == self.number(tensor, row)).all(), (tensor, row)

    def row_bytes(self, tensor: str) -> int:
        value = self.graph.tensors[tensor]
        return value.nbytes // self.rows(tensor)

    def rows(self, tensor: str) -> int:
        shape = self.graph.tensors[self.plan.owner(tensor)].shape
        return shape[1] if len(shape) == 4 else 1

    # --- the row pipeline ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """The whole network on one picture."""
        if self.plan.stages:
            for row in range(self.rows(self.graph.input)):
                first = self.plan.stages[0]
                size = self.row_bytes(self.graph.input)
                self.write(self.arrival(first, size, row), size, self.graph.input, row)
                self.stage(0, row)
        else:
            self.write_whole(self.graph.input)
        for layer in self.graph.layers[len(self.plan.streamed) :]:
            if not isinstance(layer, Reshape):
                self.layer(layer)

    def slot(self, stage: Stage, size: int, row: int) -> int:
        return stage.ring + row % stage.ring_rows * size

    def arrival(self, stage: Stage, size: int, row: int) -> int:
        """Where a row of the stage's input comes."""
        return self.slot(stage, size, row) if stage.row is None else stage.row

    def stage(self, index: int, ih: int) -> None:
        stage = self.plan.stages[index]
        layers = {layer.name: layer for layer in self.graph.layers}
        window = layers[stage.window]
        source, size = window.inputs[0], self.row_bytes(window.inputs[0])
        rows = rows_of(window, self.graph)
        assert rows is not None
        kept = False
        for oh in range(rows.oh):
            if rows.last(oh) != ih:
                continue
            for row in range(rows.first(oh), rows.last(oh) + 1):
                image_row = row - (oh * rows.stride - rows.top)
                if image_row % rows.dilation == 0:
                    fresh = row == ih and not kept
                    place = self.arrival(stage, size, row) if fresh else self.slot(stage, size, row)
                    self.read(place, size, source, row)
            self.output(index, 0, window, oh)
            if not kept:
                self.keep(stage, source, size, ih)
                kept = True
            for step, name in enumerate(stage.pointwise, 1):
                layer = layers[name]
                self.read(stage.outputs[step - 1], self.row_bytes(layer.inputs[0]), layer.inputs[0], oh)
                self.output(index, step, layer, oh)
            if stage is not self.plan.stages[-1]:
                self.stage(index + 1, oh)
        if not kept:
            self.keep(stage, source, size, ih)

    def keep(self, stage: Stage, source: str, size: int, ih: int) -> None:
        if stage.ring_rows and stage.row is not None:
            self.read(stage.row, size, source, ih)
            self.write(self.slot(stage, size, ih), size, source, ih)

    def output(self, index: int, step: int, layer: Layer, oh: int) -> None:
        stage, size = self.plan.stages[index], self.row_bytes(layer.output)
        offset = stage.outputs[step]
        if step == len(stage.pointwise):
            last = stage is self.plan.stages[-1]
            offset = offset + oh * size if last else self.arrival(self.plan.stages[index + 1], size, oh)
        self.write(offset, size, layer.output, oh)

    # --- the layers after it ---------------------------------------------------------------------------------------

    def layer(self, layer: Layer) -> None:
        walk = self.plan.walks.get(layer.name)
        if walk is None:
            assert not isinstance(layer, Conv2D | DepthwiseConv2D) or is_pointwise(layer, self.graph)
            for name in layer.inputs:
                self.read_whole(name)
            self.write_whole(layer.output)
            for name in layer.inputs:  # a kernel may read all of its input until its last write
                self.read_whole(name)
            return
        rows = rows_of(layer, self.graph)
        assert rows is not None
        source = layer.inputs[0]
        size, base = self.row_bytes(source), self.offsets[self.plan.owner(source)]
        for oh in range(rows.oh)[::walk]:
            written = self.plan.owner(layer.output) != self.plan.owner(self.graph.output)
            needed = range(rows.first(oh), rows.last(oh) + 1)
            for row in needed:
                self.read(base + row * size, size, source, row)
            if written:
                out = self.row_bytes(layer.output)
                self.write(self.offsets[self.plan.owner(layer.output)] + oh * out, out, layer.output, oh)
            for row in needed:
                self.read(base + row * size, size, source, row)

    def write_whole(self, tensor: str) -> None:
        owner = self.plan.owner(tensor)
        if owner == self.plan.owner(self.graph.output):
            return
        size = self.row_bytes(owner)
        for row in range(self.rows(owner)):
            self.write(self.offsets[owner] + row * size, size, owner, row)

    def read_whole(self, tensor: str) -> None:
        owner = self.plan.owner(tensor)
        size = self.row_bytes(owner)
        for row in range(self.rows(owner)):
            self.read(self.offsets[owner] + row * size, size, owner, row)


def aligned_for_its_elements(graph: Graph, plan: Plan) -> bool:
    """Whether every buffer starts at a multiple of the largest element."""
    item = max(ITEM_BYTES[tensor.dtype] for tensor in graph.tensors.values())
    return all(buffer.offset % item == 0 for buffer in plan.buffers)
