"""manifest.json: what the library is, for programs; docs/manifest.schema.json says what each key means.

Knows the network and the files. May not know C or templates.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import mbgen
from mbgen.graph import Conv2D, Graph, Layer, Tensor, is_pointwise, macs, parameters
from mbgen.kernel import Tuned
from mbgen.library.network import Network, Place
from mbgen.schedules.records import records_hash

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1

Json = dict[str, Any]


def generator_versions() -> Mapping[str, str]:
    """The versions that decide the output, beside the model and the options."""
    return {"mbgen": mbgen.__version__, "tvm": importlib.metadata.version("apache-tvm")}


def description(network: Network, generator: Mapping[str, str]) -> Json:
    """The manifest without its list of files."""
    graph, model = network.graph, network.model
    return {
        "schema_version": SCHEMA_VERSION,
        "name": network.name,
        "generator": dict(generator),
        "model": {
            "source": model.source,
            "sha256": model.sha256,
            "alpha": model.alpha,
            "resolution": model.resolution,
            "classes": model.classes,
            "weights": model.weights,
            "random_weights": model.random_weights,
            "calibration": model.calibration,
        },
        "target": {"name": network.target.name, "c_flags": list(network.target.c_flags)},
        "options": dict(network.options),
        "numerics": graph.numerics.value,
        "input": _end(network.input),
        "output": _end(network.output),
        "macs_nominal": sum(network.rewrites.macs.values()),
        "macs_executed": sum(macs(layer, graph) for layer in graph.layers),
        "parameters": parameters(graph),
        "arena_bytes": network.arena_bytes,
        "arena_lower_bound": network.plan.lower_bound,
        "peak_layer": network.plan.peak_layer,
        "constant_bytes": network.constant_bytes,
        "stack_bytes": None,
        "predicted": None if network.predicted is None else asdict(network.predicted),
        "records": records_hash(kernel.schedule_source for kernel in network.lowered.kernels),
        "tuning": [_tuned(one) for one in network.tuned],
        "removed": [asdict(removal) for removal in network.rewrites.removals],
        "layers": _layers(network),
        "buffers": [
            {
                "name": buffer.name,
                "offset": buffer.offset,
                "bytes": buffer.size,
                "first": buffer.first,
                "last": buffer.last,
            }
            for buffer in network.plan.buffers
        ],
    }


def complete(described: Json, files: Mapping[str, tuple[str, bytes]]) -> bytes:
    """The manifest's bytes; `files` maps each path in the library to its role and content."""
    entries = [file_entry(path, role, content) for path, (role, content) in sorted(files.items())]
    return manifest_text(described | {"files": entries})


def file_entry(path: str, role: str, content: bytes) -> Json:
    """A file as the manifest lists it."""
    return {"path": path, "role": role, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def manifest_text(manifest: Json) -> bytes:
    """A manifest as it stands in its file."""
    return f"{json.dumps(manifest, indent=2, allow_nan=False)}\n".encode("ascii")


def operator(layer: Layer, graph: Graph) -> str:
    """The layer's operator as mbgen's documents name it: pointwise, depthwise_conv2d, average_pool2d ..."""
    if isinstance(layer, Conv2D) and is_pointwise(layer, graph):
        return "pointwise"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()


def _end(tensor: Tensor) -> Json:
    return {"shape": list(tensor.shape), "dtype": tensor.dtype, "quantization": _quantization(tensor)}


def _quantization(tensor: Tensor) -> Json | None:
    quantization = tensor.quantization
    if quantization is None:
        return None
    return {"scale": list(quantization.scale), "zero_point": list(quantization.zero_point)}


def _channels(network: Network, layer: str) -> Json | None:
    """Which channels of the model's layer are left, and of how many; None if all are."""
    gone, left = network.rewrites.gone(layer), network.rewrites.kept[layer]
    return {"of": len(left) + gone, "left": list(left)} if gone else None


def _place(place: Place) -> Json:
    if place.where == "output":
        return {"place": "output"}
    slots = {"slots": place.slots} if place.where == "row" else {}
    return {"place": place.where, "offset": place.offset, **slots}


def _banded(network: Network, layer: Layer) -> Json:
    """How the output lies in memory, None as NHWC; the tiles in which its rows are made, None outside bands."""
    storage = network.plan.storage.get(layer.output)
    for band in network.plan.bands:
        if layer.name in band.layers:
            tiles = {"starts": list(band.tiles.starts), "columns": band.tiles.columns}
            return {"storage": None if storage is None else asdict(storage), "tiles": tiles}
    return {"storage": None, "tiles": None}


def _tuned(tuned: Tuned) -> Json:
    """A kernel's record, and what its default schedule makes of it where that is kept."""
    default = tuned.default
    compared = None if default is None else {"schedule": default.schedule, "body": default.body}
    return {"kernel": tuned.kernel, "record": tuned.record.document, "default": compared}


def _layers(network: Network) -> Iterable[Json]:
    graph = network.graph
    producers = {layer.output: layer.name for layer in graph.layers} | {graph.input: "input"}
    kernels = {kernel.symbol: kernel for kernel in network.lowered.kernels}
    called = {call.layer: kernels[call.kernel] for call in network.lowered.calls}
    constants: dict[str, int] = {}
    for constant in network.lowered.constants:
        constants[constant.layer] = constants.get(constant.layer, 0) + constant.nbytes
    entries = []
    for layer in graph.layers:
        output, kernel = graph.layer_output(layer), called.get(layer.name)
        entries.append(
            {
                "name": layer.name,
                "op": operator(layer, graph),
                "inputs": [producers[name] for name in layer.inputs],
                "input_shapes": [list(tensor.shape) for tensor in graph.layer_inputs(layer)],
                "output_shape": list(output.shape),
                "dtype": output.dtype,
                "quantization": _quantization(output),
                "kernel": None if kernel is None else kernel.symbol,
                "schedule": None if kernel is None else kernel.schedule,
                "schedule_source": None if kernel is None else kernel.schedule_source,
                "output": _place(network.place(layer.output)),
                **_banded(network, layer),
                "streamed": layer.name in network.plan.streamed,
                "channels": _channels(network, layer.name),
                "constant_bytes": constants.get(layer.name, 0),
                "macs_nominal": network.rewrites.macs[layer.name],
                "macs_executed": macs(layer, graph),
                "source": layer.source,
            }
        )
    return entries
