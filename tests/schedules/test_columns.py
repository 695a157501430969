"""Blocks of columns for depthwise rows: which are allowed, and the default."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbgen.data import data_folder
from mbgen.schedules.columns import SUMS, Columns, columns_of, columns_space
from mbgen.schedules.space import Choice
from mbgen.target import Target, load_target, read_target


def host() -> Target:
    return read_target(data_folder("targets") / "host" / "x86-64-v3.toml", "host")


def facts(ow: int, channels: int, stride: int = 1) -> dict[str, Choice]:
    return {"ow": ow, "ic": channels, "oc": channels, "stride": f"{stride}x{stride}"}


@given(st.integers(1, 200), st.integers(8, 600), st.integers(1, 3))
def test_sums_fit_the_registers(ow: int, channels: int, stride: int) -> None:
    space = columns_space(facts(ow, channels, stride), host())
    assert space is not None
    for point in space.points():
        columns = columns_of(point)
        assert columns.columns * columns.vectors <= SUMS
        assert columns.columns <= ow
        assert columns.lanes * columns.vectors <= channels


@pytest.mark.parametrize(
    ("ow", "channels", "stride", "columns", "vectors"),
    [
        (48, 8, 1, 12, 1),  # three rows stay in the cache: as many columns as there are sums
        (6, 64, 2, 6, 2),
        (3, 256, 1, 3, 4),
        (112, 32, 1, 4, 2),  # they do not: whole lines
        (56, 64, 2, 4, 2),
        (14, 512, 1, 3, 4),  # pixels whose lines are in few of its sets
    ],
)
def test_defaults(ow: int, channels: int, stride: int, columns: int, vectors: int) -> None:
    space = columns_space(facts(ow, channels, stride), host())
    assert space is not None
    assert columns_of(space.default) == Columns(columns, vectors, 8)


def test_too_many_sums_are_illegal() -> None:
    space = columns_space(facts(14, 64), host())
    assert space is not None
    assert space.reason({"columns": 12, "vectors": 2}) == "12 x 2 sums do not fit 12 registers"
    assert str(Columns(4, 2, 8)) == "columns=4 vectors=2 lanes=8"


def test_other_cores_and_few_channels_have_none() -> None:
    assert columns_space(facts(14, 64), load_target("cortex-a72")) is None
    assert columns_space(facts(14, 7), host()) is None
