"""The emulator as a runner: a program or a library under QEMU, with exact instructions and modelled cycles.

Knows how to build what is measured. May not know what counting and pricing do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbgen.data import data_folder
from mbgen.errors import InputError
from mbgen.measuring.blocks import count_blocks
from mbgen.measuring.costs import price
from mbgen.measuring.measurement import Measurement
from mbgen.running import build_program
from mbgen.target import Target
from mbgen.templates import environment

NETWORK = 1  # the segment of what runs between layers
FIRST_LAYER = 2  # that of the first layer
SECONDS = 1800.0

_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "float32": "float"}


@dataclass(frozen=True)
class Emulator:
    """QEMU, which counts what a program executes."""

    name: str = "emulator"


def measure_program(target: Target, program: Path, folder: Path, seconds: float = SECONDS) -> Measurement:
    """Figures of a program that says with MEASURE_MARK what is to be measured. Errors as `toolchain.run`."""
    if target.emulator is None:
        raise InputError(
            f"{target.name} runs without an emulator, which is what counts instructions; measure seconds instead"
        )
    return price(count_blocks(target, program, folder, seconds), target)


def measure_library(directory: Path, manifest: Mapping[str, Any], target: Target, folder: Path) -> Measurement:
    """Figures of one inference on made-up input: a segment for each layer, from FIRST_LAYER on.

    A library for several threads is measured on one, which does all the work.
    """
    values = {
        "name": manifest["name"],
        "network": NETWORK,
        "input_type": _C_TYPES[manifest["input"]["dtype"]],
        "output_type": _C_TYPES[manifest["output"]["dtype"]],
    }
    # Counting is for one thread: on several, those that wait for others would count as work.
    flags = [*marking(manifest["name"], folder), "-fno-openmp"]
    program = build_program([directory], _render("bench_blocks.c.jinja", values), folder, flags)
    return measure_program(target, program, folder)


def marking(name: str, folder: Path) -> Sequence[str]:
    """The compiler flags that make each layer of library `name` a segment, and let a program include marks.h."""
    hooks = folder / "bench_hooks.h"
    values = {"name": name, "network": NETWORK, "first_layer": FIRST_LAYER}
    hooks.write_text(_render("bench_hooks.h.jinja", values), encoding="ascii")
    return ["-I", str((data_folder("templates") / "measuring").resolve()), "-include", str(hooks)]


def _render(template: str, values: Mapping[str, Any]) -> str:
    return environment("measuring").get_template(template).render(values)
