from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mbgen.cli import main
from mbgen.doctor import Need, examine, install_command
from mbgen.tables import print_needs
from mbgen.target import all_targets, load_target
from tests.support.tools import require_target

HERE = Need("gcc", "build", ("host",), ("gcc", "libc6-dev"), "gcc 12")
COMPILER = Need("arm-none-eabi-gcc", "build", ("cortex-m4", "cortex-m7"), ("gcc-arm-none-eabi", "newlib"), None)
EMULATOR = Need("qemu-system-arm", "run", ("cortex-m4", "cortex-m7"), ("qemu-system-arm",), None)
PACKAGE = Need("ai-edge-litert", "compare TFLite models", (), (), None)


def test_every_tool_is_named_once_with_its_targets() -> None:
    needs = {need.name: need for need in examine()}
    assert needs["qemu-aarch64"].targets == ("cortex-a53", "cortex-a72", "cortex-a76")
    assert needs["arm-none-eabi-gcc"].packages == ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi")
    assert needs["ai-edge-litert"].targets == ()
    assert needs["llvm-mca-19"].packages == ("llvm-19",)
    assert "cortex-m4" in needs["llvm-mca-19"].targets
    assert {name for need in needs.values() for name in need.targets} == {target.name for target in all_targets()}


def test_a_tool_that_is_here_tells_its_version() -> None:
    require_target("host")
    (compiler,) = examine([load_target("host")])
    assert compiler.name == "gcc"
    assert compiler.found is not None
    assert compiler.found.startswith("gcc ")


@pytest.mark.parametrize(
    ("user", "needs", "command"),
    [
        (0, [HERE], None),
        (0, [HERE, COMPILER, EMULATOR], "apt-get install --yes gcc-arm-none-eabi newlib qemu-system-arm"),
        (1000, [EMULATOR], "sudo apt-get install --yes qemu-system-arm"),
        (1000, [PACKAGE], "pip install ai-edge-litert"),
        (0, [EMULATOR, PACKAGE], "apt-get install --yes qemu-system-arm && pip install ai-edge-litert"),
    ],
)
def test_one_command_installs_all_that_is_missing(
    user: int, needs: list[Need], command: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert install_command(needs) == command


def test_people_get_a_table_and_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    print_needs([HERE, COMPILER, PACKAGE], "apt-get install it")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["tool", "installed", "to", "for"],
        ["gcc", "gcc", "12", "build", "host"],
        ["arm-none-eabi-gcc", "missing", "build", "cortex-m4,", "cortex-m7"],
        ["ai-edge-litert", "missing", "compare", "TFLite", "models", "all"],
        [],
        ["to", "install", "what", "is", "missing", "(the", "names", "are", "Debian's", "and", "Ubuntu's):"],
        ["apt-get", "install", "it"],
    ]


def test_nothing_missing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_needs([HERE], None)
    assert capsys.readouterr().out.endswith("\nnothing is missing\n")


def test_the_command_fails_if_something_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main(["doctor", "--target", "cortex-m4", "--target", "host", "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert [need["name"] for need in document["needs"]] == ["arm-none-eabi-gcc", "qemu-system-arm", "gcc"]
    assert [need["found"] for need in document["needs"]] == [None] * 3
    packages = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm gcc libc6-dev"
    assert document["install"] == f"apt-get install --yes {packages}"


def test_the_command_succeeds_if_all_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    require_target("host")
    assert main(["doctor", "--target", "host"]) == 0
    assert "nothing is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mbgen doc", {"plain,doctor"}),
        ("mbgen compile --target cortex-m3", {"plain,cortex-m33"}),
        ("mbgen compile --package pl", {"plain,platformio"}),
        ("mbgen doctor --target cortex-a5", {"plain,cortex-a53"}),
    ],
)
def test_the_shell_can_complete_a_line(line: str, expected: set[str]) -> None:
    asked = {"_MBGEN_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "mbgen"], env=os.environ | asked, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == expected


def test_the_shell_is_told_how_to_ask() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mbgen"],
        env=os.environ | {"_MBGEN_COMPLETE": "zsh_source"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "_MBGEN_COMPLETE=zsh_complete mbgen" in done.stdout
