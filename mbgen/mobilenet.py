"""The built-in MobileNet V1 (Howard et al., arXiv 1704.04861, Table 1): any alpha, resolution and number of classes.

Knows the architecture and its costs. May not know file formats, quantisation, targets or the command line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mbgen.errors import InputError
from mbgen.graph import (
    Array,
    AveragePool2D,
    Clamp,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Numerics,
    Padding,
    Reshape,
    Shape,
    Softmax,
    Tensor,
)

STEM_CHANNELS = 32
# (output channels at alpha 1, stride of the depthwise); Table 1 prints stride 2 for the last one, but its shapes need 1
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
RELU6 = Clamp(0.0, 6.0)
MIN_CHANNELS = 8  # as tf-slim's min_depth
MIN_RESOLUTION = 17  # the fifth and last layer of stride 2 still has more than one pixel to halve
MAX_ELEMENTS = 2**31 - 1  # generated code indexes with 32 bits


def channels(base: int, alpha: float) -> int:
    """Channels of a layer that has `base` of them at alpha 1: `base * alpha` rounded down, but at least 8.

    This is tf-slim's rule (research/slim/nets/mobilenet_v1.py, `min_depth=8`). Keras rounds down too but has no least
    number, so the two agree for every alpha from 0.25. The product is exact, because every base is a power of two.
    """
    return max(int(base * alpha), MIN_CHANNELS)


def resolution_from_rho(rho: float) -> int:
    """Input size for the resolution multiplier of section 3.4: `224 * rho`, to the nearest pixel, halves up.

    The paper's 6/7, 5/7 and 4/7, also written 0.857, 0.714 and 0.571, give 192, 160 and 128.
    """
    if not (math.isfinite(rho) and rho > 0):
        raise InputError(f"rho is {rho:g}; the resolution multiplier must be a positive number such as 0.714")
    return math.floor(224 * rho + 0.5)


@dataclass(frozen=True)
class MobileNetV1:
    """One network of the family: `[1, resolution, resolution, 3]` in, `[1, classes]` out. Raises InputError."""

    alpha: float
    resolution: int
    classes: int = 1000
    softmax: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise InputError(f"alpha is {self.alpha:g}; the width multiplier must be a positive number such as 0.25")
        if self.resolution < MIN_RESOLUTION:
            raise InputError(
                f"resolution {self.resolution} is too small: the five layers of stride 2 need at least "
                f"{MIN_RESOLUTION} pixels; the paper uses 128 to 224"
            )
        if self.classes < 1:
            raise InputError(f"the network has {self.classes} classes; it needs at least 1")
        half = math.ceil(self.resolution / 2)
        largest = max(
            sum(math.prod(shape) for shape in weight_shapes(self).values()),
            3 * self.resolution**2,
            channels(64, self.alpha) * half**2,
        )
        if largest > MAX_ELEMENTS:
            raise InputError(
                f"alpha {self.alpha:g} with {self.classes} classes at {self.resolution}x{self.resolution} needs "
                f"{largest:,} weights or activations at once; generated code indexes at most {MAX_ELEMENTS:,}"
            )


def weight_shapes(net: MobileNetV1) -> dict[str, Shape]:
    """Every constant of the network with batch normalisation folded, in running order.

    Convolutions `[oc, kh, kw, ic]`, depthwise `[kh, kw, c]`, dense `[oc, ic]`, biases `[oc]`.
    """
    ic = channels(STEM_CHANNELS, net.alpha)
    shapes: dict[str, Shape] = {"conv_1.weights": (ic, 3, 3, 3), "conv_1.bias": (ic,)}
    for index, (base, _) in enumerate(BLOCKS, 1):
        oc = channels(base, net.alpha)
        shapes[f"depthwise_{index}.weights"] = (3, 3, ic)
        shapes[f"depthwise_{index}.bias"] = (ic,)
        shapes[f"pointwise_{index}.weights"] = (oc, 1, 1, ic)
        shapes[f"pointwise_{index}.bias"] = (oc,)
        ic = oc
    shapes["dense_1.weights"] = (net.classes, ic)
    shapes["dense_1.bias"] = (net.classes,)
    return shapes


def parameters_with_batch_norm(net: MobileNetV1) -> int:
    """Parameters as the paper counts them: before folding, a convolution has gamma and beta in place of one bias.

    The moving averages are no parameters; the dense layer has a bias and no normalisation.
    """
    shapes = weight_shapes(net)
    folded = sum(math.prod(shape) for shape in shapes.values())
    return folded + sum(shape[0] for name, shape in shapes.items() if name.endswith(".bias")) - net.classes


def random_weights(net: MobileNetV1, seed: int = 0) -> dict[str, Array]:
    """Weights as `weight_shapes` lists them with which an untrained network still behaves like a trained one.

    A convolution's weights have mean 0 and variance about `gain^2 / fan-in`: then the mean that every ReLU leaves
    behind does not pile up over 28 layers until all channels are dead and all images look the same (scaled weight
    standardisation, Brock et al., arXiv 2101.08692). A depthwise filter passes the local mean on and adds detail. The
    first layer's gain brings activations up to where ReLU6 clamps, the last one's makes the classes tell.

    They depend on alpha, classes and seed alone. They are drawn as integers, so that subtracting the mean is exact and
    every machine gets the same bits.
    """
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(net).items():
        layer, _, role = name.partition(".")
        drawn = random.integers(-127, 128, shape, np.int64)
        unit = 1 / math.sqrt((255**2 - 1) / 12)  # one over the standard deviation of what is drawn
        if role == "bias":
            values = drawn / 254 + 0.25
        elif layer.startswith("depthwise"):
            values = 1 / 9 + (9 * drawn - drawn.sum(axis=(0, 1))) * (1.1 / 3 * unit / 9)
        else:
            fan_in = math.prod(shape[1:])
            centred = fan_in * drawn - drawn.sum(axis=tuple(range(1, drawn.ndim)), keepdims=True)
            gain = {"conv_1": 5.0, "dense_1": 4.0}.get(layer, 1.0) * math.sqrt(2 / (1 - 1 / math.pi))
            values = centred * (gain * unit / fan_in / math.sqrt(fan_in))
        weights[name] = values.astype(np.float32)
    return weights


def same_padding(height: int, width: int, kernel: int, stride: int) -> Padding:
    """TensorFlow's SAME padding of a square window: what is odd goes to the bottom and to the right."""

    def around(size: int) -> tuple[int, int]:
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2

    return Padding(*around(height), *around(width))


def build(net: MobileNetV1, weights: Mapping[str, Array]) -> Graph:
    """The float32 network with `weights` as `weight_shapes` lists them; ReLU6 after every convolution.

    Raises GraphError where an array is not float32 of the listed shape.
    """
    tensors = {"input": Tensor("input", (1, net.resolution, net.resolution, 3), "float32")}
    tensors |= {name: Tensor(name, shape, "float32", data=weights[name]) for name, shape in weight_shapes(net).items()}
    layers: list[Layer] = []

    def append(layer: Layer, *shape: int) -> None:
        layers.append(layer)
        tensors[layer.output] = Tensor(layer.output, (1, *shape), "float32")

    def convolve(kind: type[Conv2D] | type[DepthwiseConv2D], name: str, source: str, kernel: int, stride: int) -> str:
        _, height, width, _ = tensors[source].shape
        layer = kind(
            name=name,
            inputs=(source,),
            output=name,
            weights=f"{name}.weights",
            bias=f"{name}.bias",
            clamp=RELU6,
            stride=(stride, stride),
            padding=same_padding(height, width, kernel, stride),
        )
        append(layer, math.ceil(height / stride), math.ceil(width / stride), *tensors[f"{name}.bias"].shape)
        return name

    last = convolve(Conv2D, "conv_1", "input", 3, 2)
    for index, (_, stride) in enumerate(BLOCKS, 1):
        last = convolve(DepthwiseConv2D, f"depthwise_{index}", last, 3, stride)
        last = convolve(Conv2D, f"pointwise_{index}", last, 1, 1)
    _, height, width, features = tensors[last].shape
    append(AveragePool2D(name="pool_1", inputs=(last,), output="pool_1", kernel=(height, width)), 1, 1, features)
    append(Reshape(name="reshape_1", inputs=("pool_1",), output="reshape_1"), features)
    append(
        Dense(
            name="dense_1",
            inputs=("reshape_1",),
            output="dense_1",
            weights="dense_1.weights",
            bias="dense_1.bias",
        ),
        net.classes,
    )
    if net.softmax:
        append(Softmax(name="softmax_1", inputs=("dense_1",), output="softmax_1"), net.classes)
    return Graph("mobilenet_v1", Numerics.FLOAT32, tensors, tuple(layers), "input", layers[-1].output)
