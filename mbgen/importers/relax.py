"""From the one normal form of TVM's frontends, `dequantize -> float operator -> quantize`, to the Graph.

Serves TFLite and ONNX alike: it walks the bindings of a Relax function in running order and reads each operator; how
operators come together as layers is `assembly`'s affair. Knows TVM Relax. May not know model files.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tvm import ir, relax, tirx

from mbgen.errors import InputError
from mbgen.graph import (
    Add,
    AveragePool2D,
    Clamp,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantization,
    Shape,
    Softmax,
)
from mbgen.importers.assembly import NCHW, NHWC, Assembly, kept_units
from mbgen.importers.constant import Constant, quantization, quantized
from mbgen.importers.draft import View, graph_shape
from mbgen.importers.files import LIMIT


@dataclass(frozen=True)
class Origin:
    """What the model file says of a value that a Relax variable holds."""

    source: str  # the value's name for `Layer.source`
    node: str  # the operator that makes it, as messages call it
    quantization: Quantization | None = None  # where the file gives it apart from the operators


Value = View | Constant | tuple[View, ...]


def to_graph(
    main: relax.Function, origins: Mapping[relax.Var, Origin], numerics: Numerics, order: tuple[int, ...], where: str
) -> Graph:
    """The Graph of `main`, a function of one image.

    `origins` says where variables come from; `numerics` is the contract of its quantised layers; `order` is the file's
    layout, NHWC or NCHW: axis i of a four-dimensional value is axis order[i] of the Graph's tensor.

    Raises UnsupportedError or InputError naming `where` and the operator.
    """
    return _Walk(main, origins, Assembly(numerics, order, where)).run()


class _Walk:
    """Reads Relax's operators one by one and tells the assembly what they are."""

    def __init__(self, main: relax.Function, origins: Mapping[relax.Var, Origin], assembly: Assembly) -> None:
        self.main, self.origins, self.assembly = main, origins, assembly
        self.values: dict[relax.Var, Value] = {}
        self.bindings, self.uses = _live(main)
        self.unsupported = assembly.unsupported

    def run(self) -> Graph:
        self.add_input()
        nodes = _nodes(self.bindings, self.origins)
        for binding, node in zip(self.bindings, nodes, strict=True):
            self.assembly.node = node
            value = self.evaluate(binding.var, binding.value)
            if isinstance(value, View) and binding.var in self.origins:
                value = self.assembly.named(value, self.origins[binding.var].source)
            self.values[binding.var] = value
        return self.assembly.graph(self.view(self.main.body.body))

    def add_input(self) -> None:
        (var,) = self.main.params
        order = NHWC if self.transposed_first(var) else self.assembly.order
        dtype: Any = str(var.ty.dtype)
        self.values[var] = self.assembly.input(self.shape(var), dtype, self.origins[var].quantization, order)

    def transposed_first(self, var: relax.Var) -> bool:
        """Whether an NCHW network turns its image round first, as tf2onnx writes it: then the image itself is NHWC."""
        readers = [b for b in self.bindings if var in _operands(b.value)]
        return self.assembly.order == NCHW and all(
            (_name(b.value) == "relax.permute_dims" and tuple(b.value.attrs.axes) == NCHW)
            or (_name(b.value) in {"relax.quantize", "relax.dequantize"} and self.transposed_first(b.var))
            for b in readers
        )

    # --- values ----------------------------------------------------------------------------------------------------

    def evaluate(self, var: relax.Var, value: relax.Expr) -> Value:
        if isinstance(value, relax.Var):
            return self.value(value)
        if isinstance(value, relax.TupleGetItem):
            fields = self.value(value.tuple_value)
            if isinstance(fields, tuple) and value.index < len(fields):
                return fields[int(value.index)]
        elif isinstance(value, relax.Call) and _name(value) in OPERATORS:
            return OPERATORS[_name(value)](self, value, var)
        raise self.unsupported(
            f"TVM turns it into {_name(value) or type(value).__name__}, which mbgen does not compile",
            "replace the operator in the model",
        )

    def value(self, expr: relax.Expr) -> Value:
        if isinstance(expr, ir.GenericConst):
            return Constant(expr.value.numpy())
        value = self.values[expr]
        if isinstance(value, View) and self.uses[expr] > 1:
            return dataclasses.replace(value, sole=False)
        return value

    def view(self, expr: relax.Expr) -> View:
        value = self.value(expr)
        if not isinstance(value, View):
            raise self.unsupported("it works on a constant", "fold the constant in the model, for example with onnxsim")
        return value

    def constant(self, expr: relax.Expr, role: str) -> Constant:
        value = self.value(expr)
        if not isinstance(value, Constant):
            raise self.unsupported(f"its {role} is computed, not constant", f"export the model with a constant {role}")
        return value

    def shape(self, var: relax.Var) -> Shape:
        """The static shape that TVM inferred, in the file's layout."""
        shape = var.ty.shape
        if shape is None or not all(isinstance(n, tirx.IntImm) for n in shape):
            raise self.unsupported("its shape is dynamic", "export the model with fixed shapes")
        sizes = tuple(int(n) for n in shape)
        if any(n <= 0 for n in sizes) or math.prod(sizes) > LIMIT:
            raise self.unsupported(
                f"the shape {list(sizes)} is empty or beyond {LIMIT:,} elements",
                "the file is damaged or the resolution absurd",
            )
        return sizes

    # --- quantisation ----------------------------------------------------------------------------------------------

    def quantization(self, call: relax.Call, rank: int) -> Quantization:
        scale, zero_point = self.constant(call.args[1], "scale"), self.constant(call.args[2], "zero point")
        try:
            return quantization(scale.data, zero_point.data, int(call.attrs.axis), rank)
        except InputError as error:
            raise self.unsupported(str(error), "the file is damaged") from None

    def quantize(self, call: relax.Call, var: relax.Var) -> Value:
        dtype: Any = str(var.ty.dtype)
        if dtype not in ("int8", "uint8"):
            raise self.unsupported(f"it is quantised to {dtype}", "quantise activations and weights to int8 or uint8")
        q, operand = self.quantization(call, len(self.shape(var))), self.value(call.args[0])
        if isinstance(operand, Constant):
            return quantized(operand.data, q, dtype)
        if q.per_channel:
            raise self.unsupported("it quantises an activation per channel", "quantise activations per tensor")
        return self.assembly.quantized(self.view(call.args[0]), q, dtype)

    def dequantize(self, call: relax.Call, var: relax.Var) -> Value:
        q, operand = self.quantization(call, len(self.shape(var))), self.value(call.args[0])
        if isinstance(operand, Constant):
            return Constant(operand.data, q)
        return self.assembly.dequantized(self.view(call.args[0]), q)

    # --- layers with weights ---------------------------------------------------------------------------------------

    def conv2d(self, call: relax.Call, var: relax.Var) -> View:
        attrs = call.attrs
        image = self.assembly.laid_out(self.view(call.args[0]), str(attrs.data_layout))
        weights = self.constant(call.args[1], "weights")
        kernel = weights.transposed(tuple(str(attrs.kernel_layout).index(axis) for axis in "OHWI"))
        groups, channels = int(attrs.groups), image.shape[3]
        kind: type[Layer] = Conv2D
        if groups > 1:
            oc, kh, kw, ic = kernel.data.shape
            if groups != channels or ic != 1:
                raise self.unsupported(
                    f"it is a convolution in {groups} groups of {channels} channels",
                    "mbgen compiles standard (1 group) and depthwise (one group a channel) convolutions",
                )
            kind, kernel = DepthwiseConv2D, kernel.transposed((1, 2, 0, 3)).reshaped((kh, kw, oc))
        fields = {
            "stride": _pair(attrs.strides),
            "padding": _padding(attrs.padding),
            "dilation": _pair(attrs.dilation),
        }
        shape = graph_shape(self.shape(var), image.order)
        return self.assembly.layer(kind, [image], shape, image.order, weights=kernel, fields=fields)

    def matmul(self, call: relax.Call, var: relax.Var) -> View:
        dense = self.assembly.dense(self.view(call.args[0]), self.constant(call.args[1], "second factor"))
        return self.assembly.reshaped(dense, self.shape(var))

    def multiply(self, call: relax.Call, var: relax.Var) -> Constant:
        """TVM gives a TFLite bias without quantisation the product of two scales."""
        left, right = (self.constant(arg, "factor") for arg in call.args)
        return Constant(left.data * right.data)

    def add(self, call: relax.Call, var: relax.Var) -> View:
        first, second = call.args
        if isinstance(self.value(first), Constant):
            first, second = second, first
        left, right = self.view(first), self.value(second)
        if isinstance(right, Constant):
            return self.assembly.add_bias(left, right)
        right = self.view(second)
        if (left.shape, left.order) != (right.shape, right.order):
            raise self.unsupported(
                f"it adds {list(left.shape)} to {list(right.shape)}", "mbgen adds activations of one shape only"
            )
        return self.assembly.layer(Add, [left, right], left.shape, left.order)

    def batch_norm(self, call: relax.Call, var: relax.Var) -> tuple[View]:
        if call.attrs.training:
            raise self.unsupported("it normalises as in training", "export the model for inference")
        parameters = [self.constant(arg, "parameter") for arg in call.args[1:5]]
        epsilon, axis = float(call.attrs.epsilon), int(call.attrs.axis)
        return (self.assembly.batch_norm(self.view(call.args[0]), parameters, epsilon, axis),)

    # --- layers without weights ------------------------------------------------------------------------------------

    def relu(self, call: relax.Call, var: relax.Var) -> View:
        return self.assembly.clamped(self.view(call.args[0]), Clamp(low=0.0))

    def clip(self, call: relax.Call, var: relax.Var) -> View:
        low, high = (float(bound.value) for bound in call.args[1:3])
        return self.assembly.clamped(self.view(call.args[0]), Clamp(low, high))

    def average_pool(self, call: relax.Call, var: relax.Var) -> View:
        attrs, padding = call.attrs, _padding(call.attrs.padding)
        view = self.assembly.laid_out(self.view(call.args[0]), str(attrs.layout))
        if attrs.count_include_pad and any(padding):
            raise self.unsupported("it counts padded places", "export with count_include_pad = 0")
        if attrs.ceil_mode or _pair(attrs.dilation) != (1, 1):
            raise self.unsupported(
                "it rounds its size up or is dilated", "export with ceil_mode = 0 and dilations of 1"
            )
        fields = {"kernel": _pair(attrs.pool_size), "stride": _pair(attrs.strides), "padding": padding}
        shape = graph_shape(self.shape(var), view.order)
        return self.assembly.layer(AveragePool2D, [view], shape, view.order, fields=fields, **kept_units(view))

    def mean(self, call: relax.Call, var: relax.Var) -> View:
        view = self.view(call.args[0])
        axes = {view.order[int(axis)] for axis in call.attrs.axis or ()}
        if len(view.shape) != 4 or axes != {1, 2}:
            raise self.unsupported("it averages over other axes than height and width", "mbgen compiles global pooling")
        _, h, w, c = view.shape
        tflite = view.real and self.assembly.numerics is Numerics.TFLITE
        kind, fields = (Mean, {}) if tflite else (AveragePool2D, {"kernel": (h, w)})
        mean = self.assembly.layer(kind, [view], (1, 1, 1, c), view.order, fields=fields)
        return self.assembly.reshaped(mean, self.shape(var))

    def pad(self, call: relax.Call, var: relax.Var) -> View:
        view, attrs = self.view(call.args[0]), call.attrs
        draft, widths = view.draft, [int(n) for n in attrs.pad_width]
        zero = 0 if view.real or draft.quantization is None else draft.quantization.zero_point[0]
        sides = dict(zip(view.order, zip(widths[::2], widths[1::2], strict=True), strict=True))
        spatial = len(view.shape) == 4 and not any(sides[0] + sides[3])
        if not spatial or min(widths) < 0 or attrs.pad_mode != "constant" or attrs.pad_value != zero:
            raise self.unsupported(
                f"it pads by {widths} with {attrs.pad_value:g} (mode {attrs.pad_mode})",
                "mbgen compiles padding of height and width with zeros",
            )
        shape, fields = graph_shape(self.shape(var), view.order), {"padding": Padding(*sides[1], *sides[2])}
        units: dict[str, Any] = {"dtype": draft.dtype, "quantization": draft.quantization}
        padded = self.assembly.layer(Pad, [view], shape, view.order, fields=fields, **units)
        return dataclasses.replace(padded, real=view.real)

    def concat(self, call: relax.Call, var: relax.Var) -> View:
        views = [self.view(part) for part in call.args[0]]
        order, first = views[0].order, views[0].draft
        if any(view.order != order for view in views):
            raise self.unsupported("its inputs lie in different layouts", "transpose them alike")
        alike = len({(view.draft.quantization, view.draft.dtype, view.real) for view in views}) == 1
        units: dict[str, Any] = {"dtype": first.dtype, "quantization": first.quantization} if alike else {}
        fields, shape = {"axis": order[int(call.attrs.axis)]}, graph_shape(self.shape(var), order)
        joined = self.assembly.layer(Concat, views, shape, order, fields=fields, **units)
        return dataclasses.replace(joined, real=alike and views[0].real)

    def softmax(self, call: relax.Call, var: relax.Var) -> View:
        view = self.view(call.args[0])
        if view.order[int(call.attrs.axis)] != len(view.shape) - 1:
            raise self.unsupported("it does not run over the channels", "apply softmax over the classes")
        return self.assembly.like(Softmax, view)

    def logistic(self, call: relax.Call, var: relax.Var) -> View:
        return self.assembly.like(Logistic, self.view(call.args[0]))

    # --- shapes ----------------------------------------------------------------------------------------------------

    def permute(self, call: relax.Call, var: relax.Var) -> Value:
        operand, rank = self.value(call.args[0]), len(self.shape(var))
        axes = tuple(int(axis) % rank for axis in call.attrs.axes or reversed(range(rank)))
        if isinstance(operand, Constant):
            return operand.transposed(axes)
        return self.assembly.permuted(self.view(call.args[0]), axes)

    def reshape(self, call: relax.Call, var: relax.Var) -> Value:
        operand = self.value(call.args[0])
        if isinstance(operand, Constant):
            return operand.reshaped(self.shape(var))
        return self.assembly.reshaped(self.view(call.args[0]), self.shape(var))

    def cast(self, call: relax.Call, var: relax.Var) -> View:
        """TFLite's average pool widens its integers and narrows them again; a layer does that inside."""
        view, dtype = self.view(call.args[0]), str(var.ty.dtype)
        if view.real or view.draft.quantization is None or dtype not in ("int32", view.draft.dtype):
            raise self.unsupported(f"it casts {view.draft.dtype} to {dtype}", "remove the cast")
        return view


OPERATORS: Mapping[str, Callable[[_Walk, relax.Call, relax.Var], Value]] = {
    "relax.add": _Walk.add,
    "relax.astype": _Walk.cast,
    "relax.clip": _Walk.clip,
    "relax.concat": _Walk.concat,
    "relax.dequantize": _Walk.dequantize,
    "relax.expand_dims": _Walk.reshape,
    "relax.matmul": _Walk.matmul,
    "relax.mean": _Walk.mean,
    "relax.multiply": _Walk.multiply,
    "relax.nn.avg_pool2d": _Walk.average_pool,
    "relax.nn.batch_norm": _Walk.batch_norm,
    "relax.nn.conv2d": _Walk.conv2d,
    "relax.nn.pad": _Walk.pad,
    "relax.nn.relu": _Walk.relu,
    "relax.nn.softmax": _Walk.softmax,
    "relax.permute_dims": _Walk.permute,
    "relax.quantize": _Walk.quantize,
    "relax.reshape": _Walk.reshape,
    "relax.sigmoid": _Walk.logistic,
    "relax.squeeze": _Walk.reshape,
}


def abandon(builder: relax.BlockBuilder) -> None:
    """Close what an exception left open in TVM's builder, which would complain on stderr when it is collected."""
    builder._end_block()


def _live(main: relax.Function) -> tuple[list[relax.Binding], Counter[relax.Var]]:
    """The bindings that the result depends on, in order, and how often they read each variable."""
    live, uses, wanted = [], Counter[relax.Var]([main.body.body]), {main.body.body}
    for binding in reversed([binding for block in main.body.blocks for binding in block.bindings]):
        if binding.var in wanted:
            operands = _operands(binding.value)
            live.append(binding)
            uses.update(operands)
            wanted.update(operands)
    return live[::-1], uses


def _operands(value: relax.Expr) -> list[relax.Var]:
    if isinstance(value, relax.Var):
        return [value]
    if isinstance(value, relax.TupleGetItem):
        return _operands(value.tuple_value)
    parts = value.args if isinstance(value, relax.Call) else value.fields if isinstance(value, relax.Tuple) else ()
    return [var for part in parts for var in _operands(part)]


def _nodes(bindings: list[relax.Binding], origins: Mapping[relax.Var, Origin]) -> list[str]:
    """For each binding the operator of the file it belongs to: that of the next variable with an origin."""
    node, nodes = "the output", []
    for binding in reversed(bindings):
        node = origins[binding.var].node if binding.var in origins else node
        nodes.append(node)
    return nodes[::-1]


def _name(value: relax.Expr) -> str:
    return str(getattr(getattr(value, "op", None), "name", ""))


def _pair(values: Any) -> tuple[int, int]:
    sizes = [int(n) for n in values]
    return (sizes[0], sizes[-1])


def _padding(values: Any) -> Padding:
    """Relax writes top, left, bottom, right; or two values, or one, for both sides."""
    sizes = [int(n) for n in values]
    top, left = sizes[0], sizes[1 % len(sizes)]
    bottom, right = (sizes[2], sizes[3]) if len(sizes) == 4 else (top, left)
    return Padding(top, bottom, left, right)
