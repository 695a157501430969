"""One trial: a kernel with one point to C, to a program that checks it against the reference, to a figure.

Runs in worker processes on this machine or others: what goes in and out can be pickled. May not know the search.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mbgen.errors import InputError, MbgenError, MissingToolError, RefusedError, TimeoutRefusedError
from mbgen.graph import Array, Graph, macs
from mbgen.library import ModelInfo, Network, Rewrites, render, write
from mbgen.lowering import lower
from mbgen.measuring.emulator import FIRST_LAYER, NETWORK, marking, measure_program
from mbgen.measuring.machines import Host, build_timed, check_machine, parse_machine, time_programs
from mbgen.measuring.measurement import Unit
from mbgen.measuring.serial_port import Port
from mbgen.measuring.ssh import Remote
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

EMULATOR = "emulator"
NAME = "task"
MILLISECONDS = 30  # that a process of a timed trial measures for; there are some, one after another
WRONG = "wrong result"  # what the program says of a kernel that does not agree with the reference


@dataclass(frozen=True, eq=False)
class Job:
    """A small network, and the point that the kernel of one of its layers is to be built with."""

    target: str
    alone: Alone
    kernel: str  # key of the space that the point is of
    point: Point
    runner: str = EMULATOR


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
    """A kernel's test program, ready to run."""

    target: str
    executable: bytes = field(repr=False)
    segment: int  # of the kernel's layer
    calls: int  # of the kernel, in the segment
    seconds: float  # that it may take
    runner: str = EMULATOR


def runner_for(name: str | None, target: Target) -> str:
    """The runner that `--runner` names, or the target's own; InputError if trials cannot be measured with it."""
    require(target, ["build"])
    chosen = name or (Host().name if target.emulator is None else EMULATOR)
    if chosen == EMULATOR:
        if target.emulator is None:
            raise InputError(f"--runner {EMULATOR}: {target.name} has none; choose host")
        require(target)
    else:
        check_machine(_machine(chosen), target)
    return chosen


def takes_time(runner: str) -> bool:
    """Whether what the runner measures is spoilt by what else its machine does."""
    return runner != EMULATOR


def _machine(runner: str) -> Host | Remote:
    machine = parse_machine(runner)
    if isinstance(machine, Port):
        raise InputError(f"--runner {runner}: a board runs what is flashed, and each trial is another program")
    return machine


def build(job: Job) -> Program | Outcome:
    """The job's program, which runs its kernel and checks it against the reference; or why there is none."""
    try:
        small = network(job)
    except _IllegalError as error:
        return Outcome(None, cause="illegal", message=str(error))
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        folder = Path(name)
        library = folder / "library"
        write(render(small), library)
        try:
            if job.runner == EMULATOR:
                executable = build_program([library], _main(small), folder, marking(NAME, folder))
            else:
                manifest, machine = read_manifest(library), _machine(job.runner)
                executable = build_timed(library, manifest, machine, folder, milliseconds=MILLISECONDS)
        except MissingToolError:
            raise
        except MbgenError as error:
            return Outcome(None, cause="compile error", message=str(error))
        layers = small.graph.layers
        return Program(
            job.target,
            executable.read_bytes(),
            FIRST_LAYER + [layer.name for layer in layers].index(job.alone.layer),
            job.alone.calls,
            START_SECONDS + SECONDS_PER_MAC * sum(macs(layer, small.graph) for layer in layers),
            job.runner,
        )


def measure(program: Program) -> Outcome:
    """Run a job's program: the figure of the kernel that it checked, or why there is none."""
    target = load_target(program.target)
    with tempfile.TemporaryDirectory(prefix="mbgen-") as name:
        path = Path(name) / NAME
        path.write_bytes(program.executable)
        path.chmod(0o700)
        try:
            if program.runner == EMULATOR:
                figures = measure_program(target, path, Path(name), program.seconds).segments[program.segment]
            else:
                (reports,) = time_programs([path], target, _machine(program.runner), program.seconds)
                figures = measured(reports, False, 0)[0].total
        except TimeoutRefusedError as error:
            return Outcome(None, cause="timeout", message=str(error))
        except RefusedError as error:
            return Outcome(None, cause="wrong result" if WRONG in str(error) else "crash", message=str(error))
    units: tuple[Unit, ...] = ("seconds", "cycles~", "instructions")
    unit = next(one for one in units if one in figures)
    return Outcome(figures[unit] / program.calls, unit)


def _main(small: Network) -> str:
    return environment("measuring").get_template("trial.c.jinja").render(name=small.name, network=NETWORK, wrong=WRONG)
