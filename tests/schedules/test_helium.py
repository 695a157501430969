"""Which schedules Helium's kernels have, and that their own memory stays within its bound."""

from __future__ import annotations

import pytest

from mbgen.schedules.helium import (
    PATCH_BYTES,
    ROW,
    SCRATCH_BYTES,
    SQUARE,
    depthwise_space,
    gemm_space,
    patch_space,
    strip_columns,
)


@pytest.mark.parametrize(
    ("m", "n", "tile", "tiles"),
    [
        (1, 1000, ROW, (SQUARE, ROW)),
        (1, 7, SQUARE, (SQUARE,)),
        (36, 128, SQUARE, (SQUARE, ROW)),
        (9, 2, SQUARE, (SQUARE,)),
    ],
)
def test_one_pixel_takes_eight_channels_at_a_time(m: int, n: int, tile: str, tiles: tuple[str, ...]) -> None:
    space = gemm_space({"m": m, "n": n, "k": 64})
    assert (space.default["tile"], space.knobs["tile"]) == (tile, tiles)


@pytest.mark.parametrize(("columns", "stride", "expected"), [(2, 1, 4), (48, 1, 50), (2, 2, 6), (3, 2, 8), (24, 2, 50)])
def test_a_strip_has_all_columns_that_its_windows_see(columns: int, stride: int, expected: int) -> None:
    assert strip_columns(columns, stride) == expected


@pytest.mark.parametrize(
    ("ow", "channels", "stride", "columns"),
    [
        (48, 8, 1, 48),
        (24, 16, 2, 24),
        (3, 256, 1, 2),
        (112, 32, 1, 32),
        (56, 64, 2, 4),
        (7, 1024, 1, 2),
        (7, 1024, 2, None),
    ],
)
def test_columns_of_a_depthwise(ow: int, channels: int, stride: int, columns: int | None) -> None:
    space = depthwise_space({"ow": ow, "channels": channels, "stride": stride})
    assert (None if space is None else space.default["columns"]) == columns
    for span in () if space is None else space.knobs["columns"]:
        assert 4 * channels * stride * strip_columns(int(span) + ow % 2, stride) <= SCRATCH_BYTES


@pytest.mark.parametrize(
    ("ow", "k", "columns"), [(48, 27, 48), (112, 27, 112), (56, 576, 4), (3, 75, 3), (5, 9000, None), (2, 3000, 2)]
)
def test_windows_laid_out_at_a_time(ow: int, k: int, columns: int | None) -> None:
    space = patch_space({"ow": ow, "k": k})
    assert (None if space is None else space.default["columns"]) == columns
    if columns is not None and columns != ow:
        assert columns * k <= PATCH_BYTES
