"""Pointwise and dense layers on Helium: tiles of pixels and channels by helpers, straight on the NHWC tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from mbgen.intrinsics.mve_gemm import PIXELS, gemm_name, row_name
from mbgen.lowering.builder import T, build, grid, parameter, run
from mbgen.schedules.helium import ROW


@dataclass(frozen=True)
class MveGemm:
    """output[m, n] = sum over k of input[m, k] * weights[n, k], rescaled, by tiles of one shape.

    `words` is the length of the stream that holds the constants.
    """

    m: int
    n: int
    k: int
    tile: str
    words: int
    shift: int


def define(form: MveGemm) -> tirx.PrimFunc:
    """All tiles, which the helper goes through; pixel by pixel where a tile is one."""

    def body() -> None:
        x = parameter("input", (form.m, form.k), "int8")
        w = parameter("weights", (form.words,), "int32")
        y = parameter("output", (form.m, form.n), "int8")
        if form.tile == ROW:
            with grid("rows", {"row": form.m}) as (row,):
                T.reads(x[row, 0 : form.k], w[0 : form.words])
                T.writes(y[row, 0 : form.n])
                place, source = tirx.address_of(y[row, 0]), tirx.address_of(x[row, 0])
                run(row_name(form.k, form.shift), place, form.n, source, w.data, form.k, form.shift)
        else:
            with grid("tiles", {}):
                T.reads(x[0 : form.m, 0 : form.k], w[0 : form.words])
                T.writes(y[0 : form.m, 0 : form.n])
                tiles(form, x, y, 0, form.m, w)

    return build(body)


def tiles(form: MveGemm, x: Any, y: Any, first: int, pixels: int, w: Any) -> None:
    """Statements that make `pixels` rows of y from row `first` on, from those of x from its start on."""
    whole, rest = divmod(pixels, PIXELS)
    for begin, width, count in ((0, PIXELS, whole), (whole * PIXELS, rest, 1)):
        if width and count:
            place = tirx.address_of(y[first + begin, 0])
            source = tirx.address_of(x[begin, 0]) if begin else x.data
            name = gemm_name(form.k, form.shift)
            run(name, place, form.n, source, form.k, width, count, w.data, form.k, form.shift)
