from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mbgen.bench import bench
from mbgen.cli import main
from mbgen.data import data_folder
from mbgen.errors import InputError, RefusedError
from mbgen.library import render, write
from mbgen.measuring import machines
from mbgen.measuring.machines import Host, build_timed, parse_machine, time_programs, write_firmware
from mbgen.measuring.serial_port import Port
from mbgen.measuring.ssh import Remote
from mbgen.running import read_manifest
from mbgen.target import load_target
from tests.support.compilers import COMPILERS, STRICT, call, includes
from tests.support.tiny_network import make_network
from tests.support.tools import require_target


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines.time_programs, "__defaults__", (1,))
    monkeypatch.setattr(machines.build_timed, "__defaults__", (1, 20))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A library for this machine."""
    require_target("host")
    write(render(make_network("float32", "rows")), tmp_path / "tiny")
    return tmp_path / "tiny"


def test_time_on_this_machine(tiny: Path) -> None:
    found = bench(tiny, None, lambda *_: None, instances=2)
    assert (found.runner, found.model, set(found.total)) == ("host", None, {"seconds"})
    assert found.latency is not None
    assert 0 < found.latency.least <= found.latency.median <= found.latency.p95
    assert found.total["seconds"] == found.latency.median
    assert found.macs_per_cycle is not None
    assert found.throughput is not None
    assert found.throughput.concurrency == found.throughput.per_second * found.throughput.latency
    assert 0 < found.throughput.concurrency < 2.000001


def test_programs_take_turns(tiny: Path, tmp_path: Path) -> None:
    programs = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        programs.append(build_timed(tiny, read_manifest(tiny), Host(), folder, milliseconds=1))
    reports = time_programs(programs, load_target("host"), Host(), 60, rounds=2)
    assert [len(own) for own in reports] == [2, 2]
    assert all(report.core_hz > 10**8 and report.load is None for own in reports for report in own)


def test_a_library_that_computes_something_wrong(tiny: Path) -> None:
    source = tiny / "src" / "tiny_selftest.c"
    text, edits = re.subn(r"(test_output\[\d+\] = \{\s*)[^,\s]+", r"\g<1>-1000.0f", source.read_text())
    assert edits == 1
    source.write_text(text)
    with pytest.raises(RefusedError) as refused:
        bench(tiny, "host", lambda *_: None)
    assert str(refused.value) == "tiny gives a wrong result: its self-test failed where it was measured"


def test_the_document_of_the_command(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in document["layers"]] == [layer["name"] for layer in read_manifest(tiny)["layers"]]
    assert set(document["latency"]) == {"unit", "runs", "median", "p95", "least"}
    assert document["throughput"] is None


def test_the_text_of_the_command(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny), "--instances", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("latency: median ") and line.endswith(" inferences") for line in lines)
    assert lines[-1].startswith("2 instances at a time: ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("host", Host()),
        ("ssh:pi@board:22", Remote("pi@board", 22, ("taskset", "-c", "3"))),
        ("serial:/dev/ttyACM0", Port("/dev/ttyACM0")),
    ],
)
def test_machines_by_name(name: str, expected: Host | Remote | Port) -> None:
    prefix = ("taskset", "-c", "3") if isinstance(expected, Remote) else ()
    assert parse_machine(name, prefix) == expected


@pytest.mark.parametrize(
    ("target", "runner", "options", "message"),
    [
        (
            "cortex-m4",
            "host",
            {},
            "host: it cannot run code for cortex-m4; "
            "measure with --runner emulator or, on a board, --runner serial:PORT",
        ),
        (
            "cortex-a72",
            "host",
            {},
            "host: it cannot run code for cortex-a72; measure with --runner emulator or ssh:USER@HOST",
        ),
        (
            "cortex-m4",
            "ssh:me@board",
            {},
            "ssh:me@board: it cannot run code for cortex-m4; "
            "measure with --runner emulator or, on a board, --runner serial:PORT",
        ),
        (
            "cortex-a72",
            "serial:/dev/ttyACM0",
            {},
            "serial:/dev/ttyACM0:115200: boards on a serial port are microcontrollers; cortex-a72 is not",
        ),
        (
            "cortex-m4",
            "serial:/dev/ttyACM0",
            {"instances": 2},
            "serial:/dev/ttyACM0:115200: a microcontroller runs one instance at a time; leave --instances out",
        ),
        (
            "cortex-m4",
            "emulator",
            {"instances": 2},
            "the emulator measures one inference at a time; --instances and --prefix need a real machine",
        ),
        ("host", "host", {"prefix": ("nice",)}, "--prefix is for programs that ssh starts, and the runner is host"),
        (
            "host",
            "host",
            {"flash": ("flash", "{folder}")},
            "--flash-with is for boards, and the runner is host; choose serial:PORT[:BAUD]",
        ),
        (
            "cortex-m4",
            "emulator",
            {"flash": ("flash", "{folder}")},
            "--flash-with is for boards, and the runner is emulator; choose serial:PORT[:BAUD]",
        ),
        (
            "cortex-m4",
            "serial:/dev/ttyACM0",
            {"flash": ("flash",)},
            "--flash-with: 'flash' does not say where the folder of the program goes; write {folder} in its place",
        ),
        (
            "host",
            "board",
            {},
            "there is no runner 'board'; choose emulator, host, ssh:USER@HOST[:PORT] or serial:PORT[:BAUD]",
        ),
        (
            "host",
            "emulator",
            {},
            "host runs without an emulator, which is what counts instructions; measure seconds instead",
        ),
    ],
)
def test_what_a_runner_cannot_do(
    target: str, runner: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    require_target(target)
    write(render(make_network("int8", target=target)), tmp_path / "tiny")
    with pytest.raises(InputError) as wrong:
        bench(tmp_path / "tiny", runner, lambda *_: None, **options)  # type: ignore[arg-type]
    assert str(wrong.value) == message


def test_prefix_that_is_no_words(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(tiny), "--runner", "ssh:a@b", "--prefix", "'"]) == 2
    assert '"\'" does not split into words (No closing quotation)' in capsys.readouterr().err


@pytest.mark.parametrize("compiler", [c for c, _, name in COMPILERS if not load_target(name).is_microcontroller])
def test_what_runs_on_linux_compiles_without_a_warning(compiler: str, tiny: Path, tmp_path: Path) -> None:
    compile_strictly([compiler, "-std=c99", "-DMEASURE_INSTANCES=2"], tiny, tmp_path, "machine_linux.c", "measure.c")


@pytest.mark.parametrize("name", ["cortex-m0plus", "cortex-m4", "cortex-m33", "cortex-m55"])
def test_firmware_compiles_without_a_warning(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = require_target(name)
    write(render(make_network("uint8", "rows", target=name)), tmp_path / "tiny")
    assert main(["bench", str(tmp_path / "tiny"), "--firmware", str(tmp_path / "board")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == (
        f"written to {tmp_path / 'board'}: board_mps2.c, machine_cortex_m.c, measure.c, measure.h, "
        "tiny_hooks.h, tiny_measured.c"
    )
    assert printed[-1] == f"then, with the board plugged in: mbgen bench {tmp_path / 'tiny'} --runner serial:PORT"
    for source in sorted((tmp_path / "board").glob("*.c")):
        hooks = ["-include", str(tmp_path / "board" / "tiny_hooks.h")]
        flags = [*target.c_flags, "-std=c99", *STRICT, *hooks, *includes(tmp_path / "tiny")]
        call([target.compiler, *flags, "-c", source, "-o", tmp_path / "object.o"])


def test_firmware_of_one_board_is_the_same_each_time(tiny: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tiny)
    for folder in ("a", "b"):
        write_firmware(manifest, tmp_path / folder)
    assert all(path.read_bytes() == (tmp_path / "b" / path.name).read_bytes() for path in (tmp_path / "a").iterdir())


def test_firmware_where_nothing_can_be_written(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as wrong:
        write_firmware(read_manifest(tiny), tmp_path / "file")
    assert str(wrong.value) == f"{tmp_path / 'file'}: the firmware cannot be written there (File exists)"


def compile_strictly(command: list[str], directory: Path, folder: Path, *sources: str) -> None:
    measuring = data_folder("templates") / "measuring"
    flags = [*STRICT, f"-I{measuring}", *includes(directory)]
    for source in sources:
        call([*command, *flags, "-c", measuring / source, "-o", folder / "object.o"])
