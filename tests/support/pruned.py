"""A small network of which the exact rewrites take out channels, each for another reason."""

from __future__ import annotations

import dataclasses

import numpy as np

from mbgen.graph import Array, AveragePool2D, Graph, Numerics, Reshape
from tests.support.layer_network import LayerNetwork
from tests.support.layers import same_padding

CONVOLUTION, DEPTHWISE, POINTWISE = "conv_0", "depthwise_1", "pointwise_2"
CONSTANT, DUPLICATE, OF, DEAD = 2, 7, 4, 6  # channels of the convolution, and with it of the depthwise
LEFT = (0, 1, 3, 4, 5)
POINTWISE_DEAD, POINTWISE_LEFT = 1, (0, 2, 3, 4, 5)


def some_channels_gone(numerics: Numerics = Numerics.TFLITE) -> Graph:
    """Convolution, depthwise, pointwise, pool and dense on 9 x 9 x 3, int8; LEFT are the channels that matter."""
    net = LayerNetwork(numerics, seed=4, shape=(1, 9, 9, 3))
    x = net.convolution(net.input, (3, 3), 8, stride=(2, 2), padding=same_padding(net.input.shape, (3, 3), (2, 2)))
    padding = same_padding(x.shape, (3, 3), (1, 1))
    x = net.convolution(x, (3, 3), 8, depthwise=True, padding=padding, kind="depthwise")
    x = net.convolution(x, (1, 1), 6, kind="pointwise")
    net.declare(dataclasses.replace(x, name="pool", shape=(1, 1, 1, 6)))
    pooled = net.add(AveragePool2D(name="pool", inputs=(x.name,), output="pool", kernel=(x.shape[1], x.shape[2])))
    net.declare(dataclasses.replace(pooled, name="flat", shape=(1, 6)))
    dense = net.dense(net.add(Reshape(name="flat", inputs=("pool",), output="flat")), 4)

    def change(name: str, values: Array) -> None:
        net.tensors[name] = dataclasses.replace(net.tensors[name], data=values)

    for layer, axis in ((CONVOLUTION, 0), (DEPTHWISE, 2)):
        weights, bias = (np.array(net.tensors[f"{layer}.{part}"].data) for part in ("weights", "bias"))
        by_channel = np.moveaxis(weights, axis, 0)
        by_channel[DUPLICATE], bias[DUPLICATE] = by_channel[OF], bias[OF]
        if layer == CONVOLUTION:  # sums of nothing are the zero point, inside the image as in the padding around it
            by_channel[CONSTANT], bias[CONSTANT] = 0, 0
        change(f"{layer}.weights", weights)
        quantization = net.tensors[f"{layer}.weights"].quantization
        assert quantization is not None
        scale = list(quantization.scale)
        scale[DUPLICATE] = scale[OF]
        quantization = dataclasses.replace(quantization, scale=tuple(scale))
        net.tensors[f"{layer}.weights"] = dataclasses.replace(
            net.tensors[f"{layer}.weights"], quantization=quantization
        )
        change(f"{layer}.bias", bias)
    weights = np.array(net.tensors[f"{POINTWISE}.weights"].data)
    weights[..., DEAD] = 0
    weights[..., [OF, DUPLICATE]] //= 4  # their sum is the weight of the one that is left
    change(f"{POINTWISE}.weights", weights)
    weights = np.array(net.tensors[f"{dense.name}.weights"].data)
    weights[..., POINTWISE_DEAD] = 0
    change(f"{dense.name}.weights", weights)
    return net.graph
