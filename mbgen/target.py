"""The cores that mbgen compiles for, one file each in `targets/`.

Knows what a core is and how its code is built and run here. May not know whether the tools are installed, or any
network.
"""

from __future__ import annotations

import difflib
import itertools
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from mbgen.data import data_folder
from mbgen.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Runner = Literal["host", "qemu-user", "qemu-system"]
CostModel = Literal["cortex-m4-manual", "llvm-mca"]

HOST = "host"
_X86_64_V3 = frozenset({"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"})  # x86-64 psABI, as Linux names them
_DOTPROD = frozenset({"asimddp", "asimdhp"})


@dataclass(frozen=True)
class Region:
    """A stretch of memory, in bytes."""

    origin: int
    size: int

    @property
    def end(self) -> int:
        return self.origin + self.size


@dataclass(frozen=True)
class Memory:
    """Where the board that QEMU emulates keeps a program's parts."""

    code: Region  # vector table and code; the core starts here
    constants: Region  # read-only data, weights above all
    data: Region  # stack, variables and arenas

    @property
    def overlaps(self) -> bool:
        regions = sorted((self.code, self.constants, self.data), key=lambda region: region.origin)
        return any(low.end > high.origin for low, high in itertools.pairwise(regions))


@dataclass(frozen=True, kw_only=True)
class Target:
    """One core, and how code for it is built and run on this machine; `targets/schema.json` says what each key means.

    Sizes are in bytes. InputError if the keys contradict each other.
    """

    name: str
    description: str
    triple: str
    cpu: str
    compiler: str
    compiler_packages: tuple[str, ...]
    c_flags: tuple[str, ...]
    instruction_set: frozenset[str]
    vector_bits: int  # 0 without vectors
    vector_registers: int
    alignment: int
    runner: Runner
    cores: int = 1
    l1d_bytes: int | None = None
    l2_bytes: int | None = None
    ram: int | None = None  # None: no limit unless the command line gives one
    flash: int | None = None
    clock_hz: int | None = None
    mca_cpu: str | None = None
    cost_model: CostModel | None = None  # what modelled cycles are by; None: there is no trustworthy one
    peak_macs: Mapping[str, float] = field(
        default_factory=dict, hash=False
    )  # of one core in one cycle, by element type
    bytes_per_cycle: float | None = None  # that one core loads at most
    emulator: str | None = None
    emulator_packages: tuple[str, ...] = ()
    qemu_cpu: str | None = None
    machine: str | None = None
    memory: Memory | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "peak_macs", MappingProxyType(dict(self.peak_macs)))
        if self.cost_model is not None and self.mca_cpu is None:
            raise InputError(f"target {self.name}: 'cost_model' needs 'mca_cpu', by which its code is disassembled")
        needed = {"host": (), "qemu-user": ("emulator", "qemu_cpu"), "qemu-system": ("emulator", "machine", "memory")}
        for key in ("emulator", "qemu_cpu", "machine", "memory"):
            if (getattr(self, key) is not None) != (key in needed[self.runner]):
                verb = "needs" if key in needed[self.runner] else "takes no"
                raise InputError(f"target {self.name}: runner '{self.runner}' {verb} '{key}'")
        if self.runner == "qemu-system" and (self.ram is None or self.flash is None):
            raise InputError(f"target {self.name}: a microcontroller needs 'ram' and 'flash'")
        if self.memory is not None and self.memory.overlaps:
            raise InputError(f"target {self.name}: the regions of 'memory' overlap")
        if (self.vector_bits > 0) != (self.vector_registers > 0):
            raise InputError(f"target {self.name}: 'vector_bits' and 'vector_registers' must both be zero or neither")
        if self.alignment * 8 < self.vector_bits:
            raise InputError(
                f"target {self.name}: 'alignment' is less than a vector register's {self.vector_bits // 8}"
            )

    @property
    def is_microcontroller(self) -> bool:
        """Bare metal: no operating system, RAM and flash are limits."""
        return self.runner == "qemu-system"


def load_target(name: str) -> Target:
    """The target of that name; InputError with the nearest names if there is none."""
    names = target_names()
    if name not in names:
        near = sorted(difflib.get_close_matches(name, names, n=2))
        hint = f"the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}. " if near else ""
        raise InputError(f"unknown target {name!r}; {hint}`mbgen targets` lists all.")
    folder = data_folder("targets")
    if name != HOST:
        return read_target(folder / f"{name}.toml", name)
    variant = host_variant(platform.machine(), _cpu_features())
    return replace(read_target(folder / "host" / f"{variant}.toml", HOST), cores=os.cpu_count() or 1)


def all_targets() -> tuple[Target, ...]:
    """Every target, `host` first and then by name."""
    return tuple(load_target(name) for name in target_names())


def target_names() -> tuple[str, ...]:
    """What `--target` takes, `host` first and then by name."""
    return HOST, *sorted(path.stem for path in data_folder("targets").glob("*.toml"))


def read_target(path: Path, name: str) -> Target:
    """Read one TOML file, filling in what it leaves out from the base file that it `inherits`, if any."""
    own = _read_toml(path)
    base = own.pop("inherits", None)
    if base is None:
        return _make_target(own, path, name)
    base_path = data_folder("targets") / "base" / f"{base}.toml"
    if not base_path.is_file():
        raise InputError(f"{path.name}: inherits {base!r}, but there is no file base/{base}.toml beside the targets")
    return _make_target(_read_toml(base_path) | own, path, name)


def host_variant(machine: str, features: frozenset[str]) -> str:
    """Which file of `targets/host/` describes a machine of this `uname -m` with these processor features."""
    if machine in {"x86_64", "AMD64"}:
        return "x86-64-v3" if features >= _X86_64_V3 else "x86-64"
    if machine in {"aarch64", "arm64"}:
        return "aarch64-dotprod" if features >= _DOTPROD else "aarch64"
    raise InputError(
        f"target host: this machine is {machine}, and mbgen knows x86-64 and AArch64. "
        "Give another --target, for example cortex-a72."
    )


def _cpu_features() -> frozenset[str]:
    """The features that Linux lists for the first processor; none elsewhere, which selects the plain variant."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    listed = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(listed, "").split())


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path.name}: not TOML: {error}") from error


def _make_target(keys: Mapping[str, Any], path: Path, name: str) -> Target:
    _check_schema(keys, path)
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()}
    values["c_flags"] = values.pop("cpu_flags") + values.pop("build_flags")
    values["instruction_set"] = frozenset(values["instruction_set"])
    if "memory" in values:
        values["memory"] = Memory(**{part: Region(**region) for part, region in values["memory"].items()})
    return Target(name=name, **values)


def _check_schema(keys: Mapping[str, Any], path: Path) -> None:
    import jsonschema

    schema = json.loads((data_folder("targets") / "schema.json").read_text(encoding="utf-8"))
    for key in keys:
        if key not in schema["properties"]:
            near = difflib.get_close_matches(key, schema["properties"], n=1)
            raise InputError(f"{path.name}: unknown key {key!r}" + (f"; the nearest is {near[0]!r}" if near else ""))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(keys))
    if error is not None:
        where = ".".join(str(part) for part in error.absolute_path)
        raise InputError(f"{path.name}: {where}: {error.message}" if where else f"{path.name}: {error.message}")
