"""Tiny MobileNets as TFLite files with random weights: int8 per channel, the older uint8 per tensor, float32.

`mobilenet_v1` and `mobilenet_v2` are whole networks in the shapes that converters write; both run in LiteRT.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests.support.tflite_builder import TFLiteBuilder

LOWEST = {"int8": -128, "uint8": 0, "float32": 0}
RELU6_SCALE = 6 / 255


class _Network:
    """A builder that keeps the last tensor and gives every layer a scale at which its outputs spread over the type."""

    def __init__(self, dtype: str, seed: int, shape: Sequence[int]) -> None:
        self.dtype, self.builder, self.rng = dtype, TFLiteBuilder(), np.random.default_rng(seed)
        self.image = self.last = self.activation("image", shape, 1 / 128, LOWEST[dtype] + 128)

    def activation(self, name: str, shape: Sequence[int], scale: float, zero_point: int) -> int:
        if self.dtype == "float32":
            return self.builder.tensor(name, shape, "float32")
        return self.builder.tensor(name, shape, self.dtype, scale=scale, zero_point=zero_point)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.builder.tensors[self.last].shape

    @property
    def scale(self) -> float:
        return self.builder.tensors[self.last].scale[0] if self.dtype != "float32" else 1.0

    def constants(self, name: str, shape: Sequence[int], axis: int, oc: int) -> tuple[int, int, float]:
        """Weights and bias, and the standard deviation of the weights as real numbers."""
        if self.dtype == "float32":
            real = self.rng.normal(0, 3 / math.sqrt(math.prod(shape) / oc), shape).astype(np.float32)
            offset = self.rng.normal(0, 0.1, oc).astype(np.float32)
            return self.builder.constant(f"{name}/w", real), self.builder.constant(f"{name}/b", offset), 1.0
        per_channel = self.dtype == "int8"
        scales = self.rng.uniform(0.004, 0.01, oc if per_channel else 1).astype(np.float32)
        low, zero_point = (-127, 0) if per_channel else (0, 121)
        weights = self.builder.constant(
            f"{name}/w",
            self.rng.integers(low, low + 255, shape).astype(self.dtype),
            scale=scales.tolist(),
            zero_point=zero_point,
            axis=axis if per_channel else 0,
        )
        bias_scales = scales * np.float32(self.scale)
        bias = self.builder.constant(
            f"{name}/b", self.rng.integers(-3000, 3000, oc).astype(np.int32), scale=bias_scales.tolist()
        )
        return weights, bias, 73 * float(scales.mean())

    def integers(self, name: str, values: object) -> int:
        """An int32 constant: a shape, axes, paddings."""
        return self.builder.constant(name, np.array(values, np.int32))

    def weighted(
        self,
        kind: str,
        name: str,
        shape: Sequence[int],
        out_shape: Sequence[int],
        *,
        activation: str,
        **options: object,
    ) -> int:
        """A layer with weights; its output becomes the last tensor."""
        depthwise = kind == "DEPTHWISE_CONV_2D"
        oc = shape[-1] if depthwise else shape[0]
        weights, bias, deviation = self.constants(name, shape, 3 if depthwise else 0, oc)
        spread = deviation * math.sqrt(math.prod(shape) / oc) * self.scale * 73 / 60
        if activation == "NONE":
            scale, zero_point = spread, 128
        elif len(self.builder.operators) % 2:
            scale, zero_point = RELU6_SCALE, 0  # the type's own range is the clamp
        else:
            scale, zero_point = 8 / 255, 20  # the clamp lies within the type at both ends
        out = self.activation(name, out_shape, scale, LOWEST[self.dtype] + zero_point)
        self.builder.operator(kind, [self.last, weights, bias], [out], FusedActivationFunction=activation, **options)
        self.last = out
        return out

    def conv(self, name: str, oc: int, k: int, stride: int, activation: str = "RELU6", padding: str = "SAME") -> int:
        """Standard or pointwise convolution."""
        out = _windowed(self.shape, k, stride, padding, oc)
        options = {"Padding": padding, "StrideH": stride, "StrideW": stride, "DilationHFactor": 1, "DilationWFactor": 1}
        return self.weighted("CONV_2D", name, [oc, k, k, self.shape[3]], out, activation=activation, **options)

    def depthwise(self, name: str, stride: int, padding: str = "SAME", multiplier: int = 1) -> int:
        """Depthwise convolution, 3x3, ReLU6."""
        oc = self.shape[3] * multiplier
        out = _windowed(self.shape, 3, stride, padding, oc)
        options = {"Padding": padding, "StrideH": stride, "StrideW": stride, "DilationHFactor": 1, "DilationWFactor": 1}
        return self.weighted(
            "DEPTHWISE_CONV_2D", name, [1, 3, 3, oc], out, activation="RELU6", DepthMultiplier=multiplier, **options
        )

    def unary(self, kind: str, name: str, shape: Sequence[int], extra: Sequence[int] = (), **options: object) -> int:
        """A layer whose output keeps its input's quantisation."""
        last = self.builder.tensors[self.last]
        zero_point = last.zero_point[0] if last.zero_point else 0
        out = self.activation(name, shape, self.scale, zero_point)
        self.builder.operator(kind, [self.last, *extra], [out], **options)
        self.last = out
        return out

    def pad(self, name: str) -> int:
        """One row below and one column to the right, as Keras writes its stride-2 layers."""
        n, h, w, c = self.shape
        paddings = self.integers(f"{name}/paddings", [[0, 0], [0, 1], [0, 1], [0, 0]])
        return self.unary("PAD", name, [n, h + 1, w + 1, c], [paddings])

    def add(self, name: str, other: int) -> int:
        """Residual connection."""
        out = self.activation(name, self.shape, self.scale * 1.4, LOWEST[self.dtype] + 120)
        self.builder.operator("ADD", [other, self.last], [out], FusedActivationFunction="NONE")
        self.last = out
        return out

    def softmax(self) -> int:
        """Softmax with the output quantisation that TFLite prescribes."""
        out = self.activation("softmax", self.shape, 1 / 256, LOWEST[self.dtype])
        self.builder.operator("SOFTMAX", [self.last], [out], Beta=1.0)
        self.last = out
        return out

    def build(self) -> bytes:
        return self.builder.build([self.image], [self.last])


def _windowed(shape: Sequence[int], k: int, stride: int, padding: str, oc: int) -> list[int]:
    reach = 1 if padding == "SAME" else k
    return [1, (shape[1] - reach) // stride + 1, (shape[2] - reach) // stride + 1, oc]


def mobilenet_v1(dtype: str, seed: int = 0, size: int = 12) -> bytes:
    """Convolution, three depthwise separable blocks, average pool, dense, softmax; ReLU6 binds and does not."""
    net = _Network(dtype, seed, [1, size, size, 3])
    net.conv("conv", 8, 3, 2)
    for i, (oc, stride) in enumerate([(16, 1), (24, 2), (24, 1)], 1):
        net.depthwise(f"depthwise_{i}", stride)
        net.conv(f"pointwise_{i}", oc, 1, 1)
    _, h, w, c = net.shape
    net.unary(
        "AVERAGE_POOL_2D", "pool", [1, 1, 1, c], Padding="VALID", StrideH=h, StrideW=w, FilterHeight=h, FilterWidth=w
    )
    net.unary("RESHAPE", "flat", [1, c], [net.integers("shape", [1, c])], NewShape=[1, c])
    net.weighted("FULLY_CONNECTED", "logits", [5, c], [1, 5], activation="NONE")
    net.softmax()
    return net.build()


def mobilenet_v2(dtype: str, seed: int = 0, size: int = 12) -> bytes:
    """Inverted residuals with an ADD, PAD before the stride-2 depthwise, MEAN, dense: what Keras models become."""
    net = _Network(dtype, seed, [1, size, size, 3])
    net.conv("conv", 8, 3, 2)
    net.depthwise("depthwise_1", 1)
    block = net.conv("project_1", 8, 1, 1, "NONE")
    net.conv("expand_2", 24, 1, 1)
    net.depthwise("depthwise_2", 1)
    net.conv("project_2", 8, 1, 1, "NONE")
    net.add("add", block)
    net.conv("expand_3", 24, 1, 1)
    net.pad("pad")
    net.depthwise("depthwise_3", 2, "VALID")
    net.conv("project_3", 16, 1, 1, "NONE")
    net.conv("head", 32, 1, 1)
    net.unary("MEAN", "mean", [1, 32], [net.integers("axes", [1, 2])], KeepDims=False)
    net.weighted("FULLY_CONNECTED", "logits", [5, 32], [1, 5], activation="NONE")
    net.softmax()
    return net.build()
