"""Whole tuning runs: what they need, and that dask's workers find what one process finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbgen.errors import InputError, MissingToolError
from mbgen.options import CompileOptions
from mbgen.schedules.records import read_records
from mbgen.target import load_target
from mbgen.tuning.run import TuneOptions, require_packages, tune_model
from tests.support.tflite_models import mobilenet_v1
from tests.support.tools import require_target


def model(folder: Path) -> CompileOptions:
    path = folder / "model.tflite"
    path.write_bytes(mobilenet_v1("int8"))
    return CompileOptions(target="cortex-m0plus", model=path)


def test_packages_that_are_missing_are_named() -> None:
    require_packages("json", "xgboost")
    with pytest.raises(MissingToolError) as failure:
        require_packages("json", "no_such_package", "nor_this_one")
    assert str(failure.value) == (
        "mbgen tune needs no_such_package, nor_this_one; install with: pip install 'mbgen[tune]'"
    )


def test_a_resource_is_one_of_workers(tmp_path: Path) -> None:
    with pytest.raises(InputError) as failure:
        tune_model(model(tmp_path), TuneOptions(tmp_path, trials=1, resource="board"), lambda *_: None)
    assert str(failure.value) == "--resource names workers of a dask scheduler; give its address with --workers"


@pytest.mark.slow
def test_two_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    require_target("cortex-m0plus")
    distributed = pytest.importorskip("distributed")
    network, trials = model(tmp_path), 24
    alone = tune_model(network, TuneOptions(tmp_path / "alone", trials, jobs=1), lambda *_: None)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        shared = tune_model(network, TuneOptions(tmp_path / "shared", trials, workers=address), lambda *_: None)
    assert shared.records == alone.records
    assert (shared.trials, shared.failures) == (alone.trials, alone.failures)
    core = load_target("cortex-m0plus")
    assert read_records(tmp_path / "alone", core) == read_records(tmp_path / "shared", core) != ()
