from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest

from mbgen.errors import InputError
from mbgen.kernel import Tuned
from mbgen.library import Network, render, write
from mbgen.report import Facts
from mbgen.report.gather import add_report, journal_figures, trials, write_report
from mbgen.report.listing import read_listing
from mbgen.schedules.records import Record
from mbgen.tuning.journal import Journal, Outcome
from tests.support.tiny_network import make_network
from tests.support.tools import require_target


def listed(directory: Path) -> bool:
    """Whether the manifest lists the report as it is."""
    manifest = json.loads((directory / "manifest.json").read_text())
    (entry,) = (file for file in manifest["files"] if file["path"] == "report.html")
    content = (directory / "report.html").read_bytes()
    return bool(entry["sha256"] == hashlib.sha256(content).hexdigest() and entry["bytes"] == len(content))


def test_report_is_one_of_the_library_s_files(tmp_path: Path) -> None:
    library = add_report(render(make_network("int8")))
    write(library, tmp_path / "tiny")
    assert listed(tmp_path / "tiny")
    write(library, tmp_path / "tiny")  # nothing in it is foreign


def test_report_replaces_the_one_before(tmp_path: Path) -> None:
    write(add_report(render(make_network("int8"))), tmp_path / "tiny")
    before = (tmp_path / "tiny" / "report.html").read_bytes()
    manifest = json.loads((tmp_path / "tiny" / "manifest.json").read_text())
    write_report(tmp_path / "tiny", Facts({**manifest, "stack_bytes": 123}))
    assert (tmp_path / "tiny" / "report.html").read_bytes() != before
    assert listed(tmp_path / "tiny")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write(add_report(render(make_network("int8"))), tmp_path / "tiny")
    (tmp_path / "tiny").chmod(0o555)
    with pytest.raises(InputError, match=r"the report cannot be written \(Permission denied\)"):
        write_report(tmp_path / "tiny", Facts(json.loads((tmp_path / "tiny" / "manifest.json").read_text())))


def tuned_network() -> Network:
    network = make_network("int8")
    kernel = network.lowered.kernels[0]
    record = Record("gemm", {"m": 4}, {"mr": 2}, 70, 100, "cycles~", 12, ((1, 100), (5, 70)), "0.1")
    tuned = dataclasses.replace(kernel, schedule_source=f"record {record.digest}")
    lowered = dataclasses.replace(network.lowered, kernels=(tuned, *network.lowered.kernels[1:]))
    default = dataclasses.replace(kernel, schedule="by default", body="    (void)0;\n")
    return dataclasses.replace(network, lowered=lowered, tuned=(Tuned(kernel.symbol, record, default),))


def test_the_trials_are_those_of_the_record_or_of_the_journal() -> None:
    network = tuned_network()
    (tuned,) = network.tuned
    manifest = json.loads(render(network).files["manifest.json"])
    (found,) = trials(manifest)
    assert (found.count, found.figures, found.best[-1]) == (12, ((1, 100), (5, 70)), (12, 70))
    (found,) = trials(manifest, {tuned.record.key: (100, None, 80), "another": (1,)})
    assert (found.count, found.figures) == (3, ((1, 100), (3, 80)))
    (found,) = trials(manifest, {"another": (1,)})
    assert found.count == 12


def test_the_journal_of_another_run_is_refused(tmp_path: Path) -> None:
    network = tuned_network()
    (tuned,) = network.tuned
    manifest = json.loads(render(network).files["manifest.json"])
    path = tmp_path / "tune.journal"
    for kernel in (tuned.record.key, "another"):
        with Journal(path, {"run": kernel}) as journal:
            journal.add(kernel, {"mr": 2}, Outcome(70, "cycles~"))
        if kernel == tuned.record.key:
            assert journal_figures(path, manifest) == {kernel: (70,)}
    with pytest.raises(InputError) as refused:
        journal_figures(path, manifest)
    assert str(refused.value) == (
        f"{path}: measured none of the kernels that this library has records of; give the journal of the run "
        "that tuned it, or leave --journal out"
    )


def test_a_compiled_library_s_report_shows_its_tuning() -> None:
    page = add_report(render(tuned_network())).files["report.html"].decode()
    assert "12 trials in cycles~: the default schedule takes 100, the best 70." in page


def test_the_default_s_code_is_beside_the_tuned_kernel_s(tmp_path: Path) -> None:
    network = dataclasses.replace(tuned_network(), target=require_target("host"))
    (tuned,) = network.tuned
    write(render(network), tmp_path / "tiny")
    listing = read_listing(tmp_path / "tiny")
    text = listing.default_c_text[tuned.kernel]
    assert text.startswith(f"void {tuned.kernel}(")
    assert text.endswith("{\n    (void)0;\n}")
    assert 0 < len(listing.default_assembly[tuned.kernel]) < len(listing.assembly[tuned.kernel])
