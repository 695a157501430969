"""What the commands print for people: tables and a few lines of text on standard output.

Knows the values that the stages return. May not know options or exit codes.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mbgen.measuring.measurement import MEANINGS
from mbgen.terminal import print_table

if TYPE_CHECKING:
    from mbgen.bench import Bench
    from mbgen.doctor import Need
    from mbgen.explore import Choice, Exploration
    from mbgen.inspect import Summary, Weights
    from mbgen.measuring.measurement import Unit
    from mbgen.passes.simplify import Removal
    from mbgen.target import Target
    from mbgen.toolchain import Tool
    from mbgen.tuning.tune import Tuning
    from mbgen.verify import Verification


def print_library(directory: Path, manifest: Mapping[str, Any]) -> None:
    """What `mbgen compile` has made, by the library's manifest, and what to do next."""
    model = manifest["model"]
    click.echo(f"{manifest['name']} for {manifest['target']['name']}, numerics {manifest['numerics']}")
    if model["random_weights"]:
        click.echo(
            "the weights are random: good for time and size, not for classifying; trained ones come with --weights"
        )
    if model["calibration"] is not None:
        click.echo(f"quantised with {model['calibration']}")
    rows = [
        ("arena", f"{manifest['arena_bytes']:,}", "bytes"),
        ("constants", f"{manifest['constant_bytes']:,}", "bytes"),
        ("multiply-accumulates", f"{manifest['macs_executed']:,}", "an inference"),
    ]
    if manifest["macs_executed"] != manifest["macs_nominal"]:
        rows.append(("of the model's", f"{manifest['macs_nominal']:,}", "the rest is taken out exactly"))
    width = max(len(number) for _, number, _ in rows)
    for name, number, unit in rows:
        click.echo(f"  {name:20}  {number:>{width}}  {unit}")
    click.echo(f"written to {directory}; to prove it: mbgen verify {shlex.quote(str(directory))}")


def print_tuning(found: Tuning, records: Path) -> None:
    """A row for each kernel: the default's figure, the best and its point; then what the run took."""
    from mbgen.tuning.tune import spelled  # and with it TVM, which has been imported by now

    rows = [
        (
            kernel.layer,
            kernel.space.family,
            "" if kernel.default_figure is None else spelled(kernel.default_figure, kernel.unit).split()[0],
            "" if kernel.figure is None else spelled(kernel.figure, kernel.unit).split()[0],
            "" if not kernel.gain else f"{kernel.gain:.2f}x",
            str(kernel.trials),
            str(sum(kernel.failures.values()) or ""),
            " ".join(f"{name}={choice}" for name, choice in kernel.point.items()),
        )
        for kernel in found.kernels
    ]
    headers = ("first layer", "family", "default", "tuned", "gain", "trials", "failed", "schedule")
    print_table(headers, rows, numbers=headers[2:7])
    before, after, unit = found.totals
    click.echo(f"\nthese kernels in one inference: {spelled(before, unit)} by default, {spelled(after, unit)} tuned")
    failed = ", ".join(f"{count} {cause}" for cause, count in found.failures.items())
    click.echo(
        f"{found.trials:,} points, {found.measured:,} measured in {found.seconds:.0f} s; failed: {failed or 'none'}"
    )
    if found.example:
        click.echo(f"the first failure: {found.example}")
    click.echo(f"records written to {records}; to use them: mbgen compile ... --records {shlex.quote(str(records))}")


def print_verification(found: Verification, stack_bytes: int | None) -> None:
    """A row for each layer with what differs in it, then the answer; the stack is measured where all is well."""
    rows = [
        (
            row.name,
            row.op,
            _shape(row.shape),
            row.verdict,
            f"{row.difference.differing:,}" if row.difference and row.difference.differing else "",
            f"{row.difference.greatest:.3g}" if row.difference and row.difference.greatest else "",
            f"{row.difference.relative:.1e}" if row.difference and row.difference.relative else "",
            f"{row.runtime.differing:,} of {row.runtime.elements:,}" if row.runtime and row.runtime.differing else "",
        )
        for row in found.layers
    ]
    headers = ("layer", "operation", "output", "verdict", "differing", "greatest", "relative", "runtime differs")
    print_table(headers, rows, numbers=headers[4:])
    inputs = "1 input" if found.inputs == 1 else f"{found.inputs} inputs"
    click.echo(f"\n{found.name} for {found.target}, {inputs}; reference: {found.reference}")
    if any(row.runtime for row in found.layers):
        click.echo(
            f"`runtime differs`: values for which {found.runtime} departs from the definition; for comparison only"
        )
    if found.output.greatest:
        click.echo(f"from input to output: {_distance(found)}")
    if found.accuracy is not None:
        images, library, runtime = found.accuracy.images, found.accuracy.library, found.accuracy.runtime
        click.echo(
            f"top-1 of {images} images: library {library / images:.1%} ({library}), "
            f"{found.runtime} {runtime / images:.1%} ({runtime})"
        )
    if found.first_difference is not None:
        click.echo(f"NOT EQUAL: {found.first_difference} is the first layer that differs from the reference")
        return
    verdicts = Counter(row.verdict for row in found.layers)
    compared = len(found.layers) - verdicts["not compared"]
    which = "every layer" if compared == len(found.layers) else f"each of the {compared} layers that the reference has"
    how = (
        f"equals it within {found.bound} of its greatest value" if verdicts["within bound"] else "equals it bit for bit"
    )
    click.echo(f"{which} {how}; the self-test passed")
    if stack_bytes is not None:
        click.echo(f"an inference takes {stack_bytes:,} bytes of stack")


def _distance(found: Verification) -> str:
    """How far the network's output is from its runtime's: as real numbers, or in steps of a quantised output."""
    output = found.output
    if found.numerics == "float32":
        return f"at most {output.greatest:.3g} from {found.runtime}, {output.relative:.1e} of the greatest value"
    values = f"{output.differing:,} of {output.elements:,} values"
    return f"{values} are not those of {found.runtime}, by at most {output.greatest:.3g}"


def print_bench(found: Bench) -> None:
    """A row for each layer, then all of the network and what the figures are."""
    units = list(found.total)
    headers = ("layer", "operation", "MACs", *units, "MAC/cycle", "of peak")
    rows = [
        (
            row.name,
            row.op,
            f"{row.macs:,}" if row.macs else "",
            *(_figure(row.figures.get(unit), unit) for unit in units),
            "" if row.macs_per_cycle is None else f"{row.macs_per_cycle:.2f}",
            "" if row.share_of_peak is None else f"{row.share_of_peak:.0%}",
        )
        for row in found.layers
    ]
    print_table(headers, rows, numbers=headers[2:])
    click.echo(f"\n{found.name} on {found.target}, one inference, {found.macs:,} multiply-accumulates")
    for unit in units:
        each = f", {found.total[unit] / found.macs:.3f} a MAC" if unit != "seconds" and found.macs else ""
        click.echo(f"{_figure(found.total[unit], unit)} {MEANINGS[unit]}{each}")
    if found.model is not None:
        click.echo(f"cycles~ by {found.model}")
    if found.macs_per_cycle is not None:
        peak = "" if found.share_of_peak is None else f", {found.share_of_peak:.0%} of the core's peak"
        click.echo(f"{found.macs_per_cycle:.2f} MACs a cycle{peak}")
    if found.latency is not None:
        runs, unit = found.latency, found.latency.unit
        figures = ", ".join(
            f"{name} {_figure(value, unit)}" for name, value in (("95 % within", runs.p95), ("least", runs.least))
        )
        cycles = " cycles" if unit == "cycles" else ""
        click.echo(f"latency: median {_figure(runs.median, unit)}, {figures}{cycles}, of {runs.runs:,} inferences")
    if found.throughput is not None:
        load = found.throughput
        click.echo(
            f"{load.instances} instances at a time: {load.per_second:,.1f} inferences a second, "
            f"each {_figure(load.latency, 'seconds')} on average; concurrency {load.concurrency:.2f}"
        )


def print_firmware(directory: Path, folder: Path, files: Sequence[str]) -> None:
    """What `mbgen bench --firmware` has written, and what to do with it."""
    hooks = next(file for file in files if file.endswith("_hooks.h"))
    library, here = shlex.quote(str(directory)), shlex.quote(str(folder))
    click.echo(f"written to {folder}: {', '.join(files)}")
    click.echo(
        "add them and the library's src/*.c to the board's project, with its own code for board_mps2.c, and build with"
    )
    click.echo(f"  -I {library}/include -I {library}/src -I {here} -include {hooks} -DMEASURE_HZ=CLOCK")
    click.echo(f"then, with the board plugged in: mbgen bench {library} --runner serial:PORT")


def _figure(value: float | None, unit: Unit) -> str:
    if value is None:
        return ""
    return f"{value * 1e3:.3f} ms" if unit == "seconds" else f"{value:,.0f}"


def print_exploration(found: Exploration, choice: Choice | None) -> None:
    """A row for each network, the cheapest first; then the best that fits and its line."""
    from mbgen.report.frontier import HEAD, note, row

    print_table(HEAD, [row(one) for one in found.candidates], numbers=HEAD[:-1])
    click.echo(f"\n{note(found)} Arena and flash are in bytes.")
    if choice is None:
        click.echo("nothing fits; give more memory or time, or ask for less accuracy")
        return
    best = choice.candidate
    accuracy = "" if best.accuracy is None else f", top-1 {best.accuracy:.1f} %"
    code = "" if choice.code is None else f" and {choice.code:,} of code"
    click.echo(
        f"the most accurate that fits is alpha {best.alpha:g} at {best.resolution}{accuracy}: compiled, it has an"
    )
    click.echo(f"arena of {choice.arena:,} bytes, {choice.constants:,} of constants{code}. To make it:")
    click.echo(f"  {choice.line}")


def print_summary(summary: Summary, parameters_with_batch_norm: int | None) -> None:
    """A row for each layer, then the totals; the second argument is for a network that mbgen itself describes."""
    rows = [
        (
            row.name,
            row.op,
            _shape(row.output.shape),
            row.output.dtype,
            f"{row.output.scale:.6g}" if row.output.scale is not None else "",
            f"{row.output.zero_point}" if row.output.zero_point is not None else "",
            _weights(row.weights),
            f"{row.macs:,}",
            f"{row.share:.1%}",
            f"{row.parameters:,}",
            f"{row.saving.ratio:.1%}" if row.saving else "",
        )
        for row in summary.layers
    ]
    headers = (
        "layer",
        "operation",
        "output",
        "type",
        "scale",
        "zero",
        "weights",
        "MACs",
        "share",
        "parameters",
        "pair",
    )
    print_table(headers, rows, numbers=("scale", "zero", "MACs", "share", "parameters", "pair"))
    ends = " -> ".join(f"{end.dtype} {_shape(end.shape)}" for end in (summary.input, summary.output))
    click.echo(f"\n{ends}, numerics {summary.numerics}")
    click.echo(f"multiply-accumulates {summary.macs:,}")
    if summary.standard_macs != summary.macs:
        click.echo(
            f"  {summary.standard_macs:,} with a standard convolution for each pair of depthwise and pointwise; "
            "`pair` is a pair's part of that, 1/N + 1/D_K^2"
        )
    click.echo(f"parameters {summary.parameters:,}")
    if parameters_with_batch_norm is not None:
        click.echo(f"  {parameters_with_batch_norm:,} as trained, with gamma and beta of batch normalisation")
    click.echo(f"constants {summary.constant_bytes:,} bytes")


REASONS = {
    "constant": "one value for every input",
    "dead": "read by nobody",
    "duplicate": "equal to another channel",
    "clip": "never binds",
    "pad": "folded into its readers",
    "requantize": "changes nothing",
}


def print_removals(removals: Sequence[Removal], nominal: int, executed: int) -> None:
    """What the exact rewrites take out of the network, and why; nothing if they find nothing."""
    if not removals:
        return
    click.echo("\ntaken out by exact rewrites, with the same output for every input:")
    rows = [
        (
            removal.layer,
            f"{removal.channels:,}" if removal.channels else "",
            REASONS[removal.reason],
            f"{removal.macs:,}" if removal.macs else "",
        )
        for removal in removals
    ]
    print_table(("layer", "channels", "because", "MACs"), rows, numbers=("channels", "MACs"))
    click.echo(f"multiply-accumulates left {executed:,} of {nominal:,} ({executed / nominal:.1%})")


def print_targets(tools: Mapping[Target, Sequence[Tool]]) -> None:
    """A row for each target, then how to install what is missing."""
    rows = []
    for target, needed in tools.items():
        missing = [tool.program for tool in needed if tool.path is None]
        state = f"missing {', '.join(missing)}" if missing else "ready"
        rows.append((target.name, target.description, _size(target.ram), _size(target.flash), state))
    print_table(("target", "core", "RAM", "flash", "tools"), rows, numbers=("RAM", "flash"))
    for tool in dict.fromkeys(tool for needed in tools.values() for tool in needed if tool.path is None):
        click.echo(f"{tool.program}: {tool.install}")


def print_needs(needs: Sequence[Need], install: str | None) -> None:
    """A row for each tool, then the command that installs what is missing."""
    rows = [(need.name, need.found or "missing", need.purpose, ", ".join(need.targets) or "all") for need in needs]
    print_table(("tool", "installed", "to", "for"), rows)
    if install is None:
        click.echo("\nnothing is missing")
    else:
        click.echo(f"\nto install what is missing (the names are Debian's and Ubuntu's):\n  {install}")


def _shape(shape: Sequence[int]) -> str:
    """Without the batch of one: 224x224x3."""
    return "x".join(map(str, shape[1:]))


def _weights(weights: Weights | None) -> str:
    if weights is None:
        return ""
    kind = "" if weights.dtype == "float32" else " per channel" if weights.per_channel else " per tensor"
    return (
        f"{weights.dtype} {'x'.join(map(str, weights.shape))}{kind}{' with zero point' if weights.zero_point else ''}"
    )


def _size(size: int | None) -> str:
    """Bytes as `--ram` takes them; nothing for no limit."""
    if size is None:
        return ""
    for unit, letter in ((1024 * 1024, "M"), (1024, "K")):
        if size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)
