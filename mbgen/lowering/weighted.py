"""What kernels of layers with weights have in common: extents, biases, and constants in panels of output channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from mbgen import numerics
from mbgen.errors import UnsupportedError
from mbgen.graph import Array, Conv2D, Dense, DepthwiseConv2D, Graph, WeightedLayer
from mbgen.lowering.conv import RowWindow
from mbgen.lowering.prepared import Context
from mbgen.planning.rows import rows_of
from mbgen.schedules.space import Choice

Window = Conv2D | DepthwiseConv2D


def weight_zero_point(layer: WeightedLayer, graph: Graph) -> int:
    """The one zero point of the weights. UnsupportedError where channels differ."""
    quantization = graph.tensors[layer.weights].quantization
    zero_points = {0} if quantization is None else set(quantization.zero_point)
    if len(zero_points) > 1:
        raise UnsupportedError(
            f"{layer.name}: the weights have another zero point for each channel; "
            "quantise them symmetrically (zero point 0) or per tensor"
        )
    return zero_points.pop()


def bias(layer: WeightedLayer, graph: Graph, folded: bool) -> Array:
    """The bias, with the input's zero point folded in if the kernel multiplies stored values."""
    output = graph.layer_output(layer)
    if folded:
        return numerics.folded_bias(layer, graph)
    if layer.bias is not None:
        return graph.constant(layer.bias)
    return np.zeros(output.shape[-1], np.float32 if output.dtype == "float32" else np.int32)


def constants(
    weights: Array, packing: str, bias: Array, arrays: Mapping[str, Array], pack: Callable[[Array], Array]
) -> dict[str, tuple[Array, str]]:
    """What a kernel reads beside its input: packed weights, and values of output channels as `pack` lays them out."""
    found = {"weights": (weights, f"weights {packing}"), "bias": (pack(bias), "bias")}
    return found | {role: (pack(values), role) for role, values in arrays.items()}


# --- pointwise and dense layers ------------------------------------------------------------------------------------


def matrix(layer: WeightedLayer, graph: Graph) -> Array:
    """A GEMM's weights, `[n][k]`: output channels, input channels."""
    weights = graph.constant(layer.weights)
    return weights.reshape(weights.shape[0], weights.shape[-1])


def gemm_family(layer: WeightedLayer) -> str:
    """What its kernels are counted as."""
    return "dense" if isinstance(layer, Dense) else "pointwise"


def gemm_rows(layer: WeightedLayer, graph: Graph, context: Context) -> int:
    """How many pixels a call multiplies by the weights: all, or those of a row."""
    if isinstance(layer, Dense):
        return 1
    _, oh, ow, _ = graph.layer_output(layer).shape
    return ow if context.by_row else oh * ow


def gemm_facts(layer: WeightedLayer, graph: Graph, context: Context) -> dict[str, Choice]:
    """What the best schedule of a GEMM may depend on."""
    n, k = matrix(layer, graph).shape
    (x,) = graph.layer_inputs(layer)
    return {"m": gemm_rows(layer, graph, context), "n": n, "k": k, "dtype": x.dtype}


# --- layers with windows -------------------------------------------------------------------------------------------


def window_facts(layer: Window, graph: Graph) -> dict[str, Choice]:
    """What the best schedule of a window layer may depend on."""
    (x,), output = graph.layer_inputs(layer), graph.layer_output(layer)
    kh, kw = _kernel(layer, graph)
    extents = {"oh": output.shape[1], "ow": output.shape[2], "ic": x.shape[3], "oc": output.shape[3]}
    return {**extents, "window": f"{kh}x{kw}", "stride": "x".join(map(str, layer.stride)), "dtype": x.dtype}


def row_window(layer: Window, graph: Graph) -> RowWindow:
    """The window as a kernel of one output row sees it."""
    kh, kw = _kernel(layer, graph)
    (_, height, width, _), (_, oh, ow, _) = graph.layer_inputs(layer)[0].shape, graph.layer_output(layer).shape
    bottom = (oh - 1) * layer.stride[0] + (kh - 1) * layer.dilation[0] - layer.padding.top >= height
    padded_rows = layer.padding.top > 0 or bottom
    return RowWindow(width, ow, kh, kw, layer.stride[1], layer.dilation[1], layer.padding.left, padded_rows)


def taps_inside(layer: Window, graph: Graph) -> list[list[int]]:
    """For each row of the output, the rows of its window that are not padding."""
    rows = rows_of(layer, graph)
    assert rows is not None  # window layers always have
    places = [[oh * rows.stride + kh * rows.dilation - rows.top for kh in range(rows.kh)] for oh in range(rows.oh)]
    return [[kh for kh, row in enumerate(window) if 0 <= row < rows.height] for window in places]


def channel_multiplier(layer: DepthwiseConv2D, graph: Graph) -> int:
    """Output channels for each input channel."""
    return graph.layer_output(layer).shape[3] // graph.layer_inputs(layer)[0].shape[3]


def _kernel(layer: Window, graph: Graph) -> tuple[int, int]:
    shape = graph.tensors[layer.weights].shape
    return (shape[0], shape[1]) if isinstance(layer, DepthwiseConv2D) else (shape[1], shape[2])
