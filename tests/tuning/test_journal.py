"""The journal: nothing that was added is lost, whatever happens to the process or to the end of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mbgen.errors import InputError
from mbgen.tuning.journal import Journal, Outcome, read_figures

SETTING = {"core": "cortex-m4", "runner": "emulator"}
GOOD = Outcome(1234, "instructions")
BAD = Outcome(None, cause="wrong result", message="task ended with exit code 1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cortex-m4" / "journal"


def test_outcomes_are_there_for_the_next_run(path: Path) -> None:
    with Journal(path, SETTING) as journal:
        assert journal.find("a", {"mr": 1, "nr": 2}) is None
        journal.add("a", {"mr": 1, "nr": 2}, GOOD)
        journal.add("b", {"step": "asm"}, BAD)
        assert journal.find("a", {"nr": 2, "mr": 1}) == GOOD
    with Journal(path, SETTING) as journal:
        assert journal.find("a", {"nr": 2, "mr": 1}) == GOOD
        assert journal.find("b", {"step": "asm"}) == BAD
        assert journal.find("b", {"mr": 1, "nr": 2}) is None


def test_a_board_that_did_not_get_its_program_is_tried_again(path: Path) -> None:
    with Journal(path, SETTING) as journal:
        journal.add("a", {"mr": 1}, Outcome(None, cause="not flashed", message="no probe"))
    with Journal(path, SETTING) as journal:
        assert journal.find("a", {"mr": 1}) is None


def test_other_settings_are_kept_apart(path: Path) -> None:
    with Journal(path, SETTING) as journal:
        journal.add("a", {"mr": 1}, GOOD)
    with Journal(path, {**SETTING, "runner": "ssh:me@board"}) as journal:
        assert journal.find("a", {"mr": 1}) is None
        journal.add("a", {"mr": 1}, BAD)
    with Journal(path, SETTING) as journal:
        assert journal.find("a", {"mr": 1}) == GOOD


def test_every_cut_of_the_file_keeps_the_whole_lines(path: Path) -> None:
    """A kill may leave any part of the last line."""
    with Journal(path, SETTING) as journal:
        journal.add("a", {"mr": 1}, GOOD)
        first = len(path.read_bytes())
        journal.add("a", {"mr": 2}, GOOD)
    whole = path.read_bytes()
    for size in range(first, len(whole)):
        path.write_bytes(whole[:size])
        with Journal(path, SETTING) as journal:
            assert journal.find("a", {"mr": 1}) == GOOD
            assert journal.find("a", {"mr": 2}) is None
            journal.add("a", {"mr": 2}, BAD)
        with Journal(path, SETTING) as journal:
            assert journal.find("a", {"mr": 2}) == BAD


def test_one_run_at_a_time(path: Path) -> None:
    with Journal(path, SETTING), pytest.raises(InputError) as failure:
        Journal(path, SETTING)
    assert str(failure.value) == (f"{path}: another tuning run is writing there; wait for it or give another --records")


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "journal"
    with pytest.raises(InputError) as failure:
        Journal(path, SETTING)
    assert str(failure.value) == f"{path}: the journal cannot be written (File exists); give another --records"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("{}", "'kernel'"),
        ('{"kernel": "a", "point": {}, "setting": {}, "figure": null}', "an outcome is a figure or a cause"),
        (
            '{"kernel": "a", "point": {}, "setting": {}, "figure": 1, "cause": "bored"}',
            "an outcome is a figure or a cause",
        ),
    ],
)
def test_a_damaged_line_is_named(line: str, reason: str, path: Path) -> None:
    with Journal(path, SETTING) as journal:
        journal.add("a", {"mr": 1}, GOOD)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(InputError) as failure:
        Journal(path, SETTING)
    message = f"{path}:2: damaged journal ({reason}); remove the line or give another"
    assert str(failure.value) == f"{message} --records"
    with pytest.raises(InputError) as failure:
        read_figures(path)
    assert str(failure.value) == f"{message} --journal"


def test_figures_of_the_last_setting_in_the_order_of_measuring(path: Path) -> None:
    with Journal(path, {**SETTING, "version": "0"}) as journal:
        journal.add("a", {"mr": 1}, Outcome(1, "instructions"))
    with Journal(path, SETTING) as journal:
        journal.add("a", {"mr": 2}, GOOD)
        journal.add("b", {"mr": 1}, GOOD)
        journal.add("a", {"mr": 1}, BAD)
    path.write_bytes(path.read_bytes() + b'{"cut')
    assert read_figures(path) == {"a": (1234, None), "b": (1234,)}
    with pytest.raises(InputError, match=r"none: the journal cannot be read \(No such file or directory\)"):
        read_figures(path.with_name("none"))
