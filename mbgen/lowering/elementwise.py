"""Layers that compute each element on its own: add, tables, conversions, clamps, padding, concatenation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from mbgen.graph import DType, Padding
from mbgen.lowering.builder import T, build, conditions, constant, grid, parameter, widened
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.tir import helper
from mbgen.numerics import FixedPointAdd, FloatAdd


@dataclass(frozen=True)
class Sum:
    """output[i] = finish(a[i] + b[i]), rescaled as `numerics.add_parameters` says; None in float."""

    elements: int
    dtype: DType
    zero_points: tuple[int, int]
    rescale: FixedPointAdd | FloatAdd | None
    epilogue: Epilogue


def define_sum(form: Sum) -> tirx.PrimFunc:
    """TFLite and ONNX Add."""

    def total(a: Any, b: Any) -> Any:
        if form.rescale is None:
            return form.epilogue.finish(a + b, ())
        a, b = (widened(value, form.dtype, zero) for value, zero in zip((a, b), form.zero_points, strict=True))
        if isinstance(form.rescale, FloatAdd):
            return _float_sum(a, b, form.rescale, form.epilogue)
        return _fixed_sum(a, b, form.rescale, form.epilogue)

    def body() -> None:
        a = parameter("input_0", (form.elements,), form.dtype)
        b = parameter("input_1", (form.elements,), form.dtype)
        y = parameter("output", (form.elements,), form.epilogue.dtype)
        with grid("output", {"i": form.elements}) as (i,):
            T.reads(a[i], b[i])
            T.writes(y[i])
            T.buffer_store(y, total(a[i], b[i]), [i])

    return build(body)


def _fixed_sum(a: Any, b: Any, rescale: FixedPointAdd, epilogue: Epilogue) -> Any:
    def scaled(value: Any, step: int) -> Any:
        constants = (constant(rescale.multiplier[step], "int32"), constant(rescale.shift[step], "int32"))
        return helper("requantize_wide_i32", "int32", value, *constants)

    raised = constant(1 << rescale.left_shift, "int32")
    return epilogue.store(scaled(scaled(a * raised, 0) + scaled(b * raised, 1), 2))


def _float_sum(a: Any, b: Any, rescale: FloatAdd, epilogue: Epilogue) -> Any:
    s_a, s_b, s_y = (constant(scale, "float32") for scale in rescale.scale)
    # through helpers, so that no compiler may contract a product and the sum into one rounding
    left = helper("multiply_f32", "float32", a.astype("float32"), s_a)
    right = helper("multiply_f32", "float32", b.astype("float32"), s_b)
    return epilogue.store_float((left + right) / s_y)


@dataclass(frozen=True)
class Table:
    """output[i] = table[input[i] - low]: any map from bytes to bytes."""

    elements: int
    dtype: DType
    low: int
    output_dtype: DType


def define_table(form: Table) -> tirx.PrimFunc:
    """Logistic, clip and requantisation of bytes, computed at compile time for all 256 values."""

    def finish(x: Any, table: Any) -> Any:
        return table[x.astype("int32") - constant(form.low, "int32")]

    def body() -> None:
        x = parameter("input", (form.elements,), form.dtype)
        table = parameter("table", (256,), form.output_dtype)
        y = parameter("output", (form.elements,), form.output_dtype)
        with grid("output", {"i": form.elements}) as (i,):
            T.reads(x[i], table[0:256])
            T.writes(y[i])
            T.buffer_store(y, finish(x[i], table), [i])

    return build(body)


@dataclass(frozen=True)
class Map:
    """output[i] = an expression of input[i]: `kind` says which."""

    kind: str  # "clip", "logistic", "quantize_away", "quantize_even", "dequantize"
    elements: int
    dtype: DType
    scale: float
    zero_point: int
    epilogue: Epilogue


def define_map(form: Map) -> tirx.PrimFunc:
    """Float clamp and logistic; conversion from float to bytes and back."""
    one = constant(1.0, "float32")

    def quantized(x: Any) -> Any:
        return form.epilogue.store_float(x / constant(form.scale, "float32"), form.kind == "quantize_even")

    expressions: dict[str, Callable[[Any], Any]] = {
        "clip": lambda x: form.epilogue.finish(x, ()),
        "logistic": lambda x: one / (one + tirx.exp(-x)),
        "quantize_away": quantized,
        "quantize_even": quantized,
        "dequantize": lambda x: (
            widened(x, form.dtype, form.zero_point).astype("float32") * constant(form.scale, "float32")
        ),
    }

    def body() -> None:
        x = parameter("input", (form.elements,), form.dtype)
        y = parameter("output", (form.elements,), form.epilogue.dtype)
        with grid("output", {"i": form.elements}) as (i,):
            T.reads(x[i])
            T.writes(y[i])
            T.buffer_store(y, expressions[form.kind](x[i]), [i])

    return build(body)


@dataclass(frozen=True)
class Border:
    """The image with `padding` around it, filled with `value`."""

    shape: tuple[int, int, int]
    padding: Padding
    dtype: DType
    value: int


def define_border(form: Border) -> tirx.PrimFunc:
    """Spatial padding."""
    height, width, channels = form.shape
    pad = form.padding
    outer = {"oh": height + pad.top + pad.bottom, "ow": width + pad.left + pad.right, "c": channels}

    def body() -> None:
        x = parameter("input", form.shape, form.dtype)
        y = parameter("output", tuple(outer.values()), form.dtype)
        with grid("output", outer) as (oh, ow, c):
            ih, iw = oh - pad.top, ow - pad.left
            T.reads(x[ih, iw, c])
            T.writes(y[oh, ow, c])
            condition = conditions(
                (pad.top > 0, ih >= 0),
                (pad.bottom > 0, ih < height),
                (pad.left > 0, iw >= 0),
                (pad.right > 0, iw < width),
            )
            fill = constant(form.value, form.dtype)
            value = x[ih, iw, c] if condition is None else tirx.if_then_else(condition, x[ih, iw, c], fill)
            T.buffer_store(y, value, [oh, ow, c])

    return build(body)


@dataclass(frozen=True)
class Joined:
    """Inputs of `[outer, parts[i]]` side by side: concatenation along one axis, flattened."""

    outer: int
    parts: tuple[int, ...]
    dtype: DType


def define_joined(form: Joined) -> tirx.PrimFunc:
    """Concatenation."""

    def body() -> None:
        inputs = [parameter(f"input_{index}", (form.outer, part), form.dtype) for index, part in enumerate(form.parts)]
        y = parameter("output", (form.outer, sum(form.parts)), form.dtype)
        offset = 0
        for index, (x, part) in enumerate(zip(inputs, form.parts, strict=True)):
            with grid(f"part_{index}", {"row": form.outer, "i": part}) as (row, i):
                T.reads(x[row, i])
                T.writes(y[row, i + offset])
                T.buffer_store(y, x[row, i], [row, i + offset])
            offset += part

    return build(body)
