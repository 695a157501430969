"""Layers whose constants may take more memory than they must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mbgen.lowering.allowance import SHARE, within_allowance
from mbgen.lowering.prepared import Prepared


def layer(nbytes: int, larger: int | None = None, repeats: int = 1) -> Prepared:
    made = Prepared("pointwise", None, "", lambda: None, {"weights": (np.zeros(nbytes, np.int8), "")})
    return made if larger is None else replace(made, larger=layer(larger), repeats=repeats)


def chosen(**layers: Prepared) -> list[str]:
    """Those that are larger."""
    found = within_allowance(layers)
    assert list(found) == list(layers)
    return [name for name in layers if found[name] is not layers[name] and found[name] is layers[name].larger]


def test_the_work_that_is_repeated_most_is_saved_first() -> None:
    rest = layer(100 * SHARE - 60)
    assert chosen(rest=rest, few=layer(30, 130, 2), many=layer(30, 130, 9)) == ["many"]
    assert chosen(rest=rest, few=layer(30, 80, 2), many=layer(30, 80, 9)) == ["few", "many"]
    assert chosen(rest=rest, first=layer(30, 130, 9), second=layer(30, 130, 9)) == ["first"]


def test_what_does_not_fit_leaves_its_place_to_others() -> None:
    rest = layer(100 * SHARE - 60)
    assert chosen(rest=rest, many=layer(30, 131, 9), few=layer(30, 130, 2)) == ["few"]
    assert chosen(rest=rest, many=layer(30, 131, 9), few=layer(30, 131, 2)) == []
