"""A kernel's code as the compiler makes it: its size, and the assembly of its longest innermost loop.

Knows object files and disassembly. May not know layers or pages.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mbgen.running import read_manifest
from mbgen.target import load_target
from mbgen.toolchain import compile_object, disassemble

_FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>[^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*(?P<address>[0-9a-f]+):\s+(?P<text>.+)$")
# A conditional branch: its operand ends with the address and, in angle brackets, the symbol that it lies in. Others
# jump back from code that the compiler moved away, and close no loop.
_BRANCH = re.compile(
    r"^(?!b(?:\.[nw])? |bl[ x.]|bx |jmp)(?:b|j|le|cbn?z|tbn?z)\S*\s+(?:.*,\s*)?(?:0x)?(?P<target>[0-9a-f]+)"
    r"(?: <[^>]*>)?\s*(?:[;@/].*)?$"
)


@dataclass(frozen=True)
class Instruction:
    """One line of a disassembly; `target` is where it branches to, if it does."""

    address: int
    text: str
    target: int | None


@dataclass(frozen=True, eq=False)
class Listing:
    """The library's kernels: C text, assembly and bytes of code, by symbol."""

    c_text: Mapping[str, str]
    assembly: Mapping[str, str]  # of the longest innermost loop; the whole kernel where there is none
    code_bytes: Mapping[str, int]
    default_c_text: Mapping[str, str]  # of tuned kernels, as their default schedules make them, where that is known
    default_assembly: Mapping[str, str]  # of these, where the library has all helpers that they call


def read_listing(directory: Path) -> Listing:
    """Compile the library's kernels as its manifest says, and read them back. Errors as `toolchain.compile_object`."""
    manifest = read_manifest(directory)
    target = load_target(manifest["target"]["name"])
    source = directory / "src" / f"{manifest['name']}_kernels.c"
    flags = [*manifest["target"]["c_flags"], "-I", str(directory / "include"), "-I", str(directory / "src")]
    kernels = {layer["kernel"] for layer in manifest["layers"] if layer["kernel"] is not None}
    text = source.read_text(encoding="ascii")
    c_text = _c_functions(text, kernels)
    defaults = {
        tuned["kernel"]: _with_body(c_text[tuned["kernel"]], tuned["kernel"], tuned["default"]["body"])
        for tuned in manifest["tuning"]
        if tuned["default"] is not None and tuned["kernel"] in c_text
    }
    header = (directory / "src" / f"{manifest['name']}_internal.h").read_text(encoding="ascii")
    known = {
        symbol: made
        for symbol, made in defaults.items()
        if _calls(made, manifest["name"]) <= {symbol, *_calls(header, manifest["name"])}
    }
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        compiled = compile_object(target, source, Path(name) / "kernels.o", flags)
        functions, sizes = parse_disassembly(disassemble(target, compiled)), _sizes(compiled)
        others: dict[str, list[Instruction]] = {}
        if known:
            for symbol, made in known.items():
                text = text.replace(c_text[symbol], made)
            replaced = Path(name) / source.name
            replaced.write_text(text, encoding="ascii")
            others = parse_disassembly(
                disassemble(target, compile_object(target, replaced, Path(name) / "defaults.o", flags))
            )
    return Listing(
        c_text=c_text,
        assembly=_hot_assembly(functions, kernels),
        code_bytes={symbol: sizes[symbol] for symbol in sorted(kernels & sizes.keys())},
        default_c_text=defaults,
        default_assembly=_hot_assembly(others, set(known)),
    )


def _hot_assembly(functions: Mapping[str, Sequence[Instruction]], symbols: set[str]) -> dict[str, str]:
    return {
        symbol: "\n".join(instruction.text for instruction in hot_loop(functions[symbol]))
        for symbol in sorted(symbols & functions.keys())
    }


def _with_body(function: str, symbol: str, body: str) -> str:
    """A function's definition with other statements, without the comment above it."""
    head = function[function.index(f"void {symbol}(") :]
    return f"{head[: head.index('{')]}{{\n{body}}}"


def _calls(text: str, name: str) -> set[str]:
    """Functions of the library's own that a text calls or defines."""
    return set(re.findall(rf"\b{name}_\w+(?=\()", text))


def parse_disassembly(text: str) -> dict[str, list[Instruction]]:
    """The functions of what `objdump --disassemble --no-show-raw-insn` prints."""
    functions: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for line in text.splitlines():
        if function := _FUNCTION.match(line):
            current = functions.setdefault(function["name"], [])
        elif instruction := _INSTRUCTION.match(line):
            shown = re.sub(r"\s+", " ", instruction["text"].strip())
            branch = _BRANCH.match(shown)
            current.append(
                Instruction(int(instruction["address"], 16), shown, int(branch["target"], 16) if branch else None)
            )
    return functions


def hot_loop(instructions: Sequence[Instruction]) -> Sequence[Instruction]:
    """The longest loop that has no other in it, from a branch's target to the branch; all of them if there is none."""
    start = instructions[0].address if instructions else 0
    loops = [
        (one.target, one.address)
        for one in instructions
        if one.target is not None and start <= one.target <= one.address
    ]
    innermost = [
        loop
        for loop in loops
        if not any(other != loop and loop[0] <= other[0] and other[1] <= loop[1] for other in loops)
    ]
    if not innermost:
        return instructions
    bodies = [[one for one in instructions if low <= one.address <= high] for low, high in innermost]
    return max(bodies, key=len)


def _c_functions(text: str, symbols: set[str]) -> dict[str, str]:
    """The definitions of `symbols` in a generated file, each with the comment above it."""
    found = {}
    for block in re.split(r"\n(?=/\*\n|/\* )", text):
        for symbol in symbols:
            if re.search(rf"^void {symbol}\(", block, re.MULTILINE):
                found[symbol] = block.rstrip()
    return found


def _sizes(compiled: Path) -> dict[str, int]:
    from elftools.elf.elffile import ELFFile

    with compiled.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        return {
            symbol.name: symbol["st_size"]
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"]
        }
