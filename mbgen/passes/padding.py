"""Pad layers go into the padding of the convolutions that read them.

Proof. A Pad surrounds an image with its zero point, real zero. A convolution's own padding adds nothing to a sum, and
neither does a place that holds the zero point: (zp - zp) * w = 0. So a convolution that reads the image and has the
padding of both computes the same sums. An average pool does not count its own padding but counts the Pad's, so it keeps
its Pad. So does a convolution whose window would fit into the padding whole: a pointwise layer stays one.
"""

from __future__ import annotations

from dataclasses import replace

from mbgen.graph import Conv2D, DepthwiseConv2D, Graph, Layer, Pad, Padding
from mbgen.passes.edit import bypassed, readers
from mbgen.passes.windows import kernel_size


def fold_padding(graph: Graph) -> Graph:
    """The graph without the Pad layers that all their readers can take in; the graph itself if there is none."""
    for name in [layer.name for layer in graph.layers if isinstance(layer, Pad)]:
        (pad,) = (layer for layer in graph.layers if layer.name == name)
        if isinstance(pad, Pad) and pad.output != graph.output:
            reading = readers(graph, pad.output)
            padded = [new for layer in reading if (new := _padded(layer, graph, pad.padding)) is not None]
            if len(padded) == len(reading):
                graph = bypassed(graph, pad, padded)
    return graph


def _padded(layer: Layer, graph: Graph, more: Padding) -> Layer | None:
    """The layer with this padding besides its own; None if it cannot have it."""
    if not isinstance(layer, Conv2D | DepthwiseConv2D):
        return None
    padding = Padding(*(own + added for own, added in zip(layer.padding, more, strict=True)))
    rows, columns = (
        (size - 1) * dilation + 1 for size, dilation in zip(kernel_size(layer, graph), layer.dilation, strict=True)
    )
    if max(padding.top, padding.bottom) >= rows or max(padding.left, padding.right) >= columns:
        return None
    return replace(layer, padding=padding)
