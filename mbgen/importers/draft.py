"""Layers in the making, and how the values of a model file see them.

Knows the Graph's nouns. May not know TVM, model files, or how drafts change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mbgen.graph import (
    NO_CLAMP,
    NO_PADDING,
    Add,
    AveragePool2D,
    Clamp,
    Clip,
    DType,
    Layer,
    Quantization,
    Shape,
    WeightedLayer,
)
from mbgen.importers.constant import Constant


@dataclass(eq=False)
class Draft:
    """One layer, or the network's input (`kind` None). Changes until the Graph is built."""

    kind: type[Layer] | None
    node: str  # what the model file calls it, for messages
    inputs: list[View]
    shape: Shape  # NHWC
    dtype: DType = "float32"
    quantization: Quantization | None = None
    weights: Constant | None = None
    bias: Constant | None = None
    clamp: Clamp = NO_CLAMP
    fields: dict[str, Any] = field(default_factory=dict)  # what else the layer's class asks for
    source: str = ""  # the file's value that the output equals as it stands now

    @property
    def clampable(self) -> bool:
        return self.kind is not None and issubclass(self.kind, WeightedLayer | AveragePool2D | Add | Clip)

    @property
    def unquantized(self) -> bool:
        """A float operation on dequantised numbers: it waits for the quantisation of its output."""
        return self.kind is not None and self.quantization is None and all(view.real for view in self.inputs)

    @property
    def pointwise(self) -> bool:
        return (
            self.weights is not None
            and self.weights.data.shape[1:3] == (1, 1)
            and self.fields.get("stride") == (1, 1)
            and self.fields.get("padding") == NO_PADDING
        )


@dataclass(frozen=True, eq=False)
class View:
    """How a value of the model file sees a draft's output."""

    draft: Draft
    shape: Shape  # NHWC; other than the draft's after a reshape
    order: tuple[int, ...]  # axis i of the file's value is axis order[i] of `shape`
    real: bool = False  # the real numbers that a quantised output stands for
    sole: bool = True  # nothing else reads the draft
    source: str = ""  # the file's value that equals the stored numbers in this shape
    real_source: str = ""  # the file's value that equals their dequantised numbers in this shape
    chw: Shape | None = None  # channels, height, width, where the file flattened a map in that order

    @property
    def whole(self) -> bool:
        """The draft's output as it is, not reshaped."""
        return self.shape == self.draft.shape

    @property
    def in_order(self) -> bool:
        """Whether the file's order of elements is the Graph's; axes of size 1 may lie anywhere."""
        axes = [axis for axis in self.order if self.shape[axis] != 1]
        return axes == sorted(axes)

    @property
    def file_shape(self) -> Shape:
        return tuple(self.shape[axis] for axis in self.order)


def graph_shape(file_shape: Shape, order: tuple[int, ...]) -> Shape:
    """The Graph's shape of a value whose axis i is the Graph's axis order[i]."""
    return tuple(file_shape[order.index(axis)] for axis in range(len(order)))
