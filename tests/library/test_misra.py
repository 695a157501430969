"""What cppcheck's MISRA addon finds in generated int8 code is on the page about it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mbgen.library import render, write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from tests.support.compilers import need
from tests.support.tflite_models import mobilenet_v1

PAGE = Path(__file__).resolve().parents[2] / "docs" / "misra.md"
MANDATORY = {
    *("9.1", "12.5", "13.6", "17.3", "17.4", "17.6", "19.1", "21.13", "21.17", "21.18", "21.19", "21.20"),
    *("22.2", "22.4", "22.5", "22.6"),
}


def findings(directory: Path, *files: str) -> set[str]:
    """The rules that the addon finds broken; a message of cppcheck's own fails the test."""
    need("cppcheck")
    command = ["cppcheck", "--addon=misra", "--std=c99", "--quiet", "--template={id}", "-I", "include", "-I", "src"]
    done = subprocess.run([*command, *files], cwd=directory, capture_output=True, text=True, check=True)
    found = [re.fullmatch(r"misra-c2012-(\d+\.\d+)", line) for line in done.stderr.split()]
    assert None not in found, done.stderr
    return {match[1] for match in found if match is not None}


def listed() -> dict[str, str]:
    """The page's rules and their categories."""
    rows = re.findall(r"^\| ([^|]+) \| ([a-z, ]+) \| [^|]+ \| [^|]{20,} \|$", PAGE.read_text(), re.MULTILINE)
    pairs = [zip(rules.split(", "), categories.split(", "), strict=False) for rules, categories in rows]
    return {rule: category for pair in pairs for rule, category in pair}


def test_the_page_lists_rules_with_their_categories_and_reasons() -> None:
    rules = listed()
    assert {"10.1", "11.3", "11.5", "18.4"} <= rules.keys()
    assert not MANDATORY & rules.keys()
    assert set(rules.values()) == {"required", "advisory"}


@pytest.mark.slow
def test_every_finding_is_listed(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(mobilenet_v1("int8"))
    model = CompileOptions(target="cortex-m4", name="net", model=tmp_path / "model.tflite")
    options = {
        "tflite": replace(model, optimize="ram"),
        "bands": model,  # written otherwise, around kernels for DSP instructions
        "qdq": CompileOptions(target="cortex-m4", name="net", alpha=0.25, resolution=32, classes=2, optimize="ram"),
    }
    found: set[str] = set()
    for name, chosen in options.items():
        write(render(compile_model(chosen, lambda *_: None)), tmp_path / name)
        files = ["src/net.c", "src/net_kernels.c", "src/net_selftest.c"]
        if name == "tflite":
            files.append("src/net_weights.c")  # the other's are the same kind of arrays, and take minutes
        found |= findings(tmp_path / name, *files)
    assert found - listed().keys() == set()
