from __future__ import annotations

import pytest

from mbgen.errors import RefusedError
from mbgen.measuring.lines import Build, DamagedError, Load, Report, Section, checked, read_report, started
from tests.support.report_lines import line, sent


def test_checksum_is_the_crc_of_the_catalogues() -> None:
    # CRC-16/XMODEM of "123456789", as every catalogue of checksums gives it
    assert checked("123456789 *31c3") == ["123456789"]


def test_a_report_is_read() -> None:
    assert read_report(sent()) == Report(
        build=Build("tiny", 0x0A0B0C0D),
        hz=1000,
        core_hz=4000,
        runs=(70, 72, 71),
        empty=3,
        profiles=((Section(40, 2), Section(30, 1)), (Section(44, 2), Section(32, 1))),
        load=Load(2, 10, 400, 780),
    )


def test_which_lines_start_a_report() -> None:
    assert [started(one) for one in sent()] == [Build("tiny", 0x0A0B0C0D)] + [None] * 11
    assert started(sent()[0].replace("tiny", "tine")) is None
    assert str(started(sent()[0])) == "tiny of build 0x0a0b0c0d"


def test_what_comes_before_a_report_is_passed_over() -> None:
    half = [line("section 1 30 1"), "\x00\xff mbgen tiny", *sent()[5:]]
    assert read_report([*half, *sent()]) == read_report(sent())


def test_reports_come_one_after_another() -> None:
    lines = iter([*sent(("run 0 70", "run 0 80")), *sent()])
    assert [read_report(lines).runs[0] for _ in range(2)] == [80, 70]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no report came"),
        (["hello\n"], "no report came"),
        (sent()[:-1], "the report broke off before its end"),
        (sent()[:2] + sent()[3:], "run 2 came where run 1 was due"),
        (sent()[:7] + sent()[8:], "section 0 came where section 1 was due"),
        (sent()[:8] + sent()[10:], "2 sections came of 4"),
        (sent()[:1] + sent()[4:], "no run came before the end"),
        (sent(("run 1 72", "run 1")), "the line 'run 1 *07cb' is not one of a report"),
        (sent(("run 1 72", "run 1 -2")), "the line 'run 1 -2 *af53' is not one of a report"),
        (sent(("run 1 72", "ran 1 72")), "the line 'ran 1 72 *b556' is not one of a report"),
        ([*sent()[:2], "run 1 79 *43eb\n"], "the line 'run 1 79 *43eb' does not have its checksum, f280"),
        ([*sent()[:2], "run 1 72\n"], "the line 'run 1 72' does not have its checksum, *...."),
    ],
)
def test_a_damaged_report_is_not_believed(lines: list[str], message: str) -> None:
    with pytest.raises(DamagedError) as damaged:
        read_report(lines)
    assert str(damaged.value) == message


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("failed", "tiny reports that an inference failed"),
        ("wrong", "tiny gives a wrong result: its self-test failed where it was measured"),
    ],
)
def test_a_run_that_went_wrong_is_no_measurement(word: str, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read_report(sent(("run 1 72", word)))
    assert str(refused.value) == message


def test_another_version_of_the_report() -> None:
    head = line("mbgen tiny 2 168496141 1000 2")
    with pytest.raises(RefusedError) as refused:
        read_report([head, *sent()[1:]])
    assert str(refused.value) == (
        f"the report's first line is {head.strip()!r}, not one of version 1: "
        "build the program with this version of mbgen"
    )
