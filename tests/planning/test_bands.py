from __future__ import annotations

from dataclasses import replace

import pytest

from mbgen.explore import stand_in
from mbgen.graph import Clamp, DepthwiseConv2D, Graph
from mbgen.mobilenet import MobileNetV1
from mbgen.plan import Plan, Tiles
from mbgen.planning.bands import packed_bytes, plan_bands


def planned(resolution: int, alpha: float = 0.25) -> tuple[Graph, Plan]:
    graph = stand_in(MobileNetV1(alpha, resolution, 10), "int8")
    made = plan_bands(graph, lambda _: True)
    assert made is not None
    return graph, made


def test_pairs_run_as_bands_behind_the_first_convolution() -> None:
    graph, made = planned(96)
    assert [band.layers for band in made.bands[:3]] == [
        ("conv_1",),
        ("depthwise_1", "pointwise_1"),
        ("depthwise_2", "pointwise_2"),
    ]
    assert len(made.bands) == 14
    assert made.arena_bytes == made.lower_bound
    assert made.streamed == made.banded[: len(made.streamed)]
    assert packed_bytes(made, graph) > sum(graph.tensors[name].nbytes for one in graph.layers for name in one.constants)


@pytest.mark.parametrize("resolution", [40, 96, 160])
def test_buffers_that_live_together_lie_apart(resolution: int) -> None:
    _, made = planned(resolution)
    for index, one in enumerate(made.buffers):
        assert one.offset + one.size <= made.arena_bytes
        for other in made.buffers[:index]:
            if one.first <= other.last and other.first <= one.last:
                assert one.offset + one.size <= other.offset or other.offset + other.size <= one.offset


def test_tiles_cover_each_row_and_begin_at_even_columns_where_they_must() -> None:
    graph, made = planned(160)
    layers = {layer.name: layer for layer in graph.layers}
    for band in made.bands[1:]:
        depthwise = layers[band.layers[0]]
        assert isinstance(depthwise, DepthwiseConv2D)
        columns = graph.layer_output(depthwise).shape[2]
        covered = {start + i for start in band.tiles.starts for i in range(band.tiles.columns)}
        assert covered == set(range(columns))
        assert depthwise.stride == (2, 2) or all(start % 2 == 0 for start in band.tiles.starts)


def test_the_starts_of_tiles() -> None:
    assert Tiles(3, 6, 6, 8).starts == (0, 6, 8)
    assert Tiles(1, 6, 6, 0).starts == (0,)


def test_bands_end_where_no_tile_serves() -> None:
    graph, made = planned(64)  # rows of 4 columns, stride 1
    assert made.bands[-1].layers == ("depthwise_6", "pointwise_6")
    assert made.storage.get(graph.layers[12].output) is None


def test_as_many_layers_run_as_bands_as_fit() -> None:
    graph, whole = planned(224)
    arenas: list[int] = []

    def fits(one: Plan) -> bool:
        arenas.append(one.arena_bytes)
        return one.arena_bytes <= 131_072

    made = plan_bands(graph, fits)
    assert made is not None
    assert (len(whole.bands), arenas[0]) == (14, whole.arena_bytes)
    assert (len(made.bands), arenas[-1]) == (9, made.arena_bytes)
    assert all(arena > 131_072 for arena in arenas[:-1])
    assert made.banded == whole.banded[: len(made.banded)]
    assert plan_bands(graph, lambda _: False) is None


def test_a_ring_holds_as_many_rows_as_a_window_and_a_whole_tensor_all() -> None:
    graph, made = planned(96)
    outputs = {layer.name: layer.output for layer in graph.layers}
    ring, whole = made.storage[outputs["conv_1"]], made.storage[outputs["pointwise_11"]]
    assert (ring.slots, ring.row, ring.origin, ring.border) == (3, 100, 2, 1)
    assert whole.slots >= 6


def test_padding_that_is_not_the_least_value_keeps_a_network_out_of_bands() -> None:
    graph = stand_in(MobileNetV1(0.25, 96, 10), "int8")
    layers = tuple(replace(one, clamp=Clamp(-100, 127)) if one.name == "conv_1" else one for one in graph.layers)  # type: ignore[call-arg]
    assert plan_bands(replace(graph, layers=layers), lambda _: True) is None
    assert plan_bands(stand_in(MobileNetV1(0.25, 96, 10), "float32"), lambda _: True) is None
