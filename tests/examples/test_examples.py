"""Every example is built and run as its README says, and what it prints is compared with the reference's answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from PIL import Image

from mbgen.graph import Array
from mbgen.images import load_pixels, quantize_pixels, synthetic_pixels
from mbgen.importers import import_model
from mbgen.reference import execute
from tests.support.compilers import need
from tests.support.tools import require_target

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDERS = ["camera", "cortex_m4", "cortex_m55", "linux_jpeg", "two_models"]


def make_run(example: str, build: Path, *variables: str) -> str:
    """What the example's program printed."""
    need("make")
    words = [f"BUILD={build}", f"PYTHON={sys.executable}", f"MBGEN={sys.executable} -m mbgen", *variables]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent), "LC_ALL": "C"}
    done = subprocess.run(
        ["make", "--silent", "-C", str(EXAMPLES / example), "run", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: " not in done.stderr
    return done.stdout


def scores(library: Path, pixels: Array) -> Array:
    """The reference's output for uint8 pixels `[h, w, c]`, as the library gives it."""
    manifest = json.loads((library / "manifest.json").read_text())
    (model,) = (library / "reference").iterdir()
    graph = import_model(model)
    preprocess = manifest["options"]["preprocess"]
    image = quantize_pixels(pixels[np.newaxis], graph.tensors[graph.input], preprocess)
    return execute(graph, image)[graph.output].reshape(-1)


def stored_picture(size: int) -> Array:
    """What picture.py makes up."""
    pixels: Array = synthetic_pixels(1, size, size, 3, seed=1)[0]
    return pixels


def best_class(library: Path, pixels: Array) -> str:
    """As the example prints it."""
    answer = scores(library, pixels).astype(int)
    output = json.loads((library / "manifest.json").read_text())["output"]["quantization"]
    real = output["scale"][0] * (answer.max() - output["zero_point"][0])
    return f"class {answer.argmax()}, score {int(100 * real + 0.5)} %\n"


def test_every_example_has_its_page() -> None:
    page = (EXAMPLES / "README.md").read_text()
    assert sorted(path.parent.name for path in EXAMPLES.glob("*/Makefile")) == FOLDERS
    for folder in FOLDERS:
        assert f"[{folder}]({folder}/README.md)" in page
        readme = (EXAMPLES / folder / "README.md").read_text()
        assert "\n    make run\n" in readme
        links = re.findall(r"\]\((?!https://)([^)#]+)", readme)
        assert [link for link in links if not (EXAMPLES / folder / link).exists()] == []


@pytest.mark.slow
def test_a_cortex_m4_classifies_a_stored_picture(tmp_path: Path) -> None:
    require_target("cortex-m4")
    printed = make_run("cortex_m4", tmp_path)
    expected = best_class(tmp_path / "mobilenet", stored_picture(96))
    assert printed.endswith(f"self-test passed\n{expected}")
    assert f"    {expected}" in (EXAMPLES / "cortex_m4" / "README.md").read_text()


@pytest.mark.slow
def test_a_cortex_m4_finds_the_person_in_a_photograph(shared_data: Path, tmp_path: Path) -> None:
    require_target("cortex-m4")
    model = next(shared_data.rglob("vww_96_int8.tflite"))
    lines = (shared_data / "person_train2017_192.csv").read_text().splitlines()[1:]
    files = {label: name for name, label, *_ in (line.split(",") for line in reversed(lines))}
    for name in files.values():
        picture = shared_data / "person_train2017_192" / name
        printed = make_run("cortex_m4", tmp_path, f"MODEL={model}", f"PICTURE={picture}")
        assert printed.endswith(best_class(tmp_path / "mobilenet", load_pixels(picture, 96, 96, 3)[1][0]))


@pytest.mark.slow
def test_a_camera_is_classified_line_by_line(tmp_path: Path) -> None:
    require_target("cortex-m4")
    printed = make_run("camera", tmp_path)
    manifest = json.loads((tmp_path / "mobilenet" / "manifest.json").read_text())
    assert manifest["arena_bytes"] < 96 * 96 * 3
    y, x = np.mgrid[:96, :96]
    first, expected = f"arena {manifest['arena_bytes']} bytes, a frame would be {96 * 96 * 3}\n", ""
    for frame in range(4):
        inside = (x - frame * 24 % 96) ** 2 + (y - 48) ** 2 < 24**2
        red, green = np.where(inside, 31, x * 31 // 96), np.where(inside, 63, y * 63 // 96)
        blue = np.where(inside, 0, 8)
        pixels = np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], axis=-1)
        answer = scores(tmp_path / "mobilenet", pixels.astype(np.uint8))
        expected += f"    frame {frame}: class {answer.argmax()}\n"
    assert printed.endswith(first + expected.replace("    ", ""))
    assert expected in (EXAMPLES / "camera" / "README.md").read_text()


@pytest.mark.slow
def test_a_cortex_m55_times_each_layer(tmp_path: Path) -> None:
    require_target("cortex-m55")
    printed = make_run("cortex_m55", tmp_path)
    layers = json.loads((tmp_path / "mobilenet" / "manifest.json").read_text())["layers"]
    answer = scores(tmp_path / "mobilenet", stored_picture(96))
    _, found, times = printed.partition(f"class {answer.argmax()}\n")
    assert found, printed
    assert [line.split(":")[0] for line in times.splitlines()] == [f"layer {i}" for i in range(len(layers))]
    assert all(int(line.split()[2]) > 0 for line in times.splitlines())


@pytest.mark.slow
def test_two_models_share_their_memory_and_one_lives_in_external_flash(tmp_path: Path) -> None:
    require_target("cortex-m4")
    printed = make_run("two_models", tmp_path)
    detector = scores(tmp_path / "detector", stored_picture(64)).argmax()
    classifier = scores(tmp_path / "classifier", stored_picture(96)).argmax()
    assert printed.endswith(f"detector: class {detector}\nclassifier: class {classifier}\n")

    with (tmp_path / "firmware.elf").open("rb") as file:
        elf = ELFFile(file)
        external = elf.get_section_by_name(".external")
        table = elf.get_section_by_name(".symtab")
        assert external is not None
        assert table is not None
        place = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
        arena = table.get_symbol_by_name("arena")[0]["st_size"]
    inside = {
        name for name, at in place.items() if 0x21000000 <= at < 0x22000000 and name.endswith(("bias", "weights"))
    }
    assert inside
    assert all(name.startswith("classifier_") for name in inside)
    assert place["detector_conv_1_weights"] < 0x00100000
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("detector", "classifier")]
    assert external["sh_size"] >= manifests[1]["constant_bytes"]
    assert arena == max(manifest["arena_bytes"] for manifest in manifests)
    assert manifests[1]["constant_bytes"] > 0xC0000  # too much for the chip's own 1 MiB, with the rest in it


def five(printed: str) -> list[int]:
    return [int(found) for found in re.findall(r"^\d\. class (\d+), ", printed, re.MULTILINE)]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["host", "cortex-a72"])
def test_linux_names_the_five_likeliest_classes_of_a_jpeg(target: str, tmp_path: Path) -> None:
    require_target(target)
    build = tmp_path / "build"
    if target == "host":
        need_host_libjpeg()
    else:
        fetch_libjpeg(build / "libjpeg")
    picture = tmp_path / "wide.jpg"
    Image.fromarray(synthetic_pixels(1, 200, 300, 3)[0]).save(picture)
    printed = make_run("linux_jpeg", build, f"TARGET={target}", f"PICTURE={picture}")
    decoded = np.asarray(Image.open(picture))
    rows, columns = np.arange(128) * 200 // 128, 50 + np.arange(128) * 200 // 128
    answer = scores(build / "mobilenet", decoded[rows][:, columns])
    assert five(printed) == np.argsort(-answer, kind="stable")[:5].tolist()


def need_host_libjpeg() -> None:
    header = "#include <stdio.h>\n#include <jpeglib.h>\n"
    done = subprocess.run(["gcc", "-E", "-"], input=header, capture_output=True, text=True, check=False)
    if done.returncode != 0 and os.environ.get("MBGEN_REQUIRE_TOOLS") != "1":
        pytest.skip("libjpeg-dev is not installed")
    assert done.returncode == 0, "libjpeg-dev is not installed"


def fetch_libjpeg(folder: Path) -> None:
    """Debian's libjpeg for AArch64; skips the test, or fails it under MBGEN_REQUIRE_TOOLS=1, where it cannot be had."""
    need("apt-get")
    script = EXAMPLES / "linux_jpeg" / "get_libjpeg.sh"
    done = subprocess.run([script, folder], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0 and os.environ.get("MBGEN_REQUIRE_TOOLS") != "1":
        pytest.skip(f"libjpeg for AArch64 cannot be fetched: {done.stderr}")
    assert done.returncode == 0, done.stderr
