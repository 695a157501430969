"""One trial: a layer alone has the network's kernel, its figure is exact, and failures are told by their cause."""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
from pathlib import Path

import pytest

from mbgen.errors import InputError
from mbgen.graph import Array, Graph, macs
from mbgen.measuring.emulator import Emulator
from mbgen.measuring.machines import Host
from mbgen.measuring.serial_port import Port
from mbgen.measuring.ssh import Remote
from mbgen.options import CompileOptions, Optimize
from mbgen.pipeline import Planned, plan_model
from mbgen.reference import execute
from mbgen.schedules.space import Choice, Point
from mbgen.target import load_target
from mbgen.tuning.journal import Outcome
from mbgen.tuning.tasks import Task, tasks_of
from mbgen.tuning.trial import Job, Program, Runner, build, measure, network, runner_for
from tests.support.emulated_board import CLOCK, INCLUDES, EmulatedBoard, emulated_board
from tests.support.tools import require_target


@functools.cache
def planned(target: str = "cortex-m0plus", optimize: Optimize = "speed") -> Planned:
    options = CompileOptions(target=target, alpha=0.25, resolution=32, classes=10, optimize=optimize)
    return plan_model(options, lambda *_: None)


@functools.cache
def tasks(target: str = "cortex-m0plus", optimize: Optimize = "speed") -> tuple[Task, ...]:
    made = planned(target, optimize)
    return tasks_of([(made.graph, made.plan)], made.target)


def test_every_kernel_with_a_choice_is_a_task_once() -> None:
    found = tasks()
    assert len({task.space.key for task in found}) == len(found)
    assert len({task.space.family for task in found}) >= 3
    assert all(task.alone.layer == task.layer for task in found)


def test_the_runs_of_a_task_are_the_networks() -> None:
    """Layers that share a kernel are one task: the whole network's multiply-accumulates come out."""
    made, found = planned(), tasks()
    total = sum(macs(layer, made.graph) for layer in made.graph.layers)
    assert sum(task.runs / task.alone.calls * layer_macs(task) for task in found) == total
    assert any(task.runs > 1 for task in found)


def test_kernels_that_networks_share_are_one_task_with_the_runs_of_all() -> None:
    ours, others = tasks(), tasks(optimize="ram")
    networks = [planned(), planned(optimize="ram"), planned()]
    shared = tasks_of([(one.graph, one.plan) for one in networks], networks[0].target)
    runs = {task.space.key: 2 * task.runs for task in ours}
    for task in others:
        runs[task.space.key] = runs.get(task.space.key, 0) + task.runs
    assert {task.space.key: task.runs for task in shared} == runs
    assert len(shared) == len(runs) > len(ours)


def layer_macs(task: Task) -> int:
    graph = task.alone.graph
    return sum(macs(layer, graph) for layer in graph.layers if layer.name == task.layer)


def test_layers_of_bands_are_tasks() -> None:
    """Their figures are of one tile, so that one task serves layers of any height."""
    made, found = planned("cortex-m4"), tasks("cortex-m4")
    assert {task.space.family for task in found} >= {"packed_gemm", "packed_depthwise"}
    banded = [layer for layer in made.graph.layers if layer.name in made.plan.banded]
    mine = [task for task in found if task.space.family.startswith("packed")]
    assert len(banded) > 4
    total = sum(macs(layer, made.graph) for layer in banded)
    assert sum(task.runs / task.alone.calls * layer_macs(task) for task in mine) == total


@pytest.mark.parametrize("optimize", ["speed", "ram"])
@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4", "cortex-m55", "cortex-a72"])
def test_the_network_of_a_task_has_the_tasks_kernel(target: str, optimize: Optimize) -> None:
    """Whether a layer runs row by row, whole or in a band, its task asks for the same space."""
    for task in tasks(target, optimize):
        small = network(job(task, dict(task.space.default), target))
        kernels = {kernel.symbol: kernel for kernel in small.lowered.kernels}
        assert kernels[small.calls[task.layer].kernel].schedule_source == "trial", task


def job(task: Task, point: Point, target: str = "cortex-m0plus") -> Job:
    return Job(target, task.alone, task.space.key, point)


def test_a_point_that_is_illegal_is_refused_with_its_reason() -> None:
    task = next(task for task in tasks() if task.space.family == "gemm")
    name = next(iter(task.space.knobs))
    wrong: dict[str, Choice] = {**task.space.default, name: "none of them"}
    answer = build(job(task, wrong))
    assert answer == Outcome(None, cause="illegal", message=f"{name} cannot be none of them")


def small_task() -> Task:
    return next(task for task in reversed(tasks()) if task.space.family == "gemm")


def test_a_trial_gives_the_same_figure_each_time() -> None:
    require_target("cortex-m0plus")
    task = small_task()
    outcomes = set()
    for _ in range(2):
        program = build(pickle.loads(pickle.dumps(job(task, dict(task.space.default)))))
        assert isinstance(program, Program)
        outcomes.add(measure(pickle.loads(pickle.dumps(program))))
    (outcome,) = outcomes
    assert outcome.unit == "instructions"
    assert outcome.figure is not None


def test_a_trial_of_a_tile_checks_and_measures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_target("cortex-m4")
    task = next(task for task in reversed(tasks("cortex-m4")) if task.space.family == "packed_gemm")
    program = build(job(task, dict(task.space.default), "cortex-m4"))
    assert isinstance(program, Program), program
    outcome = measure(program)
    assert outcome.unit == "cycles~"
    assert outcome.figure is not None
    pixels, channels, k = (int(task.space.facts[name]) for name in ("m", "n", "k"))
    assert pixels * channels * k / 3 < outcome.figure < pixels * channels * k * 20

    def other(graph: Graph, image: Array) -> dict[str, Array]:
        values = execute(graph, image)
        values[graph.output] = values[graph.output] ^ 1
        return values

    monkeypatch.setattr("mbgen.tuning.trial.execute", other)
    wrong = build(job(task, dict(task.space.default), "cortex-m4"))
    assert isinstance(wrong, Program), wrong
    assert measure(wrong).cause == "wrong result"


def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    require_target("cortex-m0plus")
    task = small_task()

    def other(graph: Graph, image: Array) -> dict[str, Array]:
        values = execute(graph, image)
        values[graph.output] = values[graph.output] ^ 1
        return values

    monkeypatch.setattr("mbgen.tuning.trial.execute", other)
    program = build(job(task, dict(task.space.default)))
    assert isinstance(program, Program)
    outcome = measure(program)
    assert outcome.cause == "wrong result"
    assert "wrong result" in outcome.message


def test_code_that_does_not_compile_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    require_target("cortex-m0plus")
    monkeypatch.setattr("mbgen.tuning.trial._main", lambda network: "this is no C\n")
    task = small_task()
    outcome = build(job(task, dict(task.space.default)))
    assert isinstance(outcome, Outcome)
    assert outcome.cause == "compile error"
    assert "main.c" in outcome.message


@pytest.mark.parametrize(
    ("statement", "cause"), [("for (;;) { }", "timeout"), ("harness_exit(7);", "crash")], ids=["hangs", "exits"]
)
def test_programs_that_do_not_end_well_are_told_apart(
    statement: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_target("cortex-m0plus")
    source = f'#include "harness.h"\nint main(void) {{ {statement} return 0; }}\n'
    monkeypatch.setattr("mbgen.tuning.trial._main", lambda network: source)
    task = small_task()
    program = build(job(task, dict(task.space.default)))
    assert isinstance(program, Program)
    outcome = measure(dataclasses.replace(program, seconds=2.0))
    assert outcome.cause == cause, outcome


def test_runners() -> None:
    assert runner_for(None, require_target("cortex-m0plus")) == Emulator()
    assert runner_for("emulator", require_target("cortex-m0plus")) == Emulator()
    assert runner_for(None, require_target("host")) == Host()
    words = ("taskset", "-c", "3")
    assert runner_for("ssh:pi@board", require_target("cortex-a72"), words) == Remote("pi@board", prefix=words)
    command = ("sh", "flash.sh", "{folder}")
    board = runner_for("serial:/dev/ttyACM0", load_target("cortex-m4"), (), command)
    assert board == Port("/dev/ttyACM0", flash=command)


@pytest.mark.parametrize(
    ("target", "runner", "message"),
    [
        (
            "cortex-m0plus",
            "stopwatch",
            "there is no runner 'stopwatch'; choose emulator, host, ssh:USER@HOST[:PORT] or serial:PORT[:BAUD]",
        ),
        ("host", "emulator", "--runner emulator: host has none; choose host"),
        (
            "cortex-m0plus",
            "serial:/dev/ttyACM0",
            "--runner serial:/dev/ttyACM0: each trial is another program for the board; give the command that builds "
            "and flashes it, such as --flash-with 'sh flash.sh {folder}'",
        ),
        (
            "cortex-a72",
            "host",
            "host: it cannot run code for cortex-a72; measure with --runner emulator or ssh:USER@HOST",
        ),
    ],
)
def test_runners_that_cannot_measure_trials(target: str, runner: str, message: str) -> None:
    with pytest.raises(InputError) as failure:
        runner_for(runner, require_target(target))
    assert str(failure.value) == message


@pytest.mark.parametrize(
    ("prefix", "flash", "message"),
    [
        (("nice",), (), "--prefix is for programs that ssh starts, and the runner is emulator"),
        (
            (),
            ("flash", "{folder}"),
            "--flash-with is for boards, and the runner is emulator; choose serial:PORT[:BAUD]",
        ),
    ],
)
def test_words_that_the_emulator_has_no_use_for(prefix: tuple[str, ...], flash: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as failure:
        runner_for(None, load_target("cortex-m4"), prefix, flash)
    assert str(failure.value) == message


def on_board(board: EmulatedBoard) -> Program:
    """A trial of a layer in a band, in whose small network other layers run too."""
    task = next(task for task in reversed(tasks("cortex-m4")) if task.space.family == "packed_gemm")
    runner: Runner = runner_for(board.runner, require_target("cortex-m4"), (), board.flash)
    program = build(Job("cortex-m4", task.alone, task.space.key, dict(task.space.default), runner))
    assert isinstance(program, Program), program
    return pickle.loads(pickle.dumps(program))  # type: ignore[no-any-return]


def test_a_trial_on_a_board_is_flashed_and_measured(tmp_path: Path) -> None:
    with emulated_board(tmp_path / "board") as board:
        program = on_board(board)
        outcome = measure(program)
    assert (outcome.unit, outcome.cause) == ("cycles", None)
    assert outcome.figure is not None
    assert outcome.figure > 0


def test_a_wrong_kernel_is_found_on_a_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(graph: Graph, image: Array) -> dict[str, Array]:
        values = execute(graph, image)
        values[graph.output] = values[graph.output] ^ 1
        return values

    with emulated_board(tmp_path / "board") as board:
        good = on_board(board)
        monkeypatch.setattr("mbgen.tuning.trial.execute", other)
        wrong = on_board(board)
        assert [measure(program).cause for program in (wrong, good)] == ["wrong result", None]


def test_a_program_that_the_project_does_not_build() -> None:
    ends = os.openpty()
    command = ("sh", "-c", "echo no room; exit 1", "{folder}")
    outcome = measure(on_board(EmulatedBoard(Path(os.ttyname(ends[1])), command)))
    for end in ends:
        os.close(end)
    assert outcome == Outcome(
        None,
        cause="not flashed",
        message="--flash-with: sh -c echo no room; exit 1 {folder} ended with exit code 1; it printed\n    no room",
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            (*CLOCK, *INCLUDES[:1]),
            "the board does not report layer by layer; let the command of --flash-with give firmware/task_hooks.h to "
            "the library's sources with -include",
        ),
        (
            ("-DMEASURE_HZ=1000", *INCLUDES),
            "the board's clock stands still; compile machine_cortex_m.c with -DMEASURE_BY_SYSTICK if its core has no "
            "DWT unit",
        ),
    ],
    ids=["no hooks", "no clock"],
)
def test_a_project_that_no_trial_can_be_measured_with(flags: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with emulated_board(tmp_path / "board", flags) as board, pytest.raises(InputError) as failure:
        measure(on_board(board))
    assert str(failure.value) == f"{board.runner}:115200: {message}"


def test_a_trial_on_this_machine_takes_time() -> None:
    require_target("host")
    task = next(task for task in reversed(tasks("host")) if task.space.family.startswith("gemm"))
    program = build(Job("host", task.alone, task.space.key, dict(task.space.default), Host()))
    assert isinstance(program, Program), program
    outcome = measure(pickle.loads(pickle.dumps(program)))
    assert (outcome.unit, outcome.cause) == ("seconds", None)
    assert outcome.figure is not None
    assert 0 < outcome.figure < 1


def test_a_wrong_kernel_is_found_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    require_target("host")
    task = next(task for task in reversed(tasks("host")) if task.space.family.startswith("gemm"))

    def other(graph: Graph, image: Array) -> dict[str, Array]:
        return {name: value + 1000 for name, value in execute(graph, image).items()}

    monkeypatch.setattr("mbgen.tuning.trial.execute", other)
    program = build(Job("host", task.alone, task.space.key, dict(task.space.default), Host()))
    assert isinstance(program, Program), program
    assert measure(program).cause == "wrong result"
