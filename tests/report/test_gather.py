from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from mbgen.errors import InputError
from mbgen.library import render, write
from mbgen.report import Facts
from mbgen.report.gather import add_report, write_report
from tests.support.tiny_network import make_network


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
