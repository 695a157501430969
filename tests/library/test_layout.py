from __future__ import annotations

import dataclasses

from mbgen.library.layout import layout
from mbgen.plan import Storage

PLANES = Storage("uint16", 4016, 100, 2, 300, 2, 1, 3, 128)
TRIPLES = Storage("int32", 128, 128, 64, 8, 0, 0, 1, 128, True)
IMAGE = Storage("int32", 3456, 1152, 72, 8, 0, 0, 3, 0, True)


def test_planes() -> None:
    assert layout("output", PLANES) == (
        "output[c * 150 + row * 50 + column]: value + 128; a plane of 3 rows by 50 columns for each channel, "
        "with its border"
    )
    assert " of 1 row by 50 columns " in layout("input", dataclasses.replace(PLANES, slots=1))


def test_triples() -> None:
    assert layout("input", TRIPLES) == (
        "input[triple * 16 + k * 2 + i]: value + 128 of pixel i, and of pixel i + 1 times 2^21; i = 0, 1"
    )
    assert layout("input", IMAGE) == (
        "input[row * 288 + triple * 18 + k * 2 + i]: 3 rows; value of pixel i, and of pixel i + 1 times 2^21; i = 0, 1"
    )
