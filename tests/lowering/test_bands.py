"""Libraries with bands, run on the emulated core: every layer against the reference, by every way to a level."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Array, Reshape
from mbgen.library import Network, render, write
from mbgen.lowering import bands, rescale
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.reference import execute
from mbgen.running import run_layers
from tests.support.tools import require_target


def compiled(resolution: int, target: str = "cortex-m4") -> Network:
    options = CompileOptions(target=target, alpha=0.25, resolution=resolution, classes=5)
    return compile_model(options, lambda *arguments: None)


def inputs(network: Network) -> Array:
    random = np.random.default_rng(0)
    return random.integers(-128, 128, (2, *network.input.shape[1:])).astype(network.input.dtype)


def check(network: Network, folder: Path) -> None:
    """Every layer of the library gives what the reference gives."""
    require_target(network.target.name)
    assert network.plan.bands
    write(render(network), folder / "library")
    images = inputs(network)
    for image, layers in zip(images, run_layers(folder / "library", images), strict=True):
        expected = execute(network.graph, image[np.newaxis])
        for layer in network.graph.layers:
            if not isinstance(layer, Reshape):
                np.testing.assert_array_equal(layers[layer.name], expected[layer.output], err_msg=layer.name)


def schedules(network: Network) -> set[str]:
    return {kernel.schedule for kernel in network.lowered.kernels}


@pytest.mark.parametrize(
    ("resolution", "target"), [(40, "cortex-m4"), pytest.param(56, "cortex-m7", marks=pytest.mark.slow)]
)
def test_tiles_of_any_width(resolution: int, target: str, tmp_path: Path) -> None:
    """40: rows of 20, 10, 5, 3; 56: of 28, 14, 7, and 4, which no tile serves."""
    network = compiled(resolution, target)
    assert len(network.plan.banded) < len(network.graph.layers) - 2
    assert ("packed sums of 4 channels by 3 pixels, loads ahead" in schedules(network)) == (target == "cortex-m7")
    check(network, tmp_path)


@pytest.mark.slow
def test_sums_that_need_more_than_a_field_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "MOST", 1 << 18)
    network = compiled(40)
    assert any("k in" in schedule for schedule in schedules(network))
    check(network, tmp_path)


@pytest.mark.slow
def test_layers_that_no_line_rescales_take_the_exact_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "levels", partial(rescale.levels, most=-1))
    network = compiled(40)
    assert any(parameter.name == "offset" for kernel in network.lowered.kernels for parameter in kernel.parameters)
    check(network, tmp_path)
