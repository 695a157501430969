"""Libraries of whole networks, kernels as TVM lowers them: what `test_c` asks of a tiny one, asked of these."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbgen.library import render, write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.running import read_manifest, run_program, self_test, stack_bytes
from mbgen.target import load_target
from tests.support.compilers import COMPILERS, STRICT, call, check_strict, check_symbols, includes, sources
from tests.support.row_program import row_program
from tests.support.tools import require_target

pytestmark = pytest.mark.slow

SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MAY_CALL = {"float32": frozenset({"expf"}), "int8": frozenset[str]()}  # the float softmax


def compile_library(folder: Path, target: str, dtype: str) -> Path:
    """The built-in network, small enough for a test; int8 is quantised as ONNX QDQ is."""
    options = CompileOptions(target=target, alpha=0.25, resolution=64, classes=10, dtype=dtype, name="net")
    write(render(compile_model(options, lambda *_: None)), folder / "net")
    return folder / "net"


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("compiler", "cpp", "target"), COMPILERS)
def test_compilers_and_symbols(compiler: str, cpp: str, target: str, dtype: str, tmp_path: Path) -> None:
    directory = compile_library(tmp_path, target, dtype)
    flags = load_target(target).c_flags
    check_strict(directory, [compiler, *flags, "-std=c99"], tmp_path)
    check_strict(directory, [cpp, "-x", "c++", *flags, "-std=c++17"], tmp_path)
    check_symbols(
        directory, [compiler, *flags, "-fno-omit-frame-pointer"], tmp_path, MAY_CALL[dtype]
    )  # assembly takes r7


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("target", ["host", "cortex-a72", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"])
def test_the_self_test_passes_on_its_target(target: str, dtype: str, tmp_path: Path) -> None:
    require_target(target)
    self_test(compile_library(tmp_path, target, dtype))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_sanitizers_find_nothing(dtype: str, tmp_path: Path) -> None:
    directory = compile_library(tmp_path, "host", dtype)
    main = tmp_path / "main.c"
    main.write_text(
        '#include "net.h"\nstatic struct net_arena arena;\nint main(void) { return (int)net_self_test(&arena); }\n'
    )
    command = ["gcc", *load_target("host").c_flags, *STRICT, *SANITIZE, *includes(directory)]
    call([*command, main, *sources(directory), "-lm", "-o", tmp_path / "program"])
    call([tmp_path / "program"])


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize(("target", "flags"), [("host", SANITIZE), ("cortex-m4", ())])
def test_rows(target: str, flags: tuple[str, ...], dtype: str, tmp_path: Path) -> None:
    require_target(target)
    check_rows(compile_library(tmp_path, target, dtype), "net", flags)


def check_rows(directory: Path, name: str, flags: tuple[str, ...]) -> None:
    manifest = read_manifest(directory)
    types = manifest["input"]["dtype"], manifest["output"]["dtype"]
    assert run_program([directory], row_program(name, *types), [*STRICT, *flags]).startswith("all is well")


@pytest.mark.parametrize(("target", "flags"), [("host", SANITIZE), ("cortex-m4", ())])
def test_the_visual_wake_words_model(target: str, flags: tuple[str, ...], shared_data: Path, tmp_path: Path) -> None:
    require_target(target)
    model = shared_data / "weights" / "vww_96_int8.tflite"
    write(render(compile_model(CompileOptions(target=target, model=model), lambda *_: None)), tmp_path / "net")
    check_rows(tmp_path / "net", "vww_96_int8", flags)
    if target == "cortex-m4":
        assert stack_bytes(tmp_path / "net") <= 1024


def test_shared_tflite_models(shared_data: Path, tmp_path: Path) -> None:
    model = shared_data / "weights" / "mobilenet_v1_0.25_128_quant.tflite"
    write(render(compile_model(CompileOptions(target="host", model=model), lambda *_: None)), tmp_path / "net")
    flags = load_target("host").c_flags
    check_strict(tmp_path / "net", ["gcc", *flags, "-std=c99"], tmp_path)
    check_symbols(tmp_path / "net", ["gcc", *flags], tmp_path, frozenset())
    self_test(tmp_path / "net")
