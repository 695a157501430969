"""A tiny network with kernels written by hand, so that tests of the library need neither TVM nor a model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mbgen import numerics, reference
from mbgen.graph import (
    Array,
    AveragePool2D,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    DType,
    Graph,
    Numerics,
    Padding,
    Quantization,
    Reshape,
    Tensor,
    WeightedLayer,
)
from mbgen.kernel import (
    ActivationArgument,
    Call,
    Constant,
    ConstantArgument,
    Kernel,
    LoweredNetwork,
    Parameter,
    VectorType,
)
from mbgen.library import ModelInfo, Network
from mbgen.plan import Buffer, Plan
from mbgen.target import load_target

SIDE, INPUTS, CHANNELS = 4, 3, 8
WEIGHTED = {"pointwise_1": (CHANNELS, 1, 1, INPUTS), "depthwise_1": (3, 3, CHANNELS)}


def make_network(dtype: DType = "int8", *, name: str = "tiny", target: str = "host", **changes: Any) -> Network:
    """A pointwise, a depthwise, a pool and a reshape in int8, uint8 or float32; `changes` are fields of Network."""
    graph = _graph(dtype)
    shape = graph.tensors["input"].shape
    random = np.random.default_rng(7)
    if dtype == "float32":
        image: Array = random.uniform(-1, 1, shape).astype(np.float32)
    else:
        image = random.integers(*{"int8": (-128, 128), "uint8": (0, 256)}[dtype], shape).astype(dtype)
    item = 4 if dtype == "float32" else 1
    size = SIDE * SIDE * CHANNELS * item
    network = Network(
        name=name,
        graph=graph,
        target=load_target(target),
        plan=Plan(
            buffers=(Buffer("pointwise_1", size, size, 0, 1), Buffer("depthwise_1", 0, size, 1, 2)),
            alias={"reshape_1": "pool_1"},
            arena_bytes=2 * size,
            lower_bound=2 * size,
            peak_layer="depthwise_1",
        ),
        lowered=_lower(name, graph),
        model=ModelInfo(
            source="builtin", alpha=0.25, resolution=SIDE, classes=CHANNELS, weights="random", random_weights=True
        ),
        options={"alpha": 0.25, "preprocess": "x/127.5-1" if dtype != "float32" else None},
        test_input=image,
        test_output=reference.execute(graph, image)[graph.output],
    )
    return dataclasses.replace(network, **changes)


def _graph(dtype: DType) -> Graph:
    random = np.random.default_rng(3)
    floating = dtype == "float32"
    zero_points = {"int8": (0, -128, 3), "uint8": (128, 0, 131), "float32": (0, 0, 0)}[dtype]

    def activation(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> Tensor:
        return Tensor(name, shape, dtype, None if floating else Quantization((scale,), (zero_point,)))

    image, features = (1, SIDE, SIDE, INPUTS), (1, SIDE, SIDE, CHANNELS)
    tensors = [
        activation("input", image, 1 / 128, zero_points[0]),
        activation("pointwise_1", features, 0.02, zero_points[1]),
        activation("depthwise_1", features, 0.05, zero_points[2]),
        activation("pool_1", (1, 1, 1, CHANNELS), 0.05, zero_points[2]),
        activation("reshape_1", (1, CHANNELS), 0.05, zero_points[2]),
    ]
    for layer, shape in WEIGHTED.items():
        if floating:
            weights, bias = random.normal(0, 0.5, shape), random.normal(0, 0.1, CHANNELS)
            tensors.append(Tensor(f"{layer}.weights", shape, "float32", data=weights.astype(np.float32)))
            tensors.append(Tensor(f"{layer}.bias", (CHANNELS,), "float32", data=bias.astype(np.float32)))
            continue
        axis = 0 if layer == "pointwise_1" else 2
        scales = tuple(float(scale) for scale in random.uniform(0.005, 0.02, CHANNELS).astype(np.float32))
        quantization = Quantization(scales, (0,) * CHANNELS, axis)
        data = random.integers(-127, 128, shape).astype(np.int8)
        tensors.append(Tensor(f"{layer}.weights", shape, "int8", quantization, data))
        bias_data = random.integers(-500, 500, CHANNELS).astype(np.int32)
        tensors.append(Tensor(f"{layer}.bias", (CHANNELS,), "int32", data=bias_data))
    relu6 = Clamp(0.0, 6.0) if floating else Clamp()
    layers = (
        Conv2D(
            name="pointwise_1",
            inputs=("input",),
            output="pointwise_1",
            weights="pointwise_1.weights",
            bias="pointwise_1.bias",
            clamp=relu6,
        ),
        DepthwiseConv2D(
            name="depthwise_1",
            inputs=("pointwise_1",),
            output="depthwise_1",
            weights="depthwise_1.weights",
            bias="depthwise_1.bias",
            padding=Padding(1, 1, 1, 1),
        ),
        AveragePool2D(name="pool_1", inputs=("depthwise_1",), output="pool_1", kernel=(SIDE, SIDE)),
        Reshape(name="reshape_1", inputs=("pool_1",), output="reshape_1"),
    )
    return Graph(
        "tiny",
        Numerics.FLOAT32 if floating else Numerics.TFLITE,
        {tensor.name: tensor for tensor in tensors},
        layers,
        "input",
        "reshape_1",
    )


POINTWISE = """\
    for (int32_t place = 0; place < 16; place++) {
        for (int32_t oc = 0; oc < 8; oc++) {
            int32_t acc = bias[oc];

            for (int32_t ic = 0; ic < 3; ic++) {
                acc += (int32_t)input[place * 3 + ic] * (int32_t)weights[oc * 3 + ic];
            }
            STORE(place * 8 + oc)
        }
    }
"""
DEPTHWISE = """\
    for (int32_t oh = 0; oh < 4; oh++) {
        for (int32_t ow = 0; ow < 4; ow++) {
            for (int32_t oc = 0; oc < 8; oc++) {
                int32_t acc = bias[oc];

                for (int32_t kh = 0; kh < 3; kh++) {
                    for (int32_t kw = 0; kw < 3; kw++) {
                        const int32_t ih = oh + kh - 1;
                        const int32_t iw = ow + kw - 1;
                        const int32_t inside = ih >= 0 && ih < 4 && iw >= 0 && iw < 4;
                        const int32_t value = inside ? (int32_t)input[(ih * 4 + iw) * 8 + oc] : PADDING;

                        acc += value * (int32_t)weights[(kh * 3 + kw) * 8 + oc];
                    }
                }
                STORE((oh * 4 + ow) * 8 + oc)
            }
        }
    }
"""
STORE = """\
acc = NAME_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + ZERO;
            acc = NAME_min_i32(acc, HIGH);
            output[INDEX] = (TYPE)NAME_max_i32(acc, LOW);"""
POOL = """\
    for (int32_t oc = 0; oc < 8; oc++) {
        int32_t total = 0;

        for (int32_t place = 0; place < 16; place++) {
            total += (int32_t)input[place * 8 + oc];
        }
        output[oc] = (TYPE)NAME_average_i32(total, 16);
    }
"""
FLOAT_POINTWISE = """\
    for (int32_t place = 0; place < 16; place++) {
        for (int32_t oc = 0; oc < 8; oc += 4) {
            NAME_f32x4 acc = *(const NAME_f32x4_u *)(bias + oc);

            for (int32_t ic = 0; ic < 3; ic++) {
                acc += input[place * 3 + ic] * *(const NAME_f32x4_u *)(weights + ic * 8 + oc);
            }
            for (int32_t lane = 0; lane < 4; lane++) {
                acc[lane] = NAME_min_f32(NAME_max_f32(acc[lane], 0.0f), 6.0f);
            }
            *(NAME_f32x4_u *)(output + place * 8 + oc) = acc;
        }
    }
"""
FLOAT_DEPTHWISE = (
    DEPTHWISE.replace("int32_t acc", "float acc")
    .replace("const int32_t value", "const float value")
    .replace("(int32_t)input", "input")
    .replace("(int32_t)weights", "weights")
    .replace("PADDING", "0.0f")
    .replace("STORE((oh * 4 + ow) * 8 + oc)", "output[(oh * 4 + ow) * 8 + oc] = acc;")
)
FLOAT_POOL = """\
    for (int32_t oc = 0; oc < 8; oc++) {
        float total = 0.0f;

        for (int32_t place = 0; place < 16; place++) {
            total += input[place * 8 + oc];
        }
        output[oc] = total / 16.0f;
    }
"""


def _lower(name: str, graph: Graph) -> LoweredNetwork:
    floating = graph.numerics is Numerics.FLOAT32
    kernels, calls, constants = [], [], []
    for layer in graph.layers[:3]:
        source, output = graph.tensors[layer.inputs[0]], graph.layer_output(layer)
        parameters = [Parameter("input", source.dtype, source.elements, const=True)]
        arguments: list[ActivationArgument | ConstantArgument] = [ActivationArgument(source.name)]
        for role, data, summary in _constants(layer, graph) if isinstance(layer, WeightedLayer) else ():
            symbol = f"{name}_{layer.name}_{role}"
            constants.append(Constant(symbol, data, data.dtype.name, layer.name, f"{layer.name}: {summary}"))
            parameters.append(Parameter(role, data.dtype.name, data.size, const=True))
            arguments.append(ConstantArgument(symbol))
        parameters.append(Parameter("output", output.dtype, output.elements, const=False))
        arguments.append(ActivationArgument(output.name))
        vectorised = floating and layer.name == "pointwise_1"
        kernels.append(
            Kernel(
                symbol=f"{name}_{layer.name}",
                family=layer.name.split("_")[0],
                summary=(f"{layer.name.split('_')[0]} {source.shape} to {output.shape}", "plain loops"),
                parameters=tuple(parameters),
                body=_body(name, layer.name, graph),
                vectors=frozenset({VectorType("float32", 4)} if vectorised else ()),
                helpers=_helpers(layer.name, vectorised, floating),
                schedule="plain",
                schedule_source="default",
            )
        )
        calls.append(Call(layer.name, kernels[-1].symbol, tuple(arguments)))
    return LoweredNetwork(tuple(kernels), tuple(calls), tuple(constants))


def _constants(layer: WeightedLayer, graph: Graph) -> list[tuple[str, Array, str]]:
    weights = graph.constant(layer.weights)
    if graph.numerics is Numerics.FLOAT32:
        if layer.name == "pointwise_1":
            weights = weights.reshape(CHANNELS, INPUTS).T
        assert layer.bias is not None
        return [("weights", weights.reshape(-1), "weights"), ("bias", graph.constant(layer.bias), "bias")]
    scale = numerics.output_scale(layer, graph)
    assert isinstance(scale, numerics.FixedPoint)
    return [
        ("weights", weights.reshape(-1), "weights"),
        ("bias", numerics.folded_bias(layer, graph).astype(np.int32), "bias, zero points folded in"),
        ("multiplier", scale.multiplier.astype(np.int32), "multipliers"),
        ("shift", scale.shift.astype(np.int32), "shifts, positive to the left"),
    ]


def _helpers(layer: str, vectorised: bool, floating: bool) -> frozenset[str]:
    if floating:
        return frozenset({"min_f32", "max_f32"} if vectorised else ())
    return frozenset({"average_i32"} if layer == "pool_1" else {"requantize_wide_i32", "min_i32", "max_i32"})


def _body(name: str, layer: str, graph: Graph) -> str:
    if graph.numerics is Numerics.FLOAT32:
        text = {"pointwise_1": FLOAT_POINTWISE, "depthwise_1": FLOAT_DEPTHWISE, "pool_1": FLOAT_POOL}[layer]
        return text.replace("NAME", name)
    output = graph.tensors[layer]
    low, high = (-128, 127) if output.dtype == "int8" else (0, 255)
    text = {"pointwise_1": POINTWISE, "depthwise_1": DEPTHWISE, "pool_1": POOL}[layer]
    for index in ("place * 8 + oc", "(oh * 4 + ow) * 8 + oc"):
        text = text.replace(f"STORE({index})", STORE.replace("INDEX", index))
    replacements = {
        "NAME": name,
        "TYPE": f"{output.dtype}_t",
        "ZERO": str(numerics.zero_point(output)),
        "LOW": str(low),
        "HIGH": str(high),
        "PADDING": str(numerics.zero_point(graph.tensors["pointwise_1"])),
    }
    for word, replacement in replacements.items():
        text = text.replace(word, replacement)
    return text
