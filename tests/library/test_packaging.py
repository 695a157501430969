"""The packages: CMake's is built and used, the others go through their ecosystem's own reader, or through its rules."""

from __future__ import annotations

import json
import re
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from mbgen.errors import InputError
from mbgen.graph import DType
from mbgen.intrinsics import HELPERS
from mbgen.library import render, write
from mbgen.library.packaging import KINDS
from mbgen.options import PackageKind
from mbgen.target import target_names
from tests.support.compilers import STRICT, call, need
from tests.support.tiny_network import make_network

ALL = get_args(PackageKind)
DTYPES: tuple[DType, ...] = ("int8", "float32")

SELF_TEST = """
#include "tiny.h"
static struct tiny_arena arena;
int main(void) { return (int)tiny_self_test(&arena); }
"""


def packaged(folder: Path, *kinds: PackageKind, dtype: DType = "int8", target: str = "cortex-m4") -> Path:
    """A library with these packages in `folder`/tiny."""
    write(render(make_network(dtype, "rows", target=target), kinds), folder / "tiny")
    return folder / "tiny"


def assert_paths_exist(library: Path, paths: list[str]) -> None:
    assert paths
    assert [path for path in paths if not (library / path).exists()] == []


def test_every_kind_has_its_files_in_the_manifest(tmp_path: Path) -> None:
    assert tuple(KINDS) == ALL
    files = json.loads((packaged(tmp_path, *ALL) / "manifest.json").read_text())["files"]
    assert sorted(entry["path"] for entry in files if entry["role"] == "packaging") == [
        "examples/SelfTest/SelfTest.ino",
        "idf_component.yml",
        "library.json",
        "library.properties",
        "mbgen.tiny.pdsc",
        "src/tiny.h",
        "src/tiny_image.h",
        "zephyr/CMakeLists.txt",
        "zephyr/Kconfig",
        "zephyr/module.yml",
    ]


def test_packages_do_not_change_the_sources() -> None:
    network = make_network("int8")
    plain, full = render(network).files, render(network, ALL).files
    assert {path: full[path] for path in plain if path.startswith(("src", "include"))} == {
        path: content for path, content in plain.items() if path.startswith(("src", "include"))
    }


# --- CMake ---------------------------------------------------------------------------------------------------------

ADD = "add_subdirectory(tiny)"
FETCH = """
include(FetchContent)
FetchContent_Declare(tiny SOURCE_DIR "${CMAKE_CURRENT_SOURCE_DIR}/tiny")
FetchContent_MakeAvailable(tiny)
"""
FIND = """
find_package(tiny 0.2 QUIET)
if(tiny_FOUND)
  message(FATAL_ERROR "0.1 is not 0.2")
endif()
find_package(tiny 0.1 REQUIRED)
"""


@pytest.mark.parametrize("way", [ADD, FETCH, FIND], ids=["subdirectory", "fetch", "package"])
def test_cmake_builds_a_program_with_it(way: str, tmp_path: Path) -> None:
    """In float32, which has a library of its own to link: libm."""
    need("cmake")
    library, build, prefix = packaged(tmp_path, dtype="float32", target="host"), tmp_path / "build", tmp_path / "prefix"
    if way is FIND:
        call(["cmake", "-S", library, "-B", tmp_path / "own", f"-DCMAKE_INSTALL_PREFIX={prefix}"])
        call(["cmake", "--build", tmp_path / "own", "--target", "install"])
        library.rename(tmp_path / "moved")  # what is installed does not need it
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.14)\nproject(app C)\n{way}\n"
        "add_executable(app main.c)\ntarget_link_libraries(app PRIVATE tiny::tiny)\n"
        "install(TARGETS app DESTINATION bin)\n"
    )
    (tmp_path / "main.c").write_text(SELF_TEST)
    call(["cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_INSTALL_PREFIX={prefix}"])
    call(["cmake", "--build", build, "--target", "install"])
    call([prefix / "bin" / "app"])
    installed = {path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if path.is_file()}
    assert ("include/tiny.h" in installed) == (way is FIND)  # a program's own tree installs the program alone


# --- Zephyr --------------------------------------------------------------------------------------------------------

# What Zephyr's own commands would be given, written down as it comes.
ZEPHYR = """
function(record)
  string(REPLACE ";" " " line "${ARGV}")
  file(APPEND calls.txt "${line}\\n")
endfunction()
foreach(name zephyr_include_directories zephyr_library_named zephyr_library_include_directories
    zephyr_library_sources zephyr_library_compile_options)
  cmake_language(EVAL CODE "function(${name})\\n  record(${name} \\${ARGV})\\nendfunction()")
endforeach()
include(MODULE)
"""


def test_the_zephyr_module_names_files_that_are_there(tmp_path: Path) -> None:
    library = packaged(tmp_path, "zephyr")
    module = yaml.safe_load((library / "zephyr" / "module.yml").read_text())
    assert module == {"name": "tiny", "build": {"cmake": "zephyr", "kconfig": "zephyr/Kconfig"}}
    assert_paths_exist(library, [f"{module['build']['cmake']}/CMakeLists.txt", module["build"]["kconfig"]])


@pytest.mark.parametrize("selected", ["y", ""])
def test_zephyr_builds_the_sources_if_they_are_selected(selected: str, tmp_path: Path) -> None:
    need("cmake")
    library = packaged(tmp_path, "zephyr")
    script = tmp_path / "zephyr.cmake"
    script.write_text(ZEPHYR.replace("MODULE", str(library / "zephyr" / "CMakeLists.txt")))
    (tmp_path / "calls.txt").touch()
    call(["cmake", "-E", "chdir", tmp_path, "cmake", f"-DCONFIG_MBGEN_TINY={selected}", "-P", script])
    calls = [line.split() for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert calls == (
        [
            ["zephyr_include_directories", "../include"],
            ["zephyr_library_named", "tiny"],
            ["zephyr_library_include_directories", "../src"],
            ["zephyr_library_sources", *(f"../src/tiny{part}.c" for part in ("", "_kernels", "_selftest", "_weights"))],
            ["zephyr_library_compile_options", "-O2", "-ffunction-sections", "-fdata-sections"],
        ]
        if selected
        else []
    )
    for line in calls:
        assert [word for word in line if word.startswith("../") and not (library / "zephyr" / word).exists()] == []


def test_zephyrs_kconfig_reads_the_option(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import kconfiglib
    library = packaged(tmp_path, "zephyr")
    kconfig = kconfiglib.Kconfig(str(library / "zephyr" / "Kconfig"), warn_to_stderr=False)
    assert kconfig.warnings == []
    symbol = kconfig.syms["MBGEN_TINY"]
    assert (symbol.str_value, symbol.nodes[0].prompt[0]) == ("n", "tiny: MobileNet tuned for cortex-m4")


# --- Arduino -------------------------------------------------------------------------------------------------------

# Arduino's library specification 1.5: the required fields, and what the optional ones may hold.
ARDUINO_REQUIRED = {
    "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures",
}  # fmt: skip
ARDUINO_CATEGORIES = {
    "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
    "Data Processing", "Other",
}  # fmt: skip


def arduino_properties(library: Path) -> dict[str, str]:
    lines = (library / "library.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_arduinos_properties_keep_its_rules(tmp_path: Path) -> None:
    properties = arduino_properties(packaged(tmp_path, "arduino"))
    assert ARDUINO_REQUIRED <= properties.keys() <= ARDUINO_REQUIRED | {"includes"}
    assert all(properties.values())
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9 _.-]{0,62}", properties["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert properties["category"] in ARDUINO_CATEGORIES
    assert properties["architectures"] == "*"
    assert not properties["sentence"].startswith(properties["name"])  # shown behind the name


@pytest.mark.parametrize("dtype", DTYPES)
def test_arduino_finds_headers_and_sources_in_src(dtype: DType, tmp_path: Path) -> None:
    """The IDE compiles all of src/ with that folder alone as the include path."""
    library = packaged(tmp_path, "arduino", dtype=dtype, target="host")
    headers = arduino_properties(library)["includes"].split(",")
    assert_paths_exist(library / "src", headers)
    assert headers == (["tiny.h", "tiny_image.h"] if dtype == "int8" else ["tiny.h"])
    main = tmp_path / "main.c"
    main.write_text("".join(f"#include <{header}>\n" for header in headers) + SELF_TEST)
    sources = sorted((library / "src").rglob("*.c"))
    call(["gcc", "-std=gnu11", *STRICT, "-I", library / "src", main, *sources, "-lm", "-o", tmp_path / "program"])
    call([tmp_path / "program"])


ARDUINO_H = """
#include <cstdio>
struct Line {
    void begin(unsigned long) {}
    explicit operator bool() const { return true; }
    void print(const char *text) { std::printf("%s", text); }
    void print(unsigned long) { std::printf("N"); }
    void println(const char *text) { std::printf("%s\\n", text); }
};
static Line Serial;
static unsigned long millis() { return 0; }
"""


def test_the_arduino_sketch_runs_the_self_test(tmp_path: Path) -> None:
    library = packaged(tmp_path, "arduino", target="host")
    (tmp_path / "Arduino.h").write_text(ARDUINO_H)
    (tmp_path / "main.cpp").write_text(
        '#include "Arduino.h"\n'  # the IDE puts it there
        f'#include "{library}/examples/SelfTest/SelfTest.ino"\n'
        "int main() { setup(); loop(); }\n"
    )
    flags: list[str | Path] = ["-I", library / "src", "-I", tmp_path]
    objects: list[Path] = []
    for source in (library / "src").glob("*.c"):
        objects.append(tmp_path / f"{source.stem}.o")
        call(["gcc", *flags, "-c", source, "-o", objects[-1]])
    call(["g++", *STRICT, *flags, tmp_path / "main.cpp", *objects, "-o", tmp_path / "program"])
    assert call([tmp_path / "program"]) == "tiny: passed in N ms\n"


# --- PlatformIO, ESP-IDF -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["platformio", "arduino"])
def test_platformio_reads_its_manifest_and_arduinos(
    kind: PackageKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))  # not in the home folder
    from platformio.package.manifest.parser import ManifestParserFactory
    from platformio.package.manifest.schema import ManifestSchema

    library = packaged(tmp_path, kind)
    file = library / ("library.json" if kind == "platformio" else "library.properties")
    manifest = ManifestParserFactory.new_from_file(str(file)).as_dict()
    checked = ManifestSchema().load_manifest(manifest)
    assert (checked["name"], checked["version"]) == ("tiny", "0.1.0")
    assert checked["headers"] == ["tiny.h", "tiny_image.h"]
    if kind == "platformio":
        assert "int8_t in, 4 of int8_t out, tuned for cortex-m4." in checked["description"]
        assert manifest["build"]["flags"] == ["-O2", "-ffunction-sections", "-fdata-sections"]
        assert_paths_exist(library, [manifest["build"]["includeDir"], manifest["build"]["srcDir"]])


def test_the_esp_idf_component_manager_takes_the_manifest(tmp_path: Path) -> None:
    from idf_component_tools.manager import ManifestManager

    library = packaged(tmp_path, "esp-idf")
    manager = ManifestManager(str(library), "tiny")
    assert manager.validate().validation_errors == []
    manifest = manager.load()
    assert (str(manifest.version), manifest.license) == ("0.1.0", "Apache-2.0")
    assert manifest.description.endswith("tuned for cortex-m4.")


@pytest.mark.parametrize("script_mode", ["1", ""])
def test_esp_idf_builds_the_sources(script_mode: str, tmp_path: Path) -> None:
    """ESP-IDF reads the file twice: as a script, to learn what a component requires, and to build it."""
    need("cmake")
    library = packaged(tmp_path, "esp-idf")
    script = tmp_path / "esp.cmake"
    record = (
        'macro(idf_component_register)\n  string(REPLACE ";" " " line "${ARGV}")\n  file(WRITE calls.txt "${line}")\n'
    )
    script.write_text(
        "set(ESP_PLATFORM 1)\n"
        + (f"{record}  return()\nendmacro()\n" if script_mode else f"{record}endmacro()\n")
        + "function(target_compile_options)\nendfunction()\n"
        + f"include({library / 'CMakeLists.txt'})\n"
    )
    call(["cmake", "-E", "chdir", tmp_path, "cmake", "-P", script])
    words = (tmp_path / "calls.txt").read_text().split()
    assert words == [
        "SRCS",
        *(f"src/tiny{part}.c" for part in ("", "_kernels", "_selftest", "_weights")),
        *("INCLUDE_DIRS", "include", "PRIV_INCLUDE_DIRS", "src"),
    ]
    assert_paths_exist(library, [word for word in words if not word.isupper()])


def test_esp_idf_is_refused_where_the_kernels_are_for_another_instruction_set() -> None:
    network = make_network("int8", target="cortex-a72")
    first, *others = network.lowered.kernels
    neon = next(key for key in HELPERS if key.endswith("@neon"))
    kernels = (replace(first, helpers=frozenset({neon})), *others)
    with pytest.raises(InputError) as refused:
        render(replace(network, lowered=replace(network.lowered, kernels=kernels)), ["esp-idf"])
    assert str(refused.value) == (
        "--package esp-idf is for Espressif's cores, but kernels for cortex-a72 use neon instructions; "
        "compile for --target cortex-m0plus, whose kernels are plain C"
    )


# --- CMSIS-Pack ----------------------------------------------------------------------------------------------------

# PACK.xsd 1.7.7 for the elements that are written: attributes (required, optional), children (least, most).
PACK: dict[str, tuple[set[str], set[str], dict[str, tuple[int, float]]]] = {
    "package": (
        {"schemaVersion"},
        {"{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"},
        {
            **dict.fromkeys(("vendor", "name", "description", "url", "releases"), (1, 1)),
            **dict.fromkeys(("conditions", "components"), (0, 1)),
        },
    ),
    "releases": (set(), set(), {"release": (1, float("inf"))}),
    "release": ({"version"}, {"date", "tag", "deprecated", "replacement", "url"}, {}),
    "conditions": (set(), set(), {"condition": (1, float("inf"))}),
    "condition": (
        {"id"},
        set(),
        {"description": (0, 1), **dict.fromkeys(("accept", "require", "deny"), (0, float("inf")))},
    ),
    "require": (set(), {"Dcore", "Tcompiler"}, {}),
    "components": (set(), {"generator"}, {"component": (0, float("inf"))}),
    "component": (
        {"Cclass", "Cgroup", "Cversion"},
        {"Cvendor", "Csub", "Cvariant", "condition", "maxInstances"},
        {"description": (1, 1), "files": (1, 1)},
    ),
    "files": (set(), set(), {"file": (1, float("inf"))}),
    "file": ({"category", "name"}, {"condition", "attr", "version", "path"}, {}),
    **{name: (set(), set(), {}) for name in ("vendor", "name", "description", "url")},
}
PACK_VALUES = {
    ("package", "schemaVersion"): r"\d+\.\d+(\.\d+)?",
    ("release", "version"): r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?",
    ("component", "Cversion"): r"(0|[1-9]\d*)\.\d+(\.\d+)?(-[0-9A-Za-z.-]+)?",
    ("require", "Dcore"): r"Cortex-(M0\+|M4|M7|M33|M55|A53|A72)",
    ("file", "category"): "doc|header|source",
}


def check_pack(element: ET.Element) -> None:
    required, optional, children = PACK[element.tag]
    assert required <= set(element.keys()) <= required | optional, element.tag
    for name, value in element.items():
        assert re.fullmatch(PACK_VALUES.get((element.tag, name), ".+"), value), (element.tag, name, value)
    tags = [child.tag for child in element]
    assert set(tags) <= children.keys(), element.tag
    for tag, (least, most) in children.items():
        assert least <= tags.count(tag) <= most, (element.tag, tag)
    for child in element:
        check_pack(child)


@pytest.mark.parametrize("target", target_names())
def test_the_cmsis_pack_keeps_its_schema(target: str, tmp_path: Path) -> None:
    library = packaged(tmp_path, "cmsis-pack", target=target)
    pack = ET.parse(library / "mbgen.tiny.pdsc").getroot()
    check_pack(pack)
    texts = {tag: pack.findtext(tag) for tag in ("vendor", "name")}
    assert "{vendor}.{name}.pdsc".format(**texts) == "mbgen.tiny.pdsc"  # as CMSIS-Pack wants the file named
    assert all(re.fullmatch(r"[-_A-Za-z0-9]+", text or "") for text in texts.values())
    assert {condition.get("id") for condition in pack.iter("condition")} == {
        component.get("condition") for component in pack.iter("component")
    } - {None}
    files: list[Any] = [element.get("name") for element in pack.iter("file")]
    assert_paths_exist(library, files)
    assert sorted(file for file in files if file != "README.md") == sorted(
        path.relative_to(library).as_posix() for folder in ("include", "src") for path in (library / folder).iterdir()
    )
