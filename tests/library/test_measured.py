from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from mbgen.costs import Prediction
from mbgen.errors import InputError
from mbgen.library import render, write
from mbgen.library.measured import CODE_ROW, STACK_ROW, TIME_ROW, measured_stack, measured_time, predicted_rows, record
from tests.support.tiny_network import make_network

PREDICTION = Prediction(5_283_456.0, "cycles~", 0.04, 30_000, 400)


def readme(directory: Path) -> list[str]:
    return (directory / "README.md").read_text().splitlines()


def test_what_the_readme_says_before_anything_is_measured(tmp_path: Path) -> None:
    write(render(make_network(predicted=PREDICTION, target="cortex-m4")), tmp_path / "tiny")
    lines = readme(tmp_path / "tiny")
    assert "| flash: code | predicted: at most about 30,000 bytes, as in libraries of this kind |" in lines
    assert (
        "| stack of one inference | predicted: at most about 400 bytes, as in libraries of this kind; "
        "`mbgen verify` measures this one and writes it here |"
    ) in lines
    assert (
        "| time of one inference | predicted: 5,280,000 cycles by a model of the core, 31.4 ms at 168 MHz, within 4% "
        "for libraries of this kind; `mbgen report` measures this one and writes it here |"
    ) in lines
    assert json.loads((tmp_path / "tiny" / "manifest.json").read_text())["predicted"] == {
        "cost": 5_283_456.0,
        "unit": "cycles~",
        "error": 0.04,
        "code_bytes": 30_000,
        "stack_bytes": 400,
    }


def test_without_a_prediction_it_says_what_measures() -> None:
    assert predicted_rows(None, None) == {
        CODE_ROW: "known once it is linked: the linker's map says how much",
        STACK_ROW: "not measured: `mbgen verify` on this folder measures it and writes it here",
        TIME_ROW: "not measured: `mbgen report` on this folder measures it and writes it here",
    }


@pytest.mark.parametrize(
    ("cost", "unit", "clock_hz", "said"),
    [
        (1_234_567, "cycles~", 168_000_000, "1,234,567 cycles by a model of the core, 7.35 ms at 168 MHz"),
        (1_234_567, "cycles", None, "1,234,567 cycles"),
        (1_234_567, "instructions", 168_000_000, "1,234,567 instructions"),
        (0.0012345, "seconds", None, "1.234 ms"),
    ],
)
def test_measured_time(cost: float, unit: str, clock_hz: int | None, said: str) -> None:
    assert measured_time(cost, unit, clock_hz) == f"measured: {said}"


def test_what_is_measured_takes_the_place_of_what_was_predicted(tmp_path: Path) -> None:
    directory = tmp_path / "tiny"
    write(render(make_network(predicted=PREDICTION)), directory)
    (directory / "README.md").chmod(0o640)
    before, manifest = readme(directory), json.loads((directory / "manifest.json").read_text())
    record(directory, "the stack", {STACK_ROW: measured_stack(360)}, {"stack_bytes": 360})
    assert [line for line in readme(directory) if line not in before] == [
        "| stack of one inference | measured: 360 bytes |"
    ]
    assert len(readme(directory)) == len(before)
    assert (directory / "README.md").stat().st_mode & 0o777 == 0o640
    after = json.loads((directory / "manifest.json").read_text())
    changed = {name: value for name, value in after.items() if value != manifest[name]}
    assert changed.keys() == {"stack_bytes", "files"}
    assert changed["stack_bytes"] == 360
    for entry in after["files"]:
        content = (directory / entry["path"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    write(render(make_network()), directory)  # nothing in it is foreign


def test_a_library_without_a_readme_still_has_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"stack_bytes": null}')
    record(tmp_path, "the stack", {STACK_ROW: measured_stack(360)}, {"stack_bytes": 360})
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"stack_bytes": 360}
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_files_that_cannot_be_replaced_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "tiny"
    write(render(make_network()), directory)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(InputError) as refused:
        record(directory, "the measured stack", {STACK_ROW: measured_stack(360)}, {"stack_bytes": 360})
    assert str(refused.value) == f"{directory}: the measured stack cannot be written (Permission denied)"
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    write(render(make_network()), tmp_path / "tiny")
    (tmp_path / "tiny").chmod(0o555)
    with pytest.raises(InputError, match=r"the stack cannot be written \(Permission denied\)"):
        record(tmp_path / "tiny", "the stack", {})
