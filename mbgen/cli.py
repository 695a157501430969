"""The command line: reads options, calls the stages in order, prints what they return.

Decides nothing about models or code. What is slow to import is imported inside the command that needs it, so that
`mbgen --help`, `mbgen targets` and `mbgen inspect` of the built-in network start at once.

Exit codes: 0 done; 1 the answer is no; 2 the input or the command line is wrong; 3 a tool is missing; 70 a defect in
mbgen itself; 130 interrupted; 141 the reader of a pipe has gone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource
from click.shell_completion import shell_complete

from mbgen import __version__
from mbgen.errors import MbgenError, MissingToolError
from mbgen.options import CompileOptions, PackageKind
from mbgen.terminal import keep_interrupts, show_progress

if TYPE_CHECKING:
    from mbgen.target import Target
    from mbgen.toolchain import Tool

DEFECT = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE

COMPLETION = "_MBGEN_COMPLETE"  # in the environment: the shell asks how a line may go on

BUILT_IN_ONLY = ("alpha", "resolution", "rho", "classes", "softmax", "weights")

EXISTING_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
EXISTING_DIRECTORY = click.Path(exists=True, file_okay=False, readable=True, path_type=Path)
EXISTING_PATH = click.Path(exists=True, readable=True, path_type=Path)

MAX_THREADS = 256
HELP_WIDTH = 110  # columns that the longest example needs

Command = Callable[..., int]


def size(text: str) -> int:
    """A number of bytes: `65536`, `192K` (1024 bytes each) or `1M` (1024 K). Raises BadParameter."""
    match = re.fullmatch(r"([0-9]+)([KM]?)", text, re.IGNORECASE)
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"{text!r} is not a size; write bytes, or KiB and MiB as in 192K and 1M")
    return int(match[1]) * {"": 1, "K": 1024, "M": 1024 * 1024}[match[2].upper()]


def split_words(text: str) -> tuple[str, ...]:
    """The words of a command as a shell splits them. Raises BadParameter."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} does not split into words ({error})") from error


def built_in_options(command: Command) -> Command:
    """The options that describe the built-in MobileNet V1."""
    for option in reversed(
        (
            click.option("--alpha", type=float, default=1.0, show_default=True, help="Width multiplier."),
            click.option("--resolution", type=int, help="Input height and width in pixels.  [default: 224]"),
            click.option("--rho", type=float, help="Resolution multiplier, instead of --resolution: 224 * RHO pixels."),
            click.option("--classes", type=int, help="Number of classes.  [default: 1000]"),
            click.option("--softmax/--no-softmax", default=True, help="End with a softmax (default) or the logits."),
        )
    ):
        command = option(command)
    return command


def complete_target(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The targets that the shell may go on with."""
    from mbgen.target import target_names

    return [name for name in target_names() if name.startswith(incomplete)]


prefix_option = click.option(
    "--prefix", default="", help="Words before the program that ssh starts, such as 'taskset -c 3'."
)
flash_option = click.option(
    "--flash-with",
    metavar="COMMAND",
    default="",
    help="First builds and flashes what is measured, in {folder}, for the board on {port}; with a serial runner.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")


def refuse_contradictions(context: click.Context, model: Path | None) -> None:
    """Raise UsageError where two options settle the same thing, or an option and the model file."""

    def given(parameter: str) -> bool:
        return context.get_parameter_source(parameter) is ParameterSource.COMMANDLINE

    if given("resolution") and given("rho"):
        raise click.UsageError("--resolution and --rho both set the input size; give one of them", context)
    for parameter in context.command.params:
        if model is not None and parameter.name in BUILT_IN_ONLY and given(parameter.name):
            option = "/".join((*parameter.opts, *parameter.secondary_opts))
            raise click.UsageError(
                f"{option} describes the built-in MobileNet V1, but the model is the file {str(model)!r}; "
                f"leave one of them out",
                context,
            )


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """The one JSON document of --json."""
    click.echo(json.dumps(document, indent=2))


@click.group(
    no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}
)
@click.version_option(__version__, prog_name="mbgen", message="%(prog)s %(version)s")
def cli() -> None:
    """Compile a MobileNet into a standalone C library that is exact, small and fast on the named core.

    \b
    Example:
      mbgen doctor
      mbgen compile --target cortex-a72 --alpha 0.25
      mbgen verify mobilenet_v1_025_224
    """


@cli.command("compile")
@click.argument("model", required=False, type=EXISTING_FILE)
@click.option(
    "--target", required=True, shell_complete=complete_target, help="Core to compile for; `mbgen targets` lists them."
)
@built_in_options
@click.option("--weights", type=EXISTING_FILE, help="Trained weights: .npz, .safetensors or Keras .h5.")
@click.option(
    "--dtype",
    type=click.Choice(["int8", "float32"]),
    help="Type to compute in.  [default: the model file's; for the built-in, int8 on Cortex-M and float32 elsewhere]",
)
@click.option("--calibration", type=EXISTING_PATH, help="Images to quantise with: a folder, or .npy/.npz.")
@click.option("--preprocess", help="How a pixel becomes a real input value, such as x/127.5-1.")
@click.option(
    "--optimize",
    type=click.Choice(["speed", "ram", "flash"]),
    default="speed",
    show_default=True,
    help="What to save: time, memory or flash.",
)
@click.option("--ram", type=size, help="Memory for the arena: bytes, 192K, 1M.  [default: the target's]")
@click.option("--flash", type=size, help="Memory for code and weights.  [default: the target's]")
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    default=1,
    show_default=True,
    help="Threads for one inference, with OpenMP; not on microcontrollers.",
)
@click.option("--name", help="Prefix of the C symbols.")
@click.option("--records", type=EXISTING_DIRECTORY, help="Schedule records of `mbgen tune`, not those that ship.")
@click.option(
    "--package",
    "packages",
    multiple=True,
    type=click.Choice(get_args(PackageKind)),
    help="Files for another build system too; give it once for each. CMake's are always there.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the library.  [default: ./NAME]")
@json_option
@click.pass_context
def compile_command(
    context: click.Context, /, *, as_json: bool, packages: tuple[PackageKind, ...], **options: Any
) -> int:
    """Compile MODEL (.tflite or .onnx), or the built-in MobileNet V1, into a C library.

    Without --weights the built-in network gets seeded random ones.

    \b
    Example:
      mbgen compile --target cortex-a72 --alpha 0.25
      mbgen compile model.tflite --target cortex-m4 --package zephyr --package cmsis-pack --output person
      mbgen compile model.onnx --target cortex-m7 --dtype int8 --calibration images --preprocess x/127.5-1
    """
    refuse_contradictions(context, options["model"])

    from mbgen.library import render, write
    from mbgen.pipeline import compile_model
    from mbgen.report.gather import add_report
    from mbgen.tables import print_library

    with show_progress() as progress:
        network = compile_model(CompileOptions(**options), progress)
        library = add_report(render(network, packages))
        directory = options["output"] or Path(library.name)
        write(library, directory)
    manifest = json.loads(library.files["manifest.json"])
    if as_json:
        print_json({"directory": str(directory), "manifest": manifest})
    else:
        print_library(directory, manifest)
    return 0


@cli.command("tune")
@click.argument("model", required=False, type=EXISTING_FILE)
@click.option("--target", required=True, help="Core to tune for; `mbgen targets` lists them.")
@built_in_options
@click.option(
    "--dtype",
    type=click.Choice(["int8", "float32"]),
    help="Type to compute in.  [default: the model file's; for the built-in, int8 on Cortex-M and float32 elsewhere]",
)
@click.option("--calibration", type=EXISTING_PATH, help="Images to quantise with: a folder, or .npy/.npz.")
@click.option("--preprocess", help="How a pixel becomes a real input value, such as x/127.5-1.")
@click.option("--ram", type=size, help="Memory for the arena: bytes, 192K, 1M.  [default: the target's]")
@click.option("--trials", type=click.IntRange(min=1), required=True, help="How many points to measure, in all.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after about so many minutes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the search.")
@click.option("--runner", help="What measures, as for `mbgen bench`.  [default: host, or the target's emulator]")
@prefix_option
@flash_option
@click.option("--jobs", type=click.IntRange(min=1), help="Processes that build and measure.  [default: one a core]")
@click.option("--workers", metavar="ADDRESS", help="Build and measure on the workers of this dask scheduler.")
@click.option("--resource", metavar="LABEL", help="Measure only on workers with this dask resource: the boards.")
@click.option(
    "--records",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("tuned"),
    show_default=True,
    help="Folder of the records, and of the journal by which a run that was stopped continues.",
)
@json_option
@click.pass_context
def tune_command(
    context: click.Context,
    /,
    *,
    as_json: bool,
    trials: int,
    minutes: float | None,
    seed: int,
    runner: str | None,
    prefix: str,
    flash_with: str,
    jobs: int | None,
    workers: str | None,
    resource: str | None,
    records: Path,
    **options: Any,
) -> int:
    """Search the schedules of MODEL (.tflite or .onnx), or of the built-in MobileNet V1, and keep the best as records.

    Every point is built, checked against the reference and measured. Run again with the same options, it goes on where
    it was stopped.

    \b
    Example:
      mbgen tune person.tflite --target cortex-m4 --trials 1000
      mbgen compile person.tflite --target cortex-m4 --records tuned
      mbgen tune --alpha 0.25 --target cortex-a72 --trials 2000 --minutes 20 --workers tcp://rack:8786
      mbgen tune --target cortex-m4 --trials 200 --runner serial:/dev/ttyACM0 --flash-with "./flash {folder}"
    """
    refuse_contradictions(context, options["model"])

    from mbgen.tables import print_tuning
    from mbgen.tuning.run import TuneOptions, tune_model, tuning_document

    words = {"prefix": split_words(prefix), "flash": split_words(flash_with)}
    search = TuneOptions(records, trials, minutes, seed, runner, jobs, workers, resource, **words)
    with show_progress() as progress:
        found = tune_model(CompileOptions(**options), search, progress)
    if as_json:
        print_json({"records": str(records), **tuning_document(found)})
    else:
        print_tuning(found, records)
    return 0


@cli.command("verify")
@click.argument("directory", type=EXISTING_DIRECTORY)
@click.option("--inputs", type=EXISTING_PATH, help="Images to run: a file or a folder, or .npy/.npz.")
@click.option("--labels", type=EXISTING_FILE, help="CSV with a class for each image, for the top-1 accuracy.")
@json_option
def verify_command(*, directory: Path, inputs: Path | None, labels: Path | None, as_json: bool) -> int:
    """Build the library in DIRECTORY, run it, compare every layer with the reference, and run its self-test.

    Without --inputs it runs on made-up pictures. The stack that an inference takes is measured and recorded in the
    manifest and the README.

    \b
    Example:
      mbgen verify mobilenet_v1_025_224
      mbgen verify person --inputs images --json
    """
    from mbgen.library.measured import STACK_ROW, measured_stack, record
    from mbgen.running import self_test, stack_bytes
    from mbgen.tables import print_verification
    from mbgen.verify import verify

    stack: int | None = None
    with show_progress() as progress:
        found = verify(directory, inputs, labels, progress)
        if found.passed:
            progress("running the self-test", 0, 2)
            self_test(directory)
            progress("measuring the stack", 1, 2)
            stack = stack_bytes(directory)
            record(directory, "the measured stack", {STACK_ROW: measured_stack(stack)}, {"stack_bytes": stack})
    if as_json:
        document = {**dataclasses.asdict(found), "passed": found.passed, "first_difference": found.first_difference}
        print_json(document | {"stack_bytes": stack})
    else:
        print_verification(found, stack)
    return 0 if found.passed else 1


@cli.command("bench")
@click.argument("directory", type=EXISTING_DIRECTORY)
@click.option(
    "--runner",
    help="Where: emulator, host, ssh:USER@HOST[:PORT] or serial:PORT[:BAUD].  [default: host or emulator]",
)
@click.option("--instances", type=click.IntRange(1, 1024), default=1, help="Also run so many at the same time.")
@prefix_option
@flash_option
@click.option(
    "--firmware", type=click.Path(path_type=Path), help="Only write the C that a board needs, to this folder."
)
@json_option
def bench_command(
    *,
    directory: Path,
    runner: str | None,
    instances: int,
    prefix: str,
    flash_with: str,
    firmware: Path | None,
    as_json: bool,
) -> int:
    """Measure the library in DIRECTORY, layer by layer and in all.

    In the emulator instructions are exact; cycles are by a model of the core. On this machine, on one that ssh reaches
    and on a board at a serial port, it is time: docs/measuring.md says how.

    \b
    Example:
      mbgen bench person
      mbgen bench mobilenet --runner ssh:pi@raspberrypi --instances 4
      mbgen bench person --firmware board
      mbgen bench person --runner serial:/dev/ttyACM0 --json
    """
    from mbgen.bench import bench
    from mbgen.measuring.machines import write_firmware
    from mbgen.running import read_manifest
    from mbgen.tables import print_bench, print_firmware

    if firmware is not None:
        files = write_firmware(read_manifest(directory), firmware)
        if as_json:
            print_json({"directory": str(firmware), "files": files})
        else:
            print_firmware(directory, firmware, files)
        return 0
    with show_progress() as progress:
        found = bench(directory, runner, progress, instances, split_words(prefix), split_words(flash_with))
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        print_bench(found)
    return 0


@cli.command("report")
@click.argument("directory", type=EXISTING_DIRECTORY)
@click.option("--inputs", type=EXISTING_PATH, help="Images to verify with: a file or a folder, or .npy/.npz.")
@click.option("--float-model", type=EXISTING_FILE, help="The .onnx or .tflite that a quantised library came from.")
@click.option("--journal", type=EXISTING_FILE, help="That of the tuning run, to show every trial that it measured.")
@json_option
def report_command(
    *, directory: Path, inputs: Path | None, float_model: Path | None, journal: Path | None, as_json: bool
) -> int:
    """Measure and verify the library in DIRECTORY and put what was found into its report.html.

    The page needs no network: it can be sent to others as it is. With --float-model it shows what quantisation costs.

    \b
    Example:
      mbgen report mobilenet_v1_025_224
      mbgen report person --journal tuned/cortex-m4/tune.journal
    """
    from mbgen.report.gather import gather, write_report

    with show_progress() as progress:
        facts = gather(directory, inputs, float_model, progress, journal)
        path = write_report(directory, facts)
    if as_json:
        print_json({"report": str(path), "facts": dataclasses.asdict(facts)})
    else:
        click.echo(f"written to {path}")
    return 0


@cli.command("explore")
@click.option("--target", required=True, help="Core to explore for; `mbgen targets` lists them.")
@click.option("--dtype", type=click.Choice(["int8", "float32"]), help="Type to compute in.  [default: as `compile`]")
@click.option("--classes", type=int, default=1000, show_default=True, help="Number of classes.")
@click.option("--accuracies", type=EXISTING_FILE, help="CSV of your own networks: alpha, resolution, accuracy.")
@click.option("--ram", type=size, help="Memory for the arena: bytes, 192K, 1M.  [default: the target's]")
@click.option("--flash", type=size, help="Memory for code and weights.  [default: the target's]")
@click.option("--latency", type=float, help="Milliseconds that an inference may take.")
@click.option("--accuracy", type=float, help="Top-1 accuracy, in percent, that is asked for.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Also write a page with a chart.")
@json_option
def explore_command(
    *,
    target: str,
    dtype: str | None,
    classes: int,
    accuracies: Path | None,
    ram: int | None,
    flash: int | None,
    latency: float | None,
    accuracy: float | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Find the alpha and resolution that fit a budget, and print the line that compiles the best of them.

    Accuracies are those published for ImageNet, unless --accuracies gives your own. The best is compiled, to be sure
    that it fits. Exit code 1 if nothing does.

    \b
    Example:
      mbgen explore --target cortex-m4 --ram 64K --flash 512K
      mbgen explore --target cortex-m7 --latency 100 --html frontier.html
    """
    from mbgen.explore import Budget, choose, explore, read_accuracies
    from mbgen.tables import print_exploration

    own = None if accuracies is None else read_accuracies(accuracies)
    budget = Budget(ram, flash, None if latency is None else latency / 1e3, accuracy)
    with show_progress() as progress:
        found = explore(target, dtype, budget, classes, own, progress)
        choice = choose(found, progress)
    if html is not None:
        from mbgen.report.frontier import render_exploration

        html.write_bytes(render_exploration(found, choice))
    if as_json:
        print_json({**dataclasses.asdict(found), "choice": None if choice is None else dataclasses.asdict(choice)})
    else:
        print_exploration(found, choice)
    return 0 if choice is not None else 1


@cli.command("inspect")
@click.argument("model", required=False, type=EXISTING_FILE)
@built_in_options
@json_option
@click.pass_context
def inspect_command(
    context: click.Context,
    /,
    *,
    model: Path | None,
    alpha: float,
    resolution: int | None,
    rho: float | None,
    classes: int | None,
    softmax: bool,
    as_json: bool,
) -> int:
    """Show the layers of MODEL (.tflite or .onnx), or of the built-in MobileNet V1, and what they cost.

    \b
    Example:
      mbgen inspect --alpha 0.25 --resolution 128
      mbgen inspect model.tflite
    """
    refuse_contradictions(context, model)

    from mbgen.graph import macs
    from mbgen.inspect import summarise
    from mbgen.passes.simplify import simplify
    from mbgen.tables import print_removals, print_summary

    if model is None:
        from mbgen import mobilenet
        from mbgen.pipeline import describe_builtin

        net = describe_builtin(alpha, resolution, rho, classes, softmax)
        graph = mobilenet.build(net, mobilenet.random_weights(net))
        trained: int | None = mobilenet.parameters_with_batch_norm(net)
    else:
        from mbgen.importers import import_model

        graph, trained = import_model(model), None
    summary, simplified = summarise(graph), simplify(graph)
    executed = sum(macs(layer, simplified.graph) for layer in simplified.graph.layers)
    if as_json:
        removed = [dataclasses.asdict(removal) for removal in simplified.removals]
        document = {**dataclasses.asdict(summary), "macs_executed": executed, "removed": removed}
        print_json(document | {"parameters_with_batch_norm": trained})
    else:
        print_summary(summary, trained)
        print_removals(simplified.removals, summary.macs, executed)
    return 0


@cli.command("targets")
@json_option
def targets_command(*, as_json: bool) -> int:
    """List the cores that mbgen compiles for, and which of their tools are installed.

    \b
    Example:
      mbgen targets
    """
    from mbgen.tables import print_targets
    from mbgen.target import all_targets
    from mbgen.toolchain import status

    tools = {target: status(target) for target in all_targets()}
    if as_json:
        print_json({"targets": [target_document(target, needed) for target, needed in tools.items()]})
    else:
        print_targets(tools)
    return 0


@cli.command("doctor")
@click.option(
    "--target",
    "names",
    multiple=True,
    shell_complete=complete_target,
    help="Look only at what this core needs; more than one can be given.  [default: all]",
)
@json_option
def doctor_command(*, names: tuple[str, ...], as_json: bool) -> int:
    """Say what is installed to build and run code for each target, and the one command that installs the rest.

    The exit code is 3 if something is missing.

    \b
    Example:
      mbgen doctor
      mbgen doctor --target cortex-m4
    """
    from mbgen.doctor import examine, install_command
    from mbgen.tables import print_needs
    from mbgen.target import load_target

    needs = examine([load_target(name) for name in names])
    command = install_command(needs)
    if as_json:
        print_json({"needs": [dataclasses.asdict(need) for need in needs], "install": command})
    else:
        print_needs(needs, command)
    return 0 if command is None else MissingToolError.exit_code


def target_document(target: Target, tools: Sequence[Tool]) -> dict[str, Any]:
    """A target as `mbgen targets --json` shows it."""
    shown = ("name", "description", "triple", "compiler", "c_flags", "vector_bits", "ram", "flash", "cores", "runner")
    return {
        **{key: getattr(target, key) for key in shown},
        "instruction_set": sorted(target.instruction_set),
        "tools": [
            {
                "program": tool.program,
                "purpose": tool.purpose,
                "packages": tool.packages,
                "installed": tool.path is not None,
            }
            for tool in tools
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; `arguments` are those of the process unless given."""
    if COMPLETION in os.environ:
        return shell_complete(cli, {}, "mbgen", COMPLETION, os.environ[COMPLETION])
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        with keep_interrupts(), cli.make_context("mbgen", given) as context:
            status: int = cli.invoke(context)
        sys.stdout.flush()
        return status
    except click.exceptions.Exit as done:  # --help and --version
        return done.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "mbgen"
        print(f"mbgen: error: {error.format_message()} (see {command} --help)", file=sys.stderr)
        return 2
    except MbgenError as error:
        print(f"mbgen: error: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("mbgen: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return BROKEN_PIPE
    except Exception:
        print(
            "mbgen: a defect in mbgen, not in what you gave it; please report it with the lines below", file=sys.stderr
        )
        traceback.print_exc()
        return DEFECT
