"""Layers whose constants may take more memory than they must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mbgen.lowering.allowance import MOST, SHARE, within_allowance
from mbgen.lowering.prepared import Prepared


def layer(nbytes: int, larger: int | None = None, worth: int = 1) -> Prepared:
    made = Prepared("pointwise", None, "", lambda: None, {"weights": (np.zeros(nbytes, np.int8), "")})
    return made if larger is None else replace(made, larger=layer(larger), worth=worth)


def chosen(**layers: Prepared) -> list[str]:
    """Those that are larger."""
    found = within_allowance(layers)
    assert list(found) == list(layers)
    return [name for name in layers if found[name] is not layers[name] and found[name] is layers[name].larger]


def test_where_bytes_save_most_work_is_first() -> None:
    rest = layer(100 * SHARE - 60)
    assert chosen(rest=rest, few=layer(30, 130, 2), many=layer(30, 130, 9)) == ["many"]
    assert chosen(rest=rest, few=layer(30, 80, 2), many=layer(30, 80, 9)) == ["few", "many"]
    assert chosen(rest=rest, first=layer(30, 130, 9), second=layer(30, 130, 9)) == ["first"]


def test_few_bytes_are_added_to_the_largest_network() -> None:
    rest = layer(2 * MOST * SHARE)
    assert chosen(rest=rest, fits=layer(10, 10 + MOST, 2)) == ["fits"]
    assert chosen(rest=rest, fits=layer(10, 11 + MOST, 2)) == []


def test_what_does_not_fit_leaves_its_place_to_others() -> None:
    rest = layer(100 * SHARE - 60)
    assert chosen(rest=rest, many=layer(30, 131, 9), few=layer(30, 130, 2)) == ["few"]
    assert chosen(rest=rest, many=layer(30, 131, 9), few=layer(30, 131, 2)) == []
