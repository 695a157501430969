"""Convolutions over windows on Helium: the windows of a span of pixels side by side in memory, then a GEMM on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from mbgen.intrinsics.mve import VECTOR
from mbgen.lowering.builder import T, build, conditions, grid, local, parameter, run, scalar
from mbgen.lowering.conv import RowWindow
from mbgen.lowering.mve_gemm import MveGemm, tiles


@dataclass(frozen=True)
class MveConvolution:
    """One output row of a convolution without dilation; places that are padding read as `zero_point`.

    Windows are laid out for `span` pixels at a time, where `gemm` takes them.
    """

    window: RowWindow
    channels: int
    zero_point: int
    span: int
    gemm: MveGemm


def define(form: MveConvolution) -> tirx.PrimFunc:
    """The kernel of a row, with the parameters of `mbgen.lowering.conv`."""
    window, gemm = form.window, form.gemm
    across = window.kw * form.channels  # elements of a window's row
    reach = window.kh * window.width * form.channels

    def body() -> None:
        x = parameter("input", (reach,), "int8")
        rows = parameter("rows", (window.kh,), "int32")
        bounds = (scalar("kh_begin"), scalar("kh_end")) if window.padded_rows else None
        w = parameter("weights", (gemm.words,), "int32")
        y = parameter("output", (window.ow, gemm.n), "int8")
        patches = local("patches", (form.span, gemm.k), "int8")

        def fill(pixel: int, kh: Any, pixels: int) -> None:
            for part, count in _vectors(across):
                place = tirx.address_of(patches[pixel, kh * across + part])
                run("set_i8", place, gemm.k, form.zero_point, count, pixels)

        def copy(first: int, pixel: int, kh: Any, pixels: int) -> None:
            """The row of the windows of pixels that are all inside the image, or of one that is not."""
            begin = window.column(first + pixel, 0)
            left, right = max(-begin, 0), max(begin + window.kw - window.width, 0)
            if left or right:
                fill(pixel, kh, pixels)
            for part, count in _vectors((window.kw - left - right) * form.channels):
                place = tirx.address_of(patches[pixel, kh * across + left * form.channels + part])
                source = tirx.address_of(x[rows[kh] + (begin + left) * form.channels + part])
                run("copy_i8", place, gemm.k, source, window.stride * form.channels, count, pixels)

        for first in range(0, window.ow, form.span):
            pixels = min(form.span, window.ow - first)
            with grid(f"patches_{first}", {"kh": window.kh}) as (kh,):
                T.reads(x[0:reach], rows[0 : window.kh])
                T.writes(patches[0 : form.span, 0 : gemm.k])
                present = None if bounds is None else conditions((True, kh >= bounds[0]), (True, kh < bounds[1]))
                groups = list(_groups(window, first, pixels))
                if present is None:
                    for pixel, count in groups:
                        copy(first, pixel, kh, count)
                else:
                    with T.If(present):
                        with T.Then():
                            for pixel, count in groups:
                                copy(first, pixel, kh, count)
                        with T.Else():
                            fill(0, kh, pixels)
            with grid(f"tiles_{first}", {}):
                T.reads(patches[0 : form.span, 0 : gemm.k], w[0 : gemm.words])
                T.writes(y[0 : window.ow, 0 : gemm.n])
                tiles(gemm, patches, y, first, pixels, w)

    return build(body)


def _vectors(count: int) -> list[tuple[int, int]]:
    """Where vectors begin that cover so many bytes, and their lengths."""
    return [(part, min(VECTOR, count - part)) for part in range(0, count, VECTOR)]


def _groups(window: RowWindow, first: int, pixels: int) -> list[tuple[int, int]]:
    """Runs of pixels, counted from `first`, whose windows are inside the image; other pixels one by one."""
    runs: list[tuple[int, int]] = []
    joined = False  # whether the last run may grow
    for pixel in range(pixels):
        begin = window.column(first + pixel, 0)
        inside = begin >= 0 and begin + window.kw <= window.width
        if inside and joined:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((pixel, 1))
        joined = inside
    return runs
