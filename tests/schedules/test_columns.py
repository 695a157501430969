"""Blocks of columns for depthwise rows: which are allowed, and the default."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mbgen.data import data_folder
from mbgen.schedules.columns import SUMS, Columns, columns_of, columns_space
from mbgen.target import Target, load_target, read_target


def host() -> Target:
    return read_target(data_folder("targets") / "host" / "x86-64-v3.toml", "host")


@given(st.integers(1, 200), st.integers(8, 600))
def test_sums_fit_the_registers(ow: int, channels: int) -> None:
    space = columns_space({"ow": ow, "oc": channels}, host())
    assert space is not None
    for point in space.points():
        columns = columns_of(point)
        assert columns.columns * columns.vectors <= SUMS
        assert columns.columns <= ow
        assert columns.lanes * columns.vectors <= channels


def test_defaults() -> None:
    sizes = ((112, 32), (112, 8), (3, 256))
    spaces = [columns_space({"ow": ow, "oc": channels}, host()) for ow, channels in sizes]
    assert [columns_of(space.default) for space in spaces if space is not None] == [
        Columns(4, 2, 8),
        Columns(4, 1, 8),
        Columns(3, 2, 8),
    ]


def test_too_many_sums_are_illegal() -> None:
    space = columns_space({"ow": 14, "oc": 64}, host())
    assert space is not None
    assert space.reason({"columns": 14, "vectors": 2}) == "14 x 2 sums do not fit 14 registers"
    assert str(Columns(4, 2, 8)) == "columns=4 vectors=2 lanes=8"


def test_other_cores_and_few_channels_have_none() -> None:
    assert columns_space({"ow": 14, "oc": 64}, load_target("cortex-a72")) is None
    assert columns_space({"ow": 14, "oc": 7}, host()) is None
