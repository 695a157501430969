"""How much quantisation costs, layer by layer: a library's outputs against those of the float model it came from.

Knows libraries that can be run here and float graphs. May not know pages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mbgen.errors import InputError
from mbgen.graph import Array, Graph, Numerics
from mbgen.reference import execute
from mbgen.report.facts import Noise
from mbgen.running import read_manifest, run_layers
from mbgen.verify import library_inputs

SILENT = 200.0  # decibels that stand for no difference at all


def signal_to_noise(directory: Path, float_graph: Graph, inputs: Path | None) -> tuple[Noise, ...]:
    """Each layer's signal-to-noise ratio over `inputs` (made up without), in running order.

    A layer is compared with the one of its name in `float_graph`, in those channels that the library computes.
    InputError if the graph is not float32 or shares no layer with the library.
    """
    if float_graph.numerics is not Numerics.FLOAT32:
        raise InputError("the float reference is a quantised model itself; give the model before its quantisation")
    manifest = read_manifest(directory)
    images = library_inputs(directory, inputs)
    outputs = {layer.name: layer.output for layer in float_graph.layers}
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    for index, actual in enumerate(run_layers(directory, images)):
        wanted = execute(float_graph, _real(images[index : index + 1], manifest["input"]))
        for layer in manifest["layers"]:
            name = layer["name"]
            if name not in outputs:
                continue
            expected = wanted[outputs[name]]
            if layer["channels"] is not None and expected.shape[-1] == layer["channels"]["of"]:
                expected = expected[..., layer["channels"]["left"]]
            found = _real(actual[name], layer)
            if found.size == expected.size:
                difference = found.reshape(-1) - expected.reshape(-1)
                signal[name] = signal.get(name, 0.0) + float(np.sum(np.square(expected, dtype=np.float64)))
                noise[name] = noise.get(name, 0.0) + float(np.sum(np.square(difference, dtype=np.float64)))
    if not signal:
        raise InputError("the float reference has no layer of the library's; give the model that it was quantised from")
    return tuple(Noise(name, _decibels(signal[name], noise[name])) for name in signal)


def _real(values: Array, described: Mapping[str, Any]) -> Array:
    """Stored values as the real ones they stand for; `described` is an entry of the manifest."""
    quantization = described["quantization"]
    if quantization is None:
        return values
    scale, zero_point = np.float32(quantization["scale"][0]), quantization["zero_point"][0]
    real: Array = (values.astype(np.float32) - zero_point) * scale
    return real


def _decibels(signal: float, noise: float) -> float:
    if noise == 0.0:
        return SILENT
    return 10 * math.log10(signal / noise) if signal > 0.0 else -SILENT
