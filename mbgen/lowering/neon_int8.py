"""int8 kernels by AArch64's helpers: loops over panels in TIR, each run of tiles a helper that multiplies and rescales.

For int8 activations and weights whose zero point is 0; the input's is folded into the bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tvm import tirx

from mbgen import numerics
from mbgen.graph import INTEGER_RANGE, Array, Graph, WeightedLayer
from mbgen.intrinsics import neon_rescale, neon_tile
from mbgen.intrinsics.neon_rescale import Kind
from mbgen.lowering.builder import T, build, constant, grid, loop, parameter
from mbgen.lowering.epilogue import largest_sums, weighted_epilogue
from mbgen.lowering.tiling import start
from mbgen.lowering.tir import helper_statement
from mbgen.schedules.neon import Runs
from mbgen.schedules.tile import tiles


@dataclass(frozen=True)
class Rescaling:
    """How a layer's sums become bytes: the constants of the whole layer, and those of each channel."""

    kind: Kind
    common: tuple[float, ...]
    arrays: dict[str, Array] = field(repr=False, compare=False)

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Name and element type of the per-channel arrays."""
        return [(name, str(values.dtype)) for name, values in self.arrays.items()]

    @property
    def arguments(self) -> list[Any]:
        """The layer's constants as a helper's arguments."""
        return [constant(value, "float32" if self.kind == "magic" else "int32") for value in self.common]


def rescaling(layer: WeightedLayer, graph: Graph) -> Rescaling | None:
    """The cheapest exact way to rescale the layer's sums; None where there is none for int8 helpers.

    They multiply bytes of int8 as they are stored, so weights must be symmetric; a weight of -128 would let two
    products of SMULL and SMLAL leave int16.
    """
    (x, *_), output, weights = graph.layer_inputs(layer), graph.layer_output(layer), graph.tensors[layer.weights]
    if not x.dtype == output.dtype == weights.dtype == "int8":
        return None
    if np.any(numerics.centered_weights(layer, graph) != graph.constant(layer.weights)):
        return None
    if np.any(graph.constant(layer.weights) == INTEGER_RANGE["int8"][0]):
        return None
    epilogue, arrays = weighted_epilogue(layer, graph)
    common = (epilogue.zero_point, int(epilogue.low), int(epilogue.high))
    if epilogue.kind == "fixed":
        shifts = -arrays["shift"].astype(np.int32)
        return Rescaling("fixed", common, {"multiplier": arrays["multiplier"], "shift": shifts})
    if epilogue.kind != "scale":
        return None
    reach = np.max(largest_sums(layer, graph) * arrays["scale"].astype(np.float64))
    whole = (epilogue.low, epilogue.high) == INTEGER_RANGE["int8"]
    if whole and epilogue.zero_point % 2 == 0 and reach + abs(epilogue.zero_point) + 1 < neon_rescale.INT16_MAX:
        return Rescaling("magic", (float(neon_rescale.MAGIC + epilogue.zero_point),), arrays)
    return Rescaling("scale", common, arrays)


@dataclass(frozen=True)
class NeonGemm:
    """output[m, n] = rescaled sum over k of input[m, k] * weights[n, k] + bias[n], all int8."""

    m: int
    n: int
    k: int
    rescaling: Rescaling


def define(form: NeonGemm, runs: Runs) -> tirx.PrimFunc:
    """The loops over panels and runs, for weights packed as neon_tile.pack does and constants in panels."""
    columns, rescale = tiles(form.n, runs.nr), form.rescaling

    def body() -> None:
        x = parameter("input", (form.m, form.k), "int8")
        w = parameter("weights", (columns, form.k * runs.nr), "int8")
        bias = parameter("bias", (columns, runs.nr), "int32")
        arrays = [parameter(name, (columns, runs.nr), dtype) for name, dtype in rescale.parameters]
        y = parameter("output", (form.m, form.n), "int8")
        with loop("oc_0", columns) as panel:
            first = 0
            for mr, count in runs.runs:
                with grid(f"run_{mr}", {}, outer=panel) as (oc_0,):
                    n, last = start(oc_0, form.n, runs.nr), first + mr * count
                    T.reads(x[first:last, 0 : form.k], w[oc_0, 0 : form.k * runs.nr], bias[oc_0, 0 : runs.nr])
                    T.writes(y[first:last, n : n + runs.nr])
                    T.evaluate(
                        helper_statement(
                            neon_tile.Tile(runs.form, mr, runs.nr, rescale.kind).name,
                            tirx.address_of(y[first, n]),
                            constant(form.n, "int32"),
                            tirx.address_of(x[first, 0]),
                            tirx.address_of(w[oc_0, 0]),
                            *(tirx.address_of(array[oc_0, 0]) for array in (bias, *arrays)),
                            *rescale.arguments,
                            constant(form.k, "int32"),
                            constant(count, "int32"),
                        )
                    )
                first = last

    return build(body)
