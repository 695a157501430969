"""What a layer is predicted to cost on a core: a few coefficients for each kind of layer, fitted to measured libraries.

`targets/costs/CORE.json` holds them; `scripts/fit_costs.py` writes these files. May not know TVM, runners or libraries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mbgen.data import data_folder
from mbgen.errors import InputError
from mbgen.graph import Conv2D, DepthwiseConv2D, Graph, Layer, Numerics, is_pointwise, macs
from mbgen.plan import Plan

FOLDER = "costs"
VECTOR = 16  # bytes that most cores with vectors multiply at a time


@dataclass(frozen=True)
class Prediction:
    """What one inference is predicted to cost, in `unit`, and the greatest relative `error` of such predictions.

    `code_bytes` and `stack_bytes` are the most that a measured library of this kind took.
    """

    cost: float
    unit: str
    error: float
    code_bytes: int
    stack_bytes: int


@dataclass(frozen=True)
class CostModel:
    """Coefficients by kind of layer and feature, all in `unit`; `error` is the greatest relative error that was seen.

    `code_bytes` and `stack_bytes` are the most that a measured library took.
    """

    unit: str
    coefficients: Mapping[str, Mapping[str, float]]
    error: float
    code_bytes: int
    stack_bytes: int

    def __post_init__(self) -> None:
        frozen = {kind: MappingProxyType(dict(values)) for kind, values in self.coefficients.items()}
        object.__setattr__(self, "coefficients", MappingProxyType(frozen))

    def cost(self, graph: Graph, plan: Plan) -> float:
        """The cost of one inference."""
        total = 0.0
        for layer in graph.layers:
            kind, values = features(layer, graph, plan)
            weights = self.coefficients.get(kind, {})
            total += sum(weights.get(name, 0.0) * value for name, value in values.items())
        return total


def predict(target: str, graph: Graph, plan: Plan) -> Prediction | None:
    """The prediction for a network on a core; None where nobody has fitted a model for it."""
    model = cost_models(target).get(key(graph, plan))
    if model is None:
        return None
    return Prediction(model.cost(graph, plan), model.unit, model.error, model.code_bytes, model.stack_bytes)


def features(layer: Layer, graph: Graph, plan: Plan) -> tuple[str, dict[str, float]]:
    """A layer's kind, and what its cost grows with: of what is computed, which tiles that overlap do twice."""
    (x, *_), output = graph.layer_inputs(layer), graph.layer_output(layer)
    if not isinstance(layer, Conv2D | DepthwiseConv2D):
        sizes = {"inputs": x.elements, "outputs": output.elements, "macs": macs(layer, graph)}
        return type(layer).__name__.lower(), {"calls": 1.0, **{name: float(value) for name, value in sizes.items()}}
    rows, columns, channels = output.shape[1:]
    runs, kind = rows, "" if plan.apart(layer) else "rows, "  # kernels that need whole tensors are left out there
    for band in plan.bands:
        if layer.name in band.layers:
            runs, columns = rows * band.tiles.count, band.tiles.count * band.tiles.columns
            kind = f"tiles of {band.tiles.columns}, " if isinstance(layer, DepthwiseConv2D) else "tiles, "
    pixels = rows * columns
    sizes = {"runs": runs, "channels": runs * channels, "outputs": pixels * channels}
    if isinstance(layer, DepthwiseConv2D):
        kind += f"depthwise stride {layer.stride[0]}"
    else:
        pointwise = is_pointwise(layer, graph)
        kind += "pointwise" if pointwise else "convolution"
        sizes["inputs"] = pixels * x.shape[3]
        if pointwise:  # the others of a file all have the same depth, for which the outputs stand
            sizes["macs"] = pixels * channels * x.shape[3]
            sizes["vectors"] = pixels * channels * -(-x.shape[3] // VECTOR)
    return kind, {"calls": 1.0, **{name: float(value) for name, value in sizes.items()}}


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
            name: CostModel(
                entry["unit"],
                entry["coefficients"],
                float(entry["error"]),
                int(entry["code_bytes"]),
                int(entry["stack_bytes"]),
            )
            for name, entry in document.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name}: not the coefficients of a cost model ({error})") from error
