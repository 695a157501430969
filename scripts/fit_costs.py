"""Fits the coefficients that `mbgen explore` predicts with: compiles a few networks for a core, counts them in QEMU.

    python scripts/fit_costs.py cortex-m4 cortex-m33          writes targets/costs/cortex-m4.json, cortex-m33.json

Needs the packages of `mbgen[tune]` (SciPy comes with XGBoost).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from mbgen.bench import TIME, bench
from mbgen.costs import FOLDER, CostModel, features, key
from mbgen.errors import RefusedError
from mbgen.library import Network, render, write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.report.listing import read_listing
from mbgen.target import load_target

TARGETS = Path(__file__).resolve().parent.parent / "targets"
FITTED = ((0.25, 96), (0.25, 128), (0.25, 192), (0.25, 224), (0.5, 128), (0.5, 192), (0.75, 160), (1.0, 128))
CHECKED = ((0.25, 160), (0.75, 128))
PLENTY = 1 << 30

Row = tuple[str, dict[str, float], float]


def measure(target: str, dtype: str, alpha: float, resolution: int) -> tuple[Network, str, list[Row], float, int]:
    """The network, the unit, a row for each layer, the total, and the bytes of code. RefusedError if it cannot be."""
    options = CompileOptions(
        target=target, alpha=alpha, resolution=resolution, dtype=dtype, ram=load_target(target).ram, flash=PLENTY
    )
    network = compile_model(options, _quiet)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "library"
        write(render(network), directory)
        found = bench(directory, None, _quiet)
        code = sum(read_listing(directory).code_bytes.values())
    unit = next(unit for unit in (*TIME, "instructions") if unit in found.total)
    rows = [
        (*features(layer, network.graph), float(one.figures.get(unit, 0.0)))
        for layer, one in zip(network.graph.layers, found.layers, strict=True)
    ]
    return network, unit, rows, float(found.total[unit]), code


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
        weight = 1 / np.sqrt(np.maximum(costs, 1.0))  # large layers count more, small ones still do
        scale = np.maximum(np.abs(matrix).max(axis=0), 1e-12)
        solution, _ = nnls(matrix / scale * weight[:, np.newaxis], costs * weight)
        found = zip(names, solution / scale, strict=True)
        made[kind] = {name: float(f"{value:.5g}") for name, value in found if value > 0}
    return made


def fit_target(target: str, dtypes: Iterable[str]) -> dict[str, Any]:
    """The document of one core."""
    document: dict[str, Any] = {}
    for dtype in dtypes:
        measured: dict[str, list[tuple[Network, str, list[Row], float, int, bool]]] = {}
        for point in (*FITTED, *CHECKED):
            try:
                one = measure(target, dtype, *point)
            except RefusedError as error:
                print(f"  {dtype} {point}: {error}", file=sys.stderr)
                continue
            measured.setdefault(key(one[0].graph, one[0].plan), []).append((*one, point in FITTED))
            print(f"  {dtype} {point}: {one[3]:,.0f} {one[1]}", file=sys.stderr)
        for name, ones in measured.items():
            used = [one for one in ones if one[5]] or ones
            in_layers = sum(cost for one in used for _, _, cost in one[2])
            rows = [row for one in used for row in one[2]]
            coefficients = fit(rows, sum(one[3] for one in used) / in_layers)
            code = max(one[4] for one in ones)
            model = CostModel(ones[0][1], coefficients, 0.0, code)
            errors = [abs(model.predict(one[0].graph) / one[3] - 1) for one in ones]
            print(f"  {name}: errors {[f'{error:.1%}' for error in errors]}", file=sys.stderr)
            document[name] = {
                "unit": ones[0][1],
                "error": round(max(errors), 4),
                "code_bytes": code,
                "coefficients": coefficients,
            }
    return document


def _quiet(what: str, done: int, of: int) -> None:
    """No progress."""


def main() -> None:
    """Fit each core named on the command line."""
    for name in sys.argv[1:]:
        print(name, file=sys.stderr)
        dtypes = ["int8"] if load_target(name).is_microcontroller else ["float32", "int8"]
        path = TARGETS / FOLDER / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{json.dumps(fit_target(name, dtypes), indent=1, sort_keys=True)}\n", encoding="ascii")


if __name__ == "__main__":
    main()
