"""Runs a program under QEMU with the counting plugin, and gives how often each piece of its code ran.

The program says by MEASURE_MARK (templates/measuring/marks.h) which segment starts where; segment 0 is not counted.
Knows QEMU, ELF files and the plugin. May not know what a segment is or what an instruction costs.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mbgen.data import data_folder
from mbgen.errors import MissingToolError, RefusedError
from mbgen.target import Target
from mbgen.toolchain import call, run

MARKS = ".debug_measure_marks"  # the section that marks.h writes
BUILD_SECONDS = 60


@dataclass(frozen=True)
class Block:
    """A piece of straight-line code that ran `count` times in `segment`."""

    segment: int
    address: int
    instructions: int
    count: int
    code: bytes


def count_blocks(target: Target, program: Path, folder: Path, seconds: float) -> tuple[Block, ...]:
    """Run `program` in `folder` on the target's emulator.

    Errors as `toolchain.run`; RefusedError if nothing was counted.
    """
    marks, counts = folder / "marks.txt", folder / "blocks.txt"
    marks.write_text("".join(f"{address:x} {segment}\n" for address, segment in read_marks(program)), encoding="ascii")
    counts.unlink(missing_ok=True)
    run(target, program, folder, seconds, [f"file={_plugin()},marks={marks},out={counts}"])
    lines = counts.read_text(encoding="ascii").splitlines() if counts.is_file() else []
    if not lines:
        raise RefusedError(f"{program.name} on {target.name}: nothing was counted between its marks")
    return tuple(_block(line, target) for line in lines)


def read_marks(program: Path) -> list[tuple[int, int]]:
    """Address and segment of each mark of an ELF file, by address; those in code that the linker dropped are left out.

    Where marks stand next to each other, without an instruction between them, the last one counts.
    """
    from elftools.elf.elffile import ELFFile

    with program.open("rb") as stream:
        elf = ELFFile(stream)
        section = elf.get_section_by_name(MARKS)
        data = b"" if section is None else section.data()
        record = struct.Struct("<QI" if elf.elfclass == 64 else "<II")
    last = dict(record.iter_unpack(data))
    return [(address, last[address]) for address in sorted(last) if address]


def _block(line: str, target: Target) -> Block:
    segment, address, instructions, count, code = line.split()
    data = bytes.fromhex(code)
    if target.triple.startswith("thumb"):
        data = _whole_instructions(data, int(instructions))
    return Block(int(segment), int(address, 16), int(instructions), int(count), data)


def _whole_instructions(code: bytes, instructions: int) -> bytes:
    """The first Thumb instructions of `code`: QEMU 7.2 gives half an instruction more at the end of a page."""
    end = 0
    for _ in range(instructions):
        end += 4 if end + 1 < len(code) and code[end + 1] >= 0xE8 else 2
    return code[:end]


@functools.cache
def _plugin() -> Path:
    """The plugin, built once for each version of its source and kept in the user's cache."""
    source = data_folder("templates") / "measuring" / "count_blocks.c"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MissingToolError(
            "counting instructions needs gcc to build a QEMU plugin; install it with: apt-get install gcc libc6-dev"
        )
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mbgen"
    plugin = cache / f"count_blocks-{digest}.so"
    if not plugin.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            built = Path(name) / plugin.name
            done = call(
                [compiler, "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-o", str(built), str(source)], None, 60
            )
            if done.returncode != 0:
                raise RefusedError(f"{source.name}: {compiler} cannot build the QEMU plugin: {done.stdout.strip()}")
            built.replace(plugin)
    return plugin


def instructions(blocks: Sequence[Block]) -> int:
    """Instructions that ran in all."""
    return sum(block.instructions * block.count for block in blocks)
