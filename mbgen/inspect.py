"""What a network is made of and what it costs, layer by layer.

Knows Graph only. May not know how it is printed, where the graph came from, or any target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mbgen.graph import (
    Add,
    AveragePool2D,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    DType,
    Graph,
    Layer,
    Logistic,
    Mean,
    Pad,
    Quantization,
    Quantize,
    Requantize,
    Reshape,
    Shape,
    Softmax,
    Tensor,
    WeightedLayer,
    is_pointwise,
    macs,
    parameters,
)

OPERATIONS: Mapping[type[Layer], str] = MappingProxyType(
    {
        Conv2D: "conv2d",
        DepthwiseConv2D: "depthwise",
        Dense: "dense",
        AveragePool2D: "average_pool",
        Mean: "mean",
        Add: "add",
        Pad: "pad",
        Concat: "concat",
        Reshape: "reshape",
        Softmax: "softmax",
        Logistic: "logistic",
        Clip: "clip",
        Quantize: "quantize",
        Dequantize: "dequantize",
        Requantize: "requantize",
    }
)


@dataclass(frozen=True)
class Value:
    """An activation: its shape, its type, and what a step and zero mean if it is quantised."""

    name: str
    shape: Shape
    dtype: DType
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Weights:
    """A layer's weights: type, and whether they have one scale or one for each output channel."""

    shape: Shape
    dtype: DType
    per_channel: bool
    zero_point: bool  # true if some zero point is not 0


@dataclass(frozen=True)
class Saving:
    """A depthwise and pointwise pair beside the one standard convolution it stands for (paper, section 3.1)."""

    depthwise: str  # name of the pair's other layer
    macs: int  # D_K^2 M D_F^2 + M N D_F^2
    standard_macs: int  # D_K^2 M N D_F^2
    ratio: float  # 1/N + 1/D_K^2


@dataclass(frozen=True)
class Row:
    """One layer. `share` is its part of all multiply-accumulates, 0 to 1; `saving` stands with the pointwise layer."""

    name: str
    op: str
    inputs: tuple[Value, ...]
    output: Value
    weights: Weights | None
    macs: int
    share: float
    parameters: int
    saving: Saving | None
    source: str


@dataclass(frozen=True)
class Summary:
    """The network. `standard_macs` is what it would cost with a standard convolution for each pair.

    Plain values throughout: `dataclasses.asdict` gives what JSON can hold.
    """

    name: str
    numerics: str
    input: Value
    output: Value
    layers: tuple[Row, ...]
    macs: int
    standard_macs: int
    parameters: int
    constant_bytes: int


def summarise(graph: Graph) -> Summary:
    """Rows in running order, and totals; a constant shared by layers is counted in each row, in the totals once."""
    total = sum(macs(layer, graph) for layer in graph.layers)
    producers = {layer.output: layer for layer in graph.layers}
    rows = tuple(
        Row(
            name=layer.name,
            op=operation(layer, graph),
            inputs=tuple(_value(tensor) for tensor in graph.layer_inputs(layer)),
            output=_value(graph.layer_output(layer)),
            weights=_weights(graph.tensors[layer.weights]) if isinstance(layer, WeightedLayer) else None,
            macs=macs(layer, graph),
            share=macs(layer, graph) / total if total else 0.0,
            parameters=sum(graph.tensors[name].elements for name in layer.constants),
            saving=_saving(producers.get(layer.inputs[0]), layer, graph),
            source=layer.source,
        )
        for layer in graph.layers
    )
    constants = {name for layer in graph.layers for name in layer.constants}
    return Summary(
        name=graph.name,
        numerics=graph.numerics.value,
        input=_value(graph.tensors[graph.input]),
        output=_value(graph.tensors[graph.output]),
        layers=rows,
        macs=total,
        standard_macs=total + sum(row.saving.standard_macs - row.saving.macs for row in rows if row.saving),
        parameters=parameters(graph),
        constant_bytes=sum(graph.tensors[name].nbytes for name in constants),
    )


def operation(layer: Layer, graph: Graph) -> str:
    """The layer's kind in one word; a 1x1 convolution that is a plain GEMM is `pointwise`."""
    return "pointwise" if is_pointwise(layer, graph) else OPERATIONS[type(layer)]


def _value(tensor: Tensor) -> Value:
    quantization = tensor.quantization
    return Value(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        scale=quantization.scale[0] if quantization else None,
        zero_point=quantization.zero_point[0] if quantization else None,
    )


def _weights(tensor: Tensor) -> Weights:
    quantization = tensor.quantization or Quantization((1.0,), (0,))
    return Weights(tensor.shape, tensor.dtype, quantization.per_channel, any(quantization.zero_point))


def _saving(producer: Layer | None, layer: Layer, graph: Graph) -> Saving | None:
    """For a pointwise layer straight after a depthwise one that has a channel out for each channel in."""
    if not isinstance(producer, DepthwiseConv2D) or not is_pointwise(layer, graph):
        return None
    kh, kw, filtered = graph.tensors[producer.weights].shape
    if filtered != graph.layer_inputs(producer)[0].shape[3]:
        return None
    pair = macs(producer, graph) + macs(layer, graph)
    standard = macs(layer, graph) * kh * kw
    return Saving(producer.name, pair, standard, pair / standard)
