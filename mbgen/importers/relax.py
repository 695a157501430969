"""From the one normal form of TVM's frontends, `dequantize -> float operator -> quantize`, to the Graph.

Serves TFLite and ONNX alike: it walks the bindings of a Relax function in running order, sees each value as a view of
a layer in the making, and lets that layer take in the bias, batch normalisation, clamp and quantisation that follow.
Knows TVM Relax. May not know model files.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import ir, relax, tirx

from mbgen.errors import InputError, UnsupportedError
from mbgen.graph import (
    NO_CLAMP,
    Add,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantization,
    Quantize,
    Requantize,
    Shape,
    Softmax,
    WeightedLayer,
)
from mbgen.importers.constant import Constant, quantization, quantized, quantized_clamp, tightened
from mbgen.importers.draft import Draft, View, build
from mbgen.importers.files import LIMIT
from mbgen.passes.batch_norm import fold_batch_norm

NHWC, NCHW = (0, 1, 2, 3), (0, 3, 1, 2)
BIAS_SCALE_TOLERANCE = 1e-5  # relative; a few roundings of input scale times weight scale in float32


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
    return _Walk(main, origins, numerics, order, where).run()


class _Walk:
    def __init__(
        self,
        main: relax.Function,
        origins: Mapping[relax.Var, Origin],
        numerics: Numerics,
        order: tuple[int, ...],
        where: str,
    ) -> None:
        self.main, self.origins, self.numerics, self.order, self.where = main, origins, numerics, order, where
        self.values: dict[relax.Var, Value] = {}
        self.drafts: list[Draft] = []
        self.node = "the input"
        self.bindings, self.uses = _live(main)

    def run(self) -> Graph:
        self.add_input()
        nodes = _nodes(self.bindings, self.origins)
        for binding, node in zip(self.bindings, nodes, strict=True):
            self.node = node
            value = self.evaluate(binding.var, binding.value)
            if isinstance(value, View) and binding.var in self.origins:
                value = self.named(value, self.origins[binding.var].source)
            self.values[binding.var] = value
        output = self.values[self.main.body.body]
        if not isinstance(output, View) or output.draft.kind is None:
            raise UnsupportedError(
                f"{self.where}: the output does not depend on the input; there is nothing to compile"
            )
        self.stored(output)
        quantized_layers = any(draft.quantization is not None for draft in self.drafts)
        numerics = self.numerics if quantized_layers else Numerics.FLOAT32
        return build(numerics, self.drafts, output, self.where)

    def add_input(self) -> None:
        (var,) = self.main.params
        shape = self.shape(var)
        if len(shape) != 4:
            raise self.unsupported(f"it has {len(shape)} dimensions", "mbgen compiles networks that read one image")
        order = NHWC if self.transposed_first(var) else self.order
        origin = self.origins[var]
        dtype: Any = str(var.ty.dtype)
        image = Draft(None, self.node, [], _permuted(shape, order), dtype, origin.quantization)
        self.drafts.append(image)
        self.values[var] = View(image, image.shape, order)

    def transposed_first(self, var: relax.Var) -> bool:
        """Whether an NCHW network turns its image round first, as tf2onnx writes it: then the image itself is NHWC."""
        readers = [b for b in self.bindings if var in _operands(b.value)]
        return self.order == NCHW and all(
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
            raise InputError(
                f"{self.where}: {self.node}: the shape {list(sizes)} is empty or beyond {LIMIT:,} elements; "
                "the file is damaged or the resolution absurd"
            )
        return sizes

    def named(self, view: View, source: str) -> View:
        """`view` under the name of the file's value, which its draft's output equals too where it is seen whole.

        A value whose elements lie in another order than the file's layout says stays without, so that whoever reads it
        need not guess.
        """
        if view.chw is not None or (len(view.order) == 4 and view.order != self.order):
            return view
        if view.real:
            return dataclasses.replace(view, real_source=source)
        if view.whole and not view.draft.source and view.draft.kind is not None:
            view.draft.source = source
        return dataclasses.replace(view, source=source)

    def stored(self, view: View) -> View:
        """`view` as a layer may read it: in the Graph's own order of elements."""
        if view.chw is not None:
            raise self.unsupported(
                "it reads a map of {} channels, {} rows and {} columns flattened in that order".format(*view.chw),
                "pool the map to 1x1 first, or flatten it only before a dense layer",
            )
        return view

    def image(self, expr: relax.Expr, layout: str) -> View:
        """A four-dimensional operand whose axes lie as the operator's `layout` says."""
        view = self.view(expr)
        if {"NHWC": NHWC, "NCHW": NCHW}.get(layout) != view.order:
            raise self.unsupported(
                f"it reads its input as {layout} after a transpose that cannot be removed", "remove the transpose"
            )
        return view

    def add_draft(
        self, kind: type[Layer], inputs: list[View], shape: Shape, order: tuple[int, ...], **rest: Any
    ) -> View:
        draft = Draft(kind, self.node, [self.stored(view) for view in inputs], shape, **rest)
        self.drafts.append(draft)
        return View(draft, shape, order)

    def unsupported(self, why: str, remedy: str) -> UnsupportedError:
        return UnsupportedError(f"{self.where}: {self.node}: {why}; {remedy}")

    # --- quantisation ----------------------------------------------------------------------------------------------

    def quantization(self, call: relax.Call, axis: int, rank: int) -> Quantization:
        scale, zero_point = self.constant(call.args[1], "scale"), self.constant(call.args[2], "zero point")
        try:
            return quantization(scale.data, zero_point.data, axis, rank)
        except InputError as error:
            raise InputError(f"{self.where}: {self.node}: {error}; the file is damaged") from None

    def quantize(self, call: relax.Call, var: relax.Var) -> Value:
        operand, dtype = self.value(call.args[0]), self.integer(str(var.ty.dtype))
        rank = len(self.shape(var))
        q = self.quantization(call, int(call.attrs.axis), rank)
        if isinstance(operand, Constant):
            return quantized(operand.data, q, dtype)
        if not isinstance(operand, View) or q.per_channel:
            raise self.unsupported("it quantises an activation per channel", "quantise activations per tensor")
        draft = operand.draft
        if operand.real:
            if (draft.quantization, draft.dtype) == (q, dtype):
                return dataclasses.replace(operand, real=False, source="")
            return self.requantize(operand, q, dtype)
        if draft.unquantized and operand.sole:
            return self.take_quantization(operand, q, dtype)
        return self.add_draft(Quantize, [operand], operand.shape, operand.order, quantization=q, dtype=dtype)

    def integer(self, dtype: str) -> DType:
        if dtype not in ("int8", "uint8"):
            raise self.unsupported(f"it is quantised to {dtype}", "quantise activations and weights to int8 or uint8")
        return dtype  # type: ignore[return-value]

    def requantize(self, view: View, q: Quantization, dtype: DType) -> View:
        return self.add_draft(Requantize, [view], view.shape, view.order, quantization=q, dtype=dtype)

    def take_quantization(self, view: View, q: Quantization, dtype: DType) -> View:
        """The draft behind `view` gives its output as integers."""
        draft = view.draft
        if draft.kind is Clip:
            return self.quantized_clip(view, q, dtype)
        if draft.kind is Concat:
            draft.inputs = [self.aligned(part, draft, q, dtype) for part in draft.inputs]
        if draft.bias is not None:
            draft.bias = self.integer_bias(draft, draft.bias)
        draft.clamp = quantized_clamp(draft.clamp, q, dtype, self.numerics)
        draft.quantization, draft.dtype, draft.source = q, dtype, ""
        return dataclasses.replace(view, source="")

    def aligned(self, view: View, reader: Draft, q: Quantization, dtype: DType) -> View:
        """`view` in another quantisation, through a layer before `reader` where it differs."""
        if (view.draft.quantization, view.draft.dtype) == (q, dtype):
            return view
        aligned = self.requantize(view, q, dtype)
        self.drafts.insert(self.drafts.index(reader), self.drafts.pop())
        return aligned

    def quantized_clip(self, view: View, q: Quantization, dtype: DType) -> View:
        """A clamp between two quantised tensors: exact in the output's units, since rounding keeps the order."""
        clip = view.draft
        (before,) = clip.inputs
        self.drafts.remove(clip)
        clamp = quantized_clamp(clip.clamp, q, dtype, self.numerics)
        if (before.draft.quantization, before.draft.dtype) == (q, dtype):
            before = dataclasses.replace(before, real=False, source="")
        else:
            before = self.requantize(before, q, dtype)
        shaped = dataclasses.replace(before, shape=view.shape, order=view.order, chw=view.chw)
        return self.clamped(shaped, clamp)

    def integer_bias(self, draft: Draft, bias: Constant) -> Constant:
        self.node = draft.node
        q, weights = bias.quantization, draft.weights
        if q is None or bias.data.dtype != np.int32 or any(q.zero_point):
            raise self.unsupported(
                f"its bias is {bias.data.dtype}{'' if q else ' without quantisation'}",
                "quantise the bias to int32 with the scale of input times weights and zero point 0",
            )
        if self.numerics is Numerics.QDQ and weights is not None and weights.quantization is not None:
            (source,) = draft.inputs
            assert source.draft.quantization is not None
            expected = np.array(weights.quantization.scale) * source.draft.quantization.scale[0]
            if not np.allclose(np.array(q.scale), expected, rtol=BIAS_SCALE_TOLERANCE, atol=0):
                raise self.unsupported(
                    "its bias has another scale than input scale times weight scale",
                    "quantise the bias with that product",
                )
        return bias

    def dequantize(self, call: relax.Call, var: relax.Var) -> Value:
        operand = self.value(call.args[0])
        if isinstance(operand, Constant):
            q = self.quantization(call, int(call.attrs.axis), operand.data.ndim)
            return Constant(operand.data, q)
        if not isinstance(operand, View):
            raise self.unsupported("it dequantises a tuple", "replace the operator in the model")
        draft = operand.draft
        q = self.quantization(call, int(call.attrs.axis), len(operand.shape))
        if draft.kind is None and draft.quantization is None:
            draft.quantization = q
        self.integer(draft.dtype)
        if draft.quantization != q:
            raise self.unsupported(
                "it reads integers with another scale or zero point than they were written with",
                "give both sides the same quantisation",
            )
        return dataclasses.replace(operand, real=True, real_source="")

    # --- layers with weights ---------------------------------------------------------------------------------------

    def conv2d(self, call: relax.Call, var: relax.Var) -> View:
        attrs = call.attrs
        image, weights = self.image(call.args[0], attrs.data_layout), self.constant(call.args[1], "weights")
        shape = _permuted(self.shape(var), image.order)
        top, left, bottom, right = _four(attrs.padding)
        axes = tuple(str(attrs.kernel_layout).index(axis) for axis in "OHWI")
        kernel, channels = weights.transposed(axes), image.shape[3]
        groups = int(attrs.groups)
        kind: type[WeightedLayer] = Conv2D
        if groups > 1:
            if groups != channels or kernel.data.shape[3] != 1:
                raise self.unsupported(
                    f"it is a convolution in {groups} groups of {channels} channels",
                    "mbgen compiles standard (1 group) and depthwise (one group a channel) convolutions",
                )
            kind = DepthwiseConv2D
            oc, kh, kw, _ = kernel.data.shape
            kernel = kernel.transposed((1, 2, 0, 3)).reshaped((kh, kw, oc))
        fields = {
            "stride": _pair(attrs.strides),
            "padding": Padding(top, bottom, left, right),
            "dilation": _pair(attrs.dilation),
        }
        return self.add_draft(kind, [image], shape, image.order, weights=kernel, fields=fields)

    def matmul(self, call: relax.Call, var: relax.Var) -> View:
        view, weights = self.view(call.args[0]), self.constant(call.args[1], "second factor")
        shape = self.shape(var)
        last = len(view.shape) - 1
        if weights.data.ndim != 2 or view.shape[last] != math.prod(view.shape) or view.order[last] != last:
            raise self.unsupported(
                f"it multiplies {list(view.shape)} by {list(weights.data.shape)}",
                "mbgen compiles the product of one vector with a constant matrix",
            )
        weights = weights.transposed((1, 0))
        if view.chw is not None:
            oc, ic = weights.data.shape
            channels_last = weights.data.reshape(oc, *view.chw).transpose(0, 2, 3, 1).reshape(oc, ic)
            weights = dataclasses.replace(weights, data=channels_last)
        vector = dataclasses.replace(view, shape=(1, weights.data.shape[1]), order=(0, 1), chw=None)
        dense = self.add_draft(Dense, [vector], (1, weights.data.shape[0]), (0, 1), weights=weights)
        return self.reshaped(dense, shape)

    def multiply(self, call: relax.Call, var: relax.Var) -> Constant:
        """TVM gives a TFLite bias without quantisation the product of two scales."""
        left, right = (self.constant(arg, "factor") for arg in call.args)
        return Constant(left.data * right.data)

    def add(self, call: relax.Call, var: relax.Var) -> Value:
        left, right = self.value(call.args[0]), self.value(call.args[1])
        if isinstance(left, Constant):
            left, right = right, left
        if isinstance(left, View) and isinstance(right, Constant):
            return self.add_bias(left, right)
        if not (isinstance(left, View) and isinstance(right, View)):
            raise self.unsupported("it adds constants", "fold them in the model, for example with onnxsim")
        if (left.shape, left.order) != (right.shape, right.order):
            raise self.unsupported(
                f"it adds {list(left.shape)} to {list(right.shape)}", "mbgen adds activations of one shape only"
            )
        return self.add_draft(Add, [left, right], left.shape, left.order)

    def add_bias(self, view: View, bias: Constant) -> View:
        draft = view.draft
        axis, oc = view.order.index(len(view.order) - 1), view.shape[-1]
        aligned = (1,) * (len(view.order) - bias.data.ndim) + bias.data.shape
        fits = bias.data.size == oc and len(aligned) == len(view.order) and aligned[axis] == oc
        if not (fits and self.foldable(view) and draft.bias is None):
            raise self.unsupported(
                f"it adds a constant of shape {list(bias.data.shape)}",
                "mbgen takes a constant in as the bias of the convolution or dense layer just before it only",
            )
        draft.bias, draft.source = bias.reshaped((oc,)), ""
        return dataclasses.replace(view, source="")

    def foldable(self, view: View) -> bool:
        """Whether the view is a bare convolution or dense layer that can still change per channel."""
        draft = view.draft
        return (
            draft.weights is not None
            and draft.quantization is None
            and draft.clamp == NO_CLAMP
            and view.sole
            and view.whole
            and not view.real
        )

    def batch_norm(self, call: relax.Call, var: relax.Var) -> tuple[View]:
        view = self.view(call.args[0])
        draft, attrs = view.draft, call.attrs
        gamma, beta, mean, variance = (self.finite(self.constant(arg, "parameter")) for arg in call.args[1:5])
        if attrs.training:
            raise self.unsupported("it normalises as in training", "export the model for inference")
        if not self.foldable(view) or view.order[int(attrs.axis)] != len(view.order) - 1:
            raise self.unsupported(
                "it does not follow a convolution or dense layer of its own",
                "mbgen folds batch normalisation into the layer just before it",
            )
        assert draft.weights is not None
        if draft.weights.quantization is not None:
            raise self.unsupported(
                "it follows quantised weights", "fold batch normalisation before quantising the model"
            )
        axis = 2 if draft.kind is DepthwiseConv2D else 0
        old, bias = self.finite(draft.weights), None if draft.bias is None else self.finite(draft.bias)
        try:
            weights, offset = fold_batch_norm(old, bias, gamma, beta, mean, variance, float(attrs.epsilon), axis)
        except InputError as error:
            raise InputError(f"{self.where}: {self.node}: {error}") from None
        draft.weights, draft.bias, draft.source = Constant(weights), Constant(offset), ""
        return (dataclasses.replace(view, source=""),)

    def finite(self, constant: Constant) -> Array:
        if not np.isfinite(constant.data).all():
            raise InputError(
                f"{self.where}: {self.node}: its constants hold NaN or infinity; the file is damaged or the training "
                "diverged"
            )
        return constant.data

    # --- clamps ----------------------------------------------------------------------------------------------------

    def relu(self, call: relax.Call, var: relax.Var) -> View:
        return self.clamped(self.view(call.args[0]), Clamp(low=0.0))

    def clip(self, call: relax.Call, var: relax.Var) -> View:
        low, high = (float(bound.value) for bound in call.args[1:3])
        return self.clamped(self.view(call.args[0]), Clamp(low, high))

    def clamped(self, view: View, clamp: Clamp) -> View:
        """`view` clamped in its own units: by its draft where that may still change, else by a layer."""
        draft = view.draft
        if not view.real and tightened(NO_CLAMP, clamp, draft.dtype) == NO_CLAMP:
            return view
        if view.real or not (draft.clampable and view.sole):
            return self.add_draft(Clip, [view], view.shape, view.order, clamp=clamp, **_units(view))
        draft.clamp, draft.source = tightened(draft.clamp, clamp, draft.dtype), ""
        return dataclasses.replace(view, source="")

    # --- layers without weights ------------------------------------------------------------------------------------

    def average_pool(self, call: relax.Call, var: relax.Var) -> View:
        attrs = call.attrs
        view = self.image(call.args[0], attrs.layout)
        top, left, bottom, right = _four(attrs.padding)
        padding = Padding(top, bottom, left, right)
        if attrs.count_include_pad and any(padding):
            raise self.unsupported("it counts padded places", "export with count_include_pad = 0")
        if attrs.ceil_mode or _pair(attrs.dilation) != (1, 1):
            raise self.unsupported(
                "it rounds its size up or is dilated", "export with ceil_mode = 0 and dilations of 1"
            )
        fields = {"kernel": _pair(attrs.pool_size), "stride": _pair(attrs.strides), "padding": padding}
        shape = _permuted(self.shape(var), view.order)
        return self.add_draft(AveragePool2D, [view], shape, view.order, fields=fields, **_units(view))

    def mean(self, call: relax.Call, var: relax.Var) -> View:
        view = self.view(call.args[0])
        axes = {view.order[int(axis)] for axis in call.attrs.axis or ()}
        if len(view.shape) != 4 or axes != {1, 2}:
            raise self.unsupported("it averages over other axes than height and width", "mbgen compiles global pooling")
        _, h, w, c = view.shape
        if view.real and self.numerics is Numerics.TFLITE:
            mean = self.add_draft(Mean, [view], (1, 1, 1, c), view.order)
        else:
            mean = self.add_draft(AveragePool2D, [view], (1, 1, 1, c), view.order, fields={"kernel": (h, w)})
        return self.reshaped(mean, self.shape(var))

    def pad(self, call: relax.Call, var: relax.Var) -> View:
        view, widths, mode = self.view(call.args[0]), [int(n) for n in call.attrs.pad_width], call.attrs.pad_mode
        draft = view.draft
        pairs = dict(zip(view.order, zip(widths[::2], widths[1::2], strict=True), strict=True))
        value = float(call.attrs.pad_value)
        zero = 0 if view.real or draft.quantization is None else draft.quantization.zero_point[0]
        if len(view.shape) != 4 or any(pairs[0] + pairs[3]) or mode != "constant" or value != zero:
            raise self.unsupported(
                f"it pads other axes than height and width, or with another value than zero (mode {mode})",
                "mbgen compiles zero padding of images",
            )
        if min(widths) < 0:
            raise self.unsupported("it crops (negative padding)", "mbgen compiles zero padding of images")
        shape, padding = _permuted(self.shape(var), view.order), Padding(*pairs[1], *pairs[2])
        padded = self.add_draft(
            Pad,
            [view],
            shape,
            view.order,
            dtype=draft.dtype,
            quantization=draft.quantization,
            fields={"padding": padding},
        )
        return dataclasses.replace(padded, real=view.real)

    def concat(self, call: relax.Call, var: relax.Var) -> View:
        views = [self.view(part) for part in call.args[0]]
        orders, units = {view.order for view in views}, {(v.draft.quantization, v.draft.dtype, v.real) for v in views}
        if len(orders) != 1:
            raise self.unsupported("its inputs lie in different layouts", "transpose them alike")
        order = views[0].order
        fields, shape = {"axis": order[int(call.attrs.axis)]}, _permuted(self.shape(var), order)
        if len(units) > 1:
            return self.add_draft(Concat, views, shape, order, fields=fields)
        ((q, dtype, real),) = units
        joined = self.add_draft(Concat, views, shape, order, fields=fields, quantization=q, dtype=dtype)
        return dataclasses.replace(joined, real=real)

    def softmax(self, call: relax.Call, var: relax.Var) -> View:
        view = self.view(call.args[0])
        if view.order[int(call.attrs.axis)] != len(view.shape) - 1:
            raise self.unsupported("it does not run over the channels", "apply softmax over the classes")
        return self.add_draft(Softmax, [view], view.shape, view.order)

    def logistic(self, call: relax.Call, var: relax.Var) -> View:
        view = self.view(call.args[0])
        return self.add_draft(Logistic, [view], view.shape, view.order)

    # --- shapes ----------------------------------------------------------------------------------------------------

    def permute(self, call: relax.Call, var: relax.Var) -> Value:
        operand = self.value(call.args[0])
        rank = len(self.shape(var))
        axes = tuple(int(axis) % rank for axis in call.attrs.axes or reversed(range(rank)))
        if isinstance(operand, Constant):
            return operand.transposed(axes)
        view = self.view(call.args[0])
        return dataclasses.replace(view, order=tuple(view.order[axis] for axis in axes), source="", real_source="")

    def reshape(self, call: relax.Call, var: relax.Var) -> Value:
        operand = self.value(call.args[0])
        if isinstance(operand, Constant):
            return operand.reshaped(self.shape(var))
        return self.reshaped(self.view(call.args[0]), self.shape(var))

    def reshaped(self, view: View, shape: Shape) -> View:
        """`view` in the file's shape `shape`; what it moves in memory must be undone by the reader, or is refused."""
        old = tuple(view.shape[axis] for axis in view.order)
        if shape == old:
            return view
        order = self.order if len(shape) == 4 else tuple(range(len(shape)))
        new = dataclasses.replace(view, shape=_permuted(shape, order), order=order, source="", real_source="")
        if view.chw is None and _in_order(view) and _in_order(new):
            return new
        if view.chw is None and view.order == NCHW and len(shape) == 2:
            return dataclasses.replace(new, chw=old[1:])
        raise self.unsupported(
            f"it reshapes {list(old)} to {list(shape)}, which mixes channels with rows and columns",
            "mbgen flattens a map only before a dense layer",
        )

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


def _units(view: View) -> dict[str, Any]:
    """How a layer that keeps its input's numbers stores its output: integers only if the view is of integers."""
    return {} if view.real else {"dtype": view.draft.dtype, "quantization": view.draft.quantization}


def _name(value: relax.Expr) -> str:
    return str(getattr(getattr(value, "op", None), "name", ""))


def _permuted(shape: Shape, order: tuple[int, ...]) -> Shape:
    """The Graph's shape of a value whose axis i is the Graph's axis order[i]."""
    return tuple(shape[order.index(axis)] for axis in range(len(order)))


def _in_order(view: View) -> bool:
    """Whether the file's order of elements is the Graph's: axes of size 1 may lie anywhere."""
    axes = [axis for axis in view.order if view.shape[axis] != 1]
    return axes == sorted(axes)


def _pair(values: Any) -> tuple[int, int]:
    sizes = [int(n) for n in values]
    return (sizes[0], sizes[-1])


def _four(padding: Any) -> tuple[int, int, int, int]:
    """Relax padding as top, left, bottom, right."""
    sizes = [int(n) for n in padding]
    top, left = sizes[0], sizes[1 % len(sizes)]
    bottom, right = (sizes[2], sizes[3]) if len(sizes) == 4 else (top, left)
    return top, left, bottom, right
