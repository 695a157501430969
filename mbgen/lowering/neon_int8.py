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
from mbgen.intrinsics import dotprod_image, neon_convolution, neon_rescale, neon_rows, neon_tile
from mbgen.intrinsics.neon_rescale import Kind
from mbgen.lowering.builder import T, build, constant, grid, loop, parameter, scalar
from mbgen.lowering.conv import RowWindow
from mbgen.lowering.epilogue import largest_sums, weighted_epilogue
from mbgen.lowering.tiling import panels, start
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
    def vectors(self) -> int:
        """How many int32 a channel has in its bias."""
        return 2 if neon_rescale.adds(self.kind) else 1

    def constants(self, bias: Array, nr: int) -> dict[str, tuple[Array, str]]:
        """Bias and per-channel arrays in panels of `nr` channels, and what they are; `bias` is int32 `[channels]`."""
        per_channel = neon_rescale.Rescale(self.kind, tuple(self.arrays.values()), self.common).starts(bias)
        starts = np.concatenate([panels(values, nr) for values in per_channel], axis=1)
        role = "bias" if self.vectors == 1 else "of each panel the bias, and what products are added to"
        return {"bias": (starts, role)} | {name: (panels(values, nr), name) for name, values in self.arrays.items()}

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Name and element type of the per-channel arrays."""
        return [(name, str(values.dtype)) for name, values in self.arrays.items()]

    @property
    def arguments(self) -> list[Any]:
        """The layer's constants as a helper's arguments."""
        return [constant(value, "float32" if len(self.common) == 1 else "int32") for value in self.common]


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
        least = epilogue.zero_point == epilogue.low and np.max(largest_sums(layer, graph)) < neon_rescale.LARGEST
        return Rescaling("fused" if least else "magic", (float(neon_rescale.MAGIC + epilogue.zero_point),), arrays)
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
    starts = rescale.vectors * runs.nr

    def body() -> None:
        x = parameter("input", (form.m, form.k), "int8")
        w = parameter("weights", (columns, form.k * runs.nr), "int8")
        bias = parameter("bias", (columns, starts), "int32")
        arrays = [parameter(name, (columns, runs.nr), dtype) for name, dtype in rescale.parameters]
        y = parameter("output", (form.m, form.n), "int8")
        with loop("oc_0", columns) as panel:
            first = 0
            for mr, count in runs.runs:
                with grid(f"run_{mr}", {}, outer=panel) as (oc_0,):
                    n, last = start(oc_0, form.n, runs.nr), first + mr * count
                    T.reads(
                        x[first:last, 0 : form.k],
                        w[oc_0, 0 : form.k * runs.nr],
                        bias[oc_0, 0:starts],
                    )
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


@dataclass(frozen=True)
class NeonRow:
    """One row of a depthwise convolution, one output channel for each of the input's, all int8.

    Parameters as of conv.Convolution; the bias has the input's zero point folded in, which padding reads as.
    """

    window: RowWindow
    channels: int
    zero_point: int
    rescaling: Rescaling

    def helper(self, form: neon_rows.Form) -> neon_rows.Row | None:
        """The helper that makes such a row; None if there is none."""
        window = self.window
        beyond = [
            (window.column(ow, 0), window.column(ow, window.kw - 1) - window.width + 1) for ow in range(window.ow)
        ]
        left, right = beyond[0][0] == -1, beyond[-1][1] == 1
        inner = beyond[int(left) : window.ow - int(right)]
        if (window.kh, window.kw, window.dilation) != (3, 3, 1) or window.stride not in (1, 2):
            return None
        if self.channels < neon_rows.LANES or (window.ow == 1 and (left or right)):
            return None
        if (left and beyond[0][1] > 0) or (right and beyond[-1][0] < 0) or any(a < 0 or b > 0 for a, b in inner):
            return None
        return neon_rows.Row(form, window.stride, left, right, self.rescaling.kind)


@dataclass(frozen=True)
class NeonConvolution:
    """One row of a direct convolution whose windows have rows of few bytes, all int8; parameters as of NeonRow."""

    window: RowWindow
    channels: int
    oc: int
    zero_point: int
    rescaling: Rescaling

    @property
    def taps(self) -> int:
        """Bytes of a row of a window."""
        return self.window.kw * self.channels

    @property
    def k(self) -> int:
        """Bytes of a window, up to the next multiple of 4."""
        return -(-self.window.kh * self.taps // 4) * 4

    @property
    def possible(self) -> bool:
        """Whether the helpers can gather its windows."""
        window = self.window
        return window.dilation == 1 and self.taps <= neon_convolution.BLOCK and window.kh == neon_convolution.ROWS

    @property
    def of_image(self) -> bool:
        """Whether the helpers for images serve it: they read blocks at the ends of a row from copies of two blocks."""
        window, channels, block = self.window, self.channels, dotprod_image.BLOCK
        row_bytes, step = window.width * channels, window.stride * channels
        return (
            (window.kh, self.taps, window.dilation) == (dotprod_image.ROWS, dotprod_image.TAPS, 1)
            and self.oc >= dotprod_image.CHANNELS
            and step <= dotprod_image.FARTHEST
            and row_bytes >= block
            and 0 <= window.left * channels <= block
            and window.column(window.ow - 1, 0) <= window.width
        )


def define_convolution(form: NeonConvolution, tile: neon_tile.Tile) -> tirx.PrimFunc:
    """By the helper of `tile`, for weights `[oc, k]` packed as neon_tile.pack does and constants in panels."""
    return _convolution(form, neon_convolution.name(tile), tile.nr, (form.k, form.taps))


def define_image(form: NeonConvolution) -> tirx.PrimFunc:
    """By the helper for images, for weights and constants as of a tile of its channels."""
    return _convolution(form, dotprod_image.row_name(form.rescaling.kind), dotprod_image.CHANNELS, ())


def _convolution(form: NeonConvolution, helper: str, nr: int, sizes: tuple[int, ...]) -> tirx.PrimFunc:
    """By `helper`, which makes panels of `nr` channels and takes `sizes` before the geometry."""
    window, rescale, count = form.window, form.rescaling, tiles(form.oc, nr)
    starts = rescale.vectors * nr
    reach = window.kh * window.width * form.channels  # nominal: rows may lie further apart

    def body() -> None:
        x = parameter("input", (reach,), "int8")
        rows = parameter("rows", (window.kh,), "int32")
        begin = scalar("kh_begin") if window.padded_rows else constant(0, "int32")
        end = scalar("kh_end") if window.padded_rows else constant(window.kh, "int32")
        w = parameter("weights", (count, form.k * nr), "int8")
        bias = parameter("bias", (count, starts), "int32")
        arrays = [parameter(name, (count, nr), dtype) for name, dtype in rescale.parameters]
        y = parameter("output", (window.ow, form.oc), "int8")
        with grid("row", {"row": 1}):
            T.reads(x[0:reach], rows[0 : window.kh], w[0:count, 0 : form.k * nr], bias[0:count, 0:starts])
            T.writes(y[0 : window.ow, 0 : form.oc])
            geometry = (
                *sizes,
                window.column(0, 0) * form.channels,
                window.stride * form.channels,
                window.width * form.channels,
                form.zero_point,
                count,
                window.ow,
            )
            T.evaluate(
                helper_statement(
                    helper,
                    tirx.address_of(y[0, 0]),
                    constant(form.oc, "int32"),
                    tirx.address_of(x[0]),
                    tirx.address_of(rows[0]),
                    begin,
                    end,
                    tirx.address_of(w[0, 0]),
                    *(tirx.address_of(array[0, 0]) for array in (bias, *arrays)),
                    *rescale.arguments,
                    *(constant(value, "int32") for value in geometry),
                )
            )

    return build(body)


def define_row(form: NeonRow, row: neon_rows.Row) -> tirx.PrimFunc:
    """By the helper of `row`: all whole panels of channels, then a rest, which lies over the one before it."""
    window, rescale, lanes = form.window, form.rescaling, neon_rows.LANES
    count, whole = tiles(form.channels, lanes), form.channels // lanes
    reach = window.kh * window.width * form.channels  # nominal: rows may lie further apart
    taps, starts = neon_rows.TAPS[row.form], rescale.vectors * lanes

    def body() -> None:
        x = parameter("input", (reach,), "int8")
        rows = parameter("rows", (window.kh,), "int32")
        begin = scalar("kh_begin") if window.padded_rows else constant(0, "int32")
        end = scalar("kh_end") if window.padded_rows else constant(window.kh, "int32")
        w = parameter("weights", (count, taps * lanes), "int8")
        bias = parameter("bias", (count, starts), "int32")
        arrays = [parameter(name, (count, lanes), dtype) for name, dtype in rescale.parameters]
        y = parameter("output", (window.ow, form.channels), "int8")
        for name, first, many, channel in (
            ("whole", 0, whole, 0),
            ("rest", whole, count - whole, form.channels - lanes),
        ):
            if many:
                with grid(name, {name: 1}):
                    T.reads(
                        x[0:reach],
                        rows[0 : window.kh],
                        w[0:count, 0 : taps * lanes],
                        bias[0:count, 0:starts],
                    )
                    T.writes(y[0 : window.ow, channel : channel + many * lanes])
                    T.evaluate(
                        helper_statement(
                            row.name,
                            tirx.address_of(y[0, channel]),
                            constant(form.channels, "int32"),
                            tirx.address_of(x[channel]),
                            tirx.address_of(rows[0]),
                            begin,
                            end,
                            tirx.address_of(w[first, 0]),
                            *(tirx.address_of(array[first, 0]) for array in (bias, *arrays)),
                            *rescale.arguments,
                            constant(form.zero_point, "int32"),
                            constant(many, "int32"),
                            constant(window.ow, "int32"),
                        )
                    )

    return build(body)
