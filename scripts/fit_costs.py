"""Fits the coefficients that `mbgen explore` predicts with: compiles networks for a core and counts them in QEMU.

    python -m scripts.fit_costs cortex-m4 cortex-a72          writes targets/costs/cortex-m4.json, cortex-a72.json
    python -m scripts.fit_costs --dtype int8 cortex-a76       only what it has of that type; the rest of the file stays

Needs the packages of `mbgen[tune]` (SciPy comes with XGBoost).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mbgen.bench import TIME, bench
from mbgen.costs import FOLDER, CostModel, features, key
from mbgen.explore import stand_in
from mbgen.graph import Graph
from mbgen.library import render, write
from mbgen.mobilenet import MobileNetV1
from mbgen.options import CompileOptions
from mbgen.pipeline import chosen_plan, compile_model
from mbgen.plan import Plan
from mbgen.planning.bands import packed_bytes
from mbgen.report.listing import read_listing
from mbgen.running import stack_bytes
from mbgen.target import Target, load_target

TARGETS = Path(__file__).resolve().parent.parent / "targets"
# alpha, resolution, classes: small maps have the same kernels as large ones, and every number of channels is among them
FITTED = ((0.25, 96, 1000), (0.25, 128, 2), (0.5, 64, 100), (0.5, 112, 1000), (0.75, 80, 10), (1.0, 48, 100))
CHECKED = ((0.25, 160, 1000), (0.5, 96, 10))
SLOW = (FITTED[0], *FITTED[3:], *CHECKED)  # those that are also measured with less memory
PLENTY = 1 << 30
MOST_ERROR = 0.10  # what is predicted worse than this is left out: explore then goes by multiply-accumulates
POWER = 0.75  # of a layer's cost in its weight: at 1 all relative errors would count alike, at 0 all cycles

Row = tuple[str, dict[str, float], float]


@dataclass(frozen=True)
class Measured:
    """A library as it was counted: the cost of each layer by its name, and of the whole, in `unit`."""

    unit: str
    layers: Mapping[str, float]
    total: float
    code_bytes: int
    stack_bytes: int


@dataclass(frozen=True, eq=False)
class Sample:
    """What `explore` knows of a network, and what was found."""

    name: str
    graph: Graph
    plan: Plan
    measured: Measured
    fitted: bool  # else it only checks the fit

    @property
    def rows(self) -> list[Row]:
        return [
            (*features(layer, self.graph, self.plan), self.measured.layers[layer.name]) for layer in self.graph.layers
        ]


def ways(target: Target, dtype: str, point: tuple[float, int, int]) -> Iterator[CompileOptions]:
    """The options for every plan that `explore` may meet on the core."""
    alpha, resolution, classes = point
    fastest = CompileOptions(
        target=target.name, alpha=alpha, resolution=resolution, classes=classes, dtype=dtype, ram=PLENTY, flash=PLENTY
    )
    yield fastest
    if not target.is_microcontroller or point not in SLOW:
        return
    yield replace(fastest, optimize="ram")
    graph, planned = stands_for(fastest, target)
    if planned.bands:
        yield replace(fastest, flash=packed_bytes(planned, graph) - 1)  # whole layers


def stands_for(options: CompileOptions, target: Target) -> tuple[Graph, Plan]:
    """The network that `explore` plans in place of the one that is compiled."""
    assert options.resolution is not None
    assert options.classes is not None
    assert options.dtype is not None
    graph = stand_in(MobileNetV1(options.alpha, options.resolution, options.classes), options.dtype)
    return graph, chosen_plan(graph, options.optimize, options.ram, options.flash, target)


def measure(options: CompileOptions) -> Measured:
    """A library of `options`, built and counted."""
    network = compile_model(options, _quiet)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "library"
        write(render(network), directory)
        found = bench(directory, None, _quiet)
        code, stack = sum(read_listing(directory).code_bytes.values()), stack_bytes(directory)
    unit = next(unit for unit in (*TIME, "instructions") if unit in found.total)
    layers = {layer.name: float(layer.figures.get(unit, 0.0)) for layer in found.layers}
    return Measured(unit, layers, float(found.total[unit]), code, stack)


def fit(rows: Iterable[Row], overhead: float) -> dict[str, dict[str, float]]:
    """Coefficients of least squares, none negative; what runs between layers is spread over them by `overhead`."""
    from scipy.optimize import nnls

    by_kind: dict[str, list[tuple[dict[str, float], float]]] = {}
    for kind, values, cost in rows:
        by_kind.setdefault(kind, []).append((values, cost * overhead))
    made = {}
    for kind, samples in sorted(by_kind.items()):
        names = sorted(samples[0][0])
        matrix = np.array([[values[name] for name in names] for values, _ in samples])
        costs = np.array([cost for _, cost in samples])
        weight = np.maximum(costs, 1.0) ** -POWER
        scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12)
        solution, _ = nnls(matrix / scale * weight[:, np.newaxis], costs * weight)
        found = zip(names, solution / scale, strict=True)
        made[kind] = {name: float(f"{value:.5g}") for name, value in found if value > 0}
    return made


def fitted_model(name: str, samples: list[Sample]) -> dict[str, Any]:
    """The entry of one kind of network in a core's file, from all libraries of that kind."""
    used = [sample for sample in samples if sample.fitted] or samples
    in_layers = sum(sum(sample.measured.layers.values()) for sample in used)
    overhead = sum(sample.measured.total for sample in used) / in_layers
    coefficients = fit((row for sample in used for row in sample.rows), overhead)
    measured = [sample.measured for sample in samples]
    code, stack = max(one.code_bytes for one in measured), max(one.stack_bytes for one in measured)
    model = CostModel(measured[0].unit, coefficients, 0.0, code, stack)
    errors = [model.cost(sample.graph, sample.plan) / sample.measured.total - 1 for sample in samples]
    shown = ", ".join(
        f"{sample.name} {error:+.1%}{'' if sample.fitted else ' (not fitted)'}"
        for sample, error in zip(samples, errors, strict=True)
    )
    print(f"  {name}: {shown}", file=sys.stderr)
    return {
        "unit": model.unit,
        "error": round(max(map(abs, errors)), 4),
        "code_bytes": code,
        "stack_bytes": stack,
        "coefficients": coefficients,
    }


def fit_target(target: Target, dtypes: Iterable[str]) -> dict[str, Any]:
    """The entries of one core by `key`."""
    samples: dict[str, list[Sample]] = {}
    for dtype in dtypes:
        for point in (*FITTED, *CHECKED):
            for options in ways(target, dtype, point):
                graph, planned = stands_for(options, target)
                sample = Sample(f"{point[0]}/{point[1]}", graph, planned, measure(options), point in FITTED)
                name = key(graph, planned)
                samples.setdefault(name, []).append(sample)
                cost = f"{sample.measured.total:,.0f} {sample.measured.unit}"
                print(f"  {name} {sample.name}: {cost}", file=sys.stderr, flush=True)
    made = {name: fitted_model(name, found) for name, found in samples.items()}
    return {name: entry for name, entry in made.items() if entry["error"] <= MOST_ERROR}


def _quiet(what: str, done: int, of: int) -> None:
    """No progress."""


def main() -> None:
    """Fit each core named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--dtype", choices=("int8", "float32"))
    given = parser.parse_args()
    for name in given.targets:
        print(name, file=sys.stderr)
        target = load_target(name)
        natural = ["int8"] if target.is_microcontroller else ["float32", "int8"]
        dtypes = [dtype for dtype in natural if given.dtype in (None, dtype)]
        path = TARGETS / FOLDER / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        document = json.loads(path.read_text(encoding="ascii")) if path.is_file() else {}
        kept = {name: entry for name, entry in document.items() if name.split()[0] not in dtypes}
        made = kept | fit_target(target, dtypes)
        path.write_text(f"{json.dumps(made, indent=1, sort_keys=True)}\n", encoding="ascii")


if __name__ == "__main__":
    main()
