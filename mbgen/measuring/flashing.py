"""The command of a board's own project that builds the program in a folder and flashes it.

Knows how the command is called. May not know what is in the folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from mbgen.errors import InputError, NotFlashedError
from mbgen.measuring.serial_port import Port, require_port
from mbgen.toolchain import excerpt

FOLDER, PORT = "{folder}", "{port}"  # what the command's words may have places for
FLASH_SECONDS = 600.0


def check_command(command: Sequence[str]) -> None:
    """Raise InputError unless the command says where it takes the folder."""
    if not any(FOLDER in word for word in command):
        raise InputError(
            f"--flash-with: {' '.join(command)!r} does not say where the folder of the program goes; "
            f"write {FOLDER} in its place"
        )


def flash(port: Port, folder: Path, seconds: float = FLASH_SECONDS) -> None:
    """Let the port's command build and flash the program in `folder`.

    InputError if there is no such command, or if it fails and the port is gone; NotFlashedError, with the last lines
    that it printed, if it does not end with exit code 0 within `seconds`.
    """
    places = {FOLDER: str(folder.resolve()), PORT: port.path}
    shown = f"--flash-with: {' '.join(port.flash)}"
    with tempfile.TemporaryFile() as printed:  # a pipe would not end before a server does that the command starts
        try:
            process = subprocess.Popen(
                [_filled(word, places) for word in port.flash],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"{shown} cannot be started ({error.strerror}); is the program installed?") from error
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            os.killpg(process.pid, signal.SIGKILL)  # with what it started, which may hold the board
            process.wait()
            raise NotFlashedError(f"{shown} did not end within {seconds:g} seconds{_said(printed)}") from late
        if code != 0:
            require_port(port)  # without its board no program is to blame
            raise NotFlashedError(f"{shown} ended with exit code {code}{_said(printed)}")


def _filled(word: str, places: Mapping[str, str]) -> str:
    for place, value in places.items():
        word = word.replace(place, value)
    return word


def _said(printed: IO[bytes]) -> str:
    printed.seek(0)
    return excerpt(printed.read().decode(errors="replace"), last=True)
