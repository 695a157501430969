"""What mbgen promises of real networks: the bytes and multiply-accumulates that they take, and that they are exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import macs
from mbgen.images import load_pixels, quantize_pixels
from mbgen.library import Network, render, write
from mbgen.options import CompileOptions
from mbgen.pipeline import compile_model
from mbgen.running import self_test
from mbgen.verify import verify
from tests.support.tools import require_target

KIB, MIB = 1024, 1024**2
IMAGES = 3


def quiet(message: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def compiled(target: str = "cortex-m4", **options: object) -> Network:
    """With memory enough for anything, saving RAM."""
    return compile_model(
        CompileOptions(target=target, optimize="ram", ram=MIB, flash=16 * MIB, **options),  # type: ignore[arg-type]
        quiet,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpha", "resolution", "classes", "arena", "constants"),
    [
        (0.25, 96, 2, 14.5 * KIB, 236_000),
        (0.25, 224, 1000, 45.5 * KIB, 500_000),
        (0.5, 224, 1000, 88.5 * KIB, None),
        (1.0, 224, 1000, 175 * KIB, None),
    ],
)
def test_the_built_in_networks_are_small(
    alpha: float, resolution: int, classes: int, arena: float, constants: int | None
) -> None:
    network = compiled(alpha=alpha, resolution=resolution, classes=classes)
    assert network.arena_bytes <= arena
    assert constants is None or network.constant_bytes <= constants


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cortex-m4", "host"])
def test_the_visual_wake_words_network_is_small_and_exact(target: str, shared_data: Path, tmp_path: Path) -> None:
    require_target(target)
    network = compiled(target, model=shared_data / "weights" / "vww_96_int8.tflite")
    if target == "cortex-m4":
        assert network.arena_bytes <= 13 * KIB
        assert network.constant_bytes <= 44_000
    assert sum(macs(layer, network.graph) for layer in network.graph.layers) <= 3_732_000
    check_exact(network, shared_data / "person_train2017_192", tmp_path)


@pytest.mark.slow
def test_the_released_uint8_network_is_small_and_exact(shared_data: Path, tmp_path: Path) -> None:
    require_target("cortex-m4")
    network = compiled(model=shared_data / "weights" / "mobilenet_v1_0.25_128_quant.tflite")
    assert network.arena_bytes <= 21 * KIB
    check_exact(network, shared_data / "person_train2017_192", tmp_path)


def check_exact(network: Network, images: Path, folder: Path) -> None:
    """The library equals the model's runtime on a few photographs and on noise, layer by layer."""
    write(render(network), folder / "library")
    tensor = network.input
    _, height, width, channels = tensor.shape
    _, pixels = load_pixels(images, height, width, channels, limit=IMAGES)
    noise = np.random.default_rng(0).integers(0, 256, (1, *pixels.shape[1:])).astype(np.uint8)
    photographs = quantize_pixels(np.concatenate([pixels, noise]), tensor, str(network.options["preprocess"]))
    np.save(folder / "images.npy", photographs)
    found = verify(folder / "library", folder / "images.npy", None, quiet)
    assert {layer.verdict for layer in found.layers} == {"equal"}
    assert (found.inputs, found.output.differing) == (IMAGES + 1, 0)
    self_test(folder / "library")
