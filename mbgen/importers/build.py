"""From drafts to the Graph: names, tensors, and the layers that a reshaped or dequantised reading asks for.

Knows drafts and the Graph. May not know TVM or model files.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from mbgen.errors import GraphError, InputError, UnsupportedError
from mbgen.graph import (
    Add,
    Array,
    AveragePool2D,
    Clip,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dequantize,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Quantize,
    Requantize,
    Reshape,
    Shape,
    Softmax,
    Tensor,
)
from mbgen.importers.constant import Constant
from mbgen.importers.draft import Draft, View

PREFIXES: Mapping[type[Layer], str] = {
    Conv2D: "conv",
    DepthwiseConv2D: "depthwise",
    Dense: "dense",
    AveragePool2D: "pool",
    Mean: "mean",
    Add: "add",
    Pad: "pad",
    Concat: "concat",
    Reshape: "reshape",
    Softmax: "softmax",
    Logistic: "logistic",
    Clip: "clip",
    Quantize: "quantize",
    Dequantize: "dequantize",
    Requantize: "requantize",
}


def build(numerics: Numerics, drafts: list[Draft], output: View, where: str) -> Graph:
    """The graph of the drafts that `output` needs; reshapes and dequantisations become layers where they are read.

    `drafts` are in running order, the network's input first. Raises UnsupportedError for integer weights in a float
    layer or the reverse, InputError for constants that are not finite and for a model that contradicts itself.
    """
    return _Builder(numerics, where).build(drafts, output)


class _Builder:
    def __init__(self, numerics: Numerics, where: str) -> None:
        self.numerics, self.where = numerics, where
        self.tensors: dict[str, Tensor] = {}
        self.layers: list[Layer] = []
        self.counts: Counter[str] = Counter()
        self.names: dict[Draft, str] = {}
        self.derived: dict[tuple[str, type[Layer], Shape], str] = {}

    def build(self, drafts: list[Draft], output: View) -> Graph:
        needed = _reachable(output.draft)
        for draft in drafts:
            if draft.kind is None:
                self.names[draft] = "input"
                self.tensors["input"] = Tensor("input", draft.shape, draft.dtype, draft.quantization)
            elif draft in needed:
                self.names[draft] = self.add_draft(draft, draft.kind)
        output_name = self.tensor_name(output, dequantized=output.real)
        try:
            return Graph("model", self.numerics, self.tensors, tuple(self.layers), "input", output_name)
        except GraphError as error:
            raise InputError(f"{self.where}: the model contradicts itself: {error}") from error

    def add_draft(self, draft: Draft, kind: type[Layer]) -> str:
        inputs = [self.tensor_name(view, dequantized=view.real and draft.dtype == "float32") for view in draft.inputs]
        name = self.fresh("pointwise" if kind is Conv2D and draft.pointwise else PREFIXES[kind])
        fields = {**draft.fields, "source": draft.source}
        if draft.clampable:
            fields["clamp"] = draft.clamp
        if draft.weights is not None:
            self.check_weights(draft, draft.weights)
            fields["weights"] = self.add_constant(f"{name}.weights", draft.weights, draft)
            if draft.bias is not None:
                fields["bias"] = self.add_constant(f"{name}.bias", draft.bias, draft)
        return self.add_layer(kind, inputs, Tensor(name, draft.shape, draft.dtype, draft.quantization), fields)

    def check_weights(self, draft: Draft, weights: Constant) -> None:
        if weights.quantization is not None and draft.quantization is None:
            raise UnsupportedError(
                f"{self.where}: {draft.node}: its weights are {weights.data.dtype} but it computes in float32; "
                "quantise its input and output too, or keep the weights in float32"
            )
        if weights.quantization is None and draft.quantization is not None:
            raise UnsupportedError(
                f"{self.where}: {draft.node}: its output is {draft.dtype} but its weights are float32; quantise the "
                "weights too"
            )

    def add_constant(self, name: str, constant: Constant, draft: Draft) -> str:
        data: Array = np.ascontiguousarray(constant.data)
        if not np.isfinite(data).all():
            raise InputError(
                f"{self.where}: {draft.node}: its {name.rpartition('.')[2]} hold NaN or infinity; the file is damaged "
                "or the training diverged"
            )
        dtype: Any = str(data.dtype)
        self.tensors[name] = Tensor(name, data.shape, dtype, constant.quantization, data)
        return name

    def add_layer(self, kind: type[Layer], inputs: list[str], output: Tensor, fields: Mapping[str, Any]) -> str:
        self.tensors[output.name] = output
        self.layers.append(kind(name=output.name, inputs=tuple(inputs), output=output.name, **fields))
        return output.name

    def tensor_name(self, view: View, dequantized: bool) -> str:
        """The tensor that holds what `view` sees, in float32 if `dequantized`."""
        name, source = self.names[view.draft], view.real_source if dequantized else view.source
        if dequantized:
            name = self.derive(Dequantize, name, source if view.whole else "", dtype="float32", quantization=None)
        if not view.whole:
            name = self.derive(Reshape, name, source, shape=view.shape)
        return name

    def derive(self, kind: type[Layer], name: str, source: str, **changes: Any) -> str:
        """The output of a layer that reads tensor `name` and differs from it in `changes`; one for all its readers."""
        changed = dataclasses.replace(self.tensors[name], **changes)
        key = (name, kind, changed.shape)
        if key not in self.derived:
            output = dataclasses.replace(changed, name=self.fresh(PREFIXES[kind]))
            self.derived[key] = self.add_layer(kind, [name], output, {"source": source})
        return self.derived[key]

    def fresh(self, prefix: str) -> str:
        self.counts[prefix] += 1
        return f"{prefix}_{self.counts[prefix]}"


def _reachable(draft: Draft) -> set[Draft]:
    found, waiting = set(), [draft]
    while waiting:
        draft = waiting.pop()
        if draft not in found:
            found.add(draft)
            waiting.extend(view.draft for view in draft.inputs)
    return found
