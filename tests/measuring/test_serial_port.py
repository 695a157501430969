from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mbgen.bench import bench
from mbgen.errors import InputError, MissingToolError, NotFlashedError, RefusedError, TimeoutRefusedError
from mbgen.library import render, write
from mbgen.measuring.lines import Build
from mbgen.measuring.machines import read_library, time_library, write_firmware
from mbgen.measuring.serial_port import Port, located, parse_port, read_board, require_port
from mbgen.running import build_program, read_manifest
from mbgen.target import load_target
from tests.support.emulated_board import CORE_HZ, emulated_board
from tests.support.report_lines import line, sent
from tests.support.tiny_network import make_network
from tests.support.tools import require_target

TINY = Build("tiny", 0x0A0B0C0D)
OLD = ("mbgen tiny 1 168496141 1000 2", "mbgen tiny 1 99 1000 2")  # what replaces the head of an older build's report


@contextmanager
def board(*texts: str) -> Iterator[Port]:
    """A pty on which a board sends that over and over."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    done = threading.Event()
    writer = threading.Thread(target=_send, args=(master, "".join(texts).encode("latin-1"), done))
    writer.start()
    try:
        yield Port(os.ttyname(slave))
    finally:
        done.set()
        writer.join()
        os.close(slave)
        os.close(master)


def _send(master: int, data: bytes, done: threading.Event) -> None:
    left = data
    while data and not done.is_set():
        try:
            left = left[os.write(master, left) :] or data
        except BlockingIOError:
            done.wait(0.01)


def test_the_first_whole_report_is_taken() -> None:
    damaged = sent()[:4]
    with board("\xff\x00garbage", *sent()[7:], *damaged, "run 3 7\n", *sent(("run 0 70", "run 0 75"))) as port:
        assert read_board(port, TINY, 2, 10).runs == (75, 72, 71)


def test_reports_that_all_come_damaged() -> None:
    damaged = "".join([*sent()[:2], "run 1 72 *0000\n"])
    with board(damaged * 4) as port, pytest.raises(RefusedError) as refused:
        read_board(port, TINY, 2, 10)
    assert str(refused.value) == (
        f"{port.name}: 4 reports came and none was whole: the line 'run 1 72 *0000' does not have its checksum, 43eb. "
        "Does the board send at 115200 baud? Is the cable long or the ground loose?"
    )


def test_silence() -> None:
    with board() as port, pytest.raises(TimeoutRefusedError) as refused:
        read_board(port, TINY, 0.1, 10)
    assert str(refused.value) == (
        f"{port.name}: nothing came for 0.1 seconds. Does the board run the program of `mbgen bench --firmware`, "
        "and send on this port?"
    )


def test_noise_for_ever() -> None:
    with board("\xa5" * 1000) as port, pytest.raises(TimeoutRefusedError) as refused:
        read_board(port, TINY, 1, 0)
    assert str(refused.value) == (
        f"{port.name}: no whole report came in time, though something did; does the board send at 115200 baud?"
    )


@pytest.mark.parametrize("patience", [0, 0.3])
def test_a_port_that_is_not_there(patience: float) -> None:
    with pytest.raises(InputError) as wrong:
        read_board(Port("/dev/ttyNONE"), TINY, 1, 1, patience)
    with pytest.raises(InputError) as required:
        require_port(Port("/dev/ttyNONE"))
    assert str(required.value) == str(wrong.value)
    assert str(wrong.value) == (
        "serial:/dev/ttyNONE:115200: the port cannot be used (could not open port /dev/ttyNONE: "
        "[Errno 2] No such file or directory: '/dev/ttyNONE'); is the board plugged in?"
    )


def test_a_port_that_comes_back(tmp_path: Path) -> None:
    with board(*sent()) as port:
        link = tmp_path / "tty"
        plug = threading.Timer(0.5, link.symlink_to, [port.path])
        plug.start()
        assert read_board(Port(str(link)), TINY, 2, 10, patience=20).runs == (70, 72, 71)
        plug.join()


def test_reports_of_what_the_board_ran_before_are_passed_over() -> None:
    failed = line(OLD[1]) + line("wrong")
    with board(failed * 3, *sent(OLD, ("run 0 70", "run 0 75")), *sent()) as port:
        assert read_board(port, TINY, 2, 10, patience=10).runs == (70, 72, 71)


@pytest.mark.parametrize(
    ("flash", "advice"),
    [
        ((), "build and flash its firmware again"),
        (("flash", "{folder}"), "does the command of --flash-with start what it flashes?"),
    ],
)
def test_a_board_that_runs_another_build(flash: tuple[str, ...], advice: str) -> None:
    with board(*sent(OLD)) as port, pytest.raises(NotFlashedError) as refused:
        read_board(Port(port.path, flash=flash), TINY, 2, 10, 0.3)
    assert str(refused.value) == (
        f"{port.name}: the board runs tiny of build 0x00000063, not tiny of build 0x0a0b0c0d; {advice}"
    )


def test_the_port_of_each_worker_is_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARD", "ttyACM1")
    assert located(parse_port("/dev/$BOARD:9600", ("flash",))) == Port("/dev/ttyACM1", 9600, ("flash",))
    monkeypatch.delenv("BOARD")
    with pytest.raises(InputError) as wrong:
        located(parse_port("$BOARD"))
    assert str(wrong.value) == (
        "serial:$BOARD:115200: BOARD is not set where the board is to be measured; "
        "start the worker with BOARD=PORT in its environment"
    )


def test_without_pyserial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(MissingToolError) as missing:
        read_board(Port("/dev/ttyACM0"), TINY, 1, 1)
    assert str(missing.value) == (
        "serial:/dev/ttyACM0:115200 needs pyserial; install it with: pip install 'mbgen[boards]'"
    )


@pytest.mark.parametrize(
    ("address", "expected"), [("/dev/ttyACM0", Port("/dev/ttyACM0")), ("COM3:9600", Port("COM3", 9600))]
)
def test_addresses(address: str, expected: Port) -> None:
    assert parse_port(address) == expected


@pytest.mark.parametrize("address", ["", ":9600", "/dev/ttyACM0:fast", "/dev/ttyACM0:"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InputError) as wrong:
        parse_port(address)
    assert str(wrong.value) == f"serial:{address} names no port; write serial:PORT or serial:PORT:BAUD"


@contextmanager
def flashed_board(directory: Path, folder: Path) -> Iterator[Port]:
    """The library's firmware on an emulated board whose UART is a pty of this machine: what a board on a cable is."""
    manifest = read_manifest(directory)
    target = require_target(manifest["target"]["name"])
    own = folder / "own"
    own.mkdir(parents=True)
    files = [folder / file for file in write_firmware(manifest, folder)]
    # QEMU's boards have no cycle counter, so that SysTick is the clock, as on a Cortex-M0+.
    flags = [
        "-DMEASURE_BY_SYSTICK",
        f"-DMEASURE_HZ={CORE_HZ}",
        f"-I{folder}",
        "-include",
        f"{manifest['name']}_hooks.h",
    ]
    sources = [file for file in files if file.suffix == ".c"]
    program = build_program([directory], "", own, flags, sources)
    quiet = ["-nographic", "-monitor", "none", "-serial", "pty"]
    command = [str(target.emulator), "-M", str(target.machine), *quiet, "-kernel", str(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as emulator:
        try:
            assert emulator.stdout is not None
            first = emulator.stdout.readline()
            found = re.search(r"redirected to (\S+)", first)
            assert found is not None, first
            yield Port(found[1])
        finally:
            emulator.kill()


def test_a_board_reports_over_its_uart(tmp_path: Path) -> None:
    require_target("cortex-m4")
    write(render(make_network("int8", "rows", target="cortex-m4")), tmp_path / "tiny")
    with flashed_board(tmp_path / "tiny", tmp_path / "board") as port:
        found = bench(tmp_path / "tiny", f"serial:{port.path}", lambda *_: None)
    assert found.runner == port.name
    assert set(found.total) == {"seconds", "cycles"}
    assert found.total["cycles"] == pytest.approx(found.total["seconds"] * CORE_HZ)
    assert found.latency is not None
    assert found.latency.runs >= 3
    assert all(set(layer.figures) == {"seconds", "cycles"} for layer in found.layers)


def test_a_board_that_runs_another_library(tmp_path: Path) -> None:
    require_target("cortex-m4")
    for name, dtype in (("tiny", "int8"), ("other", "uint8")):
        write(render(make_network(dtype, target="cortex-m4")), tmp_path / name)  # type: ignore[arg-type]
    target, directory = load_target("cortex-m4"), tmp_path / "other"
    with flashed_board(tmp_path / "tiny", tmp_path / "board") as port, pytest.raises(RefusedError) as refused:
        time_library(directory, read_manifest(directory), target, port, 1, lambda *_: None)
    assert re.fullmatch(
        rf"{port.name}: the board runs tiny of build 0x[0-9a-f]{{8}}, not tiny of build 0x[0-9a-f]{{8}}; "
        r"build and flash its firmware again",
        str(refused.value),
    )


def test_a_board_is_given_one_library_after_another(tmp_path: Path) -> None:
    require_target("cortex-m4")
    for name, dtype in (("one", "int8"), ("two", "uint8")):
        write(render(make_network(dtype, name=name, target="cortex-m4")), tmp_path / name)  # type: ignore[arg-type]
    before = sorted((tmp_path / "one").rglob("*"))
    with emulated_board(tmp_path / "board") as board:
        for name in ("one", "two"):
            found = bench(tmp_path / name, board.runner, lambda *_: None, flash=board.flash)
            assert (found.name, found.runner) == (name, f"{board.runner}:115200")
            assert set(found.total) == {"seconds", "cycles"}
    assert sorted((tmp_path / "one").rglob("*")) == before


def test_a_library_without_its_build(tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    write(render(make_network(target="cortex-m4")), directory)
    header = directory / "include" / "tiny.h"
    header.write_text(header.read_text().replace("BUILD_ID", "BUILD"))
    with pytest.raises(InputError) as wrong:
        read_library(directory, read_manifest(directory), Port("/dev/ttyNONE"), 1)
    assert str(wrong.value) == f"{directory}: include/tiny.h defines no TINY_BUILD_ID; compile the library again"
