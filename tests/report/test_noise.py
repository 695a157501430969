from __future__ import annotations

import math
from pathlib import Path

import pytest

from mbgen import mobilenet
from mbgen.errors import InputError
from mbgen.library import render, write
from mbgen.mobilenet import MobileNetV1
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.report.noise import SILENT, signal_to_noise

NET = MobileNetV1(0.25, 24, 5)


@pytest.fixture(scope="module", params=["int8", "float32"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("library") / str(request.param)
    options = CompileOptions(target="host", alpha=0.25, resolution=24, classes=5, dtype=str(request.param))
    write(render(compile_model(options, lambda *_: None)), directory)
    return directory


def test_each_layer_has_its_noise(library: Path) -> None:
    graph = mobilenet.build(NET, mobilenet.random_weights(NET))
    found = {one.layer: one.decibels for one in signal_to_noise(library, graph, None)}
    assert list(found) == [layer.name for layer in graph.layers]
    assert all(math.isfinite(decibels) for decibels in found.values())
    least = 5.0 if library.name == "int8" else 90.0
    assert min(found.values()) > least
    assert max(found.values()) <= SILENT


def test_other_weights_are_noise(library: Path) -> None:
    graph = mobilenet.build(NET, mobilenet.random_weights(NET, seed=1))
    found = {one.layer: one.decibels for one in signal_to_noise(library, graph, None)}
    assert found["pointwise_13"] < 5.0


def test_other_network_is_refused(library: Path) -> None:
    net = MobileNetV1(0.5, 24, 6)
    graph = mobilenet.build(net, mobilenet.random_weights(net))
    with pytest.raises(InputError, match=r"^the float reference has no layer of the library's; give the model that it"):
        signal_to_noise(library, graph, None)
