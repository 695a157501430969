"""float32 GEMMs by micro-kernels: loops over tiles in TIR, each tile a helper that keeps its sums in registers.

From its bias to its store a tile's sums are in registers only, more of them than a C compiler or an asm statement with
operands can hold; so the tile is one helper, which the loops' body is tensorised to.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx

from mbgen.intrinsics.tile import Shape, gemm_name
from mbgen.lowering.builder import T, build, constant, grid, loop, parameter, scalar
from mbgen.lowering.conv import RowWindow
from mbgen.lowering.tiling import start
from mbgen.lowering.tir import helper_statement
from mbgen.schedules.micro import Microtiles, cover
from mbgen.schedules.tile import tiles

LARGEST = float(np.finfo(np.float32).max)
PREFETCHERS = 4  # tiles that fetch one panel early: each fetches 16 bytes for each k, of 64 in a panel of 16 channels


@dataclass(frozen=True)
class Bounds:
    """What the sums are cut to."""

    low: float
    high: float

    @property
    def finite(self) -> bool:
        """Whether any bound is."""
        return bool(np.isfinite(self.low) or np.isfinite(self.high))

    @property
    def arguments(self) -> tuple[Any, ...]:
        """For a helper; beyond an infinite bound no finite float lies."""
        bounds = (float(np.clip(bound, -LARGEST, LARGEST)) for bound in (self.low, self.high))
        return tuple(constant(bound, "float32") for bound in bounds) if self.finite else ()


@dataclass(frozen=True)
class MicroGemm:
    """output[m, n] = sum over k of input[m, k] * weights[n, k] + bias[n], cut to bounds, in float32."""

    m: int
    n: int
    k: int
    bounds: Bounds


@dataclass(frozen=True)
class MicroConvolution:
    """One row of a direct convolution in float32, whose sums are cut to bounds; parameters as of conv.Convolution.

    Neighbouring taps of a row of the window are neighbours in memory, channels included: a GEMM for each row of the
    window, over its `kw * channels` values, whose pixels lie `stride * channels` apart.
    """

    window: RowWindow
    channels: int
    oc: int
    bounds: Bounds

    @property
    def runs(self) -> list[tuple[int, int, int, int]]:
        """Output columns with the same taps inside the image: the first, how many, the first tap and the last + 1."""
        window = self.window
        inside = []
        for ow in range(window.ow):
            column = window.column(ow, 0)
            inside.append((max(0, -column), min(window.kw, window.width - column)))
        runs, first = [], 0
        for taps, group in itertools.groupby(inside):
            count = len(list(group))
            runs.append((first, count, *taps))
            first += count
        return runs

    @property
    def possible(self) -> bool:
        """Whether the tiles can compute it: no gaps between the taps, and none of its windows all padding."""
        return self.window.dilation == 1 and all(end > begin for _, _, begin, end in self.runs)


def define(form: MicroGemm, micro: Microtiles) -> tirx.PrimFunc:
    """The loops over panels and tiles, for weights and bias in panels of `micro.nr` channels."""
    columns = tiles(form.n, micro.nr)

    def body() -> None:
        x = parameter("input", (form.m, form.k), "float32")
        w = parameter("weights", (columns, form.k, micro.nr), "float32")
        bias = parameter("bias", (columns, micro.nr), "float32")
        y = parameter("output", (form.m, form.n), "float32")
        with loop("oc_0", columns) as panel:
            first = 0
            for mr, count in micro.runs:
                with grid(f"tile_{mr}", {f"row_{mr}": count}, outer=panel) as (oc_0, row_0):
                    m, n = first + row_0 * mr, start(oc_0, form.n, micro.nr)
                    T.reads(x[m : m + mr, 0 : form.k], w[oc_0, 0 : form.k, 0 : micro.nr], bias[oc_0, 0 : micro.nr])
                    T.writes(y[m : m + mr, n : n + micro.nr])
                    following = w[tirx.min(oc_0 + 1, columns - 1), row_0 % PREFETCHERS * (form.k // PREFETCHERS), 0]
                    T.evaluate(
                        helper_statement(
                            gemm_name(Shape(mr, micro.nr, form.bounds.finite)),
                            tirx.address_of(y[m, n]),
                            constant(form.n, "int32"),
                            tirx.address_of(x[m, 0]),
                            constant(form.k, "int32"),
                            tirx.address_of(w[oc_0, 0, 0]),
                            tirx.address_of(bias[oc_0, 0]),
                            constant(form.k, "int32"),
                            tirx.address_of(following),
                            *form.bounds.arguments,
                        )
                    )
                first += mr * count

    return build(body)


def define_convolution(form: MicroConvolution, nr: int, costs: Mapping[int, float]) -> tirx.PrimFunc:
    """The loops over panels of `nr` channels and tiles of a row, whose heights have `costs`."""
    window, columns = form.window, tiles(form.oc, nr)
    reach = window.kh * window.width * form.channels  # nominal: rows may lie further apart

    def body() -> None:
        x = parameter("input", (reach,), "float32")
        rows = parameter("rows", (window.kh,), "int32")
        begin = scalar("kh_begin") if window.padded_rows else constant(0, "int32")
        end = scalar("kh_end") if window.padded_rows else constant(window.kh, "int32")
        w = parameter("weights", (columns, window.kh, window.kw, form.channels, nr), "float32")
        bias = parameter("bias", (columns, nr), "float32")
        y = parameter("output", (window.ow, form.oc), "float32")
        with loop("oc_0", columns) as panel:
            for number, (start_of_run, count_of_run, kw_begin, kw_end) in enumerate(form.runs):
                first = start_of_run
                for mr, count in cover(count_of_run, costs):
                    with grid(f"tile_{number}_{mr}", {f"ow_{number}_{mr}": count}, outer=panel) as (oc_0, ow_0):
                        ow, n = first + ow_0 * mr, start(oc_0, form.oc, nr)
                        T.reads(x[0:reach], rows[0 : window.kh], w[oc_0, 0 : window.kh], bias[oc_0, 0:nr])
                        T.writes(y[ow : ow + mr, n : n + nr])
                        taps = kw_end - kw_begin
                        T.evaluate(
                            helper_statement(
                                gemm_name(Shape(mr, nr, form.bounds.finite, rows=True)),
                                tirx.address_of(y[ow, n]),
                                constant(form.oc, "int32"),
                                tirx.address_of(x[window.column(ow, kw_begin) * form.channels]),
                                constant(window.stride * form.channels, "int32"),
                                tirx.address_of(w[oc_0, begin, kw_begin, 0, 0]),
                                tirx.address_of(bias[oc_0, 0]),
                                constant(taps * form.channels, "int32"),
                                tirx.address_of(rows[begin]),
                                end - begin,
                                constant((window.kw - taps) * form.channels * nr, "int32"),
                                *form.bounds.arguments,
                            )
                        )
                    first += mr * count

    return build(body)
