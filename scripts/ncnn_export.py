"""Write a float32 Graph as ncnn's two files, .param and .bin, for the comparison with peers.

Knows ncnn's formats for the layers of a MobileNet V1, and no others. Source: ncnn's docs/developer-guide, "param and
model file structure" and "operation-param-weight-table".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mbgen.graph import AveragePool2D, Clamp, Conv2D, Dense, DepthwiseConv2D, Graph, Layer, Padding, Reshape, Softmax

MAGIC = 7767517
FLOAT32 = np.uint32(0)  # what stands before weights that are plain float32
CLIP = 3  # the activation of that number takes a lower and an upper bound
NO_ACTIVATION, AVERAGE = 0, 1


class Files(NamedTuple):
    """What ncnn loads; the input is called `input` and the output `output`."""

    param: str
    bin: bytes


def to_ncnn(graph: Graph) -> Files:
    """The model's two files. TypeError for a layer that no MobileNet V1 has."""
    lines, weights = ["Input input 0 1 input"], b""
    for layer in graph.layers:
        source, target = (
            {graph.input: "input", graph.output: "output"}.get(name, name) for name in (layer.inputs[0], layer.output)
        )
        kind, parameters, content = _layer(layer, graph)
        settings = "".join(f" {key}={value}" for key, value in parameters.items())
        lines.append(f"{kind} {layer.name} 1 1 {source} {target}{settings}")
        weights += content
    return Files("\n".join([str(MAGIC), f"{len(lines)} {len(lines)}", *lines]) + "\n", weights)


def _layer(layer: Layer, graph: Graph) -> tuple[str, dict[int, object], bytes]:
    """Its type, its parameters by number, and its part of the weights file."""
    if isinstance(layer, Conv2D):
        kernel = graph.constant(layer.weights).transpose(0, 3, 1, 2)
        return "Convolution", _convolution(layer, kernel), _weights(layer, graph, kernel)
    if isinstance(layer, DepthwiseConv2D):
        kernel = graph.constant(layer.weights).transpose(2, 0, 1)[:, np.newaxis]
        groups = {7: graph.layer_inputs(layer)[0].shape[3]}
        return "ConvolutionDepthWise", _convolution(layer, kernel) | groups, _weights(layer, graph, kernel)
    if isinstance(layer, Dense):
        kernel = graph.constant(layer.weights)
        return "InnerProduct", {0: len(kernel), 1: 1, 2: kernel.size}, _weights(layer, graph, kernel)
    if isinstance(layer, AveragePool2D) and layer.kernel == graph.layer_inputs(layer)[0].shape[1:3]:
        return "Pooling", {0: AVERAGE, 4: 1}, b""
    if isinstance(layer, Reshape):
        return "Flatten", {}, b""
    if isinstance(layer, Softmax):
        return "Softmax", {0: 0, 1: 1}, b""
    raise TypeError(f"{layer.name}: the ncnn files have no {type(layer).__name__}")


def _convolution(layer: Conv2D | DepthwiseConv2D, kernel: np.ndarray) -> dict[int, object]:
    oc, _, kh, kw = kernel.shape
    sizes = {0: oc, 1: kw, 11: kh, 2: layer.dilation[1], 12: layer.dilation[0], 3: layer.stride[1], 13: layer.stride[0]}
    return {**sizes, **_padding(layer.padding), 5: 1, 6: kernel.size, **_activation(layer.clamp)}


def _padding(padding: Padding) -> dict[int, object]:
    return {4: padding.left, 15: padding.right, 14: padding.top, 16: padding.bottom}


def _activation(clamp: Clamp) -> dict[int, object]:
    if not np.all(np.isfinite(clamp)):
        return {9: NO_ACTIVATION}
    return {9: CLIP, -23310: f"2,{clamp.low:e},{clamp.high:e}"}  # -23300 - 10: an array as parameter 10


def _weights(layer: Conv2D | DepthwiseConv2D | Dense, graph: Graph, kernel: np.ndarray) -> bytes:
    bias = np.zeros(graph.layer_output(layer).shape[-1]) if layer.bias is None else graph.constant(layer.bias)
    return FLOAT32.tobytes() + kernel.astype("<f4").tobytes() + bias.astype("<f4").tobytes()
