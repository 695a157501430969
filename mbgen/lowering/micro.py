"""float32 GEMMs by micro-kernels: loops over tiles in TIR, each tile a helper that keeps its sums in registers.

From its bias to its store a tile's sums are in registers only, more of them than a C compiler or an asm statement with
operands can hold; so the tile is one helper, which the loops' body is tensorised to.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import tirx

from mbgen.intrinsics.tile import Shape, gemm_name
from mbgen.lowering.builder import T, build, constant, grid, loop, parameter, run, scalar
from mbgen.lowering.conv import RowWindow
from mbgen.lowering.tiling import start
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
class Run:
    """Neighbouring output columns, `taps` of whose windows, from `first_tap` on, are inside the image.

    Of the last column only `last` taps are.
    """

    first: int
    count: int
    first_tap: int
    taps: int
    last: int

    @property
    def end(self) -> int:
        return self.first + self.count


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
    def taps(self) -> list[tuple[int, int]]:
        """For each output column the taps that are inside the image: the first, and how many."""
        window = self.window
        columns = (window.column(ow, 0) for ow in range(window.ow))
        return [(max(0, -column), min(window.kw, window.width - column) - max(0, -column)) for column in columns]

    def runs(self, cuts: bool) -> list[Run]:
        """All output columns; `cuts`: where there are tiles whose last pixel has fewer taps."""
        runs: list[Run] = []
        for (first_tap, taps), group in itertools.groupby(self.taps):
            run = Run(runs[-1].end if runs else 0, len(list(group)), first_tap, taps, taps)
            before = runs[-1] if runs else run
            if cuts and run.count == 1 and first_tap == before.first_tap and taps < before.taps == before.last:
                runs[-1] = replace(before, count=before.count + 1, last=taps)
            else:
                runs.append(run)
        return runs

    @property
    def possible(self) -> bool:
        """Whether the tiles can compute it: no gaps between the taps, and none of its windows all padding."""
        return self.window.dilation == 1 and all(taps > 0 for _, taps in self.taps)


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
                    run(
                        gemm_name(Shape(mr, micro.nr, form.bounds.finite)),
                        tirx.address_of(y[m, n]),
                        form.n,
                        tirx.address_of(x[m, 0]),
                        form.k,
                        tirx.address_of(w[oc_0, 0, 0]),
                        tirx.address_of(bias[oc_0, 0]),
                        form.k,
                        tirx.address_of(following),
                        *form.bounds.arguments,
                    )
                first += mr * count

    return build(body)


def define_convolution(form: MicroConvolution, nr: int, costs: Mapping[int, float], *, cuts: bool) -> tirx.PrimFunc:
    """The loops over panels of `nr` channels and tiles of a row, whose heights have `costs`.

    `cuts`: whether there are tiles whose last pixel has fewer taps.
    """
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
            for number, part in enumerate(_alike(form.runs(cuts), costs)):
                with grid(f"tile_{number}", {f"ow_{number}": part.count}, outer=panel) as (oc_0, ow_0):
                    ow, n = part.first + ow_0 * part.mr, start(oc_0, form.oc, nr)
                    T.reads(x[0:reach], rows[0 : window.kh], w[oc_0, 0 : window.kh], bias[oc_0, 0:nr])
                    T.writes(y[ow : ow + part.mr, n : n + nr])
                    run(
                        gemm_name(Shape(part.mr, nr, form.bounds.finite, rows=True, cut=part.cut > 0)),
                        tirx.address_of(y[ow, n]),
                        form.oc,
                        tirx.address_of(x[window.column(ow, part.first_tap) * form.channels]),
                        window.stride * form.channels,
                        tirx.address_of(w[oc_0, begin, part.first_tap, 0, 0]),
                        tirx.address_of(bias[oc_0, 0]),
                        part.taps * form.channels,
                        tirx.address_of(rows[begin]),
                        end - begin,
                        (window.kw - part.taps - part.cut) * form.channels * nr,
                        *([part.cut * form.channels] if part.cut else []),
                        *form.bounds.arguments,
                    )

    return build(body)


@dataclass(frozen=True)
class _Tiles:
    """`count` tiles of `mr` output columns from `first` on; but for a tile's last, columns have `cut` taps more."""

    first: int
    mr: int
    count: int
    first_tap: int
    taps: int
    cut: int


def _alike(runs: Sequence[Run], costs: Mapping[int, float]) -> list[_Tiles]:
    """The tiles of a row; only the last of a run may lack taps."""
    found = []
    for one in runs:
        first = one.first
        for mr, count in cover(one.count, costs):
            last = first + mr * count == one.end and one.last < one.taps
            whole = count - 1 if last else count
            if whole:
                found.append(_Tiles(first, mr, whole, one.first_tap, one.taps, 0))
            if last:
                cut = one.taps - one.last if mr > 1 else 0
                found.append(_Tiles(first + mr * whole, mr, 1, one.first_tap, one.last, cut))
            first += mr * count
    return found
