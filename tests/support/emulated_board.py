"""Emulated MPS2 boards with their UARTs on ptys, and the command of their project that builds and flashes a program."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORE_HZ = 25_000_000  # of QEMU's MPS2 boards

# QEMU's boards have no cycle counter, so that SysTick is the clock, as on a Cortex-M0+.
CLOCK = ("-DMEASURE_BY_SYSTICK", f"-DMEASURE_HZ={CORE_HZ}", "-DMEASURE_MILLISECONDS=1")
INCLUDES = ("-I{firmware}", "-include", "{firmware}/{name}_hooks.h")
FLASH = """
import os, re, signal, subprocess, sys, time
from pathlib import Path
from mbgen.running import build_program, read_manifest
from mbgen.target import load_target

folder, port = map(Path, sys.argv[1:3])
manifest, firmware = read_manifest(folder), folder / "firmware"
flags = [word.format(firmware=firmware, name=manifest["name"]) for word in sys.argv[3:]]
program = build_program([folder], "", port.parent, flags, sorted(firmware.glob("*.c")))
running = port.parent / "emulator.pid"
if running.exists():
    os.kill(int(running.read_text()), signal.SIGKILL)
target, said = load_target(manifest["target"]["name"]), port.parent / "emulator.txt"
command = [target.emulator, "-M", target.machine, "-nographic", "-monitor", "none", "-serial", "pty"]
with said.open("w") as output:
    emulator = subprocess.Popen(
        [*command, "-kernel", program], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    )
running.write_text(str(emulator.pid))
while (found := re.search(r"redirected to (\\S+) ", said.read_text())) is None:
    assert emulator.poll() is None, said.read_text()
    time.sleep(0.01)
new = port.with_suffix(".new")
new.symlink_to(found[1])
new.replace(port)
"""


@dataclass(frozen=True)
class EmulatedBoard:
    """A board without a program; `flash` gives it one, and from then on `port` is its UART."""

    port: Path
    flash: tuple[str, ...]

    @property
    def runner(self) -> str:
        return f"serial:{self.port}"


@contextmanager
def emulated_board(folder: Path, flags: Sequence[str] = (*CLOCK, *INCLUDES)) -> Iterator[EmulatedBoard]:
    """A board on a port in `folder`, where its project is; `flags` are the project's, which serves other boards too."""
    folder.mkdir()
    script = folder / "flash.py"
    script.write_text(FLASH)
    try:
        python = ("env", f"PYTHONPATH={os.pathsep.join(sys.path)}", sys.executable)
        yield EmulatedBoard(folder / "tty", (*python, str(script), "{folder}", "{port}", *flags))
    finally:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((folder / "emulator.pid").read_text()), signal.SIGKILL)
