"""Schedule records: what is chosen for a kernel, what files hold, and what a damaged file says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.errors import InputError
from mbgen.schedules.records import (
    Record,
    choose_from,
    core_folder,
    read_records,
    records_hash,
    shipped_records,
    write_records,
)
from mbgen.schedules.space import Choice, Point, Space
from mbgen.target import all_targets, load_target

M4 = load_target("cortex-m4")


def space(m: int, n: int = 8, dtype: str = "int8") -> Space:
    """Tiles of at most `m` rows; 4 x 4 is illegal."""

    def illegal(point: Point) -> str | None:
        return "too large" if (point["mr"], point["nr"]) == (4, 4) else None

    knobs: dict[str, tuple[Choice, ...]] = {"mr": tuple(range(1, m + 1)), "nr": (1, 2, 4)}
    return Space("gemm", {"m": m, "n": n, "dtype": dtype}, knobs, {"mr": 1, "nr": 1}, illegal)


def record(m: int, n: int = 8, dtype: str = "int8", point: Mapping[str, Choice] | None = None) -> Record:
    facts: dict[str, Choice] = {"m": m, "n": n, "dtype": dtype}
    return Record("gemm", facts, point or {"mr": 2, "nr": 2}, 70, 100, "cycles~", 12, ((1, 100), (5, 70)), "0.1")


# --- choosing ------------------------------------------------------------------------------------------------------


def test_without_records_the_default_stands() -> None:
    chosen = choose_from([])(space(4))
    assert (chosen.point, chosen.source) == ({"mr": 1, "nr": 1}, "default")


def test_the_kernels_own_record_comes_first() -> None:
    own, near = record(4, point={"mr": 3, "nr": 4}), record(5)
    chosen = choose_from([near, own])(space(4))
    assert (chosen.point, chosen.source) == (own.point, f"record {own.digest}")


def test_then_the_nearest_in_the_logarithm_of_its_extents() -> None:
    far, near = record(64), record(4, 10)
    chosen = choose_from([far, near])(space(6))
    assert (chosen.point, chosen.source) == (near.point, f"nearest record {near.digest}")


def test_a_record_of_far_larger_extents_does_not_serve() -> None:
    assert choose_from([record(15)])(space(4)).source == f"nearest record {record(15).digest}"
    assert choose_from([record(17)])(space(4)).source == "default"
    assert choose_from([record(12, 16)])(space(4)).source == "default"


@pytest.mark.parametrize("improvements", [((1, 100),), ((1, 100), (3, 99))])
def test_where_nothing_beat_a_default_by_much_the_neighbours_keep_theirs(
    improvements: tuple[tuple[int, int], ...],
) -> None:
    near = replace(record(5), figure=improvements[-1][1], improvements=improvements)
    chosen = choose_from([near])(space(4))
    assert (chosen.point, chosen.source) == (space(4).default, f"nearest record {near.digest}")


def test_a_record_of_another_structure_does_not_serve() -> None:
    assert choose_from([record(4, dtype="float32")])(space(4)).source == "default"
    other = Record("gemm", {"m": 4, "dtype": "int8"}, {"mr": 2, "nr": 2}, 1, 1, "cycles~", 1, ((1, 1),), "0.1")
    assert choose_from([other])(space(4)).source == "default"


def test_what_is_illegal_here_does_not_serve() -> None:
    """Neither a point that this kernel cannot have nor one of another mbgen's space."""
    own = record(4, point={"mr": 4, "nr": 4})
    old = record(5, point={"mr": 2})
    large = record(6, point={"mr": 6, "nr": 1})
    fits = record(12, point={"mr": 4, "nr": 2})
    assert choose_from([own, old, large])(space(4)).source == "default"
    assert choose_from([own, old, large, fits])(space(4)).point == fits.point


@given(st.permutations([record(2), record(8), record(8, 16), record(32)]))
def test_the_order_of_records_does_not_matter(records: list[Record]) -> None:
    """Two are equally near to 4 rows."""
    assert choose_from(records)(space(4)) == choose_from([record(2), record(8), record(8, 16), record(32)])(space(4))


def test_the_hash_is_of_the_records_that_were_used() -> None:
    a, b = record(4), record(5)
    assert records_hash([]) is None
    assert records_hash(["default"]) is None
    used = records_hash(["default", f"record {a.digest}", f"nearest record {b.digest}", f"record {b.digest}"])
    assert used == records_hash([f"record {b.digest}", f"record {a.digest}"])
    assert used != records_hash([f"record {a.digest}"])
    assert used is not None
    assert len(used) == 64


# --- files ---------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again_and_merged(tmp_path: Path) -> None:
    first, second, better = record(64), record(4), replace(record(64), figure=60)
    conv = Record("conv2d", {"oc": 8}, {"vectors": 1}, 0.5, 1.5, "seconds", 3, ((1, 1.5), (3, 0.5)), "0.1")
    write_records(tmp_path, M4, [first, conv])
    write_records(tmp_path, M4, [second, better])
    assert read_records(tmp_path, M4) == (conv, second, better)
    folder = tmp_path / "cortex-m4"
    assert sorted(path.name for path in folder.iterdir()) == ["conv2d.jsonl", "gemm.jsonl"]
    assert (folder / "gemm.jsonl").read_text() == f"{second.line}\n{better.line}\n"  # by extents
    assert read_records(tmp_path, load_target("cortex-m7")) == ()


def test_a_line_in_full() -> None:
    assert json.loads(record(4).line) == {
        "family": "gemm",
        "facts": {"dtype": "int8", "m": 4, "n": 8},
        "point": {"mr": 2, "nr": 2},
        "figure": 70,
        "default_figure": 100,
        "unit": "cycles~",
        "trials": 12,
        "improvements": [[1, 100], [5, 70]],
        "version": "0.1",
    }


def test_records_of_a_host_are_its_variants() -> None:
    host = load_target("host")
    assert core_folder(Path("tuned"), host) == Path("tuned/host") / host.cpu
    assert core_folder(Path("tuned"), M4) == Path("tuned/cortex-m4")


def test_all_records_that_ship_are_sound_and_better_than_the_default() -> None:
    for target in all_targets():
        for one in read_records(shipped_records(), target):
            assert one.figure <= one.default_figure, one.line


def changed(**fields: object) -> str:
    return json.dumps({**json.loads(record(4).line), **fields})


def without(name: str) -> str:
    entry = json.loads(record(4).line)
    del entry[name]
    return json.dumps(entry)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "it is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("", "it is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[1]", "it is not a JSON object"),
        ("3", "it is not a JSON object"),
        (without("point"), "it has no point"),
        (changed(point={"mr": [2]}), "point is not as mbgen writes it"),
        (changed(point=[2]), "point is not as mbgen writes it"),
        (changed(facts={"m": True}), "facts is not as mbgen writes it"),
        (changed(figure=-1), "figure is not as mbgen writes it"),
        (changed(figure="70"), "figure is not as mbgen writes it"),
        (changed(figure=float("nan")), "figure is not as mbgen writes it"),
        (changed(trials=1.5), "trials is not as mbgen writes it"),
        (changed(improvements=[]), "improvements is not as mbgen writes it"),
        (changed(improvements=[[1, 100], [1, 70]]), "improvements is not as mbgen writes it"),
        (changed(improvements=[[1, 100], [2, 100]]), "improvements is not as mbgen writes it"),
        (changed(improvements=[[1, 100, 2]]), "improvements is not as mbgen writes it"),
        (changed(family=7), "family is not as mbgen writes it"),
        (changed(speed=9), "speed is not known"),
    ],
)
def test_a_damaged_line_is_named(line: str, reason: str, tmp_path: Path) -> None:
    write_records(tmp_path, M4, [record(64)])
    path = tmp_path / "cortex-m4" / "gemm.jsonl"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(InputError) as failure:
        read_records(tmp_path, M4)
    where = "cortex-m4/gemm.jsonl:2"
    assert str(failure.value) == f"{where}: damaged schedule record: {reason}. Remove the line or tune again"


def test_two_records_of_one_kernel_are_refused(tmp_path: Path) -> None:
    write_records(tmp_path, M4, [record(64)])
    path = tmp_path / "cortex-m4" / "gemm.jsonl"
    path.write_text(path.read_text() * 2)
    with pytest.raises(InputError) as failure:
        read_records(tmp_path, M4)
    expected = "cortex-m4/gemm.jsonl:2: a second record of the same kernel; keep the better one"
    assert str(failure.value) == expected


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cortex-m4" / "gemm.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="these schedule records cannot be read"):
        read_records(tmp_path, M4)


def test_where_records_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cortex-m4").write_text("in the way")
    with pytest.raises(InputError) as failure:
        write_records(tmp_path, M4, [record(64)])
    expected = f"{tmp_path}/cortex-m4: the records cannot be written (File exists); give another --records"
    assert str(failure.value) == expected
