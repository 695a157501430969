"""Softmax over the last axis: from a table of exponentials on bytes, with expf or in vectors on float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tvm import s_tir, tirx

from mbgen.graph import INTEGER_RANGE, DType
from mbgen.lowering.builder import Loop, T, build, constant, grid, local, loop, parameter
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.tiling import start
from mbgen.lowering.tir import helper
from mbgen.schedules.tile import tiles

Q31 = 1 << 31
SUM_BITS = 12  # integer bits of the sum of exponentials
MAX_CLASSES = (1 << SUM_BITS) - 1  # whose exponentials, each at most 1, such a sum holds


@dataclass(frozen=True)
class Rows:
    """`rows` softmaxes of `classes` values each; `scale` is the output's in QDQ, `beta` the factor on float input."""

    kind: Literal["tflite", "qdq", "float"]
    rows: int
    classes: int
    dtype: DType
    beta: float
    scale: float
    epilogue: Epilogue


def define(form: Rows) -> tirx.PrimFunc:
    """The compute definition; `numerics.tflite_softmax` and `qdq_softmax` say what it computes."""
    return {"tflite": _tflite, "qdq": _qdq, "float": _float}[form.kind](form)


def schedule(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Each reduction's start before its loop, not inside it."""
    sch: Any = s_tir.Schedule(function)
    for name in ("greatest", "total"):
        block = sch.get_sblock(name)
        sch.decompose_reduction(block, sch.get_loops(block)[-1])
    return sch.mod["main"]


def _maximum(form: Rows, x: Any, greatest: Any, one_row: Loop) -> None:
    kind = "float32" if form.dtype == "float32" else "int32"
    start = constant(float(np.finfo(np.float32).min) if kind == "float32" else INTEGER_RANGE[form.dtype][0], kind)
    with grid("greatest", {}, {"i": form.classes}, one_row) as (row, i):
        T.reads(x[row, i])
        T.writes(greatest[row])
        with T.init():
            T.buffer_store(greatest, start, [row])
        T.buffer_store(greatest, tirx.max(greatest[row], x[row, i].astype(kind)), [row])


def _tflite(form: Rows) -> tirx.PrimFunc:
    def body() -> None:
        x = parameter("input", (form.rows, form.classes), form.dtype)
        table = parameter("table", (256,), "int32")
        y = parameter("output", (form.rows, form.classes), form.epilogue.dtype)
        greatest = local("greatest", (form.rows,), "int32")
        total = local("total", (form.rows,), "int32")
        zeros = local("zeros", (form.rows,), "int32")
        inverse = local("inverse", (form.rows,), "int32")

        def exponential(row: Any, i: Any) -> Any:
            return table[greatest[row] - x[row, i].astype("int32")]

        with loop("row", form.rows) as one_row:
            _maximum(form, x, greatest, one_row)
            with grid("total", {}, {"i": form.classes}, one_row) as (row, i):
                T.reads(x[row, i], table[0:256], greatest[row])
                T.writes(total[row])
                with T.init():
                    T.buffer_store(total, constant(0, "int32"), [row])
                wide = exponential(row, i).astype("int64") + constant(1 << (SUM_BITS - 1), "int64")
                rounded = tirx.floordiv(wide, constant(1 << SUM_BITS, "int64")).astype("int32")
                T.buffer_store(total, total[row] + rounded, [row])
            with grid("zeros", {}, outer=one_row) as (row,):
                T.reads(total[row])
                T.writes(zeros[row])
                T.buffer_store(zeros, helper("leading_zeros_i32", "int32", total[row]), [row])
            with grid("inverse", {}, outer=one_row) as (row,):
                T.reads(total[row], zeros[row])
                T.writes(inverse[row])
                shifted = tirx.shift_left(total[row].astype("int64"), zeros[row].astype("int64"))
                fraction = (shifted - constant(Q31, "int64")).astype("int32")
                T.buffer_store(inverse, helper("reciprocal_i32", "int32", fraction), [row])
            with grid("output", {"i": form.classes}, outer=one_row) as (row, i):
                T.reads(x[row, i], table[0:256], greatest[row], zeros[row], inverse[row])
                T.writes(y[row, i])
                probability = helper(
                    "softmax_scale_i32", "int32", exponential(row, i), inverse[row], constant(35, "int32") - zeros[row]
                )
                T.buffer_store(y, form.epilogue.store(probability), [row, i])

    return build(body)


def _qdq(form: Rows) -> tirx.PrimFunc:
    def body() -> None:
        x = parameter("input", (form.rows, form.classes), form.dtype)
        table = parameter("table", (256,), "float32")
        y = parameter("output", (form.rows, form.classes), form.epilogue.dtype)
        greatest = local("greatest", (form.rows,), "int32")
        total = local("total", (form.rows,), "float32")

        def exponential(row: Any, i: Any) -> Any:
            return table[greatest[row] - x[row, i].astype("int32")]

        with loop("row", form.rows) as one_row:
            _maximum(form, x, greatest, one_row)
            with grid("total", {}, {"i": form.classes}, one_row) as (row, i):
                T.reads(x[row, i], table[0:256], greatest[row])
                T.writes(total[row])
                with T.init():
                    T.buffer_store(total, constant(0.0, "float32"), [row])
                T.buffer_store(total, total[row] + exponential(row, i), [row])
            with grid("output", {"i": form.classes}, outer=one_row) as (row, i):
                T.reads(x[row, i], table[0:256], greatest[row], total[row])
                T.writes(y[row, i])
                probability = exponential(row, i) / total[row] / constant(form.scale, "float32")
                T.buffer_store(y, form.epilogue.store_float(probability), [row, i])

    return build(body)


def _float(form: Rows) -> tirx.PrimFunc:
    def body() -> None:
        x = parameter("input", (form.rows, form.classes), "float32")
        y = parameter("output", (form.rows, form.classes), "float32")
        greatest = local("greatest", (form.rows,), "float32")
        total = local("total", (form.rows,), "float32")
        with loop("row", form.rows) as one_row:
            _maximum(form, x, greatest, one_row)
            with grid("exponential", {"i": form.classes}, outer=one_row) as (row, i):
                T.reads(x[row, i], greatest[row])
                T.writes(y[row, i])
                distance = (x[row, i] - greatest[row]) * constant(form.beta, "float32")
                T.buffer_store(y, tirx.exp(distance), [row, i])
            with grid("total", {}, {"i": form.classes}, one_row) as (row, i):
                T.reads(y[row, i])
                T.writes(total[row])
                with T.init():
                    T.buffer_store(total, constant(0.0, "float32"), [row])
                T.buffer_store(total, total[row] + y[row, i], [row])
            with grid("output", {"i": form.classes}, outer=one_row) as (row, i):
                T.reads(y[row, i], total[row])
                T.writes(y[row, i])
                T.buffer_store(y, y[row, i] / total[row], [row, i])

    return build(body)


def define_vectors(form: Rows, lanes: int) -> tirx.PrimFunc:
    """float32 in vectors, of which the last may lie over the one before it; of at least `lanes` classes."""
    kind, whole = f"float32x{lanes}", form.classes // lanes

    def body() -> None:
        x = parameter("input", (form.rows, form.classes), "float32")
        y = parameter("output", (form.rows, form.classes), "float32")
        vector, scalar = local("vector", (1,), kind), local("scalar", (1,), "float32")
        parts = local("parts", (lanes,), "float32")
        with grid("rows", {"row": form.rows}) as (row,):
            T.reads(x[row, 0 : form.classes])
            T.writes(y[row, 0 : form.classes], vector[0:1], scalar[0:1], parts[0:lanes])

            def combine(operation: Any) -> None:
                """What the vector's lanes are together, in `scalar`."""
                T.buffer_store(parts, vector[0], [tirx.Ramp(0, 1, lanes)])
                T.buffer_store(scalar, parts[0], [0])
                for lane in range(1, lanes):
                    T.buffer_store(scalar, operation(scalar[0], parts[lane]), [0])

            T.buffer_store(vector, x[row, tirx.Ramp(0, 1, lanes)], [0])
            with T.serial(1, tiles(form.classes, lanes)) as i:
                place = tirx.Ramp(start(i, form.classes, lanes), 1, lanes)
                T.buffer_store(vector, tirx.max(vector[0], x[row, place]), [0])
            combine(tirx.max)
            with T.serial(0, tiles(form.classes, lanes)) as i:
                place = tirx.Ramp(start(i, form.classes, lanes), 1, lanes)
                distance = (x[row, place] - tirx.Broadcast(scalar[0], lanes)) * tirx.Broadcast(
                    constant(form.beta, "float32"), lanes
                )
                T.buffer_store(y, helper("exp_f32", kind, distance), [row, place])
            T.buffer_store(vector, y[row, tirx.Ramp(0, 1, lanes)], [0])
            with T.serial(1, whole) as i:
                T.buffer_store(vector, vector[0] + y[row, tirx.Ramp(i * lanes, 1, lanes)], [0])
            combine(lambda a, b: a + b)
            with T.serial(whole * lanes, form.classes) as i:
                T.buffer_store(scalar, scalar[0] + y[row, i], [0])
            T.buffer_store(scalar, constant(1.0, "float32") / scalar[0], [0])
            with T.serial(0, whole) as i:
                place = tirx.Ramp(i * lanes, 1, lanes)
                T.buffer_store(y, y[row, place] * tirx.Broadcast(scalar[0], lanes), [row, place])
            with T.serial(whole * lanes, form.classes) as i:
                T.buffer_store(y, y[row, i] * scalar[0], [row, i])

    return build(body)
