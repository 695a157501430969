"""A program on another machine: copied there with scp, run with ssh, and taken away again.

Knows OpenSSH's command lines. May not know what the program prints.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbgen.errors import InputError, MissingToolError, RefusedError, TimeoutRefusedError

CONNECT_SECONDS = 10
SHORT_SECONDS = 60  # for what is not the program: a folder, a copy
FAILED_TO_CONNECT = 255  # exit code of ssh itself

_ADDRESS = re.compile(r"(?P<login>[\w.-]+@[\w][\w.-]*)(:(?P<port>\d{1,5}))?", re.ASCII)


@dataclass(frozen=True)
class Remote:
    """A machine as ssh reaches it without asking for anything: by key or agent."""

    login: str  # USER@HOST
    port: int | None = None
    prefix: tuple[str, ...] = ()  # words before the program, such as taskset -c 3
    options: tuple[str, ...] = ()  # more of them for ssh and scp alike

    @property
    def name(self) -> str:
        """As `--runner` takes it."""
        return f"ssh:{self.login}" + (f":{self.port}" if self.port else "")


def parse_remote(address: str, prefix: Sequence[str] = ()) -> Remote:
    """The machine of `USER@HOST[:PORT]`; InputError if it is not one."""
    match = _ADDRESS.fullmatch(address)
    if match is None or address.startswith("-"):
        raise InputError(f"ssh:{address} names no machine; write ssh:USER@HOST or ssh:USER@HOST:PORT")
    return Remote(match["login"], int(match["port"]) if match["port"] else None, tuple(prefix))


def run_remote(remote: Remote, program: Path, seconds: float) -> str:
    """Run `program` in an empty folder of the other machine, which is removed afterwards; returns what it printed.

    MissingToolError without ssh and scp; InputError if the machine cannot be reached; RefusedError if the program does
    not end well within `seconds`.
    """
    for tool in ("ssh", "scp"):
        if shutil.which(tool) is None:
            raise MissingToolError(f"{remote.name} needs {tool}; install it with: apt-get install openssh-client")
    folder = _ssh(remote, "mktemp -d", SHORT_SECONDS).strip()
    if not re.fullmatch(r"(/[\w-]+)+/tmp\.\w+", folder, re.ASCII):  # it will be removed with all that is in it
        raise RefusedError(
            f"{remote.name}: mktemp -d gave no folder to copy the program to, but {folder!r}; "
            "look at TMPDIR and mktemp there"
        )
    try:
        there = f"{folder}/{program.name}"
        _call(remote, [*_command(remote, "scp", "-P"), "-q", str(program), f"{remote.login}:{there}"], SHORT_SECONDS)
        words = " ".join(map(shlex.quote, [*remote.prefix, there]))
        # What ssh started goes on when ssh has ended; `timeout`, where there is one, ends it.
        limit = f"$(command -v timeout >/dev/null && echo timeout {math.ceil(seconds) + 1})"
        return _ssh(remote, f"cd {folder} && exec {limit} {words}", seconds)
    finally:
        _ssh(remote, f"rm -rf {folder}", SHORT_SECONDS)


def _ssh(remote: Remote, shell: str, seconds: float) -> str:
    return _call(remote, [*_command(remote, "ssh", "-p"), remote.login, shell], seconds)


def _command(remote: Remote, tool: str, port_option: str) -> list[str]:
    port = [port_option, str(remote.port)] if remote.port else []
    quiet = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    return [tool, *remote.options, *quiet, *port]


def _call(remote: Remote, command: Sequence[str], seconds: float) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise TimeoutRefusedError(f"{remote.name}: the program did not end within {seconds:g} seconds") from late
    if done.returncode == 0:
        return done.stdout
    said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
    if done.returncode == FAILED_TO_CONNECT or command[0] == "scp":
        raise InputError(f"{remote.name}: the machine cannot be reached without a password; {command[0]} says: {said}")
    raise RefusedError(f"{remote.name}: the program ended with exit code {done.returncode}; its last words: {said}")
