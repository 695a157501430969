"""The network: typed layers over named tensors, NHWC, verified when made.

Knows shapes, types, quantisation and wiring. May not know file formats, TVM, targets or C.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mbgen.errors import GraphError

DType = Literal["int8", "uint8", "int32", "float32"]
Shape = tuple[int, ...]
Array = NDArray[Any]

ITEM_BYTES: Mapping[str, int] = MappingProxyType({"int8": 1, "uint8": 1, "int32": 4, "float32": 4})
INTEGER_RANGE: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"int8": (-128, 127), "uint8": (0, 255), "int32": (-(2**31), 2**31 - 1)}
)


class Numerics(Enum):
    """Whose arithmetic the library must reproduce (docs/numerics.md)."""

    TFLITE = "tflite"  # 32-bit multiplier and shift, double rounding
    QDQ = "qdq"  # int32 accumulation, float32 scale, round half to even
    FLOAT32 = "float32"  # same operations, other summation order


class Padding(NamedTuple):
    """Rows and columns added around an image, in pixels."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


class Clamp(NamedTuple):
    """Inclusive bounds of an output, in the output's own units: quantised integers, or real values for float32."""

    low: float = -math.inf
    high: float = math.inf


NO_PADDING = Padding()
NO_CLAMP = Clamp()


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation, real = scale * (q - zero_point); one entry, or one for each index along `axis`.

    Scales are float32 values held as Python floats.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.zero_point):
            raise GraphError(f"quantisation has {len(self.scale)} scales but {len(self.zero_point)} zero points")
        if self.axis is None and len(self.scale) != 1:
            raise GraphError(f"per-tensor quantisation has {len(self.scale)} scales; it must have one")
        if not all(math.isfinite(s) and s > 0 for s in self.scale):
            raise GraphError("a quantisation scale is not a positive finite number")

    @property
    def per_channel(self) -> bool:
        return self.axis is not None


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the network; `data` is set for constants only. Activations carry their batch of 1 first."""

    name: str
    shape: Shape
    dtype: DType
    quantization: Quantization | None = None
    data: Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not all(isinstance(n, int) and n > 0 for n in self.shape):
            raise GraphError(f"tensor {self.name!r} has shape {list(self.shape)}; every dimension must be at least 1")
        if self.data is not None and (self.data.shape != self.shape or self.data.dtype != self.dtype):
            raise GraphError(
                f"tensor {self.name!r} is declared {self.dtype}{list(self.shape)} "
                f"but holds {self.data.dtype}{list(self.data.shape)}"
            )
        q = self.quantization
        if q is not None and q.axis is not None and self.shape[q.axis] != len(q.scale):
            raise GraphError(
                f"tensor {self.name!r} has {self.shape[q.axis]} channels along axis {q.axis} but {len(q.scale)} scales"
            )

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operation. `inputs` and `output` name tensors of the graph.

    `source` is the name of the value in the model file that this layer's output must equal, empty if there is none;
    it is used by `mbgen verify` only.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    source: str = ""

    @property
    def constants(self) -> tuple[str, ...]:
        """Names of the constant tensors this layer reads, weights first."""
        return ()


@dataclass(frozen=True, kw_only=True)
class WeightedLayer(Layer):
    """A layer with weights, an optional bias (int32 in a quantised network) and a fused clamp."""

    weights: str
    bias: str | None = None
    clamp: Clamp = NO_CLAMP

    @property
    def constants(self) -> tuple[str, ...]:
        return (self.weights,) if self.bias is None else (self.weights, self.bias)


@dataclass(frozen=True, kw_only=True)
class Conv2D(WeightedLayer):
    """2-D convolution; weights `[oc, kh, kw, ic]`, bias `[oc]`."""

    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(WeightedLayer):
    """Depthwise convolution; weights `[kh, kw, oc]`, oc = ic * depth multiplier; channel o reads o // multiplier."""

    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, kw_only=True)
class Dense(WeightedLayer):
    """Fully connected; input `[1, ic]`, weights `[oc, ic]`, bias `[oc]`."""


@dataclass(frozen=True, kw_only=True)
class AveragePool2D(Layer):
    """Average over `kernel` windows; padded places are not counted."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = NO_PADDING
    clamp: Clamp = NO_CLAMP


@dataclass(frozen=True, kw_only=True)
class Mean(Layer):
    """Mean over height and width, both kept as 1: TFLite's quantised MEAN, which rounds unlike its AVERAGE_POOL_2D."""


@dataclass(frozen=True, kw_only=True)
class Add(Layer):
    """Element-wise sum of two activations of the same shape."""

    clamp: Clamp = NO_CLAMP


@dataclass(frozen=True, kw_only=True)
class Pad(Layer):
    """Spatial padding with real zero, which is the zero point when quantised."""

    padding: Padding


@dataclass(frozen=True, kw_only=True)
class Concat(Layer):
    """Concatenation along `axis`; quantised inputs share the output's quantisation."""

    axis: int


@dataclass(frozen=True, kw_only=True)
class Reshape(Layer):
    """Same bytes, other shape."""


@dataclass(frozen=True, kw_only=True)
class Softmax(Layer):
    """exp(beta * x) / sum(exp(beta * x)) over the last axis."""

    beta: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Logistic(Layer):
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True, kw_only=True)
class Clip(Layer):
    """A clamp (ReLU, ReLU6) that no producer could take in; input and output share type and quantisation."""

    clamp: Clamp


@dataclass(frozen=True, kw_only=True)
class Quantize(Layer):
    """float32 to a quantised type."""


@dataclass(frozen=True, kw_only=True)
class Dequantize(Layer):
    """A quantised type to float32."""


@dataclass(frozen=True, kw_only=True)
class Requantize(Layer):
    """A quantised type to another scale, zero point or type."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A network with one input and one output, layers in an order in which they can run."""

    name: str
    numerics: Numerics
    tensors: Mapping[str, Tensor]
    layers: tuple[Layer, ...]
    input: str
    output: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        verify(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """To pickle: a read-only mapping cannot be."""
        return Graph, (self.name, self.numerics, dict(self.tensors), self.layers, self.input, self.output)

    def layer_inputs(self, layer: Layer) -> tuple[Tensor, ...]:
        return tuple(self.tensors[name] for name in layer.inputs)

    def layer_output(self, layer: Layer) -> Tensor:
        return self.tensors[layer.output]

    def constant(self, name: str) -> Array:
        data = self.tensors[name].data
        if data is None:
            raise GraphError(f"tensor {name!r} is not a constant")
        return data


def verify(graph: Graph) -> None:
    """Check wiring, shapes, types and quantisation; raise GraphError naming the layer that is wrong."""
    for name, tensor in graph.tensors.items():
        if name != tensor.name:
            raise GraphError(f"tensor {tensor.name!r} is filed under the name {name!r}")
    for name in (graph.input, graph.output):
        if name not in graph.tensors:
            raise GraphError(f"the graph's end {name!r} is not among its tensors")
    known = {graph.input} | {name for name, tensor in graph.tensors.items() if tensor.data is not None}
    seen: set[str] = set()
    for layer in graph.layers:
        if layer.name in seen:
            raise GraphError(f"two layers are named {layer.name!r}")
        seen.add(layer.name)
        for name in (*layer.inputs, *layer.constants):
            if name not in known:
                raise GraphError(f"{layer.name}: reads {name!r} before anything has produced it")
        for name in layer.constants:
            if graph.tensors[name].data is None:
                raise GraphError(f"{layer.name}: {name!r} must be a constant")
        if layer.output in known or layer.output not in graph.tensors:
            raise GraphError(f"{layer.name}: output {layer.output!r} is produced twice or not declared")
        known.add(layer.output)
        expected = infer_shape(layer, graph)
        actual = graph.layer_output(layer).shape
        if actual != expected:
            raise GraphError(f"{layer.name}: output has shape {list(actual)}, expected {list(expected)}")
        _verify_types(layer, graph)
    if graph.output not in known:
        raise GraphError(f"the graph's output {graph.output!r} is produced by no layer")


def _verify_types(layer: Layer, graph: Graph) -> None:
    output = graph.layer_output(layer)
    if isinstance(layer, Quantize | Dequantize | Requantize):
        (source,) = graph.layer_inputs(layer)
        wanted = {Quantize: (False, True), Dequantize: (True, False), Requantize: (True, True)}[type(layer)]
        if (source.quantization is not None, output.quantization is not None) != wanted:
            raise GraphError(
                f"{layer.name}: {type(layer).__name__} from {source.dtype} to {output.dtype} is not possible"
            )
        return
    for tensor in graph.layer_inputs(layer):
        if tensor.dtype != output.dtype:
            raise GraphError(f"{layer.name}: reads {tensor.dtype} but writes {output.dtype}")
    if (output.dtype == "float32") != (output.quantization is None):
        raise GraphError(
            f"{layer.name}: {output.dtype} output {'has' if output.quantization else 'lacks'} quantisation"
        )
    if isinstance(layer, Pad | Concat | Reshape | Clip):
        for tensor in graph.layer_inputs(layer):
            if tensor.quantization != output.quantization:
                raise GraphError(f"{layer.name}: input {tensor.name!r} and output differ in quantisation")
    if isinstance(layer, WeightedLayer):
        _verify_weights(layer, graph)


def _verify_weights(layer: WeightedLayer, graph: Graph) -> None:
    output, weights = graph.layer_output(layer), graph.tensors[layer.weights]
    oc = output.shape[-1]
    if (weights.dtype == "float32") != (output.dtype == "float32"):
        raise GraphError(f"{layer.name}: {weights.dtype} weights with {output.dtype} activations")
    if weights.quantization is not None and weights.quantization.axis is not None:
        axis = weights.quantization.axis % len(weights.shape)
        if axis != (len(weights.shape) - 1 if isinstance(layer, DepthwiseConv2D) else 0):
            raise GraphError(f"{layer.name}: weights are quantised along axis {axis}, not along the output channels")
    if layer.bias is not None:
        bias = graph.tensors[layer.bias]
        if bias.shape != (oc,) or bias.dtype != ("float32" if output.dtype == "float32" else "int32"):
            raise GraphError(f"{layer.name}: bias is {bias.dtype}{list(bias.shape)} for {oc} output channels")


def window_output(size: int, kernel: int, stride: int, dilation: int, padded: int) -> int:
    """Positions of a sliding window along one axis with `padded` places added in all."""
    return (size + padded - (kernel - 1) * dilation - 1) // stride + 1


def _convolved(layer: Conv2D | DepthwiseConv2D, image: Shape, kh: int, kw: int, oc: int) -> Shape:
    pad = layer.padding
    return (
        image[0],
        window_output(image[1], kh, layer.stride[0], layer.dilation[0], pad.top + pad.bottom),
        window_output(image[2], kw, layer.stride[1], layer.dilation[1], pad.left + pad.right),
        oc,
    )


@functools.singledispatch
def infer_shape(layer: Layer, graph: Graph) -> Shape:
    """Shape of the layer's output from its inputs' shapes; element-wise layers keep their input's shape."""
    return graph.tensors[layer.inputs[0]].shape


@infer_shape.register
def _(layer: Conv2D, graph: Graph) -> Shape:
    image, weights = graph.tensors[layer.inputs[0]].shape, graph.tensors[layer.weights].shape
    if len(image) != 4 or len(weights) != 4 or weights[3] != image[3]:
        raise GraphError(f"{layer.name}: weights {list(weights)} do not fit input {list(image)}")
    oc, kh, kw, _ = weights
    return _convolved(layer, image, kh, kw, oc)


@infer_shape.register
def _(layer: DepthwiseConv2D, graph: Graph) -> Shape:
    image, weights = graph.tensors[layer.inputs[0]].shape, graph.tensors[layer.weights].shape
    if len(image) != 4 or len(weights) != 3 or weights[2] % image[3]:
        raise GraphError(f"{layer.name}: weights {list(weights)} do not fit input {list(image)}")
    kh, kw, oc = weights
    return _convolved(layer, image, kh, kw, oc)


@infer_shape.register
def _(layer: Dense, graph: Graph) -> Shape:
    vector, weights = graph.tensors[layer.inputs[0]].shape, graph.tensors[layer.weights].shape
    if len(vector) != 2 or len(weights) != 2 or weights[1] != vector[1]:
        raise GraphError(f"{layer.name}: weights {list(weights)} do not fit input {list(vector)}")
    return (vector[0], weights[0])


@infer_shape.register
def _(layer: AveragePool2D, graph: Graph) -> Shape:
    image, pad = graph.tensors[layer.inputs[0]].shape, layer.padding
    if len(image) != 4:
        raise GraphError(f"{layer.name}: cannot pool an input of shape {list(image)}")
    return (
        image[0],
        window_output(image[1], layer.kernel[0], layer.stride[0], 1, pad.top + pad.bottom),
        window_output(image[2], layer.kernel[1], layer.stride[1], 1, pad.left + pad.right),
        image[3],
    )


@infer_shape.register
def _(layer: Mean, graph: Graph) -> Shape:
    image = graph.tensors[layer.inputs[0]].shape
    if len(image) != 4:
        raise GraphError(f"{layer.name}: cannot take the mean of an input of shape {list(image)}")
    return (image[0], 1, 1, image[3])


@infer_shape.register
def _(layer: Add, graph: Graph) -> Shape:
    left, right = (tensor.shape for tensor in graph.layer_inputs(layer))
    if left != right:
        raise GraphError(f"{layer.name}: cannot add shapes {list(left)} and {list(right)}")
    return left


@infer_shape.register
def _(layer: Pad, graph: Graph) -> Shape:
    n, h, w, c = graph.tensors[layer.inputs[0]].shape
    pad = layer.padding
    return (n, h + pad.top + pad.bottom, w + pad.left + pad.right, c)


@infer_shape.register
def _(layer: Concat, graph: Graph) -> Shape:
    shapes = [tensor.shape for tensor in graph.layer_inputs(layer)]
    axis = layer.axis % len(shapes[0])
    if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) != 1:
        raise GraphError(f"{layer.name}: cannot concatenate shapes {[list(s) for s in shapes]} along axis {axis}")
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


@infer_shape.register
def _(layer: Reshape, graph: Graph) -> Shape:
    source, target = graph.tensors[layer.inputs[0]], graph.tensors[layer.output]
    if source.elements != target.elements:
        raise GraphError(f"{layer.name}: cannot reshape {list(source.shape)} to {list(target.shape)}")
    return target.shape


def macs(layer: Layer, graph: Graph) -> int:
    """Multiply-accumulates of one inference as the paper counts them (section 3.1): padding included, bias not."""
    if isinstance(layer, Dense):
        return graph.tensors[layer.weights].elements
    if isinstance(layer, Conv2D):
        _, kh, kw, ic = graph.tensors[layer.weights].shape
        return graph.layer_output(layer).elements * kh * kw * ic
    if isinstance(layer, DepthwiseConv2D):
        kh, kw, _ = graph.tensors[layer.weights].shape
        return graph.layer_output(layer).elements * kh * kw
    return 0


def is_pointwise(layer: Layer, graph: Graph) -> bool:
    """A 1x1 convolution of stride 1 without padding: a GEMM straight on the NHWC tensor (paper, section 3.2)."""
    return (
        isinstance(layer, Conv2D)
        and graph.tensors[layer.weights].shape[1:3] == (1, 1)
        and layer.stride == (1, 1)
        and layer.padding == NO_PADDING
    )


def parameters(graph: Graph) -> int:
    """Weights and biases, counted once each."""
    names = dict.fromkeys(name for layer in graph.layers for name in layer.constants)
    return sum(graph.tensors[name].elements for name in names)


def channel_zero_points(tensor: Tensor, channels: int) -> Array:
    """Zero point for each channel as int32, zero where the tensor is not quantised."""
    if tensor.quantization is None:
        return np.zeros(channels, np.int32)
    return np.broadcast_to(np.array(tensor.quantization.zero_point, np.int32), channels)
