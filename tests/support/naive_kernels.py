"""Kernels as one would write them by hand: plain loops in C for any planned graph, without TVM.

They have the parameters of those that mbgen.lowering makes. Integer layers follow TFLite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import Template

import numpy as np

from mbgen import numerics
from mbgen.graph import (
    NO_CLAMP,
    Add,
    Array,
    AveragePool2D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Reshape,
    Tensor,
    WeightedLayer,
    is_pointwise,
)
from mbgen.kernel import (
    ActivationArgument,
    Argument,
    Call,
    Constant,
    ConstantArgument,
    Kernel,
    LoweredNetwork,
    Parameter,
    Scalar,
    VectorType,
    WindowArgument,
)
from mbgen.library.text import integer_macro
from mbgen.plan import Plan

WINDOW = Template("""\
    for (int32_t ow = 0; ow < $ow; ow++) {
        for (int32_t oc = 0; oc < $oc; oc++) {
            $total acc = bias[oc];

            for (int32_t kh = kh_begin; kh < kh_end; kh++) {
                for (int32_t kw = 0; kw < $kw; kw++) {
                    const int32_t iw = ow * $stride + kw * $dilation - $left;

                    for (int32_t ic = $first; iw >= 0 && iw < $width && ic < $last; ic++) {
                        const $total x = ($total)input[rows[kh] + iw * $channels + ic] - $zero;

                        acc += x * ($total)weights[$tap];
                    }
                }
            }
$store            output[ow * $oc + oc] = ($type)acc;
        }
    }
""")
POINTWISE = Template("""\
    for (int32_t place = 0; place < $places; place++) {
        for (int32_t oc = 0; oc < $oc; oc++) {
            $total acc = bias[oc];

            for (int32_t ic = 0; ic < $channels; ic++) {
                acc += (($total)input[place * $channels + ic] - $zero) * ($total)weights[oc * $channels + ic];
            }
$store            output[place * $oc + oc] = ($type)acc;
        }
    }
""")
VECTOR_POINTWISE = Template("""\
    for (int32_t place = 0; place < $places; place++) {
        for (int32_t oc = 0; oc < $oc; oc += 4) {
            NAME_f32x4 acc = *(const NAME_f32x4_u *)(bias + oc);

            for (int32_t ic = 0; ic < $channels; ic++) {
                acc += input[place * $channels + ic] * *(const NAME_f32x4_u *)(weights + ic * $oc + oc);
            }
            for (int32_t lane = 0; lane < 4; lane++) {
                acc[lane] = NAME_min_f32(NAME_max_f32(acc[lane], $low), $high);
            }
            *(NAME_f32x4_u *)(output + place * $oc + oc) = acc;
        }
    }
""")
POOL = Template("""\
    for (int32_t oc = 0; oc < $oc; oc++) {
        $total acc = 0;

        for (int32_t place = 0; place < $places; place++) {
            acc += ($total)input[place * $oc + oc];
        }
$store        output[oc] = ($type)acc;
    }
""")
ADD = Template("""\
    for (int32_t i = 0; i < $elements; i++) {
        output[i] = input_0[i] + input_1[i];
    }
""")


@dataclass(frozen=True)
class Body:
    """A kernel's text, what it needs, and whether it takes a window of rows."""

    text: str
    helpers: frozenset[str] = frozenset()
    vectors: frozenset[VectorType] = frozenset()
    window: bool = False


def lower_naively(graph: Graph, plan: Plan, name: str) -> LoweredNetwork:
    """A kernel, a call and the constants for every layer of `graph` as `plan` runs it."""
    kernels, calls, constants = [], [], []
    for layer in graph.layers:
        if isinstance(layer, Reshape):
            continue
        body = _body(layer, graph, by_row=layer.name in plan.rows)
        arrays = _constants(layer, graph, body) if isinstance(layer, WeightedLayer) else {}
        parameters: list[Parameter | Scalar] = []
        arguments: list[Argument] = []
        if body.window:
            source = graph.layer_inputs(layer)[0]
            taps = plan.rows[layer.name].kh
            reach = taps * plan.rows[layer.name].input_row
            parameters += [Parameter("input", source.dtype, reach, const=True)]
            parameters += [Parameter("rows", "int32", taps, const=True), Scalar("kh_begin"), Scalar("kh_end")]
            arguments += [WindowArgument("input"), WindowArgument("rows")]
            arguments += [WindowArgument("kh_begin"), WindowArgument("kh_end")]
        else:
            for index, tensor in enumerate(graph.layer_inputs(layer)):
                word = "input" if len(layer.inputs) == 1 else f"input_{index}"
                elements = _elements(tensor, layer, plan, output=False)
                parameters.append(Parameter(word, tensor.dtype, elements, const=True))
                arguments.append(ActivationArgument(tensor.name))
        for role, data in arrays.items():
            symbol = f"{name}_{layer.name}_{role}"
            constants.append(Constant(symbol, data, data.dtype.name, layer.name, f"{layer.name}: {role}"))
            parameters.append(Parameter(role, data.dtype.name, data.size, const=True))
            arguments.append(ConstantArgument(symbol))
        output = graph.layer_output(layer)
        elements = _elements(output, layer, plan, output=True)
        parameters.append(Parameter("output", output.dtype, elements, const=False))
        arguments.append(ActivationArgument(output.name))
        symbol = f"{name}_{layer.name}"
        kernels.append(
            Kernel(
                symbol=symbol,
                family=layer.name.split("_")[0],
                summary=(f"{graph.layer_inputs(layer)[0].shape} to {output.shape}", "plain loops"),
                parameters=tuple(parameters),
                body=body.text.replace("NAME", name),
                vectors=body.vectors,
                helpers=body.helpers,
                schedule="plain",
                schedule_source="default",
            )
        )
        calls.append(Call(layer.name, symbol, tuple(arguments)))
    return LoweredNetwork(tuple(kernels), tuple(calls), tuple(constants))


def _elements(tensor: Tensor, layer: Layer, plan: Plan, *, output: bool) -> int:
    """Elements that one call of the layer's kernel touches."""
    if layer.name not in plan.rows:
        return tensor.elements
    rows = plan.rows[layer.name]
    return rows.output_row if output else rows.input_row


def _constants(layer: WeightedLayer, graph: Graph, body: Body) -> dict[str, Array]:
    weights, output = graph.constant(layer.weights), graph.layer_output(layer)
    total = "float32" if output.dtype == "float32" else "int32"
    bias = np.zeros(output.shape[-1], total) if layer.bias is None else graph.constant(layer.bias)
    if body.vectors:
        weights = weights.reshape(weights.shape[0], -1).T
    arrays = {"weights": weights.reshape(-1), "bias": bias}
    if total == "int32":
        scale = numerics.output_scale(layer, graph)
        assert isinstance(scale, numerics.FixedPoint)
        arrays |= {"multiplier": scale.multiplier.astype("int32"), "shift": scale.shift.astype("int32")}
    return arrays


def _body(layer: Layer, graph: Graph, *, by_row: bool) -> Body:
    source, output = graph.layer_inputs(layer)[0], graph.layer_output(layer)
    floating = output.dtype == "float32"
    helpers: set[str] = set()
    values: dict[str, object] = {
        "total": "float" if floating else "int32_t",
        "type": "float" if floating else f"{output.dtype}_t",
        "zero": "0.0f" if floating else integer_macro(numerics.zero_point(source)),
        "channels": source.shape[-1],
        "oc": output.shape[-1],
        "elements": output.elements,
        "places": math.prod(source.shape[1:-1]) // (source.shape[1] if by_row and len(source.shape) == 4 else 1),
        "store": _store(layer, output, helpers),
    }
    if isinstance(layer, Conv2D | DepthwiseConv2D) and not is_pointwise(layer, graph):
        weights, depthwise = graph.tensors[layer.weights].shape, isinstance(layer, DepthwiseConv2D)
        kh, kw = weights[:2] if depthwise else weights[1:3]
        channels = source.shape[3]
        values |= {
            "ow": output.shape[2],
            "kw": kw,
            "stride": layer.stride[1],
            "dilation": layer.dilation[1],
            "left": layer.padding.left,
            "width": source.shape[2],
            "first": "oc" if depthwise else 0,
            "last": "oc + 1" if depthwise else channels,
            "tap": f"(kh * {kw} + kw) * {channels} + ic"
            if depthwise
            else f"((oc * {kh} + kh) * {kw} + kw) * {channels} + ic",
        }
        return Body(WINDOW.substitute(values), frozenset(helpers), window=True)
    if isinstance(layer, Conv2D | Dense):
        if floating and output.shape[-1] % 4 == 0 and layer.clamp.high < math.inf:
            clamp = {"low": f"{layer.clamp.low}f", "high": f"{layer.clamp.high}f"}
            vectors = frozenset({VectorType("float32", 4)})
            return Body(VECTOR_POINTWISE.substitute(values | clamp), frozenset({"min_f32", "max_f32"}), vectors)
        return Body(POINTWISE.substitute(values), frozenset(helpers))
    if isinstance(layer, AveragePool2D):
        return Body(POOL.substitute(values), frozenset(helpers))
    assert isinstance(layer, Add)
    return Body(ADD.substitute(values))


def _store(layer: Layer, output: Tensor, helpers: set[str]) -> str:
    """Statements that make an output of `acc`."""
    if isinstance(layer, Add):
        return ""
    indent = " " * (8 if isinstance(layer, AveragePool2D) else 12)
    floating = output.dtype == "float32"
    lines = []
    if isinstance(layer, AveragePool2D):
        count = math.prod(layer.kernel)
        lines.append(f"acc /= {count}.0f;" if floating else f"acc = NAME_average_i32(acc, {count});")
        helpers |= set() if floating else {"average_i32"}
    elif not floating:
        lines.append(f"acc = NAME_requantize_wide_i32(acc, multiplier[oc], shift[oc]) + {numerics.zero_point(output)};")
        helpers.add("requantize_wide_i32")
    clamp = getattr(layer, "clamp", NO_CLAMP)
    for word, bound in zip(("max", "min"), clamp if floating else numerics.bounds(clamp, output), strict=True):
        if math.isfinite(bound):
            suffix = "f32" if floating else "i32"
            lines.append(f"acc = NAME_{word}_{suffix}(acc, {f'{float(bound)}f' if floating else int(bound)});")
            helpers.add(f"{word}_{suffix}")
    return "".join(f"{indent}{line}\n" for line in lines)
