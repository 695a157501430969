"""What other build systems need beside the sources: which files, and what their templates are given.

Every kind is made from the library's one list of files. Knows what each ecosystem calls things. May not know networks'
layers or Jinja.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mbgen.errors import InputError
from mbgen.intrinsics import closure
from mbgen.library.context import LibraryContext
from mbgen.library.network import Network
from mbgen.options import PackageKind

# kind: path in the library to template; "cmake" is always there, in the library's own list
KINDS: Mapping[PackageKind, Mapping[str, str]] = MappingProxyType(
    {
        "cmake": {},
        "zephyr": {
            "zephyr/module.yml": "module.yml.jinja",
            "zephyr/CMakeLists.txt": "zephyr.cmake.jinja",
            "zephyr/Kconfig": "Kconfig.jinja",
        },
        "arduino": {
            "library.properties": "library.properties.jinja",
            "src/{name}.h": "arduino_header.h.jinja",
            "examples/SelfTest/SelfTest.ino": "SelfTest.ino.jinja",
        },
        "platformio": {"library.json": "library.json.jinja"},
        "esp-idf": {"idf_component.yml": "idf_component.yml.jinja"},
        "cmsis-pack": {"mbgen.{name}.pdsc": "pack.pdsc.jinja"},
    }
)
_ARDUINO_IMAGE = MappingProxyType({"src/{name}_image.h": "arduino_image_header.h.jinja"})

# what CMSIS-Pack's Dcore calls a target's core; the others, it has no name for
_DCORES = MappingProxyType(
    {
        "cortex-m0plus": "Cortex-M0+",
        "cortex-m4": "Cortex-M4",
        "cortex-m7": "Cortex-M7",
        "cortex-m33": "Cortex-M33",
        "cortex-m55": "Cortex-M55",
        "cortex-a53": "Cortex-A53",
        "cortex-a72": "Cortex-A72",
    }
)


@dataclass(frozen=True)
class PackageContext:
    """What the templates of the packages use beside the library's own context; paths are relative to the library."""

    kinds: frozenset[PackageKind]
    version: str  # of the package: mbgen's, until its publisher gives it one
    sentence: str
    flags: tuple[str, ...]  # the target's without those for its core, which these build systems have of their own
    public_headers: tuple[str, ...]
    internal_headers: tuple[str, ...]
    sources: tuple[str, ...]
    core: str | None  # as CMSIS-Pack names it


def package_files(kinds: frozenset[PackageKind], has_image: bool) -> dict[str, str]:
    """The files that the kinds add: path with `{name}` in it, and template."""
    files = {path: template for kind in sorted(kinds) for path, template in KINDS[kind].items()}
    return files | dict(_ARDUINO_IMAGE if "arduino" in kinds and has_image else {})


def check_kinds(kinds: Sequence[PackageKind], network: Network) -> frozenset[PackageKind]:
    """The kinds, each once; InputError if the kernels have instructions that the kind's cores lack."""
    used = closure(key for kernel in network.lowered.kernels for key in kernel.helpers)
    instruction_sets = sorted({key.partition("@")[2] for key in used if "@" in key})
    if "esp-idf" in kinds and instruction_sets:
        raise InputError(
            f"--package esp-idf is for Espressif's cores, but kernels for {network.target.name} use "
            f"{' and '.join(instruction_sets)} instructions; "
            "compile for --target cortex-m0plus, whose kernels are plain C"
        )
    return frozenset(kinds)


def package_context(
    kinds: frozenset[PackageKind], library: LibraryContext, version: str, roles: Mapping[str, str]
) -> PackageContext:
    """`roles` has the role of each path in the library, as in the manifest."""

    def of_role(role: str) -> tuple[str, ...]:
        return tuple(sorted(path for path, its in roles.items() if its == role))

    return PackageContext(
        kinds=kinds,
        version=version,
        sentence=f"MobileNet as a C library: {library.input.shape} of {library.input.c_type} in, "
        f"{library.output.shape} of {library.output.c_type} out, tuned for {library.target}.",
        flags=tuple(flag for flag in library.c_flags if not flag.startswith("-m")),
        public_headers=of_role("public_header"),
        internal_headers=of_role("internal_header"),
        sources=of_role("source"),
        core=_DCORES.get(library.target),
    )
