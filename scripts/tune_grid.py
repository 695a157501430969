"""Makes the records that ship: tunes the networks of MobileNet V1's grid for a core, all in one search.

    python -m scripts.tune_grid cortex-m4 --dtype int8 --minutes 30 --models person.tflite

adds to targets/tuned/cortex-m4/, here with the kernels of another model too. Networks that the core has no room
for are left out. A run that was stopped goes on where it was, by the journal beside the records. Needs the packages
of `mbgen[tune]`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mbgen.errors import MbgenError, RefusedError
from mbgen.explore import constant_bytes
from mbgen.options import CompileOptions
from mbgen.pipeline import Planned, check_flash, plan_model
from mbgen.tables import print_tuning
from mbgen.terminal import show_progress
from mbgen.tuning.run import TuneOptions, tune_planned

TUNED = Path(__file__).resolve().parent.parent / "targets" / "tuned"
ALPHAS = (0.25, 0.5, 0.75, 1.0)  # arXiv 1704.04861, tables 6 and 7, with the resolution that small cores are given
RESOLUTIONS = (96, 128, 160, 192, 224)
MOST_TRIALS = 20_000


def grid(target: str, dtype: str, alphas: Sequence[float] = ALPHAS) -> Iterator[Planned]:
    """Every network of the grid that fits the target."""
    for alpha, resolution in itertools.product(alphas, RESOLUTIONS):
        options = CompileOptions(target=target, alpha=alpha, resolution=resolution, dtype=dtype)
        try:
            planned = plan_model(options, lambda *_: None)
            check_flash(constant_bytes(planned.graph, dtype), planned.source, planned.target.flash, planned.target)
        except RefusedError as refused:
            print(f"left out: {refused}", file=sys.stderr)
        else:
            yield planned


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune, and show what was found; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument(
        "--models", nargs="+", type=Path, default=[], metavar="MODEL", help=".tflite or .onnx, of the same type"
    )
    parser.add_argument("--dtype", choices=("int8", "float32"), required=True)
    parser.add_argument("--alphas", nargs="+", type=float, default=ALPHAS, help="only these of the grid")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--runner")
    parser.add_argument("--records", type=Path, default=TUNED)
    asked = parser.parse_args(arguments)
    models = [CompileOptions(target=asked.target, model=model) for model in asked.models]
    options = TuneOptions(asked.records, MOST_TRIALS, asked.minutes, runner=asked.runner, jobs=asked.jobs)
    with show_progress() as progress:
        planned = (plan_model(model, progress) for model in models)
        networks = itertools.chain(grid(asked.target, asked.dtype, asked.alphas), planned)
        try:
            found = tune_planned(networks, options, progress)
        except MbgenError as error:
            parser.error(str(error))
    print_tuning(found, asked.records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
