"""The command that gives a board its program: where its words go, and every way in which it can fail."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbgen.errors import InputError, NotFlashedError
from mbgen.measuring.flashing import check_command, flash
from mbgen.measuring.serial_port import Port


@pytest.fixture
def pty() -> Iterator[str]:
    """A port that can be opened."""
    ends = os.openpty()
    yield os.ttyname(ends[1])
    for end in ends:
        os.close(end)


def test_folder_and_port_stand_where_the_command_has_their_places(tmp_path: Path, pty: str) -> None:
    script = 'echo "$2 $1" > $1/words'
    flash(Port(pty, flash=("sh", "-c", script, "flash", "{folder}", "-p{port}")), tmp_path)
    assert (tmp_path / "words").read_text() == f"-p{pty} {tmp_path}\n"


def test_a_command_that_says_nothing_of_the_folder() -> None:
    with pytest.raises(InputError) as wrong:
        check_command(("make", "flash"))
    assert str(wrong.value) == (
        "--flash-with: 'make flash' does not say where the folder of the program goes; write {folder} in its place"
    )


def test_a_command_that_fails(tmp_path: Path, pty: str) -> None:
    script = "seq 20; echo task.c: no room >&2; exit 3"
    with pytest.raises(NotFlashedError) as failed:
        flash(Port(pty, flash=("sh", "-c", script, "{folder}")), tmp_path)
    lines = "".join(f"\n    {number}" for number in range(10, 21))
    assert str(failed.value) == (
        f"--flash-with: sh -c {script} {{folder}} ended with exit code 3; it printed last{lines}\n    task.c: no room"
    )


def test_a_command_that_fails_because_the_board_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError) as wrong:
        flash(Port("/dev/ttyNONE", flash=("false", "{folder}")), tmp_path)
    assert str(wrong.value) == (
        "serial:/dev/ttyNONE:115200: the port cannot be used (could not open port /dev/ttyNONE: "
        "[Errno 2] No such file or directory: '/dev/ttyNONE'); is the board plugged in?"
    )


def test_a_command_that_is_not_there(tmp_path: Path, pty: str) -> None:
    with pytest.raises(InputError) as wrong:
        flash(Port(pty, flash=("no-flasher", "{folder}")), tmp_path)
    assert str(wrong.value) == (
        "--flash-with: no-flasher {folder} cannot be started (No such file or directory); is the program installed?"
    )


def test_a_command_that_hangs_ends_with_all_that_it_started(tmp_path: Path, pty: str) -> None:
    script = "sleep 60 & echo $! > $0/pid; echo waiting; wait"
    with pytest.raises(NotFlashedError) as late:
        flash(Port(pty, flash=("sh", "-c", script, "{folder}")), tmp_path, seconds=0.5)
    assert str(late.value) == (
        f"--flash-with: sh -c {script} {{folder}} did not end within 0.5 seconds; it printed\n    waiting"
    )
    child = Path("/proc") / (tmp_path / "pid").read_text().strip() / "cmdline"
    for _ in range(100):
        if not child.exists() or child.read_bytes() == b"":  # a zombie has no command line
            return
        time.sleep(0.1)
    pytest.fail("what the command started lives on")


def test_a_server_that_the_command_leaves_behind_holds_nothing_up(tmp_path: Path, pty: str) -> None:
    started = time.monotonic()
    flash(Port(pty, flash=("sh", "-c", "sleep 30 & echo $! > $0/pid", "{folder}")), tmp_path)
    assert time.monotonic() - started < 20
    os.kill(int((tmp_path / "pid").read_text()), 9)
