"""All exact rewrites together, until none finds anything more, and the account of what they took out.

Knows the order of the passes. May not know why any of them is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from mbgen.errors import GraphError
from mbgen.graph import Array, Conv2D, Dense, Graph, Layer, macs
from mbgen.passes.clips import drop_idle_clips
from mbgen.passes.constant_channels import fold_constant_channels
from mbgen.passes.dead_channels import keep_channels, live_channels
from mbgen.passes.duplicate_channels import equal_channels, merge_duplicate_channels
from mbgen.passes.edit import readers
from mbgen.passes.padding import fold_padding
from mbgen.passes.ranges import ranges
from mbgen.passes.requantize import drop_identities

Reason = Literal["constant", "duplicate", "dead", "clip", "pad", "requantize"]

WHOLE_LAYERS: Mapping[Reason, Callable[[Graph], Graph]] = MappingProxyType(
    {"pad": fold_padding, "requantize": drop_identities, "clip": drop_idle_clips}
)


@dataclass(frozen=True)
class Removal:
    """What was taken out of one layer for one reason.

    - constant, duplicate, dead: `channels` of its output that are one value for every input, equal to another channel,
      or read by nobody. `macs` are the multiply-accumulates that computed them, and those that read them.
    - clip: its clamp, or the whole layer, never binds. pad: folded into its readers. requantize: changes nothing.
    """

    layer: str
    reason: Reason
    channels: int = 0
    macs: int = 0


@dataclass(frozen=True, eq=False)
class Simplified:
    """A graph that computes the same output from the same input, and how it relates to the one it was made from.

    `kept` has, for each layer that is left, the channels of the original layer's output that it computes, in order.
    `removals` are in the original's running order; their `macs` add up to the difference of the graphs'.
    """

    graph: Graph
    removals: tuple[Removal, ...]
    kept: Mapping[str, tuple[int, ...]] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", MappingProxyType(dict(self.kept)))
        counts = {layer.name: self.graph.layer_output(layer).shape[-1] for layer in self.graph.layers}
        if {name: len(channels) for name, channels in self.kept.items()} != counts:
            raise GraphError("the channels kept are not those of the layers")


def simplify(graph: Graph, multiple: int = 1) -> Simplified:
    """What the exact rewrites make of a graph, repeated until none finds anything more.

    Every value that is left equals the original's, layer by layer and channel by channel; the network's input and
    output are the original's in full. Convolutions and dense layers keep a multiple of `multiple` channels, or all they
    have: for kernels that compute as many at a time.
    """
    order = [layer.name for layer in graph.layers]
    kept = {layer.name: np.arange(graph.layer_output(layer).shape[-1]) for layer in graph.layers}
    found: list[Removal] = []
    before = None
    while graph is not before:
        before = graph
        for reason, rewrite in WHOLE_LAYERS.items():
            after = rewrite(graph)
            found += [Removal(name, reason) for name in _changed(graph, after)]
            graph = after
        folded = merge_duplicate_channels(fold_constant_channels(graph))
        live = live_channels(folded, multiple)
        found += _removed(graph, live)
        kept = {layer.name: kept[layer.name][live[layer.output]] for layer in folded.layers}
        graph = keep_channels(folded, live)
    return Simplified(graph, _added_up(found, order), {name: tuple(left.tolist()) for name, left in kept.items()})


def _changed(before: Graph, after: Graph) -> list[str]:
    """The layers that are gone, or whose clamp is another."""
    left = {layer.name: layer for layer in after.layers}
    return [
        layer.name
        for layer in before.layers
        if layer.name not in left or getattr(left[layer.name], "clamp", None) != getattr(layer, "clamp", None)
    ]


def _removed(graph: Graph, live: Mapping[str, Array]) -> list[Removal]:
    """What goes if only the `live` channels of `graph` stay, and why."""
    found, numbers = ranges(graph), equal_channels(graph)
    removals = []
    for layer in graph.layers:
        stays, first = live[layer.output], numbers[layer.output]
        cost = _channel_macs(layer, graph, live)
        constant = ~stays & found[layer.output].constant
        duplicate = ~stays & ~constant & (first != np.arange(len(first))) & stays[first]
        dead = ~stays & ~constant & ~duplicate
        which: dict[Reason, Array] = {"constant": constant, "duplicate": duplicate, "dead": dead}
        for reason, channels in which.items():
            if count := int(channels.sum()):
                removals.append(Removal(layer.name, reason, count, count * cost))
    return removals


def _channel_macs(layer: Layer, graph: Graph, live: Mapping[str, Array]) -> int:
    """Multiply-accumulates that end with a channel of the layer's output: its own, and in what stays of its readers."""
    channels = graph.layer_output(layer).shape[-1]
    own = macs(layer, graph) // channels
    reading = (reader for reader in readers(graph, layer.output) if isinstance(reader, Conv2D | Dense))
    return own + sum(
        macs(reader, graph) // (channels * len(live[reader.output])) * int(live[reader.output].sum())
        for reader in reading
    )


def _added_up(removals: list[Removal], order: list[str]) -> tuple[Removal, ...]:
    """One removal for each layer and reason, in the order of the layers."""
    groups: dict[tuple[str, Reason], list[Removal]] = {}
    for removal in removals:
        groups.setdefault((removal.layer, removal.reason), []).append(removal)
    total = (
        Removal(layer, reason, sum(one.channels for one in group), sum(one.macs for one in group))
        for (layer, reason), group in groups.items()
    )
    return tuple(sorted(total, key=lambda removal: order.index(removal.layer)))
