"""scripts/setup-system.sh on machines that lack tools, made of a PATH with little in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "setup-system.sh"
EXAMPLE_PACKAGES = "gcc libc6-dev make gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
TEST_PACKAGES = (
    f"{EXAMPLE_PACKAGES} g++ cmake ninja-build clang gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross "
    "qemu-user chromium libjpeg-dev llvm-19 openssh-client openssh-server cppcheck"
)


class Machine:
    """A folder of programs that stands in for PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "apt-get.log"
        for program in ("sh", "cat"):
            (folder / program).symlink_to(str(shutil.which(program)))

    def add(self, program: str, script: str = "exit 0") -> None:
        path = self.folder / program
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def setup(self, purpose: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: value for key, value in os.environ.items() if key != "MBGEN_REQUIRE_TOOLS"}
        return subprocess.run(
            [SCRIPT, purpose],
            env=inherited
            | {"PATH": str(self.folder), "SBIN": str(self.folder), "PYTHON": sys.executable}
            | environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def missing_text(packages: str) -> str:
    return (
        "These tools are missing; the names are those of Debian's and Ubuntu's packages:\n"
        f"    {packages}\n"
        "Install them as root with\n"
        f"    apt-get update && apt-get install --yes --no-install-recommends {packages}\n"
    )


def test_nothing_is_said_where_everything_is_there(machine: Machine) -> None:
    machine.add("gcc")
    done = machine.setup("demo")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_user_is_told_what_the_demo_lacks(machine: Machine) -> None:
    machine.add("id", "echo 1000")
    machine.add("apt-get", "exit 1")
    done = machine.setup("demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == missing_text("gcc libc6-dev")


def test_a_user_is_told_what_the_example_lacks(machine: Machine) -> None:
    machine.add("id", "echo 1000")
    done = machine.setup("example")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", missing_text(EXAMPLE_PACKAGES))


def test_a_user_may_run_the_tests_with_the_tools_that_are_there(machine: Machine) -> None:
    machine.add("id", "echo 1000")
    done = machine.setup("test")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        missing_text(TEST_PACKAGES) + "Going on without them: the tests that need them are skipped.\n"
    )


def test_all_tools_can_be_required(machine: Machine) -> None:
    machine.add("id", "echo 1000")
    done = machine.setup("test", MBGEN_REQUIRE_TOOLS="1")
    assert (done.returncode, done.stderr) == (1, missing_text(TEST_PACKAGES))


def test_root_gets_what_is_missing_and_no_more(machine: Machine) -> None:
    machine.add("id", "echo 0")
    machine.add("gcc", 'case "$*" in *-E*) [ -e "$0.headers" ];; esac')
    machine.add("apt-get", f'echo "$*" >> {machine.log}\n> {machine.folder}/gcc.headers')
    done = machine.setup("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Installing from Debian: libc6-dev\n"
    assert machine.log.read_text().splitlines() == [
        "-q -o Acquire::Retries=3 update",
        "-q -o Acquire::Retries=3 install --yes --no-install-recommends libc6-dev",
    ]


def test_an_old_python_is_refused(machine: Machine) -> None:
    machine.add("gcc")
    machine.add("old", 'case "$*" in *version_info*) exit 1;; --version) echo "Python 3.9.2";; esac')
    done = machine.setup("demo", PYTHON=str(machine.folder / "old"))
    assert done.returncode == 1
    assert done.stderr == (
        f"mbgen needs Python 3.10 or later; {machine.folder / 'old'} is Python 3.9.2. "
        "Name another one: make PYTHON=python3.12 ...\n"
    )


def test_an_unknown_purpose_is_refused(machine: Machine) -> None:
    done = machine.setup("everything")
    assert (done.returncode, done.stderr) == (2, f"usage: {SCRIPT} demo|example|test\n")
