from __future__ import annotations

from pathlib import Path

import pytest

from mbgen.library import render, write
from mbgen.report.listing import hot_loop, parse_disassembly, read_listing
from tests.support.tiny_network import make_network

THUMB = """
libtiny.o:     file format elf32-littlearm

00000000 <kernel>:
   0:\tpush\t{r4, lr}
   2:\tmovs\tr3, #0
   4:\tldr.w\tr2, [r0], #4
   8:\tsubs\tr1, #1
   a:\tbne.n\t4 <kernel+0x4>
   c:\tadds\tr3, #1
   e:\tcmp\tr3, #9
  10:\tblt.n\t2 <kernel+0x2>
  12:\tb.n\t0 <kernel>
  14:\tpop\t{r4, pc}

00000018 <other>:
  18:\tbx\tlr
"""
AARCH64 = """
0000000000000000 <kernel>:
   0:\tfmla\tv4.4s, v0.4s, v5.4s
   4:\tb.ne\t0 <kernel>  // b.any
   8:\tcbnz\tx3, 0 <kernel>
   c:\tret
"""
X86 = """
0000000000000010 <kernel>:
  10:\tvfmadd231ps (%rdi),%ymm1,%ymm0
  15:\tdec    %rcx
  18:\tjne    10 <kernel>
  1a:\tjmp    10 <kernel>
"""


def test_functions_are_told_apart() -> None:
    functions = parse_disassembly(THUMB)
    assert list(functions) == ["kernel", "other"]
    assert [one.text for one in functions["other"]] == ["bx lr"]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        (THUMB, "ldr.w r2, [r0], #4", "bne.n 4 <kernel+0x4>"),
        (AARCH64, "fmla v4.4s, v0.4s, v5.4s", "b.ne 0 <kernel> // b.any"),
        (X86, "vfmadd231ps (%rdi),%ymm1,%ymm0", "jne 10 <kernel>"),
    ],
)
def test_hot_loop_is_the_innermost(text: str, first: str, last: str) -> None:
    loop = hot_loop(parse_disassembly(text)["kernel"])
    assert (loop[0].text, loop[-1].text) == (first, last)


def test_without_a_loop_all_of_it_is_shown() -> None:
    assert [one.text for one in hot_loop(parse_disassembly(THUMB)["other"])] == ["bx lr"]


def test_listing_of_a_library(tmp_path: Path) -> None:
    network = make_network("int8")
    write(render(network), tmp_path / "tiny")
    listing = read_listing(tmp_path / "tiny")
    kernels = {kernel.symbol for kernel in network.lowered.kernels}
    assert listing.c_text.keys() == listing.assembly.keys() == listing.code_bytes.keys() == kernels
    for symbol in kernels:
        assert f"void {symbol}(" in listing.c_text[symbol]
        assert listing.assembly[symbol]
        assert listing.code_bytes[symbol] > 0
