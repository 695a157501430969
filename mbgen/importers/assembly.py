"""How layers come together from a model file's finer operators: the rules by which a draft takes in what follows it.

A file's convolution, bias, batch normalisation, clamp and quantisation are one layer of the Graph. Each rule changes
the draft only where nothing else reads it. Knows drafts. May not know TVM or model files.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from mbgen.errors import InputError, UnsupportedError
from mbgen.graph import (
    NO_CLAMP,
    Array,
    Clamp,
    Clip,
    Concat,
    Dense,
    DepthwiseConv2D,
    DType,
    Graph,
    Layer,
    Numerics,
    Quantization,
    Quantize,
    Requantize,
    Shape,
)
from mbgen.importers.build import build
from mbgen.importers.constant import Constant, quantized_clamp, tightened
from mbgen.importers.draft import Draft, View, graph_shape
from mbgen.passes.batch_norm import fold_batch_norm

NHWC, NCHW = (0, 1, 2, 3), (0, 3, 1, 2)
BIAS_SCALE_TOLERANCE = 1e-5  # relative; a few roundings of input scale times weight scale in float32


class Assembly:
    """The drafts of one network in running order. Set `node` to the file's operator that messages should name."""

    def __init__(self, numerics: Numerics, order: tuple[int, ...], where: str) -> None:
        self.numerics, self.order, self.where = numerics, order, where
        self.node = "the input"
        self.drafts: list[Draft] = []

    def graph(self, output: View) -> Graph:
        """The Graph that computes `output`."""
        if output.draft.kind is None:
            raise UnsupportedError(
                f"{self.where}: no layer lies between the input and the output; there is nothing to compile"
            )
        self.readable(output)
        integers = any(draft.quantization is not None for draft in self.drafts)
        return build(self.numerics if integers else Numerics.FLOAT32, self.drafts, output, self.where)

    def unsupported(self, why: str, remedy: str) -> UnsupportedError:
        """The error to raise where the current operator is used in a way that mbgen does not compile."""
        return UnsupportedError(f"{self.where}: {self.node}: {why}; {remedy}")

    # --- layers ----------------------------------------------------------------------------------------------------

    def input(self, file_shape: Shape, dtype: DType, q: Quantization | None, order: tuple[int, ...]) -> View:
        """The image, as the first draft."""
        image = Draft(None, self.node, [], graph_shape(file_shape, order), dtype, q)
        self.drafts.append(image)
        return View(image, image.shape, order)

    def layer(self, kind: type[Layer], inputs: list[View], shape: Shape, order: tuple[int, ...], **rest: Any) -> View:
        """A new draft; `shape` is the Graph's. Its output is float32 unless `rest` says otherwise."""
        draft = Draft(kind, self.node, [self.readable(view) for view in inputs], shape, **rest)
        self.drafts.append(draft)
        return View(draft, shape, order)

    def like(self, kind: type[Layer], view: View, **rest: Any) -> View:
        """A layer whose output has the input's shape."""
        return self.layer(kind, [view], view.shape, view.order, **rest)

    def dense(self, view: View, weights: Constant) -> View:
        """The product of a vector with `weights` [ic, oc]; of a flattened map the weights follow from CHW to HWC."""
        last = len(view.shape) - 1
        if weights.data.ndim != 2 or view.shape[last] != math.prod(view.shape) or view.order[last] != last:
            raise self.unsupported(
                f"it multiplies {list(view.shape)} by {list(weights.data.shape)}",
                "mbgen compiles the product of one vector with a constant matrix",
            )
        weights = weights.transposed((1, 0))
        oc, ic = weights.data.shape
        if view.chw is not None:
            channels_last = weights.data.reshape(oc, *view.chw).transpose(0, 2, 3, 1).reshape(oc, ic)
            weights = dataclasses.replace(weights, data=channels_last)
        vector = dataclasses.replace(self.reshaped(view, (1, ic)), chw=None)
        return self.layer(Dense, [vector], (1, oc), (0, 1), weights=weights)

    def readable(self, view: View) -> View:
        """`view` for a layer that reads elements in the Graph's order."""
        if view.chw is not None:
            raise self.unsupported(
                "it reads a map of {} channels, {} rows and {} columns flattened in that order".format(*view.chw),
                "pool the map to 1x1 first, or flatten it only before a dense layer",
            )
        return view

    def named(self, view: View, source: str) -> View:
        """`view` under the name of the file's value, which its draft's output equals too where it is seen whole.

        A value whose elements lie in another order than the file's layout says stays without, so that whoever reads it
        need not guess.
        """
        if view.chw is not None or (len(view.order) == 4 and view.order != self.order):
            return view
        if view.real:
            return dataclasses.replace(view, real_source=source)
        if view.whole and not view.draft.source and view.draft.kind is not None:
            view.draft.source = source
        return dataclasses.replace(view, source=source)

    # --- shapes ----------------------------------------------------------------------------------------------------

    def permuted(self, view: View, axes: tuple[int, ...]) -> View:
        """Transposed in the file; in the Graph nothing moves until a reader asks for another layout."""
        return dataclasses.replace(view, order=tuple(view.order[axis] for axis in axes), source="", real_source="")

    def reshaped(self, view: View, file_shape: Shape) -> View:
        """`view` in the file's `file_shape`; what would move in memory must be undone by its reader, or is refused."""
        if file_shape == view.file_shape:
            return view
        order = self.order if len(file_shape) == 4 else tuple(range(len(file_shape)))
        if (new := _relaid(view, file_shape, order)) is not None:
            return new
        if view.chw is None and view.order == NCHW and len(file_shape) == 2:
            return dataclasses.replace(
                view, shape=file_shape, order=order, source="", real_source="", chw=view.file_shape[1:]
            )
        raise self.unsupported(
            f"it reshapes {list(view.file_shape)} to {list(file_shape)}, which mixes channels with rows and columns",
            "mbgen flattens a map only before a dense layer",
        )

    def laid_out(self, view: View, layout: str) -> View:
        """`view` for an operator whose four axes lie as `layout` says."""
        wanted = {"NHWC": NHWC, "NCHW": NCHW}.get(layout)
        if view.order == wanted:
            return view
        new = None if wanted is None else _relaid(view, view.file_shape, wanted)
        if new is None:
            raise self.unsupported(
                f"it reads its input as {layout} after a transpose that cannot be removed", "remove the transpose"
            )
        return new

    # --- constants of a layer --------------------------------------------------------------------------------------

    def add_bias(self, view: View, bias: Constant) -> View:
        """Takes a constant for each channel in as the bias."""
        draft, rank, oc = view.draft, len(view.order), view.shape[-1]
        aligned = (1,) * (rank - bias.data.ndim) + bias.data.shape
        fits = len(aligned) == rank and bias.data.size == oc == aligned[view.order.index(rank - 1)]
        if not (fits and _foldable(view) and draft.bias is None):
            raise self.unsupported(
                f"it adds a constant of shape {list(bias.data.shape)}",
                "mbgen takes a constant in as the bias of the convolution or dense layer just before it only",
            )
        draft.bias = bias.reshaped((oc,))
        return _changed(view)

    def batch_norm(self, view: View, parameters: list[Constant], epsilon: float, axis: int) -> View:
        """Folds gamma, beta, mean and variance along the file's `axis` into the layer before."""
        draft = view.draft
        if not _foldable(view) or view.order[axis] != len(view.order) - 1 or draft.weights is None:
            raise self.unsupported(
                "it does not follow a convolution or dense layer of its own",
                "mbgen folds batch normalisation into the layer just before it",
            )
        if draft.weights.quantization is not None:
            raise self.unsupported(
                "it follows quantised weights", "fold batch normalisation before quantising the model"
            )
        weights, bias = self.finite(draft.weights), None if draft.bias is None else self.finite(draft.bias)
        gamma, beta, mean, variance = (self.finite(parameter) for parameter in parameters)
        channels = 2 if draft.kind is DepthwiseConv2D else 0
        try:
            folded = fold_batch_norm(weights, bias, gamma, beta, mean, variance, epsilon, channels)
        except InputError as error:
            raise InputError(f"{self.where}: {self.node}: {error}") from None
        draft.weights, draft.bias = map(Constant, folded)
        return _changed(view)

    def finite(self, constant: Constant) -> Array:
        """The constant's numbers, checked."""
        if not np.isfinite(constant.data).all():
            raise InputError(
                f"{self.where}: {self.node}: its constants hold NaN or infinity; the file is damaged or the training "
                "diverged"
            )
        return constant.data

    # --- clamps and quantisation -----------------------------------------------------------------------------------

    def clamped(self, view: View, clamp: Clamp) -> View:
        """`view` clamped in its own units: by its draft where that may still change, else by a layer."""
        draft = view.draft
        if not view.real and tightened(NO_CLAMP, clamp, draft.dtype) == NO_CLAMP:
            return view
        if view.real or not (draft.clampable and view.sole):
            return self.like(Clip, view, clamp=clamp, **kept_units(view))
        draft.clamp = tightened(draft.clamp, clamp, draft.dtype)
        return _changed(view)

    def quantized(self, view: View, q: Quantization, dtype: DType) -> View:
        """`view` as integers: the draft's own output where it waits for that, else through a layer."""
        draft = view.draft
        if view.real:
            return self.requantized(view, q, dtype)
        if draft.unquantized and view.sole:
            return self.take_quantization(view, q, dtype)
        return self.like(Quantize, view, quantization=q, dtype=dtype)

    def requantized(self, view: View, q: Quantization, dtype: DType) -> View:
        """Dequantised numbers as integers again; nothing happens where scale, zero point and type are the same."""
        if (view.draft.quantization, view.draft.dtype) == (q, dtype):
            return dataclasses.replace(view, real=False, source="")
        return self.like(Requantize, view, quantization=q, dtype=dtype)

    def take_quantization(self, view: View, q: Quantization, dtype: DType) -> View:
        """The draft behind `view` gives its output as integers."""
        draft = view.draft
        if draft.kind is Clip:
            return self.clamped_integers(view, q, dtype)
        if draft.kind is Concat:
            self.align_inputs(draft, q, dtype)
        if draft.bias is not None:
            self.check_bias(draft, draft.bias)
        draft.clamp = quantized_clamp(draft.clamp, q, dtype, self.numerics)
        draft.quantization, draft.dtype = q, dtype
        return _changed(view)

    def clamped_integers(self, view: View, q: Quantization, dtype: DType) -> View:
        """A clamp between two quantised tensors: exact in the output's units, since rounding keeps the order."""
        clip = view.draft
        self.drafts.remove(clip)
        integers = self.requantized(clip.inputs[0], q, dtype)
        shaped = dataclasses.replace(integers, shape=view.shape, order=view.order)
        return self.clamped(shaped, quantized_clamp(clip.clamp, q, dtype, self.numerics))

    def align_inputs(self, concat: Draft, q: Quantization, dtype: DType) -> None:
        """Concatenated integers need one quantisation: inputs with another pass a layer first."""
        self.drafts.remove(concat)
        concat.inputs = [self.requantized(view, q, dtype) for view in concat.inputs]
        self.drafts.append(concat)

    def check_bias(self, draft: Draft, bias: Constant) -> None:
        """QDQ adds the bias to the int32 sums, which holds only if its scale is the product of the other two.

        TFLite's kernels do that whatever scale the file gives.
        """
        self.node = draft.node
        q, weights = bias.quantization, draft.weights
        if q is None or bias.data.dtype != np.int32 or any(q.zero_point):
            raise self.unsupported(
                f"its bias is {bias.data.dtype}{'' if q else ' without quantisation'}",
                "quantise the bias to int32 with the scale of input times weights and zero point 0",
            )
        source = draft.inputs[0].draft.quantization
        if self.numerics is Numerics.QDQ and weights is not None and weights.quantization is not None and source:
            expected = np.array(weights.quantization.scale) * source.scale[0]
            if not np.allclose(np.array(q.scale), expected, rtol=BIAS_SCALE_TOLERANCE, atol=0):
                raise self.unsupported(
                    "its bias has another scale than input scale times weight scale",
                    "quantise the bias with that product",
                )

    def dequantized(self, view: View, q: Quantization) -> View:
        """`view`, a tensor of integers, as the real numbers that they stand for."""
        draft = view.draft
        if draft.kind is None and draft.quantization is None:
            draft.quantization = q  # the file says what the image's integers mean only where it reads them
        if draft.quantization != q:
            raise self.unsupported(
                "it reads integers with another scale or zero point than they were written with",
                "give both sides the same quantisation",
            )
        return dataclasses.replace(view, real=True, real_source="")


def kept_units(view: View) -> dict[str, Any]:
    """How a layer that keeps its input's numbers stores its output: integers only if the view is of integers."""
    return {} if view.real else {"dtype": view.draft.dtype, "quantization": view.draft.quantization}


def _changed(view: View) -> View:
    """`view` of a draft that has just changed: no value of the file equals it until one is named."""
    view.draft.source = ""
    return dataclasses.replace(view, source="")


def _foldable(view: View) -> bool:
    """Whether `view` is a bare convolution or dense layer that can still change per channel."""
    draft = view.draft
    plain = draft.quantization is None and draft.clamp == NO_CLAMP
    return draft.weights is not None and plain and view.sole and view.whole


def _relaid(view: View, file_shape: Shape, order: tuple[int, ...]) -> View | None:
    """`view` as a value of `file_shape` that lies as `order` says, None if its elements would have to move."""
    new = dataclasses.replace(view, shape=graph_shape(file_shape, order), order=order, source="", real_source="")
    return new if view.chw is None and view.in_order and new.in_order else None
