from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mbgen.data import data_folder
from mbgen.errors import MbgenError, MissingToolError, RefusedError
from mbgen.target import load_target, read_target, target_names
from mbgen.toolchain import Purpose, build, require, run, status
from tests.support.tools import require_target


def compile_and_run(tmp_path: Path, text: str, seconds: float = 30) -> str:
    target = require_target("host")
    source, executable = tmp_path / "main.c", tmp_path / "program"
    source.write_text(text)
    build(target, [source], executable, target.c_flags)
    return run(target, executable, tmp_path, seconds)


def test_the_status_of_a_target_names_what_builds_and_what_runs_it() -> None:
    assert [(tool.program, tool.purpose) for tool in status(load_target("cortex-m4"))] == [
        ("arm-none-eabi-gcc", "build"),
        ("qemu-system-arm", "run"),
    ]
    assert [(tool.program, tool.purpose) for tool in status(load_target("host"))] == [("gcc", "build")]


@pytest.mark.parametrize(
    ("name", "purpose", "message"),
    [
        ("host", "build", "host needs gcc to build; install it with: apt-get install gcc libc6-dev"),
        (
            "cortex-m4",
            "build",
            "cortex-m4 needs arm-none-eabi-gcc to build; "
            "install it with: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
        ),
        (
            "cortex-m4",
            "run",
            "cortex-m4 needs qemu-system-arm to run; install it with: apt-get install qemu-system-arm",
        ),
        (
            "cortex-a72",
            "build",
            "cortex-a72 needs aarch64-linux-gnu-gcc to build; "
            "install it with: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
        ),
        ("cortex-a72", "run", "cortex-a72 needs qemu-aarch64 to run; install it with: apt-get install qemu-user"),
    ],
)
def test_a_missing_tool_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, purpose: Purpose, message: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError) as missing:
        require(load_target(name), [purpose])
    assert str(missing.value) == message
    assert missing.value.exit_code == 3


def test_a_cross_compiler_without_its_c_library_counts_as_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "arm-none-eabi-gcc"
    compiler.write_text("#!/bin/sh\necho libc.a\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(MissingToolError, match="libnewlib-arm-none-eabi"):
        require(load_target("cortex-m4"), ["build"])


@pytest.mark.parametrize("name", target_names())
def test_the_compiler_of_every_target_takes_its_flags(tmp_path: Path, name: str) -> None:
    target = require_target(name)
    source, result = tmp_path / "empty.c", tmp_path / "empty.o"
    source.write_text("int empty;\n")
    subprocess.run([target.compiler, *target.c_flags, "-Werror", "-c", source, "-o", result], check=True)
    assert result.exists()


@pytest.mark.parametrize("variant", ["aarch64", "aarch64-dotprod"])
def test_the_compiler_takes_the_flags_of_a_host_that_is_not_this_one(tmp_path: Path, variant: str) -> None:
    compiler = require_target("cortex-a72").compiler
    flags = read_target(data_folder("targets") / "host" / f"{variant}.toml", "host").c_flags
    source = tmp_path / "empty.c"
    source.write_text("int empty;\n")
    subprocess.run([compiler, *flags, "-Werror", "-c", source, "-o", tmp_path / "empty.o"], check=True)


def test_several_sources_become_one_program_with_the_maths_library(tmp_path: Path) -> None:
    target = require_target("host")
    folders = [tmp_path / "a", tmp_path / "b"]
    texts = [
        '#include <stdio.h>\nfloat root(float x);\nint main(void) { printf("%g\\n", root(9)); return 0; }\n',
        "#include <math.h>\nfloat root(float x) { return powf(x, 0.5f) * SCALE; }\n",
    ]
    for folder, text in zip(folders, texts, strict=True):
        folder.mkdir()
        (folder / "same_name.c").write_text(text)
    executable = tmp_path / "program"
    build(target, [folder / "same_name.c" for folder in folders], executable, [*target.c_flags, "-DSCALE=2"])
    assert run(target, executable, tmp_path, 30) == "6\n"


def test_a_compilers_error_is_shown_from_its_first_line(tmp_path: Path) -> None:
    with pytest.raises(MbgenError) as refused:
        compile_and_run(tmp_path, "int main(void)\n{\n    return nothing;\n}\n")
    first, *rest = str(refused.value).splitlines()
    assert first == "main.c: gcc refused it for host; it printed"
    assert any("'nothing' undeclared" in line for line in rest)  # LC_ALL=C: plain quotes, in English


def test_a_linkers_error_is_shown(tmp_path: Path) -> None:
    with pytest.raises(MbgenError) as refused:
        compile_and_run(tmp_path, "int missing(void);\nint main(void) { return missing(); }\n")
    assert str(refused.value).startswith("program: gcc refused it for host; it printed\n")
    assert "undefined reference to `missing'" in str(refused.value)


def test_a_program_that_fails_is_reported_with_the_last_lines_it_printed(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        compile_and_run(
            tmp_path,
            '#include <stdio.h>\nint main(void) { for (int i = 1; i <= 20; i++) printf("line %d\\n", i); return 7; }\n',
        )
    shown = "".join(f"\n    line {i}" for i in range(9, 21))
    assert str(refused.value) == f"program on host ended with exit code 7; it printed last{shown}"


def test_a_program_that_crashes_is_reported_with_its_signal(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        compile_and_run(tmp_path, "#include <stdlib.h>\nint main(void) { abort(); }\n")
    assert str(refused.value) == "program on host ended with SIGABRT; it printed nothing"


def test_a_program_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        compile_and_run(
            tmp_path,
            '#include <stdio.h>\nint main(void) { puts("waiting"); fflush(stdout); for (;;) {} }\n',
            seconds=0.5,
        )
    assert str(refused.value) == "program on host did not end within 0.5 seconds; it printed\n    waiting"


def test_an_emulator_is_needed_to_run_but_not_to_build(tmp_path: Path) -> None:
    target = replace(require_target("cortex-a72"), emulator="no-such-emulator")
    source, executable = tmp_path / "main.c", tmp_path / "program"
    source.write_text("int main(void) { return 0; }\n")
    build(target, [source], executable, target.c_flags)
    with pytest.raises(MissingToolError, match=r"^cortex-a72 needs no-such-emulator to run; "):
        run(target, executable, tmp_path, 30)


def test_tests_that_miss_a_tool_are_skipped_unless_all_tools_are_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MBGEN_REQUIRE_TOOLS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="cortex-m4 needs arm-none-eabi-gcc"):
        require_target("cortex-m4")
    monkeypatch.setenv("MBGEN_REQUIRE_TOOLS", "1")
    with pytest.raises(pytest.fail.Exception, match="cortex-m4 needs arm-none-eabi-gcc"):
        require_target("cortex-m4")
