from __future__ import annotations

import json
from pathlib import Path

import pytest

from mbgen.bench import bench
from mbgen.errors import InputError, RefusedError
from mbgen.library import render, write
from mbgen.measuring import emulator
from mbgen.measuring.blocks import count_blocks, instructions, read_marks
from mbgen.running import build_program, read_manifest
from mbgen.target import load_target
from tests.support.tiny_library import write_tiny_library
from tests.support.tiny_network import make_network
from tests.support.tools import require_target

# a loop whose instructions can be counted by hand: one before it, three in each turn
LOOPS = {
    "cortex-m4": 'movs r3, #{turns}\\n0: nop\\n\\tsubs r3, #1\\n\\tbne 0b"::: "r3", "cc"',
    "cortex-m55": 'movs r3, #{turns}\\n0: nop\\n\\tsubs r3, #1\\n\\tbne 0b"::: "r3", "cc"',
    "cortex-a72": 'mov x9, #{turns}\\n0: nop\\n\\tsubs x9, x9, #1\\n\\tb.ne 0b"::: "x9", "cc"',
}
MAIN = """
#include "harness.h"
#include "marks.h"
int main(void)
{{
    MEASURE_MARK(1);
    __asm__ volatile("{first});
    MEASURE_MARK(2);
    MEASURE_MARK(3);
    __asm__ volatile("{second});
    MEASURE_MARK(0);
    harness_exit(0);
}}
"""


def counted(target: str, tmp_path: Path) -> Path:
    """A program of two loops, of 100 turns in segment 1 and of 7 in segment 3."""
    require_target(target)
    directory = tmp_path / "library"
    write_tiny_library(directory, target)
    main = MAIN.format(first=LOOPS[target].format(turns=100), second=LOOPS[target].format(turns=7))
    return build_program([directory], main, tmp_path, emulator.marking(read_manifest(directory)["name"], tmp_path))


@pytest.mark.parametrize("target", sorted(LOOPS))
def test_count_of_a_loop_by_hand(target: str, tmp_path: Path) -> None:
    core = require_target(target)
    measured = emulator.measure_program(core, counted(target, tmp_path), tmp_path)
    assert {number: figures["instructions"] for number, figures in measured.segments.items()} == {1: 301, 3: 22}
    assert measured.total["instructions"] == 323
    assert 323 / 4 < measured.total["cycles~"] < 323 * 4


def test_marks_in_one_place_are_the_last(tmp_path: Path) -> None:
    marks = read_marks(counted("cortex-m4", tmp_path))
    assert [segment for _, segment in marks] == [1, 3, 0]


def test_nothing_counted_is_refused(tmp_path: Path) -> None:
    require_target("cortex-m4")
    write_tiny_library(tmp_path / "library", "cortex-m4")
    program = build_program([tmp_path / "library"], "int main(void) { return 0; }", tmp_path)
    with pytest.raises(RefusedError, match=r"^tiny on cortex-m4: nothing was counted between its marks$"):
        count_blocks(load_target("cortex-m4"), program, tmp_path, 60)


def test_host_has_no_emulator(tmp_path: Path) -> None:
    message = "^host runs without an emulator, which is what counts instructions; measure seconds instead$"
    with pytest.raises(InputError, match=message):
        emulator.measure_program(load_target("host"), tmp_path / "program", tmp_path)


@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4", "cortex-a72"])
def test_bench_of_a_library(target: str, tmp_path: Path) -> None:
    require_target(target)
    network = make_network("int8", "rows", target=target)
    write(render(network), tmp_path / "tiny")
    found = bench(tmp_path / "tiny", None, lambda *_: None)
    manifest = json.loads((tmp_path / "tiny" / "manifest.json").read_text())
    assert [layer.name for layer in found.layers] == [layer["name"] for layer in manifest["layers"]]
    own = sum(layer.figures.get("instructions", 0) for layer in found.layers)
    assert 0 < own < found.total["instructions"]
    assert all(layer.figures["instructions"] > layer.macs / 40 for layer in found.layers if layer.macs)
    assert ("cycles~" in found.total) == (load_target(target).cost_model is not None)


def test_count_repeats_to_the_instruction(tmp_path: Path) -> None:
    program = counted("cortex-m4", tmp_path)
    blocks = [count_blocks(load_target("cortex-m4"), program, tmp_path, 60) for _ in range(2)]
    assert instructions(blocks[0]) == instructions(blocks[1]) == 323


def test_a_library_for_threads_is_counted_on_one(tmp_path: Path) -> None:
    """Else the threads that wait would count, and no two counts would be the same."""
    require_target("cortex-a72")
    totals = []
    for flags in ((), ("-fopenmp",)):
        directory = tmp_path / f"library{len(flags)}"
        write_tiny_library(directory, "cortex-a72")
        path = directory / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["target"]["c_flags"] += flags
        path.write_text(json.dumps(manifest))
        network = directory / "src" / "tiny.c"
        loop = "for (int i = 0; i < 12; ++i)"
        assert loop in network.read_text()
        network.write_text(network.read_text().replace(loop, f'_Pragma("omp parallel for num_threads(2)")\n    {loop}'))
        folder = tmp_path / f"program{len(flags)}"
        folder.mkdir()
        target = load_target("cortex-a72")
        totals.append(emulator.measure_library(directory, manifest, target, folder).total["instructions"])
    assert totals[0] == totals[1]


def test_unknown_runner(tmp_path: Path) -> None:
    write(render(make_network("int8", target="cortex-m4")), tmp_path / "tiny")
    with pytest.raises(
        InputError,
        match=r"^there is no runner 'board'; choose emulator, host, ssh:USER@HOST\[:PORT\] or serial:PORT\[:BAUD\]$",
    ):
        bench(tmp_path / "tiny", "board", lambda *_: None)
