"""Libraries of whole networks, kernels as TVM lowers them: what `test_c` asks of a tiny one, asked of these."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbgen.library import render, write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.running import self_test
from mbgen.target import load_target
from tests.support.compilers import COMPILERS, STRICT, call, check_strict, check_symbols, includes, sources
from tests.support.tools import require_target

pytestmark = pytest.mark.slow

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
    check_symbols(directory, [compiler, *flags], tmp_path, MAY_CALL[dtype])


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
    sanitize = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *load_target("host").c_flags, *STRICT, *sanitize, *includes(directory)]
    call([*command, main, *sources(directory), "-lm", "-o", tmp_path / "program"])
    call([tmp_path / "program"])


def test_shared_tflite_models(shared_data: Path, tmp_path: Path) -> None:
    model = shared_data / "weights" / "mobilenet_v1_0.25_128_quant.tflite"
    write(render(compile_model(CompileOptions(target="host", model=model), lambda *_: None)), tmp_path / "net")
    flags = load_target("host").c_flags
    check_strict(tmp_path / "net", ["gcc", *flags, "-std=c99"], tmp_path)
    check_symbols(tmp_path / "net", ["gcc", *flags], tmp_path, frozenset())
    self_test(tmp_path / "net")
