"""How a convolution's row is cut into runs of columns and tiles."""

from __future__ import annotations

from mbgen.lowering.conv import RowWindow
from mbgen.lowering.micro import Bounds, MicroConvolution, Run, define_convolution
from mbgen.lowering.printer import print_body
from mbgen.lowering.tir import lower

COSTS = {1: 5.0, 4: 6.0}


def form(width: int, ow: int, stride: int, left: int) -> MicroConvolution:
    return MicroConvolution(RowWindow(width, ow, 3, 3, stride, 1, left, padded_rows=False), 3, 8, Bounds(0, 6))


def test_columns_with_the_same_taps_are_a_run() -> None:
    padded_right = form(12, 6, 2, 0)
    assert padded_right.runs(cuts=False) == [Run(0, 5, 0, 3, 3), Run(5, 1, 0, 2, 2)]
    both = form(6, 6, 1, 1)
    assert both.runs(cuts=False) == [Run(0, 1, 1, 2, 2), Run(1, 4, 0, 3, 3), Run(5, 1, 0, 2, 2)]


def test_a_last_column_with_fewer_taps_joins_the_run_before_it() -> None:
    assert form(12, 6, 2, 0).runs(cuts=True) == [Run(0, 6, 0, 3, 2)]
    assert form(6, 6, 1, 1).runs(cuts=True) == [Run(0, 1, 1, 2, 2), Run(1, 5, 0, 3, 2)]
    assert form(13, 6, 2, 0).runs(cuts=True) == [Run(0, 6, 0, 3, 3)]


def calls(ow: int, *, cuts: bool) -> list[str]:
    function = define_convolution(form(2 * ow, ow, 2, 0), 8, COSTS, cuts=cuts)
    body = print_body(lower(function), "net", ["avx2"]).body
    return [line.strip().partition("(")[0] for line in body.splitlines() if "net_gemm" in line]


def test_the_last_tile_of_a_run_is_the_cut_one() -> None:
    assert calls(8, cuts=True) == ["net_gemm_rows_clamp_f32_4x8", "net_gemm_rows_cut_clamp_f32_4x8"]
    assert calls(8, cuts=False) == [f"net_gemm_rows_clamp_f32_{mr}x8" for mr in (4, 1, 1)]


def test_a_last_tile_of_one_pixel_needs_no_cut() -> None:
    assert calls(9, cuts=True) == ["net_gemm_rows_clamp_f32_4x8", "net_gemm_rows_clamp_f32_1x8"]
