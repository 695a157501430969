"""When each activation is alive: from the layer that writes it to the last that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbgen.graph import Graph, Reshape


@dataclass(frozen=True)
class Lifetime:
    """Bytes that must be in the arena from layer index `first` to layer index `last`, both included."""

    name: str
    size: int
    first: int
    last: int


def aliases(graph: Graph) -> dict[str, str]:
    """Reshapes have no bytes of their own: output -> the tensor whose bytes it shows.

    The network's output always owns the caller's bytes, so a reshape that makes it gives its name to its input instead.
    """
    alias: dict[str, str] = {}
    for layer in graph.layers:
        if isinstance(layer, Reshape):
            source, target = layer.inputs[0], layer.output
            if target == graph.output and source != graph.input:
                alias[source] = target
            else:
                alias[target] = alias.get(source, source)
    return alias


def lifetimes(graph: Graph, alias: Mapping[str, str], streamed: int) -> tuple[Lifetime, ...]:
    """Lifetimes of all activations that are in the arena as whole tensors, in the order in which they are written.

    The first `streamed` layers run row by row, so only the output of the last of them is a tensor; without any, the
    network's input is kept whole. The network's output is the caller's.
    """

    def owner(tensor: str) -> str:
        while tensor in alias:
            tensor = alias[tensor]
        return tensor

    first = {} if streamed else {owner(graph.input): 0}
    last = dict(first)
    for index, layer in enumerate(graph.layers):
        if index >= streamed:
            for name in layer.inputs:
                last[owner(name)] = index
        if index >= streamed - 1:
            written = owner(layer.output)
            first.setdefault(written, index)
            last[written] = max(last.get(written, index), index)
    return tuple(
        Lifetime(name, graph.tensors[name].nbytes, start, last[name])
        for name, start in first.items()
        if name != owner(graph.output)
    )
