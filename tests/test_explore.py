from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from mbgen.bench import bench
from mbgen.cli import main
from mbgen.costs import CostModel, cost_models, features, predict
from mbgen.errors import InputError
from mbgen.explore import PUBLISHED, Budget, choose, explore, read_accuracies, stand_in
from mbgen.graph import Graph
from mbgen.library import arena_bytes, render, write
from mbgen.mobilenet import MobileNetV1
from mbgen.options import CompileOptions
from mbgen.pipeline import chosen_plan, compile_model
from mbgen.plan import Plan
from mbgen.report.frontier import render_exploration
from mbgen.target import load_target, target_names
from tests.support.tools import require_target

SMALL = "alpha,resolution,accuracy\n0.25,32,30.5\n0.25,48,35\n0.5,32,33\n"


def quiet(*_: object) -> None:
    pass


def csv_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.csv"
    path.write_text(text)
    return path


def test_grid_and_published_accuracies() -> None:
    found = explore("cortex-m7", None, Budget(), 1000, None, quiet)
    assert found.dtype == "int8"
    assert len(found.candidates) == 20
    known = {(one.alpha, one.resolution): one.accuracy for one in found.candidates if one.accuracy is not None}
    assert known == {point: quantized for point, (_, quantized) in PUBLISHED.items()}
    costs = [one.cost or one.macs for one in found.candidates]
    assert costs == sorted(costs)


def test_frontier_is_what_nothing_beats() -> None:
    found = explore("cortex-a72", "float32", Budget(), 1000, None, quiet)
    frontier = [one for one in found.candidates if one.frontier]
    assert (1.0, 224) in [(one.alpha, one.resolution) for one in frontier]
    accuracies = [one.accuracy or 0 for one in frontier]
    assert accuracies == sorted(accuracies)


@pytest.mark.parametrize(
    ("budget", "fitting"),
    [
        (Budget(), 3),
        (Budget(ram=4_000), 1),
        (Budget(flash=300_000), 2),
        (Budget(accuracy=32), 2),
        (Budget(ram=100), 0),
    ],
)
def test_budget(budget: Budget, fitting: int, tmp_path: Path) -> None:
    own = read_accuracies(csv_file(tmp_path, SMALL))
    found = explore("cortex-m0plus", None, budget, 10, own, quiet)
    assert sum(one.fits for one in found.candidates) == fitting, [(one.arena, one.flash) for one in found.candidates]


def test_best_is_compiled_and_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = csv_file(tmp_path, SMALL)
    page = tmp_path / "frontier.html"
    words = ["explore", "--target", "cortex-m0plus", "--classes", "10", "--accuracies", str(own), "--html", str(page)]
    assert main([*words, "--flash", "290K", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    choice = document["choice"]
    assert (choice["candidate"]["alpha"], choice["candidate"]["resolution"]) == (0.25, 48)
    assert choice["constants"] + (choice["code"] or 0) <= 290 * 1024
    assert choice["arena"] == choice["candidate"]["arena"]
    line = shlex.split(choice["line"])
    assert line[:2] == ["mbgen", "compile"]
    assert main([*line[1:], "--output", str(tmp_path / "library")]) == 0
    manifest = json.loads((tmp_path / "library" / "manifest.json").read_text())
    assert (manifest["arena_bytes"], manifest["constant_bytes"]) == (choice["arena"], choice["constants"])
    assert "<svg" in page.read_text()


def test_nothing_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = csv_file(tmp_path, SMALL)
    assert main(["explore", "--target", "cortex-m0plus", "--accuracies", str(own), "--ram", "1K"]) == 1
    assert "nothing fits; give more memory or time, or ask for less accuracy" in capsys.readouterr().out


def test_page_of_the_same_findings_is_the_same(tmp_path: Path) -> None:
    found = explore("cortex-m4", None, Budget(), 10, read_accuracies(csv_file(tmp_path, SMALL)), quiet)
    assert render_exploration(found, None) == render_exploration(found, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alpha,accuracy\n1,2\n", "{path}: no column resolution; it needs alpha, resolution, accuracy"),
        (
            "alpha,resolution,accuracy\n1,x,2\n",
            "{path}, line 2: not a number (invalid literal for int() with base 10: 'x')",
        ),
        ("alpha,resolution,accuracy\n1,128,101\n", "{path}, line 2: the accuracy 101 is not a percentage"),
        (
            "alpha,resolution,accuracy\n",
            "{path}: holds no networks; give a line for each, with alpha, resolution and accuracy",
        ),
    ],
)
def test_damaged_accuracies(text: str, message: str, tmp_path: Path) -> None:
    path = csv_file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_accuracies(path)
    assert str(caught.value) == message.format(path=path)


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4", "cortex-m55", "cortex-a72"])
def test_arena_is_that_of_the_library(target: str, dtype: str) -> None:
    net = MobileNetV1(0.25, 40, 7)
    options = CompileOptions(target=target, alpha=0.25, resolution=40, classes=7, dtype=dtype)
    core = load_target(target)
    planned = chosen_plan(stand_in(net, dtype), "speed", core.ram, core.flash, core)
    assert arena_bytes(planned, core) == compile_model(options, quiet).arena_bytes


def planned_stand_in(target: str, resolution: int) -> tuple[Graph, Plan]:
    graph, core = stand_in(MobileNetV1(0.25, resolution, 5), "int8"), load_target(target)
    return graph, chosen_plan(graph, "speed", None, None, core)


def test_prediction_is_the_sum_of_its_layers() -> None:
    graph, plan = planned_stand_in("cortex-m0plus", 32)
    model = CostModel("cycles~", {"pointwise": {"macs": 2.0}, "softmax": {"calls": 100.0}}, 0.1, 0, 0)
    assert model.cost(graph, plan) == 100 + 2 * sum(
        one.elements * graph.layer_inputs(layer)[0].shape[-1]
        for layer in graph.layers
        if layer.name.startswith("pointwise")
        for one in (graph.layer_output(layer),)
    )


def test_tiles_that_overlap_are_counted_as_often_as_they_compute() -> None:
    graph, plan = planned_stand_in("cortex-m4", 160)
    layer = next(layer for layer in graph.layers if layer.name == "depthwise_13")  # 5x5
    (tiles,) = (band.tiles for band in plan.bands if layer.name in band.layers)
    assert (tiles.count, tiles.columns) == (2, 3)
    kind, values = features(layer, graph, plan)
    assert kind == "tiles of 3, depthwise stride 1"
    assert values == {"calls": 1, "runs": 5 * 2, "channels": 5 * 2 * 256, "outputs": 5 * 6 * 256}


@pytest.mark.parametrize("target", target_names())
def test_shipped_cost_models_are_within_their_bound(target: str) -> None:
    for model in cost_models(target).values():
        assert 0 <= model.error <= 0.10
        assert model.code_bytes > 0
        assert model.stack_bytes > 0


def test_cores_with_cost_models() -> None:
    found = {name: set(cost_models(name)) for name in target_names()}
    assert {name: keys for name, keys in found.items() if keys} == {
        "cortex-a72": {"float32 whole", "int8 whole"},
        "cortex-a76": {"float32 whole", "int8 whole"},
        "cortex-m33": {"int8 bands"},
        "cortex-m4": {"int8 bands"},
        "cortex-m7": {"int8 bands"},
        "cortex-m55": {"int8 rows", "int8 whole"},
    }


@pytest.mark.slow
@pytest.mark.parametrize(("target", "dtype"), [("cortex-m4", "int8"), ("cortex-a72", "float32")])
def test_prediction_against_a_compiled_library(target: str, dtype: str, tmp_path: Path) -> None:
    """A network that no model was fitted to."""
    require_target(target)
    network = compile_model(CompileOptions(target=target, alpha=0.25, resolution=112, dtype=dtype), quiet)
    assert network.predicted == predict(target, network.graph, network.plan)
    assert network.predicted is not None
    write(render(network), tmp_path / "library")
    measured = bench(tmp_path / "library", None, quiet).total[network.predicted.unit]  # type: ignore[index]
    assert network.predicted.cost == pytest.approx(measured, rel=0.10)


def test_choice_may_be_none(tmp_path: Path) -> None:
    own = read_accuracies(csv_file(tmp_path, SMALL))
    assert choose(explore("cortex-m0plus", None, Budget(accuracy=99), 10, own, quiet), quiet) is None
