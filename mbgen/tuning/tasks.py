"""What there is to tune in a network: one task for each kernel that has a space, as a network of that layer alone.

Knows graphs, plans and spaces. May not know how a kernel is searched, built or measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mbgen.graph import Conv2D, Graph, Layer, Reshape, is_pointwise
from mbgen.lowering.lower import prepare_planned
from mbgen.lowering.prepared import Prepared
from mbgen.plan import Plan
from mbgen.planning import plan as make_plan
from mbgen.schedules.space import Chosen, Space, default_schedule
from mbgen.target import Target


@dataclass(frozen=True, eq=False)
class Task:
    """One kernel to be tuned: its space, and a network of the first layer that runs it.

    `runs` is how often the network runs what the task's own network runs once.
    """

    layer: str
    space: Space
    graph: Graph = field(repr=False)
    runs: int
    function: Callable[[], Any] = field(repr=False)  # () -> the kernel's PrimFunc with its default schedule


def tasks_of(graph: Graph, plan: Plan, target: Target) -> tuple[Task, ...]:
    """The tasks of a network that runs as `plan` says, in the order of first use.

    A kernel that a layer has only among others, in a band or over its own input, cannot be measured alone: it is none.
    """
    found: dict[str, Task] = {}
    for layer in graph.layers:
        if isinstance(layer, Reshape):
            continue
        prepared, spaces = _prepared(layer, graph, plan, target)
        if not spaces:
            continue
        alone, runs = _alone(layer, graph, layer.name in plan.rows)
        _, measurable = _prepared(alone.layers[0], alone, make_plan(alone, "speed"), target)
        for space in spaces:
            if space.key in found:
                known = found[space.key]
                found[space.key] = replace(known, runs=known.runs + runs)
            elif space.key in {one.key for one in measurable}:
                found[space.key] = Task(layer.name, space, alone, runs, prepared.function)
    return tuple(found.values())


def _prepared(layer: Layer, graph: Graph, plan: Plan, target: Target) -> tuple[Prepared, list[Space]]:
    """A layer by its default schedule, and the spaces that it asked a choice of."""
    spaces: list[Space] = []

    def choose(space: Space) -> Chosen:
        spaces.append(space)
        return default_schedule(space)

    return prepare_planned(layer, graph, plan, target, choose), spaces


def _alone(layer: Layer, graph: Graph, by_row: bool) -> tuple[Graph, int]:
    """A network of one layer with the same kernel, and how often the layer runs it.

    A pointwise layer that runs row by row is one on an image of one row.
    """
    tensors = {name: graph.tensors[name] for name in (*layer.inputs, *layer.constants, layer.output)}
    runs = 1
    if by_row and isinstance(layer, Conv2D) and is_pointwise(layer, graph):
        runs = tensors[layer.output].shape[1]
        for name in (*layer.inputs, layer.output):
            _, _, width, channels = tensors[name].shape
            tensors[name] = replace(tensors[name], shape=(1, 1, width, channels))
    return Graph("task", graph.numerics, tensors, (layer,), layer.inputs[0], layer.output), runs
