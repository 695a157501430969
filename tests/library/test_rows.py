"""The row interface: any portions of rows give the same bytes, and what is refused changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbgen.graph import DType
from mbgen.library import render, write
from mbgen.running import run_program, stack_bytes
from tests.support.compilers import STRICT
from tests.support.row_program import row_program
from tests.support.stack_usage import deepest_stack
from tests.support.tiny_network import Form, make_network
from tests.support.tools import require_target

LIBRARIES: list[tuple[DType, Form]] = [
    ("int8", "rows"),
    ("uint8", "whole"),
    ("float32", "rows"),
    ("float32", "whole"),
    ("int8", "direct"),
    ("float32", "direct"),
]
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
@pytest.mark.parametrize(("target", "flags"), [("host", SANITIZE), ("cortex-m4", ())])
def test_rows(dtype: DType, form: Form, target: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    require_target(target)
    network = make_network(dtype, form, target=target)
    write(render(network), tmp_path / "tiny")
    main = row_program("tiny", dtype, dtype)
    assert run_program([tmp_path / "tiny"], main, [*STRICT, *flags], seconds=60) == "all is well"


@pytest.mark.parametrize(("dtype", "form"), LIBRARIES)
def test_the_stack_that_is_measured_is_what_the_compiler_says(dtype: DType, form: Form, tmp_path: Path) -> None:
    target = require_target("cortex-m4")
    network = make_network(dtype, form, target="cortex-m4")
    write(render(network), tmp_path / "tiny")
    reserved = deepest_stack(tmp_path / "tiny", target.compiler, tmp_path)
    # a frame may end with bytes that nothing writes, and functions of the C library have frames of their own
    assert reserved - 32 <= stack_bytes(tmp_path / "tiny") <= reserved + 32
    assert reserved <= 1024
