"""One trial: a kernel with one point to C, to a program that checks it against the reference, to a figure.

Runs in worker processes on this machine or others: what goes in and out can be pickled. May not know the search.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mbgen.errors import (
    InputError,
    MbgenError,
    MissingToolError,
    NotFlashedError,
    RefusedError,
    TimeoutRefusedError,
)
from mbgen.graph import Array, Graph, macs
from mbgen.library import ModelInfo, Network, Rewrites, render, write
from mbgen.lowering import lower
from mbgen.measuring.emulator import FIRST_LAYER, NETWORK, Emulator, marking, measure_program
from mbgen.measuring.machines import (
    FIRMWARE,
    Host,
    Machine,
    build_timed,
    check_machine,
    check_words,
    flash_library,
    parse_machine,
    read_library,
    time_programs,
)
from mbgen.measuring.measurement import Unit
from mbgen.measuring.serial_port import Port, located
from mbgen.measuring.timing import measured
from mbgen.plan import Plan
from mbgen.reference import execute
from mbgen.running import SECONDS_PER_MAC, START_SECONDS, build_program, read_manifest
from mbgen.schedules.space import Choose, Chosen, Point, Space, default_schedule
from mbgen.target import Target, load_target
from mbgen.templates import environment
from mbgen.toolchain import require
from mbgen.tuning.alone import Alone, random_input
from mbgen.tuning.journal import Outcome
from mbgen.tuning.tasks import plan_alone

NAME = "task"
MILLISECONDS = 30  # that a process of a timed trial measures for; there are some, one after another
WRONG = "wrong result"  # what the program says of a kernel that does not agree with the reference
UNITS: tuple[Unit, ...] = ("cycles", "seconds", "cycles~", "instructions")  # a figure is the first that there is

Runner = Emulator | Machine


@dataclass(frozen=True, eq=False)
class Job:
    """A small network, and the point that the kernel of one of its layers is to be built with."""

    target: str
    alone: Alone
    kernel: str  # key of the space that the point is of
    point: Point
    runner: Runner = field(default_factory=Emulator)


def bare_network(graph: Graph, plan: Plan, target: Target, name: str, choose: Choose, image: Array) -> Network:
    """A graph that comes from no model, lowered; on `image` it gives what the reference gives."""
    return Network(
        name=name,
        graph=graph,
        rewrites=Rewrites.none(graph),
        target=target,
        plan=plan,
        lowered=lower(graph, plan, target, name, choose),
        model=ModelInfo(source="builtin"),
        options={},
        test_input=image.reshape(-1),
        test_output=execute(graph, image)[graph.output].reshape(-1),
    )


class _IllegalError(Exception):
    """The point is none of the kernel's space."""


def network(job: Job) -> Network:
    """The job's small network, with random input and the reference's output as its self-test."""

    def choose(space: Space) -> Chosen:
        if space.key != job.kernel:
            return default_schedule(space)
        reason = space.reason(job.point)
        if reason is not None:
            raise _IllegalError(reason)
        return Chosen(job.point, "trial")

    graph, target = job.alone.graph, load_target(job.target)
    return bare_network(
        graph, plan_alone(graph, target), target, NAME, choose, random_input(graph.tensors[graph.input])
    )


@dataclass(frozen=True, eq=False)
class Program:
    """A kernel's test program, ready to run; for a board the library, which the board's own project builds."""

    target: str
    files: Mapping[str, bytes] = field(repr=False)  # by path
    segment: int  # of the kernel's layer
    calls: int  # of the kernel, in the segment
    seconds: float  # that it may take
    runner: Runner = field(default_factory=Emulator)


def runner_for(name: str | None, target: Target, prefix: Sequence[str] = (), flash: Sequence[str] = ()) -> Runner:
    """The runner that `--runner` names, or the target's own; InputError if trials cannot be measured with it.

    `prefix` and `flash` as for `parse_machine`. MissingToolError without the compiler or the emulator.
    """
    chosen = name or (Host().name if target.emulator is None else Emulator().name)
    if chosen == Emulator().name:
        check_words(chosen, prefix, flash)
        if target.emulator is None:
            raise InputError(f"--runner {chosen}: {target.name} has none; choose host")
        require(target)
        return Emulator()
    machine = parse_machine(chosen, prefix, flash)
    check_machine(machine, target)
    if not isinstance(machine, Port):
        require(target, ["build"])
    elif not machine.flash:
        raise InputError(
            f"--runner {chosen}: each trial is another program for the board; give the command that builds and flashes "
            "it, such as --flash-with 'sh flash.sh {folder}'"
        )
    return machine


def one_at_a_time(runner: Runner) -> bool:
    """Whether trials may not be measured at the same time: a board runs one, and time is spoilt by the others."""
    return not isinstance(runner, Emulator)


def build(job: Job) -> Program | Outcome:
    """The job's program, which runs its kernel and checks it against the reference; or why there is none."""
    try:
        small = network(job)
    except _IllegalError as error:
        return Outcome(None, cause="illegal", message=str(error))
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        folder = Path(name)
        made, library = render(small), folder / "library"
        write(made, library)
        try:
            match job.runner:
                case Emulator():
                    executable = build_program([library], _main(small), folder, marking(NAME, folder))
                    files = {NAME: executable.read_bytes()}
                case Port():
                    files = dict(made.files)
                case machine:
                    manifest = read_manifest(library)
                    executable = build_timed(library, manifest, machine, folder, milliseconds=MILLISECONDS)
                    files = {NAME: executable.read_bytes()}
        except MissingToolError:
            raise
        except MbgenError as error:
            return Outcome(None, cause="compile error", message=str(error))
        layers = small.graph.layers
        return Program(
            job.target,
            files,
            FIRST_LAYER + [layer.name for layer in layers].index(job.alone.layer),
            job.alone.calls,
            START_SECONDS + SECONDS_PER_MAC * sum(macs(layer, small.graph) for layer in layers),
            job.runner,
        )


def measure(program: Program) -> Outcome:
    """Run a job's program: the figure of the kernel that it checked, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        folder = Path(name)
        for path, content in program.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        try:
            figures = _figures(program, folder)
        except NotFlashedError as error:
            return Outcome(None, cause="not flashed", message=str(error))
        except TimeoutRefusedError as error:
            return Outcome(None, cause="timeout", message=str(error))
        except RefusedError as error:
            return Outcome(None, cause="wrong result" if WRONG in str(error) else "crash", message=str(error))
    unit = next(one for one in UNITS if one in figures)
    return Outcome(figures[unit] / program.calls, unit)


def _figures(program: Program, folder: Path) -> Mapping[Unit, float]:
    """Figures of the kernel's layer; on this machine and by ssh of the network, which has no other layers there."""
    target, path = load_target(program.target), folder / NAME
    if isinstance(program.runner, Port):
        return _board_figures(program, folder, located(program.runner))
    path.chmod(0o700)
    if isinstance(program.runner, Emulator):
        return measure_program(target, path, folder, program.seconds).segments[program.segment]
    (reports,) = time_programs([path], target, program.runner, program.seconds)
    return measured(reports, False, 0)[0].total


def _board_figures(program: Program, folder: Path, port: Port) -> Mapping[Unit, float]:
    manifest = read_manifest(folder)
    flash_library(folder, manifest, port)
    report = read_library(folder, manifest, port, program.seconds)
    if not any(report.runs):
        raise InputError(
            f"{port.name}: the board's clock stands still; "
            "compile machine_cortex_m.c with -DMEASURE_BY_SYSTICK if its core has no DWT unit"
        )
    if not any(section.passes for section in report.profiles[0]):
        raise InputError(
            f"{port.name}: the board does not report layer by layer; let the command of --flash-with give "
            f"{FIRMWARE}/{NAME}_hooks.h to the library's sources with -include"
        )
    figures = measured([report], True, FIRST_LAYER)[0].segments[program.segment]
    if not all(figures.values()):
        raise RefusedError(f"{port.name}: the kernel takes no longer than measuring it does")
    return figures


def _main(small: Network) -> str:
    return environment("measuring").get_template("trial.c.jinja").render(name=small.name, network=NETWORK, wrong=WRONG)
