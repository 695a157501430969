"""Which taps of a sliding window lie inside the image: the few patterns that there are at borders and inside."""

from __future__ import annotations

import numpy as np

from mbgen.graph import Array, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, Graph


def patterns(layer: Conv2D | DepthwiseConv2D | Dense | AveragePool2D, graph: Graph) -> tuple[Array, Array]:
    """The distinct sets of kernel rows that some window has inside the image, bool `[patterns, kh]`, and of columns.

    Every pattern of rows occurs with every pattern of columns, because windows lie on a grid. A dense layer has the one
    window of its input.
    """
    if isinstance(layer, Dense):
        return np.ones((1, 1), bool), np.ones((1, 1), bool)
    (x,), y = graph.layer_inputs(layer), graph.layer_output(layer)
    dilation = (1, 1) if isinstance(layer, AveragePool2D) else layer.dilation
    before = (layer.padding.top, layer.padding.left)
    rows, columns = (
        _along(x.shape[1 + axis], y.shape[1 + axis], kernel, layer.stride[axis], dilation[axis], before[axis])
        for axis, kernel in enumerate(kernel_size(layer, graph))
    )
    return rows, columns


def kernel_size(layer: Conv2D | DepthwiseConv2D | AveragePool2D, graph: Graph) -> tuple[int, int]:
    """Height and width of the window, without dilation."""
    if isinstance(layer, AveragePool2D):
        return layer.kernel
    shape = graph.tensors[layer.weights].shape
    return (shape[0], shape[1]) if isinstance(layer, DepthwiseConv2D) else (shape[1], shape[2])


def _along(size: int, places: int, kernel: int, stride: int, dilation: int, before: int) -> Array:
    taps = np.arange(places)[:, np.newaxis] * stride - before + np.arange(kernel) * dilation
    return np.unique((taps >= 0) & (taps < size), axis=0)
