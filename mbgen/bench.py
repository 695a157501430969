"""What a library costs, layer by layer: instructions and cycles in the emulator, time where it is real.

Knows the library by its manifest. May not know how a runner measures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbgen.errors import InputError
from mbgen.measuring import emulator
from mbgen.measuring.measurement import Measurement, Unit
from mbgen.running import read_manifest
from mbgen.target import Target, load_target

Progress = Callable[[str, int, int], None]

EMULATOR = "emulator"
TIME: tuple[Unit, ...] = (
    "seconds",
    "cycles",
    "cycles~",
)  # what a core's peak can be compared with, the most real first


@dataclass(frozen=True)
class LayerBench:
    """What one layer costs in one inference; `share_of_peak` is that of the core's multiply-accumulates in a cycle."""

    name: str
    op: str
    macs: int
    figures: Mapping[Unit, float]
    macs_per_cycle: float | None
    share_of_peak: float | None


@dataclass(frozen=True)
class Bench:
    """What `bench` measured. The total is more than the layers': the network's own code runs between them."""

    name: str
    target: str
    runner: str
    model: str | None  # what cycles~ are by
    macs: int
    layers: tuple[LayerBench, ...]
    total: Mapping[Unit, float]
    macs_per_cycle: float | None
    share_of_peak: float | None


def bench(directory: Path, runner: str | None, progress: Progress) -> Bench:
    """Measure the library in `directory` with `runner`: emulator, or what real machine there is.

    Without one: the emulator. Raises InputError for a runner that there is not, MissingToolError for what is not
    installed, RefusedError if the library crashes.
    """
    manifest = read_manifest(directory)
    target = load_target(manifest["target"]["name"])
    chosen = runner or EMULATOR
    if chosen != EMULATOR:
        raise InputError(f"there is no runner {chosen!r}; choose {EMULATOR}")
    progress("building the library", 0, 2)
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        measured = emulator.measure_library(directory, manifest, target, Path(name))
    progress("done", 2, 2)
    return summarise(manifest, target, chosen, measured)


def summarise(manifest: Mapping[str, Any], target: Target, runner: str, measured: Measurement) -> Bench:
    """The figures of a library by layer; `measured` has a segment for each."""
    peak = target.peak_macs.get("float32" if manifest["numerics"] == "float32" else "int8")

    def speed(macs: int, figures: Mapping[Unit, float]) -> tuple[float | None, float | None]:
        cycles = _cycles(figures, target)
        if not macs or not cycles:
            return None, None
        return macs / cycles, None if peak is None else macs / cycles / peak

    layers = []
    for index, layer in enumerate(manifest["layers"]):
        figures = measured.segments.get(emulator.FIRST_LAYER + index, {})
        layers.append(
            LayerBench(
                layer["name"],
                layer["op"],
                layer["macs_executed"],
                dict(figures),
                *speed(layer["macs_executed"], figures),
            )
        )
    macs = manifest["macs_executed"]
    return Bench(
        name=manifest["name"],
        target=target.name,
        runner=runner,
        model=measured.model,
        macs=macs,
        layers=tuple(layers),
        total=dict(measured.total),
        macs_per_cycle=speed(macs, measured.total)[0],
        share_of_peak=speed(macs, measured.total)[1],
    )


def _cycles(figures: Mapping[Unit, float], target: Target) -> float | None:
    for unit in TIME:
        if unit in figures:
            if unit != "seconds":
                return figures[unit]
            return None if target.clock_hz is None else figures[unit] * target.clock_hz
    return None
