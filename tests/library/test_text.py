from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.library.text import comment, float_literal, integer_macro, joined, shape, wrapped_signatures
from tests.support.compilers import STRICT, call


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain text, 3x3", "plain text, 3x3"),
        ("*/ system(); /*", "* / system(); / *"),
        ("*/*/*", "* / * / *"),
        ("what??/", "what? ?/"),
        ("????", "? ? ? ?"),
        ("ends in \\", "ends in /"),
        ("*\\", "* /"),
        ("two\nlines\r\n\ttab", "two lines tab"),
        ("caf\u00e9 \u202e \x00", "caf_ _ _"),
    ],
)
def test_comments_are_defused(text: str, safe: str) -> None:
    assert comment(text) == safe


@given(st.text(alphabet=st.one_of(st.sampled_from("*/?\\\n\r"), st.characters())))
def test_no_text_ends_a_comment_or_joins_lines(text: str) -> None:
    safe = comment(text)
    assert safe.isascii()
    assert not safe or safe.isprintable()
    assert not any(sequence in safe for sequence in ("*/", "/*", "??", "\\"))


def test_hostile_text_compiles_as_a_comment(tmp_path: Path) -> None:
    hostile = ["*/ #error a", "??/", "\\", "/* */", "*??/\n/ int x = 1;", "// \\", "\x00*/"]
    source = tmp_path / "comments.c"
    source.write_text("".join(f"/* {comment(text)} */\n" for text in hostile) + "typedef int something;\n")
    call(["gcc", "-std=c99", *STRICT, "-fsyntax-only", source])


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float_literals_read_back_exactly(value: float) -> None:
    literal = float_literal(value)
    assert literal.endswith("f")
    assert np.float32(literal[:-1]).tobytes() == np.float32(value).tobytes()
    assert "." in literal or "e" in literal


def test_lists_are_broken_under_their_first_item_or_eight_columns_in() -> None:
    assert joined("f(", ["a", "b"], ");") == "f(a, b);"
    items = ["x" * 20] * 6
    assert joined("    function(", items, ")") == (
        f"    function({', '.join(items[:4])},\n             {', '.join(items[:2])})"
    )
    long = "static inline " + "f" * 60 + "("
    assert joined(long, ["a", "b"], ")") == f"{long}a, b)"
    assert joined(long, items, ")") == f"{long}\n        {', '.join(items[:5])},\n        {items[0]})"


def test_signatures_are_broken_and_nothing_else() -> None:
    line = "static inline int name(" + ", ".join(["int parameter"] * 9) + ")"
    call = "    return function(" + ", ".join(["argument"] * 15) + ");"
    wrapped = wrapped_signatures(f"{line}\n{{\n{call}\n}}\n")
    first, second, *others = wrapped.split("\n")
    assert max(len(first), len(second)) <= 120
    assert f"{first} {second.strip()}" == line
    assert others == ["{", call, "}", ""]


def test_small_spellings() -> None:
    assert (integer_macro(5), integer_macro(0), integer_macro(-128)) == ("5", "0", "(-128)")
    assert (float_literal(1), float_literal(1e-30), float_literal(0.1)) == ("1.0f", "1e-30f", "0.1f")
    assert shape((1, 48, 48, 8)) == "48x48x8"
    assert shape((1, 1000)) == "1000"
