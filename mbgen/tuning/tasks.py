"""What there is to tune in networks: one task for each kernel that has a space, with a small network that runs it.

Knows graphs, plans and spaces. May not know how a kernel is searched, built or measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from mbgen.graph import Graph, Layer, Reshape
from mbgen.lowering.lower import prepare_planned
from mbgen.lowering.prepared import Prepared
from mbgen.pipeline import chosen_plan
from mbgen.plan import Plan
from mbgen.schedules.space import Chosen, Space, default_schedule
from mbgen.target import Target
from mbgen.tuning.alone import Alone, alone


@dataclass(frozen=True, eq=False)
class Task:
    """One kernel to be tuned: its space, and a small network with the first layer that runs it.

    A figure is that of one call of the kernel: of a layer, or of its part where rows or tiles are made one by one.
    `runs` is how many of these one inference makes of each large network, all layers that share the kernel together.
    """

    layer: str
    space: Space
    alone: Alone = field(repr=False)
    runs: int
    function: Callable[[], Any] = field(repr=False)  # () -> the kernel's PrimFunc with its default schedule


def tasks_of(networks: Iterable[tuple[Graph, Plan]], target: Target) -> tuple[Task, ...]:
    """The tasks of networks that run as their plans say, in the order of first use; what they share is one task.

    A kernel that no small network has, because it works over its own input, cannot be measured: it is none.
    """
    found: dict[str, Task] = {}
    for graph, plan in networks:
        for layer in graph.layers:
            if isinstance(layer, Reshape):
                continue
            prepared, spaces = _prepared(layer, graph, plan, target)
            if not spaces:
                continue
            small = alone(layer, graph, plan)
            measurable: set[str] | None = None
            for space in spaces:
                if space.key in found:
                    known = found[space.key]
                    found[space.key] = replace(known, runs=known.runs + small.runs)
                    continue
                if measurable is None:
                    measurable = {one.key for one in _spaces_alone(small, target)}
                if space.key in measurable:
                    found[space.key] = Task(layer.name, space, small, small.runs, prepared.function)
    return tuple(found.values())


def plan_alone(graph: Graph, target: Target) -> Plan:
    """The plan of a small network."""
    return chosen_plan(graph, "speed", None, None, target)


def _spaces_alone(small: Alone, target: Target) -> list[Space]:
    layer = next(one for one in small.graph.layers if one.name == small.layer)
    return _prepared(layer, small.graph, plan_alone(small.graph, target), target)[1]


def _prepared(layer: Layer, graph: Graph, plan: Plan, target: Target) -> tuple[Prepared, list[Space]]:
    """A layer by its default schedule, and the spaces that it asked a choice of."""
    spaces: list[Space] = []

    def choose(space: Space) -> Chosen:
        spaces.append(space)
        return default_schedule(space)

    return prepare_planned(layer, graph, plan, target, choose), spaces
