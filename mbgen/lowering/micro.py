"""float32 GEMMs by micro-kernels: loops over tiles in TIR, each tile a helper that keeps its sums in registers.

From its bias to its store a tile's sums are in registers only, more of them than a C compiler or an asm statement with
operands can hold; so the tile is one helper, which the loops' body is tensorised to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tvm import tirx

from mbgen.intrinsics.tile import gemm_name
from mbgen.lowering.builder import T, build, constant, grid, loop, parameter
from mbgen.lowering.tiling import start
from mbgen.lowering.tir import helper_statement
from mbgen.schedules.micro import Microtiles
from mbgen.schedules.tile import tiles

LARGEST = float(np.finfo(np.float32).max)
PREFETCHERS = 4  # tiles that fetch one panel early: each fetches 16 bytes for each k, of 64 in a panel of 16 channels


@dataclass(frozen=True)
class MicroGemm:
    """output[m, n] = sum over k of input[m, k] * weights[n, k] + bias[n], cut to [low, high], in float32."""

    m: int
    n: int
    k: int
    low: float
    high: float

    @property
    def clamped(self) -> bool:
        """Whether any bound is finite."""
        return bool(np.isfinite(self.low) or np.isfinite(self.high))


def define(form: MicroGemm, micro: Microtiles) -> tirx.PrimFunc:
    """The loops over panels and tiles, for weights and bias in panels of `micro.nr` channels."""
    columns = tiles(form.n, micro.nr)
    bounds = [constant(float(np.clip(bound, -LARGEST, LARGEST)), "float32") for bound in (form.low, form.high)]

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
                            gemm_name(mr, micro.nr, form.clamped),
                            tirx.address_of(y[m, n]),
                            constant(form.n, "int32"),
                            tirx.address_of(x[m, 0]),
                            constant(form.k, "int32"),
                            tirx.address_of(w[oc_0, 0, 0]),
                            tirx.address_of(bias[oc_0, 0]),
                            constant(form.k, "int32"),
                            tirx.address_of(following),
                            *(bounds if form.clamped else ()),
                        )
                    )
                first += mr * count

    return build(body)
