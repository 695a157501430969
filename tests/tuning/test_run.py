"""Whole tuning runs: what they need, and that dask's workers find what one process finds."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from mbgen.errors import InputError, MissingToolError
from mbgen.options import CompileOptions
from mbgen.schedules.records import read_records
from mbgen.target import load_target
from mbgen.tuning.run import TuneOptions, require_packages, tune_model
from tests.support.emulated_board import emulated_board
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


def test_boards_of_workers_need_a_label(tmp_path: Path) -> None:
    options = TuneOptions(
        tmp_path, 1, runner="serial:$BOARD", workers="tcp://rack:8786", flash=("sh", "flash.sh", "{folder}")
    )
    with pytest.raises(InputError) as failure:
        tune_model(dataclasses.replace(model(tmp_path), target="cortex-m4"), options, lambda *_: None)
    assert str(failure.value) == (
        "--runner serial:$BOARD:115200 with --workers: name the workers with a board by --resource, "
        "so that each measures one trial at a time"
    )


@pytest.mark.slow
def test_a_board_is_tuned(tmp_path: Path) -> None:
    """All that a person with a board does: plug it in, and name its port and what flashes it."""
    core = require_target("cortex-m4")
    network = dataclasses.replace(model(tmp_path), target="cortex-m4")
    with emulated_board(tmp_path / "board") as board:
        options = TuneOptions(tmp_path / "tuned", 10, runner=board.runner, flash=board.flash)
        found = tune_model(network, options, lambda *_: None)
        again = tune_model(network, options, lambda *_: None)
    assert (found.trials, found.measured, found.failures) == (10, 10, {})
    assert {record.unit for record in found.records} == {"cycles"}
    kept = read_records(tmp_path / "tuned", core)
    assert {record.key: record for record in kept} == {record.key: record for record in found.records} != {}
    assert (again.trials, again.measured) == (10, 0)


@pytest.mark.slow
def test_a_command_that_flashes_nothing_leaves_nothing_behind(tmp_path: Path) -> None:
    network = dataclasses.replace(model(tmp_path), target="cortex-m4")
    ends = os.openpty()
    options = TuneOptions(
        tmp_path / "tuned", 20, runner=f"serial:{os.ttyname(ends[1])}", flash=("sh", "-c", "exit 1", "{folder}")
    )
    found = tune_model(network, options, lambda *_: None)
    for end in ends:
        os.close(end)
    assert found.failures == {"not flashed": found.trials}
    assert found.trials == len(found.kernels)  # where the default fails, nothing else is tried
    assert found.example == "--flash-with: sh -c exit 1 {folder} ended with exit code 1; it printed nothing"
    assert (tmp_path / "tuned" / "cortex-m4" / "tune.journal").read_text() == ""


@pytest.mark.slow
def test_a_rack_of_boards_tunes_one_network(tmp_path: Path) -> None:
    core = require_target("cortex-m4")
    distributed = pytest.importorskip("distributed")
    network = dataclasses.replace(model(tmp_path), target="cortex-m4")
    with emulated_board(tmp_path / "one") as one, emulated_board(tmp_path / "two") as two:
        workers = {
            board.port.parent.name: {
                "cls": distributed.Nanny,
                "options": {"nthreads": 1, "resources": {"board": 1}, "env": {"BOARD": str(board.port)}},
            }
            for board in (one, two)
        }
        scheduler = {"cls": distributed.Scheduler, "options": {"dashboard_address": None}}
        with distributed.SpecCluster(workers=workers, scheduler=scheduler) as cluster:
            options = TuneOptions(
                tmp_path / "tuned",
                10,
                runner="serial:$BOARD",
                flash=one.flash,
                workers=cluster.scheduler_address,
                resource="board",
            )
            found = tune_model(network, options, lambda *_: None)
        assert one.port.exists()
        assert two.port.exists()
    assert (found.trials, found.failures) == (10, {})
    kept = read_records(tmp_path / "tuned", core)
    assert {record.key: record for record in kept} == {record.key: record for record in found.records} != {}


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
