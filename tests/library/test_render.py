from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import DType
from mbgen.kernel import Constant
from mbgen.library import ModelInfo, render, write
from mbgen.target import load_target
from tests.support.compilers import STRICT, call, includes, sources
from tests.support.tiny_network import Form, make_network

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "library" / "golden"
GOLDEN_LIBRARIES: list[tuple[DType, Form, str]] = [
    ("int8", "rows", "cortex-m4"),
    ("uint8", "whole", "cortex-m33"),
    ("float32", "rows", "cortex-a72"),
]
VERSIONS = {"mbgen": "0.0.0", "tvm": "0.0.0"}
HOSTILE = '<b>*/ #error "escaped" /* ??/\n\\ ` | \u202e*/'


@pytest.mark.parametrize(("dtype", "form", "target"), GOLDEN_LIBRARIES)
def test_golden_files(
    dtype: DType, form: Form, target: str, monkeypatch: pytest.MonkeyPatch, update_golden: bool
) -> None:
    monkeypatch.setattr("mbgen.library.manifest.generator_versions", lambda: VERSIONS)
    library = render(make_network(dtype, form, name=f"tiny_{dtype}", target=target))
    folder = GOLDEN / library.name
    if update_golden:
        write(library, folder)
    golden = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert golden.keys() == library.files.keys()
    for path, content in library.files.items():
        assert golden[path].decode() == content.decode(), (
            f"{path}: see what changed, then pytest tests/library --update-golden"
        )


@pytest.mark.parametrize(("dtype", "form", "target"), GOLDEN_LIBRARIES)
def test_golden_files_compile_for_their_target(dtype: DType, form: Form, target: str, tmp_path: Path) -> None:
    folder = GOLDEN / f"tiny_{dtype}"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert any(layer["streamed"] for layer in manifest["layers"]) == (form == "rows")
    core = load_target(target)
    for index, source in enumerate(sources(folder)):
        flags = [*core.c_flags, "-std=c99", *STRICT, *includes(folder)]
        call([core.compiler, *flags, "-c", source, "-o", tmp_path / f"{index}.o"])


def test_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    script = (
        "import sys, hashlib\n"
        "from mbgen.library import render\n"
        "from tests.support.tiny_network import make_network\n"
        "for dtype in ('int8', 'uint8', 'float32'):\n"
        "    for path, content in render(make_network(dtype)).files.items():\n"
        "        print(path, hashlib.sha256(content).hexdigest())\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, zone in (("0", "UTC"), ("4711", "Asia/Tokyo"))
    ]
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == 11 + 11 + 10


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize("form", ["whole", "rows"])
@pytest.mark.parametrize("name", ["n", "mobilenet_v1_025_224"])
def test_files_are_plain_text(dtype: DType, form: Form, name: str) -> None:
    for path, content in render(make_network(dtype, form, name=name)).files.items():
        text = content.decode("ascii")
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert not re.search(r"[ \t]\n|\t|\r|\n\n\n", text), path
        if path.startswith(("src", "include")):
            assert max(map(len, text.splitlines())) <= 120, path


def test_nothing_from_the_model_reaches_c(tmp_path: Path) -> None:
    network = make_network()
    lowered = network.lowered
    hostile = dataclasses.replace(
        network,
        model=ModelInfo(source="onnx", sha256="0" * 64, weights=HOSTILE, calibration=HOSTILE),
        options={"preprocess": "x-128", HOSTILE: HOSTILE},
        target=dataclasses.replace(network.target, description=HOSTILE),
        lowered=dataclasses.replace(
            lowered,
            kernels=tuple(dataclasses.replace(kernel, summary=(HOSTILE, "\\")) for kernel in lowered.kernels),
            constants=tuple(dataclasses.replace(constant, summary=HOSTILE) for constant in lowered.constants),
        ),
    )
    library = render(hostile)
    for content in library.files.values():
        content.decode("ascii")
    readme = library.files["README.md"].decode()
    rows = [line for line in readme.splitlines() if line.startswith(("| Weights", "| Calibration", "| Options"))]
    assert not any("<" in row for row in rows)
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3, 3, 3]
    write(library, tmp_path / "tiny")
    for index, source in enumerate(sources(tmp_path / "tiny")):
        command = ["gcc", *hostile.target.c_flags, "-std=c99", *STRICT, *includes(tmp_path / "tiny")]
        call([*command, "-c", source, "-o", tmp_path / f"{index}.o"])
        stripped = re.sub(r"/\*.*?\*/", "", source.read_text(), flags=re.DOTALL)
        assert "escaped" not in stripped


def test_other_content_has_another_build_id() -> None:
    def build_id(content: bytes) -> str:
        found = re.search(r"#define TINY_BUILD_ID (0x[0-9A-F]{8}UL)\n", content.decode())
        assert found is not None
        return found[1]

    network = make_network()
    changed = dataclasses.replace(network, test_output=network.test_output ^ 1)
    ids = [build_id(render(item).files["include/tiny.h"]) for item in (network, network, changed)]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_every_source_checks_that_it_belongs_to_the_header() -> None:
    files = render(make_network()).files
    header = files["include/tiny.h"].decode()
    build_id = re.findall(r"0x[0-9A-F]{8}UL", header)[0]
    for path in files:
        if path.endswith(".c") or path == "include/tiny_image.h":
            assert f"#if TINY_BUILD_ID != {build_id}\n#error" in files[path].decode()


def test_random_weights_are_said_to_be_random() -> None:
    readme = render(make_network()).files["README.md"].decode()
    assert "**The weights are random.**" in readme
    real = make_network(model=ModelInfo(source="tflite", weights="the model file's own"))
    assert "random" not in render(real).files["README.md"].decode()


def test_the_reference_is_kept(tmp_path: Path) -> None:
    library = render(make_network(reference=("model.tflite", b"\x00TFL3")))
    assert library.files["reference/model.tflite"] == b"\x00TFL3"


def test_only_quantised_networks_have_an_image_header() -> None:
    assert "include/tiny_image.h" in render(make_network("uint8")).files
    assert "include/tiny_image.h" not in render(make_network("float32")).files


def test_the_readme_says_which_kernels_are_tuned() -> None:
    network = make_network()
    first, *others = network.lowered.kernels
    tuned = dataclasses.replace(first, schedule="gemm mr=2 nr=2 lanes=1", schedule_source="record 0123abcd")
    lowered = dataclasses.replace(network.lowered, kernels=(tuned, *others))
    readme = render(dataclasses.replace(network, lowered=lowered)).files["README.md"].decode()
    assert "| gemm mr=2 nr=2 lanes=1 | record 0123abcd |" in readme


@pytest.mark.parametrize(("target", "has_counter"), [("cortex-m4", True), ("cortex-m0plus", False), ("host", False)])
def test_the_readmes_cycle_counter_compiles(target: str, has_counter: bool, tmp_path: Path) -> None:
    network = make_network(target=target)
    write(render(network), tmp_path / "tiny")
    blocks = re.findall(r"```c\n(.*?)```", (tmp_path / "tiny" / "README.md").read_text(), flags=re.DOTALL)
    counters = [block for block in blocks if "DWT_CYCCNT" in block]
    assert bool(counters) == has_counter
    for counter in counters:
        hooks = blocks[blocks.index(counter) - 1]
        (tmp_path / "profile.c").write_text(f'#include "tiny.h"\n{hooks}{counter}')
        command = [network.target.compiler, *network.target.c_flags, "-std=c99", *STRICT, *includes(tmp_path / "tiny")]
        call([*command, "-c", tmp_path / "profile.c", "-o", tmp_path / "profile.o"])


def test_the_readme_says_how_to_use_each_package() -> None:
    network = make_network()
    readme = render(network, ["zephyr", "arduino", "platformio", "esp-idf", "cmsis-pack"]).files["README.md"].decode()
    starts = ("Zephyr: ", "Arduino: ", "PlatformIO: ", "ESP-IDF: ", "CMSIS-Pack: ")
    assert all(f"\n\n{start}" in readme for start in starts)
    assert not any(start in render(network).files["README.md"].decode() for start in starts)


def test_infinite_weights_bring_their_header(tmp_path: Path) -> None:
    network = make_network("float32")
    constants = list(network.lowered.constants)
    bias = constants[-1].data.copy()
    bias[0] = -np.inf
    constants[-1] = dataclasses.replace(constants[-1], data=bias)
    library = render(
        dataclasses.replace(network, lowered=dataclasses.replace(network.lowered, constants=tuple(constants)))
    )
    assert b"#include <math.h>" in library.files["src/tiny_weights.c"]
    assert b"-INFINITY" in library.files["src/tiny_weights.c"]
    assert b"math.h" not in render(network).files["src/tiny_weights.c"]


def test_rendering_is_fast() -> None:
    """As much as MobileNet V1 0.25 at 224 in int8 has: 470,072 weights and a test input of 150,528."""
    network = make_network()
    weights = np.random.default_rng(0).integers(-127, 128, 470_072 + 150_528).astype(np.int8)
    extra = Constant("tiny_dense_9_weights", weights, "int8", "dense_9", "dense_9: weights")
    lowered = dataclasses.replace(network.lowered, constants=(*network.lowered.constants, extra))
    large = dataclasses.replace(network, lowered=lowered)
    start = time.process_time()
    render(large)
    assert time.process_time() - start < 1
