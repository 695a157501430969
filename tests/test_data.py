from __future__ import annotations

from pathlib import Path

import pytest

import mbgen.data
from mbgen.data import data_folder


def test_a_checkout_has_its_data_beside_the_package() -> None:
    assert (data_folder("targets") / "schema.json").is_file()
    assert (data_folder("templates") / "harness" / "harness.h").is_file()


def test_a_wheel_has_its_data_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mbgen.data, "_PACKAGE", tmp_path / "mbgen")
    assert data_folder("targets") == tmp_path / "targets"
    (tmp_path / "mbgen" / "data" / "targets").mkdir(parents=True)
    assert data_folder("targets") == tmp_path / "mbgen" / "data" / "targets"
