"""Average pooling and the mean over a whole image: the mean of each window's places inside the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tvm import s_tir, tirx

from mbgen.graph import DType, Padding
from mbgen.lowering.builder import T, build, conditions, constant, grid, local, parameter, when, widened
from mbgen.lowering.epilogue import Epilogue
from mbgen.lowering.tir import helper


@dataclass(frozen=True)
class Window:
    """A sliding window: output (oh, ow) and tap (kh, kw) look in an image of `height` x `width`."""

    height: int
    width: int
    oh: int
    ow: int
    kh: int
    kw: int
    stride: tuple[int, int]
    padding: Padding

    def place(self, oh: Any, ow: Any, kh: Any, kw: Any) -> tuple[Any, Any]:
        """Row and column of the image; beyond it where there is padding."""
        return oh * self.stride[0] + kh - self.padding.top, ow * self.stride[1] + kw - self.padding.left

    def inside(self, ih: Any, iw: Any) -> Any | None:
        """The condition that a place is not padding, None where no window reaches any."""
        bottom = (self.oh - 1) * self.stride[0] + self.kh - 1 - self.padding.top >= self.height
        right = (self.ow - 1) * self.stride[1] + self.kw - 1 - self.padding.left >= self.width
        return conditions(
            (self.padding.top > 0, ih >= 0),
            (bottom, ih < self.height),
            (self.padding.left > 0, iw >= 0),
            (right, iw < self.width),
        )

    @property
    def padded(self) -> bool:
        """Whether any window reaches padding."""
        return self.inside(constant(0, "int32"), constant(0, "int32")) is not None


@dataclass(frozen=True)
class AveragePool:
    """output[oh, ow, c] = finish(rescaled sum over the window of input - zero_point).

    - float: the sum divided by the count of places inside the image.
    - average: TFLite's AVERAGE_POOL_2D, the sum of stored values divided by the count, half away from zero.
    - scale: QDQ, the sum times s_x / (s_y * count) in float32; `constants` are s_x and s_y.
    - fixed: TFLite's MEAN, the sum times a fixed-point factor; `constants` are its multiplier and shift.
    """

    kind: Literal["float", "average", "scale", "fixed"]
    window: Window
    channels: int
    dtype: DType
    zero_point: int
    constants: tuple[float, ...]
    epilogue: Epilogue


def _count(window: Window, oh: Any, ow: Any, dtype: str) -> Any:
    """Places of the window (oh, ow) inside the image; a literal where no window reaches padding."""
    if not window.padded:
        return constant(window.kh * window.kw, dtype)
    sides = []
    for place, kernel, extent in zip(
        window.place(oh, ow, 0, 0), (window.kh, window.kw), (window.height, window.width), strict=True
    ):
        sides.append(tirx.min(place + kernel, extent) - tirx.max(place, 0))
    count = sides[0] * sides[1]
    return count.astype(dtype) if dtype != "int32" else count


def mean(form: AveragePool, acc: Any, oh: Any, ow: Any) -> Any:
    """The output element that the sum over the window (oh, ow) makes."""
    window = form.window
    if form.kind == "float":
        return form.epilogue.finish(acc / _count(window, oh, ow, "float32"), ())
    if form.kind == "average":
        return form.epilogue.store(helper("average_i32", "int32", acc, _count(window, oh, ow, "int32")))
    if form.kind == "scale":
        source, target = (constant(value, "float32") for value in form.constants)
        return form.epilogue.scale_round(acc, source / (target * _count(window, oh, ow, "float32")))
    factor = (constant(value, "int32") for value in form.constants)
    return form.epilogue.store(helper("requantize_wide_i32", "int32", acc, *factor))


def define(form: AveragePool) -> tirx.PrimFunc:
    """The compute definition."""
    window = form.window
    total = "float32" if form.kind == "float" else "int32"
    spatial = {"oh": window.oh, "ow": window.ow, "c": form.channels}

    def body() -> None:
        x = parameter("input", (window.height, window.width, form.channels), form.dtype)
        y = parameter("output", (window.oh, window.ow, form.channels), form.epilogue.dtype)
        acc = local("acc", (window.oh, window.ow, form.channels), total)
        with grid("acc", spatial, {"kh": window.kh, "kw": window.kw}) as (oh, ow, c, kh, kw):
            ih, iw = window.place(oh, ow, kh, kw)
            T.reads(x[ih, iw, c])
            T.writes(acc[oh, ow, c])
            with T.init():
                T.buffer_store(acc, constant(0, total), [oh, ow, c])
            with when(window.inside(ih, iw)):
                T.buffer_store(acc, acc[oh, ow, c] + widened(x[ih, iw, c], form.dtype, form.zero_point), [oh, ow, c])
        with grid("output", spatial) as (oh, ow, c):
            T.reads(acc[oh, ow, c])
            T.writes(y[oh, ow, c])
            T.buffer_store(y, mean(form, acc[oh, ow, c], oh, ow), [oh, ow, c])

    return build(body)


def schedule(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Each mean right after its sum, so that one sum is alive at a time."""
    sch: Any = s_tir.Schedule(function)
    acc, output = sch.get_sblock("acc"), sch.get_sblock("output")
    _, _, c, kh, _ = sch.get_loops(acc)
    sch.reverse_compute_at(output, c, preserve_unit_loops=True)
    sch.decompose_reduction(acc, kh)
    return sch.mod["main"]
