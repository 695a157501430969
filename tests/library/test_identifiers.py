from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.errors import InputError
from mbgen.library.identifiers import check_name, name_from_stem


@pytest.mark.parametrize("name", ["vww", "net2", "Person_Detector", "mobilenet_v1_0_25_128_quant", "a" * 32])
def test_a_sound_name_is_returned_as_it_is(name: str) -> None:
    assert check_name(name) == name


IDENTIFIER = "it is not a C identifier (letters, digits and underscores, no digit first)"
UNDERSCORES = "C and C++ reserve a leading underscore and two in a row (one is appended to the name)"


@pytest.mark.parametrize(
    ("name", "reason", "suggestion"),
    [
        ("", "it is empty", "network"),
        ("größe", "it holds characters outside ASCII", "groe"),
        ("my net", IDENTIFIER, "my_net"),
        ("my-net.v2", IDENTIFIER, "my_net_v2"),
        ("2nd", IDENTIFIER, "net_2nd"),
        ("net\n", IDENTIFIER, "net"),
        ("a;b", IDENTIFIER, "a_b"),
        ("../net", IDENTIFIER, "net"),
        ("_net", UNDERSCORES, "net"),
        ("net_", UNDERSCORES, "net"),
        ("my__net", UNDERSCORES, "my_net"),
        ("a" * 33, "it has 33 characters and 32 is the most", "a" * 32),
        ("int", "it is a keyword of C", "int_net"),
        ("namespace", "it is a keyword of C++", "namespace_net"),
        ("String", "it is the name of a system header, which include/NAME.h would hide", "string_net"),
        ("test", "it is a target of CMake's own", "test_net"),
        ("AUX", "it is a device on Windows, where no file may have that name", "aux_net"),
    ],
)
def test_an_unsound_name_is_refused_with_the_reason_and_a_sound_one(name: str, reason: str, suggestion: str) -> None:
    with pytest.raises(InputError) as caught:
        check_name(name)
    assert str(caught.value) == (
        f"{name!r} cannot be the library's name: {reason}. It is the prefix of every C symbol; try {suggestion!r}"
    )


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("vww_96_int8", "vww_96_int8"),
        ("mobilenet_v1_0.25_128_quant", "mobilenet_v1_0_25_128_quant"),
        ("MobileNet (1)", "mobilenet_1"),
        ("0.25", "net_0_25"),
        ("Ünïcode", "unicode"),
        ("模型", "network"),
        ("model", "model"),
        ("string", "string_net"),
    ],
)
def test_names_from_file_stems(stem: str, name: str) -> None:
    assert name_from_stem(stem) == name


@given(st.text(max_size=80))
def test_a_name_made_from_any_text_is_sound(stem: str) -> None:
    made = name_from_stem(stem)
    assert check_name(made) == made
    assert name_from_stem(made) == made
