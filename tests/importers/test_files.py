"""What a file is, and names from files that are safe to print."""

from __future__ import annotations

import pytest

from mbgen.importers.files import describe, first_line, first_of_each, listed, shown


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "the file is empty"),
        (b"\x1c\x00\x00\x00TFL3\x00", "this is a TFLite model"),
        (b"\xff\xd8\xff\xdb", "this is a JPEG image"),
        (b"\x89PNG\r\n\x1a\n", "this is a PNG image"),
        (b"\x1f\x8b\x08\x00", "this is a gzip archive"),
        (b"\x89HDF\r\n\x1a\n", "this is an HDF5 file"),
        (b"<!DOCTYPE html>", "this is a web page"),
        (b'{"format": 1}', "this is JSON"),
        (b"\x00\x01\x02", "this is some other kind of file"),
    ],
)
def test_kinds_of_file(content: bytes, kind: str) -> None:
    assert describe(content) == kind


def test_names_are_quoted_escaped_and_short() -> None:
    assert shown("conv/1") == "'conv/1'"
    assert shown("a\nb\x1b[0m") == r"'a\nb\x1b[0m'"
    assert shown("x" * 100) == f"'{'x' * 80}...'"


def test_long_lists_say_how_much_is_left_out() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_operators_are_grouped_by_kind() -> None:
    assert first_of_each([("A", "a1"), ("B", "b1"), ("A", "a2"), ("A", "a3")]) == "a1 and 2 more A, b1"


def test_foreign_errors_are_one_line() -> None:
    assert first_line(ValueError("first\nsecond")) == "'first'"
    assert first_line(AssertionError()) == "'AssertionError'"
