"""What a layer is predicted to cost on a core: a few coefficients for each kind of layer, fitted to measured libraries.

`targets/costs/CORE.json` holds them; `scripts/fit_costs.py` writes these files. May not know TVM, runners or libraries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mbgen.data import data_folder
from mbgen.errors import InputError
from mbgen.graph import Conv2D, DepthwiseConv2D, Graph, Layer, Numerics, is_pointwise, macs
from mbgen.plan import Plan

FOLDER = "costs"


@dataclass(frozen=True)
class CostModel:
    """Coefficients by kind of layer and feature, all in `unit`; `error` is the greatest relative error that was seen.

    `code_bytes` is the most code that a measured library had.
    """

    unit: str
    coefficients: Mapping[str, Mapping[str, float]]
    error: float
    code_bytes: int

    def __post_init__(self) -> None:
        frozen = {kind: MappingProxyType(dict(values)) for kind, values in self.coefficients.items()}
        object.__setattr__(self, "coefficients", MappingProxyType(frozen))

    def predict(self, graph: Graph) -> float:
        """The cost of one inference."""
        total = 0.0
        for layer in graph.layers:
            kind, values = features(layer, graph)
            weights = self.coefficients.get(kind, {})
            total += sum(weights.get(name, 0.0) * value for name, value in values.items())
        return total


def features(layer: Layer, graph: Graph) -> tuple[str, dict[str, float]]:
    """A layer's kind, and what its cost grows with."""
    (x, *_), output = graph.layer_inputs(layer), graph.layer_output(layer)
    once = {"calls": 1.0, "outputs": float(output.elements)}
    if isinstance(layer, DepthwiseConv2D):
        rows, columns = output.shape[1:3]
        return f"depthwise stride {layer.stride[0]}", {**once, "rows": float(rows), "pixels": float(rows * columns)}
    if isinstance(layer, Conv2D):
        kind = "pointwise" if is_pointwise(layer, graph) else "convolution"
        pixels = math.prod(output.shape[1:3])
        return kind, {**once, "macs": float(macs(layer, graph)), "inputs": float(pixels * x.shape[3])}
    return type(layer).__name__.lower(), {**once, "macs": float(macs(layer, graph)), "inputs": float(x.elements)}


def shape_of(plan: Plan) -> str:
    """How a network runs, which decides what its layers cost: a key of the file."""
    if plan.bands:
        return "bands"
    return "rows" if len(plan.stages) > 1 else "whole"


def key(graph: Graph, plan: Plan) -> str:
    """Names the coefficients of a network's element type and plan."""
    return f"{'float32' if graph.numerics is Numerics.FLOAT32 else 'int8'} {shape_of(plan)}"


def cost_models(target: str) -> Mapping[str, CostModel]:
    """The models of a core by `key`; none where nobody has fitted any. InputError for a damaged file."""
    path = data_folder("targets") / FOLDER / f"{target}.json"
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="ascii"))
        return {
            name: CostModel(entry["unit"], entry["coefficients"], float(entry["error"]), int(entry["code_bytes"]))
            for name, entry in document.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name}: not the coefficients of a cost model ({error})") from error
