"""The files of a library, from the network and the templates. Knows which file comes from which template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mbgen.library import manifest
from mbgen.library.context import library_context
from mbgen.library.network import Network
from mbgen.library.packaging import check_kinds, package_context, package_files
from mbgen.options import PackageKind
from mbgen.templates import environment

# path in the library: template, role in the manifest
_FILES = MappingProxyType(
    {
        "include/{name}.h": ("network.h.jinja", "public_header"),
        "src/{name}.c": ("network.c.jinja", "source"),
        "src/{name}_internal.h": ("internal.h.jinja", "internal_header"),
        "src/{name}_kernels.c": ("kernels.c.jinja", "source"),
        "src/{name}_weights.c": ("weights.c.jinja", "source"),
        "src/{name}_weights.h": ("weights.h.jinja", "internal_header"),
        "src/{name}_selftest.c": ("selftest.c.jinja", "source"),
        "CMakeLists.txt": ("CMakeLists.txt.jinja", "build"),
        "README.md": ("README.md.jinja", "documentation"),
    }
)
_IMAGE_FILES = MappingProxyType({"include/{name}_image.h": ("image.h.jinja", "public_header")})


@dataclass(frozen=True, eq=False)
class Library:
    """A library's files: POSIX path relative to its folder, and content."""

    name: str
    files: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))


def render(network: Network, packages: Sequence[PackageKind] = ()) -> Library:
    """All files of the network's library, the manifest last. The same network gives the same bytes.

    `packages` are kinds of `packaging.KINDS`; InputError if the library cannot be one of them.
    """
    kinds = check_kinds(packages, network)
    generator = manifest.generator_versions()
    described = manifest.description(network, generator)
    context = library_context(network, described)
    plan = dict(_FILES) if context.image is None else _FILES | _IMAGE_FILES
    roles = {path.format(name=network.name): role for path, (_, role) in plan.items()}
    package = package_context(kinds, context, generator["mbgen"], roles)
    added = package_files(kinds, context.image is not None)
    plan |= {path: (template, "packaging") for path, template in added.items()}
    files: dict[str, tuple[str, bytes]] = {}
    for path, (template, role) in plan.items():
        text = environment("library", "packaging").get_template(template).render(library=context, package=package)
        files[path.format(name=network.name)] = (role, text.encode("ascii"))
    if network.reference is not None:
        file_name, content = network.reference
        files[f"reference/{file_name}"] = ("reference", content)
    contents = {path: content for path, (_, content) in files.items()}
    return Library(network.name, contents | {manifest.MANIFEST: manifest.complete(described, files)})
