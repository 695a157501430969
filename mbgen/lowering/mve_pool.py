"""The mean of a whole int8 image on Helium: the sums of four channels at a time by a helper, then the portable rest."""

from __future__ import annotations

from tvm import tirx

from mbgen.lowering import pool
from mbgen.lowering.builder import T, build, grid, local, parameter, run


def serves(form: pool.AveragePool) -> bool:
    """Whether the only window is the whole image."""
    window = form.window
    whole = (window.kh, window.kw) == (window.height, window.width) and (window.oh, window.ow) == (1, 1)
    return form.dtype == "int8" and whole and not window.padded


def define(form: pool.AveragePool) -> tirx.PrimFunc:
    """The compute definition for what `serves` accepts."""
    window, places = form.window, form.window.kh * form.window.kw

    def body() -> None:
        x = parameter("input", (window.height, window.width, form.channels), "int8")
        y = parameter("output", (1, 1, form.channels), form.epilogue.dtype)
        sums = local("sums", (form.channels,), "int32")
        with grid("sums", {}):
            T.reads(x[0 : window.height, 0 : window.width, 0 : form.channels])
            T.writes(sums[0 : form.channels])
            run("sum_i8", sums.data, x.data, form.channels, places, -form.zero_point * places)
        with grid("output", {"c": form.channels}) as (c,):
            T.reads(sums[c])
            T.writes(y[0, 0, c])
            T.buffer_store(y, pool.mean(form, sums[c], 0, 0), [0, 0, c])

    return build(body)
