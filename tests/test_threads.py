"""--threads: the same bytes whatever their number, and where there are none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mbgen.errors import InputError
from mbgen.library import Network, render, write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.running import run_layers
from tests.support.compilers import STRICT, call, includes, sources
from tests.support.tools import require_target


def compiled(threads: int, dtype: str = "int8", **options: object) -> Network:
    given = CompileOptions("host", alpha=0.25, resolution=32, classes=20, dtype=dtype, threads=threads, **options)  # type: ignore[arg-type]
    return compile_model(given, lambda *_: None)


def pragmas(network: Network) -> dict[str, int]:
    """How often each source marks a loop for threads."""
    files = render(network).files
    return {
        Path(path).name.removeprefix(network.name): len(
            re.findall(r"^ *\w+_PARALLEL\(", content.decode(), re.MULTILINE)
        )
        for path, content in files.items()
        if path.endswith(".c")
    }


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_any_number_of_threads_gives_the_same_bytes(dtype: str, tmp_path: Path) -> None:
    require_target("host")
    seen = []
    for threads in (1, 2, 3):
        network = compiled(threads, dtype)
        write(render(network), tmp_path / str(threads))
        (outputs,) = run_layers(tmp_path / str(threads), network.test_input.reshape(network.input.shape))
        seen.append(outputs)
    for outputs in seen[1:]:
        assert outputs.keys() == seen[0].keys()
        for name, values in outputs.items():
            np.testing.assert_array_equal(values, seen[0][name], err_msg=name)


def test_one_thread_leaves_no_trace() -> None:
    files = render(compiled(1)).files
    assert not any(b"PARALLEL" in content or b"openmp" in content for content in files.values())


def test_rows_of_windows_and_tiles_of_gemms_are_shared() -> None:
    network = compiled(2)
    assert "-fopenmp" in network.target.c_flags
    assert network.options["threads"] == 2
    found = pragmas(network)
    assert found[".c"] == 14  # the first convolution and every depthwise one
    assert found["_kernels.c"] >= 10
    assert b"target_link_options(mobilenet_v1_025_32 PUBLIC -fopenmp)" in render(network).files["CMakeLists.txt"]


def test_rows_that_lie_over_what_they_are_made_of_come_in_order() -> None:
    network = compiled(2, optimize="ram")
    found = pragmas(network)
    walked = [layer for layer in network.plan.walks if layer in network.calls]
    assert found[".c"] < len(walked)


def test_the_sources_compile_without_openmp_too(tmp_path: Path) -> None:
    write(render(compiled(2)), tmp_path / "net")
    for source in sources(tmp_path / "net"):
        for flags in ([], ["-fopenmp"]):
            call(
                [
                    "gcc",
                    "-std=c99",
                    "-march=x86-64-v3",
                    *flags,
                    *STRICT,
                    *includes(tmp_path / "net"),
                    "-fsyntax-only",
                    source,
                ]
            )


def test_microcontrollers_have_no_threads() -> None:
    with pytest.raises(InputError) as caught:
        compile_model(CompileOptions("cortex-m4", alpha=0.25, resolution=32, threads=2), lambda *_: None)
    assert str(caught.value) == (
        "--threads 2: cortex-m4 is a microcontroller, whose libraries run in one thread; leave --threads out"
    )
