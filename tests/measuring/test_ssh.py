from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbgen.errors import InputError, MissingToolError, RefusedError
from mbgen.library import render, write
from mbgen.measuring import machines
from mbgen.measuring.lines import Report
from mbgen.measuring.machines import time_library
from mbgen.measuring.ssh import Remote, parse_remote, run_remote
from mbgen.running import read_manifest
from mbgen.target import load_target
from tests.support.compilers import need
from tests.support.tiny_network import make_network
from tests.support.tools import require_target

SSHD = "/usr/sbin/sshd"


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """This machine as ssh reaches it: an sshd of the test's own, with its own keys, on a free port of loopback."""
    for program in (SSHD, "ssh", "scp", "ssh-keygen"):
        need(program)
    folder = tmp_path_factory.mktemp("sshd")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = [
        "ListenAddress 127.0.0.1",
        f"Port {port}",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/user.pub",
        "PidFile none",
        "StrictModes no",  # the folder's parents belong to whoever runs the tests
        "UsePAM no",
        "PasswordAuthentication no",
        "Subsystem sftp internal-sftp",
    ]
    (folder / "config").write_text("".join(f"{line}\n" for line in lines))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # as Debian's service does
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stdin=subprocess.DEVNULL, stderr=log)
    try:
        _wait_for(port, folder / "log", server)
        options = [
            f"IdentityFile={folder}/user",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={folder}/known",
            "StrictHostKeyChecking=accept-new",
        ]
        words = tuple(word for option in options for word in ("-o", option))
        yield Remote(f"{getpass.getuser()}@127.0.0.1", port, options=("-F", "none", *words))
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int, log: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"sshd does not listen: {log.read_text()}")


def script(folder: Path, text: str) -> Path:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_program_runs_in_a_folder_of_its_own_that_is_gone_afterwards(remote: Remote, tmp_path: Path) -> None:
    folder = run_remote(remote, script(tmp_path, "touch made-here; pwd"), 30).strip()
    assert Path(folder).name.startswith("tmp.")
    assert not Path(folder).exists()


def test_a_folder_that_is_none_is_left_alone(remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be removed with all that is in it."""
    asked: list[str] = []

    def answer(_: Remote, shell: str, __: float) -> str:
        asked.append(shell)
        return "/home\n"

    monkeypatch.setattr("mbgen.measuring.ssh._ssh", answer)
    with pytest.raises(RefusedError) as refused:
        run_remote(remote, tmp_path / "program", 30)
    assert str(refused.value) == (
        f"{remote.name}: mktemp -d gave no folder to copy the program to, but '/home'; look at TMPDIR and mktemp there"
    )
    assert asked == ["mktemp -d"]


def test_words_before_the_program_reach_it_whole(remote: Remote, tmp_path: Path) -> None:
    remote = Remote(remote.login, remote.port, ("env", "GREETING=two words; $HOME"), remote.options)
    assert run_remote(remote, script(tmp_path, 'echo "$GREETING"'), 30) == "two words; $HOME\n"


def test_a_program_that_fails(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        run_remote(remote, script(tmp_path, "echo bad luck >&2; exit 3"), 30)
    assert str(refused.value) == f"{remote.name}: the program ended with exit code 3; its last words: bad luck"


def test_a_program_that_hangs(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        run_remote(remote, script(tmp_path, f"sleep 3; touch {tmp_path}/went-on"), 1)
    assert str(refused.value) == f"{remote.name}: the program did not end within 1 seconds"
    time.sleep(3)
    assert not (tmp_path / "went-on").exists()


def test_a_machine_that_does_not_answer(tmp_path: Path) -> None:
    need("ssh")
    with pytest.raises(InputError) as wrong:
        run_remote(Remote("nobody@127.0.0.1", 1), script(tmp_path, "true"), 30)
    assert str(wrong.value) == (
        "ssh:nobody@127.0.0.1:1: the machine cannot be reached without a password; "
        "ssh says: ssh: connect to host 127.0.0.1 port 1: Connection refused"
    )


def test_without_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError) as missing:
        run_remote(Remote("me@board"), tmp_path / "program", 30)
    assert str(missing.value) == "ssh:me@board needs ssh; install it with: apt-get install openssh-client"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("pi@raspberrypi", Remote("pi@raspberrypi")), ("a.b-c@10.0.0.7:2222", Remote("a.b-c@10.0.0.7", 2222))],
)
def test_addresses(address: str, expected: Remote) -> None:
    assert parse_remote(address) == expected
    assert expected.name == f"ssh:{address}"


@pytest.mark.parametrize("address", ["", "raspberrypi", "-oProxyCommand=x@y", "a@-x", "a@b:", "a@b:ssh", "a@b c", "@b"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InputError) as wrong:
        parse_remote(address)
    assert str(wrong.value) == f"ssh:{address} names no machine; write ssh:USER@HOST or ssh:USER@HOST:PORT"


@pytest.mark.parametrize("name", ["host", "cortex-a72"])
def test_a_library_is_timed_on_another_machine(
    remote: Remote, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines.time_programs, "__defaults__", (1,))
    monkeypatch.setattr(machines.build_timed, "__defaults__", (1, 20))
    target = require_target(name)
    if target.emulator is not None:  # this machine is not one that runs its code by itself
        prefix = (str(shutil.which(target.emulator)), "-cpu", str(target.qemu_cpu))
        remote = Remote(remote.login, remote.port, prefix, remote.options)
    write(render(make_network("int8", "rows", target=name)), tmp_path / "tiny")
    manifest = read_manifest(tmp_path / "tiny")
    reports = time_library(tmp_path / "tiny", manifest, load_target(name), remote, 2, lambda *_: None)
    assert all(_is_sound(report, len(manifest["layers"])) for report in reports)


def _is_sound(report: Report, layers: int) -> bool:
    load = report.load
    return (
        (report.build.name, report.hz) == ("tiny", 10**9)
        and min(report.runs) > 0
        and {len(profile) for profile in report.profiles} == {layers}
        and load is not None
        and (load.instances, load.runs > 1) == (2, True)
    )
