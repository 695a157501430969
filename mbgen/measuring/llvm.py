"""LLVM's tools on pieces of machine code: the assembly of each, and its cycles on a model of the core.

Knows LLVM's command lines. May not know where the code comes from.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from mbgen.errors import MbgenError, MissingToolError
from mbgen.target import Target

VERSION = 19  # its models are the ones that were checked (docs/measuring.md)
SECONDS = 300
FEW, MANY = 10, 60  # iterations of a block; what more of them take is what one more takes

# code that stands between pieces: no compiler emits it, so it tells them apart in one text
_SEPARATORS = {"thumb": bytes.fromhex("fede"), "aarch64": bytes(4)}
_SEPARATOR = re.compile(r"^(trap|udf\s+#0)$")
_PAIRS = ("eq ne", "hs lo", "mi pl", "vs vc", "hi ls", "ge lt", "gt le")
_INVERSE = {a: b for pair in _PAIRS for a, b in (pair.split(), pair.split()[::-1])}


def disassemble(codes: Sequence[bytes], target: Target) -> dict[bytes, tuple[str, ...]]:
    """The instructions of each piece of code, as LLVM's assembler writes them."""
    distinct = list(dict.fromkeys(codes))
    separator = _SEPARATORS["aarch64" if target.triple.startswith("aarch64") else "thumb"]
    text = "\n".join(" ".join(f"0x{byte:02x}" for byte in code + separator) for code in distinct)
    core = [f"--triple={target.triple}", f"--mcpu={target.mca_cpu}"]
    pieces: list[tuple[str, ...]] = []
    current: list[str] = []
    for line in _tool("llvm-mc", ["-disassemble", *core], text).splitlines():
        instruction = re.sub(r"\s+", " ", re.split(r"@|//", line)[0].strip())
        if _SEPARATOR.match(instruction):
            pieces.append(tuple(current))
            current = []
        elif instruction and not instruction.startswith("."):
            current.append(instruction)
    if len(pieces) != len(distinct):
        raise MbgenError(f"llvm-mc gave {len(pieces)} pieces of assembly for {len(distinct)} pieces of code")
    return dict(zip(distinct, pieces, strict=True))


def block_cycles(pieces: Mapping[bytes, Sequence[str]], target: Target) -> dict[bytes, float]:
    """What one more run of each piece takes on llvm-mca's model of the core, in cycles.

    Pieces that it cannot price are left out. No caches, no flash wait states, no penalty of taken branches.
    """
    keys = [key for key, lines in pieces.items() if lines]
    text = "\n".join(
        "\n".join((f"# LLVM-MCA-BEGIN {index}", *_priceable(pieces[key], target), "# LLVM-MCA-END"))
        for index, key in enumerate(keys)
    )
    few, many = (_total_cycles(text, target, iterations) for iterations in (FEW, MANY))
    return {
        key: (many[index] - few[index]) / (MANY - FEW)
        for index, key in enumerate(keys)
        if index in few and index in many
    }


def _total_cycles(text: str, target: Target, iterations: int) -> dict[int, float]:
    flags = [f"-iterations={iterations}", "-json", "-skip-unsupported-instructions=any"]
    document = json.loads(
        _tool("llvm-mca", [f"--mtriple={target.triple}", f"--mcpu={target.mca_cpu}", *flags], f"{text}\n")
    )
    return {int(region["Name"]): float(region["SummaryView"]["TotalCycles"]) for region in document["CodeRegions"]}


def _priceable(lines: Sequence[str], target: Target) -> list[str]:
    """The piece as llvm-mca can price it: calls as branches, which it would charge 100 cycles, and no IT cut short."""
    wide = target.triple.startswith("aarch64")
    made = []
    for index, line in enumerate(lines):
        name, _, rest = line.partition(" ")
        if name == "bl":
            made.append("b #8")
        elif name in ("blx", "blr"):
            made.append("br x9" if wide else "bx r3")
        elif (block := re.fullmatch(r"i(t[te]*)", name)) and not wide:
            made.append(line if _whole(block[1], rest.strip(), lines[index + 1 :]) else "nop")
        else:
            made.append(line)
    return made


def _whole(block: str, condition: str, following: Sequence[str]) -> bool:
    """Whether all instructions of an IT block follow: a translation block may end in the middle of one."""
    wanted = [condition if letter == "t" else _INVERSE.get(condition, condition) for letter in block]
    names = [line.split(" ")[0] for line in following[: len(wanted)]]
    return len(names) == len(wanted) and all(
        re.fullmatch(rf"[a-z0-9]+?{suffix}(\.\w+)*", name) for suffix, name in zip(wanted, names, strict=True)
    )


def _tool(program: Literal["llvm-mc", "llvm-mca"], flags: Sequence[str], text: str) -> str:
    """What one of LLVM's programs prints for `text` on its standard input."""
    command = [str(_path(program)), *flags]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=SECONDS, check=False)
    if not done.stdout:  # its exit code also tells of single instructions that it does not know
        raise MbgenError(f"{program}-{VERSION} gives nothing for the code: {done.stderr.strip()[:500]}")
    return done.stdout


@functools.cache
def _path(program: Literal["llvm-mc", "llvm-mca"]) -> Path:
    found = shutil.which(f"{program}-{VERSION}")
    if found is None:
        raise MissingToolError(
            f"modelled cycles need {program}-{VERSION}; install it with: apt-get install llvm-{VERSION}"
        )
    return Path(found)
