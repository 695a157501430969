"""Which channels of a layer's input and output are one: they can only be there, or be gone, together.

A channel is an index along the last axis.
"""

from __future__ import annotations

import numpy as np

from mbgen.graph import (
    Add,
    Array,
    AveragePool2D,
    Clip,
    Concat,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Layer,
    Logistic,
    Mean,
    Pad,
    Quantize,
    Requantize,
    Reshape,
)

Tie = tuple[Array, Array]  # channels of an input and of the output, index arrays of one length


def ties(layer: Layer, graph: Graph) -> tuple[Tie, ...] | None:
    """For each input, the pairs (its channel, channel of the output) that are one; None where channels are mixed.

    Of a tie (i, o), output channel o[k] reads input channel i[k], and no channel but those it is tied to.
    """
    out = graph.layer_output(layer).shape[-1]
    sizes = [tensor.shape[-1] for tensor in graph.layer_inputs(layer)]
    every = np.arange(out)
    match layer:
        case DepthwiseConv2D():
            return ((every // (out // sizes[0]), every),)
        case Concat() if layer.axis % len(graph.layer_output(layer).shape) == len(graph.layer_output(layer).shape) - 1:
            starts = np.cumsum([0, *sizes[:-1]])
            return tuple((np.arange(size), start + np.arange(size)) for size, start in zip(sizes, starts, strict=True))
        case Reshape():
            # elements keep their running number f, whose channel is f modulo the channels
            if max(out, sizes[0]) % min(out, sizes[0]):
                return None
            number = np.arange(max(out, sizes[0]))
            return ((number % sizes[0], number % out),)
        case (
            AveragePool2D()
            | Mean()
            | Add()
            | Pad()
            | Concat()
            | Clip()
            | Logistic()
            | Quantize()
            | Dequantize()
            | Requantize()
        ):
            return tuple((every, every) for _ in sizes)
        case _:
            return None
