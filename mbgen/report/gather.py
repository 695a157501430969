"""Collects a library's facts: reads its manifest, compiles its kernels, measures and verifies it on its target.

Knows the other commands' functions. May not know charts or HTML.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mbgen.bench import TIME, Bench, bench
from mbgen.errors import InputError
from mbgen.library.manifest import MANIFEST, file_entry, manifest_text
from mbgen.library.measured import TIME_ROW, measured_time, record
from mbgen.library.render import Library
from mbgen.measuring.measurement import MEANINGS
from mbgen.report.facts import Code, Costs, Facts, HotLoop, LayerCost, Noise, Trials
from mbgen.report.listing import Listing, read_listing
from mbgen.report.noise import signal_to_noise
from mbgen.report.page import render_report
from mbgen.running import read_manifest
from mbgen.schedules.space import kernel_key
from mbgen.target import load_target
from mbgen.tuning.journal import read_figures
from mbgen.verify import Progress, verify

REPORT = "report.html"
ROLE = "report"  # of that file in the manifest
SHOWN_LOOPS = 6  # kernels whose code is shown, those with the most work first


def gather(
    directory: Path,
    inputs: Path | None,
    float_model: Path | None,
    progress: Progress,
    journal: Path | None = None,
) -> Facts:
    """All facts of the library in `directory`, verified with `inputs` or made-up pictures.

    `float_model` is what a quantised library is compared with for its noise, `journal` that of the run that tuned it.
    Errors as `verify`.
    """
    manifest = read_manifest(directory)
    progress("reading the kernels", 0, 1)
    listing = read_listing(directory)
    found = verify(directory, inputs, None, progress)
    target = load_target(manifest["target"]["name"])
    costs = _costs(bench(directory, None, progress))
    noise: tuple[Noise, ...] = ()
    if float_model is not None:
        from mbgen.importers import import_model  # TVM takes a second to import

        progress("comparing with the float model", 0, 1)
        noise = signal_to_noise(directory, import_model(float_model), inputs)
    document = {**dataclasses.asdict(found), "passed": found.passed, "first_difference": found.first_difference}
    return Facts(
        manifest=manifest,
        costs=costs,
        verification=document,
        hot_loops=_hot_loops(manifest, listing),
        trials=trials(manifest, None if journal is None else journal_figures(journal, manifest)),
        noise=noise,
        code_bytes=listing.code_bytes,
        peak_macs=target.peak_macs.get(_summed(manifest)),
        bytes_per_cycle=target.bytes_per_cycle,
    )


def _summed(manifest: Mapping[str, Any]) -> str:
    """The element type that the network multiplies."""
    return "float32" if manifest["numerics"] == "float32" else "int8"


def _costs(found: Bench) -> Costs:
    """What was measured, in the unit that says most of time."""
    unit = next(unit for unit in (*TIME, "instructions") if unit in found.total)
    layers = tuple(
        LayerCost(layer.name, layer.macs, layer.figures[unit], layer.share_of_peak)
        for layer in found.layers
        if unit in layer.figures
    )
    by = f"; the model: {found.model}" if unit == "cycles~" else ""
    return Costs(f"{MEANINGS[unit]}{by}", unit, layers, found.total[unit])


def _hot_loops(manifest: Mapping[str, Any], listing: Listing) -> tuple[HotLoop, ...]:
    work: dict[str, int] = {}
    first: dict[str, Mapping[str, Any]] = {}
    for layer in manifest["layers"]:
        if layer["kernel"] in listing.c_text and layer["kernel"] in listing.assembly:
            work[layer["kernel"]] = work.get(layer["kernel"], 0) + layer["macs_executed"]
            first.setdefault(layer["kernel"], layer)
    defaults = {
        tuned["kernel"]: Code(
            tuned["default"]["schedule"],
            listing.default_c_text[tuned["kernel"]],
            listing.default_assembly.get(tuned["kernel"]),
        )
        for tuned in manifest["tuning"]
        if tuned["kernel"] in listing.default_c_text
    }
    chosen = sorted(work, key=lambda kernel: -work[kernel])[:SHOWN_LOOPS]
    return tuple(
        HotLoop(
            kernel=kernel,
            layer=first[kernel]["name"],
            source=first[kernel]["schedule_source"],
            code=Code(first[kernel]["schedule"], listing.c_text[kernel], listing.assembly[kernel]),
            default=defaults.get(kernel),
        )
        for kernel in chosen
    )


def journal_figures(journal: Path, manifest: Mapping[str, Any]) -> Mapping[str, Sequence[float | None]]:
    """What a journal has of the kernels that the library has records of. InputError if that is nothing."""
    figures = read_figures(journal)
    if not any(_key(tuned["record"]) in figures for tuned in manifest["tuning"]):
        raise InputError(
            f"{journal}: measured none of the kernels that this library has records of; give the journal of the run "
            "that tuned it, or leave --journal out"
        )
    return figures


def _key(record: Mapping[str, Any]) -> str:
    return kernel_key(record["family"], record["facts"])


def trials(manifest: Mapping[str, Any], journal: Mapping[str, Sequence[float | None]] | None = None) -> list[Trials]:
    """The searches behind a library's schedules: what their records keep, or all that a `journal` has of them.

    `journal` maps kernels' keys to the figures of their trials in order, None for failures.
    """
    sources = {layer["kernel"]: layer["schedule_source"] for layer in manifest["layers"]}
    found = []
    for tuned in manifest["tuning"]:
        record = tuned["record"]
        count, figures = record["trials"], [(number, figure) for number, figure in record["improvements"]]
        measured = (journal or {}).get(_key(record))
        if measured is not None and any(figure is not None for figure in measured):
            count = len(measured)
            figures = [(number, figure) for number, figure in enumerate(measured, 1) if figure is not None]
        kernel = tuned["kernel"]
        found.append(Trials(kernel, sources[kernel], record["unit"], count, tuple(figures), record["default_figure"]))
    return found


def add_report(library: Library) -> Library:
    """The library with the report of what is known without building it."""
    manifest = json.loads(library.files[MANIFEST])
    page = render_report(Facts(manifest, trials=trials(manifest)))
    entries = [*manifest["files"], file_entry(REPORT, ROLE, page)]
    listed = manifest | {"files": sorted(entries, key=lambda entry: str(entry["path"]))}
    return Library(library.name, dict(library.files) | {REPORT: page, MANIFEST: manifest_text(listed)})


def write_report(directory: Path, facts: Facts) -> Path:
    """Put the report of `facts` into the library, and the time into its README; returns the report's path.

    InputError where the folder cannot be written.
    """
    rows = {}
    if facts.costs is not None:
        clock_hz = load_target(facts.manifest["target"]["name"]).clock_hz
        rows[TIME_ROW] = measured_time(facts.costs.total, facts.costs.unit, clock_hz)
    record(directory, "the report", rows, files={REPORT: (ROLE, render_report(facts))})
    return directory / REPORT
