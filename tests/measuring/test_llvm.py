from __future__ import annotations

import pytest

from mbgen.errors import MissingToolError
from mbgen.measuring import llvm
from mbgen.target import load_target

ADD, NOP = bytes.fromhex("0130"), bytes.fromhex("00bf")  # adds r0, #1; nop


def test_pieces_are_told_apart() -> None:
    assembly = llvm.disassemble([ADD + NOP, NOP, ADD + NOP], load_target("cortex-m4"))
    assert assembly == {ADD + NOP: ("adds r0, #1", "nop"), NOP: ("nop",)}


def test_cycles_of_a_chain_are_its_length() -> None:
    chain = ADD * 12
    cycles = llvm.block_cycles(llvm.disassemble([chain], load_target("cortex-m7")), load_target("cortex-m7"))
    assert cycles[chain] == pytest.approx(12, abs=1)


def test_block_cut_short_is_priced() -> None:
    cut = bytes.fromhex("08bf")  # it eq, and nothing behind it
    assert llvm.block_cycles(llvm.disassemble([cut], load_target("cortex-m7")), load_target("cortex-m7"))


def test_missing_llvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    llvm._path.cache_clear()
    with pytest.raises(
        MissingToolError, match=r"^modelled cycles need llvm-mc-19; install it with: apt-get install llvm-19$"
    ):
        llvm.disassemble([NOP], load_target("cortex-m4"))
    llvm._path.cache_clear()
