"""Networks of small whole numbers, written layer by layer: float32 sums are exact in any order."""

from __future__ import annotations

import math

import numpy as np

from mbgen.graph import (
    Add,
    AveragePool2D,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    Layer,
    Numerics,
    Padding,
    Reshape,
    Tensor,
    window_output,
)

CLAMP = Clamp(-8.0, 8.0)


class Chain:
    """A float32 network in the making, with seeded random weights; values are whole until the pool."""

    def __init__(self, height: int, width: int, channels: int, seed: int) -> None:
        self.tensors = {"input": Tensor("input", (1, height, width, channels), "float32")}
        self.layers: list[Layer] = []
        self.last = self.tensors["input"]
        self.random = np.random.default_rng(seed)

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.layers) + 1}"

    def append(self, layer: Layer, *shape: int) -> None:
        self.layers.append(layer)
        self.last = self.tensors[layer.output] = Tensor(layer.output, (1, *shape), "float32")

    def window(self, kernel: int, stride: int, dilation: int, pads: tuple[int, int], oc: int | None) -> None:
        """A convolution to `oc` channels, or a depthwise one if None; nothing if the image is too small for it."""
        _, height, width, channels = self.last.shape
        oh, ow = (window_output(size, kernel, stride, dilation, sum(pads)) for size in (height, width))
        if oh < 1 or ow < 1:
            return
        name = self.name("depthwise" if oc is None else "conv")
        shape = (kernel, kernel, channels) if oc is None else (oc, kernel, kernel, channels)
        weights = self.random.integers(-1, 2, shape).astype(np.float32)
        bias = self.random.integers(-3, 4, oc or channels).astype(np.float32)
        for role, data in (("weights", weights), ("bias", bias)):
            self.tensors[f"{name}.{role}"] = Tensor(f"{name}.{role}", data.shape, "float32", data=data)
        layer = (DepthwiseConv2D if oc is None else Conv2D)(
            name=name,
            inputs=(self.last.name,),
            output=name,
            weights=f"{name}.weights",
            bias=f"{name}.bias",
            clamp=CLAMP,
            stride=(stride, stride),
            padding=Padding(pads[0], pads[1], pads[1], pads[0]),
            dilation=(dilation, dilation),
        )
        self.append(layer, oh, ow, oc or channels)

    def residual(self) -> None:
        before = self.last
        self.window(1, 1, 1, (0, 0), before.shape[3])
        name = self.name("add")
        self.append(Add(name=name, inputs=(before.name, self.last.name), output=name), *before.shape[1:])

    def graph(self, *, pooled: bool) -> Graph:
        _, height, width, channels = self.last.shape
        if pooled:
            name, source = self.name("pool"), self.last.name
            pool = AveragePool2D(name=name, inputs=(source,), output=name, kernel=(height, width))
            self.append(pool, 1, 1, channels)
        name, source = self.name("reshape"), self.last.name
        self.append(Reshape(name=name, inputs=(source,), output=name), math.prod(self.last.shape))
        return Graph("net", Numerics.FLOAT32, self.tensors, tuple(self.layers), "input", self.last.name)
