"""The same model and options give the same bytes, whatever the process, the hash seed and the folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tflite_models import mobilenet_v1

SMALL = ("--alpha", "0.25", "--resolution", "32", "--classes", "10")


def compile_in(folder: Path, seed: str, *arguments: str) -> dict[str, bytes]:
    """The files that `mbgen compile` writes, run by a process of its own in `folder`."""
    subprocess.run(
        [sys.executable, "-m", "mbgen", "compile", *arguments, "--output", "library"],
        cwd=folder,
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
    )
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in (folder / "library").rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--target", "cortex-m4", *SMALL),
        ("--target", "cortex-a72", *SMALL, "--dtype", "int8"),
        ("--target", "host", *SMALL),
        ("model.tflite", "--target", "cortex-m4"),
    ],
    ids=["int8", "int8 vectors", "float32 vectors", "tflite"],
)
def test_two_runs_write_the_same_bytes(arguments: tuple[str, ...], tmp_path: Path) -> None:
    libraries = []
    for seed in ("0", "1"):
        folder = tmp_path / f"place-{seed}"
        folder.mkdir()
        (folder / "model.tflite").write_bytes(mobilenet_v1("int8"))
        libraries.append(compile_in(folder, seed, *arguments))
    first, second = libraries
    assert first.keys() == second.keys()
    assert [path for path in first if first[path] != second[path]] == []
    assert [path for path in first if b"place-0" in first[path] or bytes(tmp_path) in first[path]] == []
