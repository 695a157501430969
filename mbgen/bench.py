"""What a library costs, layer by layer: instructions and cycles in the emulator, time where it is real.

Knows the library by its manifest. May not know how a runner measures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mbgen.errors import InputError
from mbgen.measuring import emulator
from mbgen.measuring.emulator import Emulator
from mbgen.measuring.machines import Host, Machine, check_words, parse_machine, time_library
from mbgen.measuring.measurement import Measurement, Unit
from mbgen.measuring.serial_port import Port
from mbgen.measuring.timing import Latency, Throughput, measured, throughput
from mbgen.running import read_manifest
from mbgen.target import Target, load_target

Progress = Callable[[str, int, int], None]

# what a core's peak can be compared with: its own cycles before a model's, and seconds by its clock
TIME: tuple[Unit, ...] = ("cycles", "cycles~", "seconds")


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
    latency: Latency | None = None  # of one inference alone, on a real machine
    throughput: Throughput | None = None  # of some at the same time


def bench(
    directory: Path,
    runner: str | None,
    progress: Progress,
    instances: int = 1,
    prefix: Sequence[str] = (),
    flash: Sequence[str] = (),
) -> Bench:
    """Measure the library in `directory` with `runner`, as `--runner` names it, and with `instances` at the same time.

    Without a runner: this machine if the library is for it, else the emulator. `prefix` are words before the program
    on another machine, `flash` those of the command that builds and flashes a board's firmware, if it is not there yet.
    InputError for a runner that there is not or that cannot run the library, MissingToolError for what is not
    installed, RefusedError if the library crashes.
    """
    manifest = read_manifest(directory)
    target = load_target(manifest["target"]["name"])
    chosen = runner or (Host().name if target.emulator is None else Emulator().name)
    if chosen == Emulator().name:
        if instances > 1 or prefix:
            raise InputError(
                "the emulator measures one inference at a time; --instances and --prefix need a real machine"
            )
        check_words(chosen, prefix, flash)
        progress("building and running the library", 0, 1)
        with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
            figures = emulator.measure_library(directory, manifest, target, Path(name))
        progress("done", 1, 1)
        return summarise(manifest, target, chosen, figures, target.clock_hz)
    return _time(directory, manifest, target, parse_machine(chosen, prefix, flash), instances, progress)


def _time(
    directory: Path, manifest: Mapping[str, Any], target: Target, machine: Machine, instances: int, progress: Progress
) -> Bench:
    reports = time_library(directory, manifest, target, machine, instances, progress)
    figures, latency = measured(reports, isinstance(machine, Port), emulator.FIRST_LAYER)
    loads = [throughput(report.load, report.hz) for report in reports if report.load is not None]
    best = max(loads, key=lambda load: load.per_second) if loads else None
    core_hz, cores = max(report.core_hz for report in reports), manifest.get("options", {}).get("threads") or 1
    found = summarise(manifest, target, machine.name, figures, core_hz, cores)
    return replace(found, latency=latency, throughput=best)


def summarise(
    manifest: Mapping[str, Any],
    target: Target,
    runner: str,
    figures_of: Measurement,
    core_hz: float | None,
    cores: int = 1,
) -> Bench:
    """The figures of a library by layer; `figures_of` has a segment for each; `core_hz` is the clock, if known.

    The peak is that of the `cores` that work on one inference.
    """
    one = target.peak_macs.get("float32" if manifest["numerics"] == "float32" else "int8")
    peak = None if one is None else one * cores

    def speed(macs: int, figures: Mapping[Unit, float]) -> tuple[float | None, float | None]:
        cycles = _cycles(figures, core_hz)
        if not macs or not cycles:
            return None, None
        return macs / cycles, None if peak is None else macs / cycles / peak

    layers = []
    for index, layer in enumerate(manifest["layers"]):
        figures = figures_of.segments.get(emulator.FIRST_LAYER + index, {})
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
        model=figures_of.model,
        macs=macs,
        layers=tuple(layers),
        total=dict(figures_of.total),
        macs_per_cycle=speed(macs, figures_of.total)[0],
        share_of_peak=speed(macs, figures_of.total)[1],
    )


def _cycles(figures: Mapping[Unit, float], core_hz: float | None) -> float | None:
    for unit in TIME:
        if unit in figures:
            if unit != "seconds":
                return figures[unit]
            return figures[unit] * core_hz if core_hz else None
    return None
