"""Options to a network: defaults, names, types, what is calibrated with what, and what is refused in which words."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mbgen.data import data_folder
from mbgen.errors import InputError, RefusedError
from mbgen.explore import stand_in
from mbgen.graph import DType, Graph, Numerics, Quantization, Tensor, macs
from mbgen.images import PREPROCESSING, load_pixels, preprocess, quantize_pixels
from mbgen.library import Network, render
from mbgen.lowering import lower
from mbgen.mobilenet import MobileNetV1, build, random_weights, weight_shapes
from mbgen.options import CompileOptions, Optimize
from mbgen.passes.simplify import simplify
from mbgen.pipeline import (
    STAGES,
    Source,
    builtin_name,
    calibration_samples,
    calibration_summary,
    check_flash,
    check_ram,
    chosen_plan,
    compile_model,
    describe_builtin,
    in_requested_type,
    natural_preprocessing,
    plan_model,
    read_builtin,
    read_model,
    sample_input,
)
from mbgen.planning import plan
from mbgen.planning.bands import packed_bytes
from mbgen.reference import execute
from mbgen.schedules.records import NEAR, Record, write_records
from mbgen.schedules.space import Chosen, Point, Space, default_schedule
from mbgen.target import load_target, read_target
from tests.support.layers import per_tensor
from tests.support.onnx_builder import mobilenet_v1 as onnx_mobilenet_v1
from tests.support.pruned import LEFT, some_channels_gone
from tests.support.tflite_export import to_tflite
from tests.support.tflite_models import mobilenet_v1 as tflite_mobilenet_v1

ENDS_WITH_RAM = "If your part has more memory, say so with --ram."
ENDS_WITH_FLASH = "If your part has more flash, say so with --flash."


def small(target: str = "host", **changes: Any) -> CompileOptions:
    """The built-in network at 0.25, 32x32, 10 classes."""
    return CompileOptions(target=target, **{"alpha": 0.25, "resolution": 32, "classes": 10, **changes})


def compiled(options: CompileOptions) -> Network:
    return compile_model(options, lambda *_: None)


def message(refused: type[Exception], function: Any, *arguments: Any) -> str:
    with pytest.raises(refused) as caught:
        function(*arguments)
    return str(caught.value)


def tflite_file(folder: Path, dtype: str = "int8", name: str = "model.tflite") -> Path:
    (folder / name).write_bytes(tflite_mobilenet_v1(dtype))
    return folder / name


def onnx_file(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(onnx_mobilenet_v1())
    return folder / "model.onnx"


# --- defaults ------------------------------------------------------------------------------------------------------


def test_the_built_in_network_is_the_papers_unless_told_otherwise() -> None:
    assert describe_builtin(1.0, None, None, None, True) == MobileNetV1(1.0, 224, 1000, True)
    assert describe_builtin(0.5, None, 0.571, None, True) == MobileNetV1(0.5, 128, 1000, True)
    assert describe_builtin(0.75, 96, None, 2, False) == MobileNetV1(0.75, 96, 2, False)


def test_classes_are_checked_whatever_the_number() -> None:
    assert "0" in message(InputError, describe_builtin, 1.0, None, None, 0, True)


@pytest.mark.parametrize("target", ["host", "cortex-a72"])
def test_the_built_in_network_is_float32_on_large_cores(target: str) -> None:
    network = compiled(small(target))
    assert network.graph.numerics is Numerics.FLOAT32
    assert (network.input.dtype, network.output.dtype) == ("float32", "float32")
    assert network.model.calibration is None


def test_the_built_in_network_is_int8_on_microcontrollers() -> None:
    network = compiled(small("cortex-m4"))
    assert network.graph.numerics is Numerics.QDQ
    assert (network.input.dtype, network.output.dtype) == ("int8", "int8")
    assert network.model.calibration == "synthetic images"
    assert network.model.random_weights


def test_a_float_model_file_stays_float_on_microcontrollers(tmp_path: Path) -> None:
    network = compiled(CompileOptions(target="cortex-m4", model=tflite_file(tmp_path, "float32")))
    assert network.graph.numerics is Numerics.FLOAT32


def test_dtype_overrides_the_default() -> None:
    assert compiled(small("cortex-m4", dtype="float32")).graph.numerics is Numerics.FLOAT32
    assert compiled(small("host", dtype="int8")).graph.numerics is Numerics.QDQ


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_quantised_file_keeps_its_type(dtype: str, tmp_path: Path) -> None:
    network = compiled(CompileOptions(target="host", model=tflite_file(tmp_path, dtype)))
    assert network.graph.numerics is Numerics.TFLITE
    assert network.input.dtype == dtype


def test_the_self_test_is_what_the_reference_says() -> None:
    network = compiled(small("cortex-m4"))
    image = network.test_input.reshape(network.input.shape)
    expected = execute(network.graph, image)[network.graph.output]
    np.testing.assert_array_equal(network.test_output, expected.reshape(-1))
    assert len(np.unique(image)) > 100


def test_progress_goes_through_the_stages() -> None:
    seen: list[tuple[str, int, int]] = []
    compile_model(small(), lambda *step: seen.append(step))
    assert seen == [(stage, index, 6) for index, stage in enumerate((*STAGES, "done"))]


@pytest.mark.parametrize("optimize", ["speed", "ram", "flash"])
def test_options_that_change_the_output_are_kept(optimize: Optimize) -> None:
    network = compiled(small(ram=2**20, flash=2**24, preprocess="x/255", optimize=optimize))
    expected = {"preprocess": "x/255", "optimize": optimize, "ram": 2**20, "flash": 2**24}
    assert dict(network.options) == expected
    assert json.loads(render(network).files["manifest.json"])["options"] == expected


# --- exact rewrites ------------------------------------------------------------------------------------------------


def pruned_file(folder: Path) -> Path:
    (folder / "pruned.tflite").write_bytes(to_tflite(some_channels_gone()))
    return folder / "pruned.tflite"


def test_what_is_lowered_is_the_simplified_network(tmp_path: Path) -> None:
    path = pruned_file(tmp_path)
    original, network = read_model(path).graph, compiled(CompileOptions(target="host", model=path))
    expected = simplify(original)
    first = network.graph.layers[0]
    assert original.layer_output(original.layers[0]).shape[-1] == 8
    assert network.graph.layer_output(first).shape[-1] == 5
    assert network.rewrites.kept["conv_1"] == LEFT
    assert network.rewrites.kept == expected.kept
    assert network.rewrites.removals == expected.removals
    assert dict(network.rewrites.macs) == {layer.name: macs(layer, original) for layer in original.layers}
    (weights,) = (c for c in network.lowered.constants if c.symbol == f"pruned_{first.name}_weights")
    assert f"[5][3][3][{original.tensors['input'].shape[3]}]" in weights.summary


def test_the_simplified_network_answers_as_the_model(tmp_path: Path) -> None:
    path = pruned_file(tmp_path)
    original, network = read_model(path).graph, compiled(CompileOptions(target="host", model=path))
    image = network.test_input.reshape(network.input.shape)
    np.testing.assert_array_equal(network.test_output, execute(original, image)[original.output].reshape(-1))
    assert len(np.unique(network.test_output)) > 1


# --- names and origin ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "resolution", "name"),
    [
        (1.0, 224, "mobilenet_v1_100_224"),
        (0.75, 192, "mobilenet_v1_075_192"),
        (0.25, 224, "mobilenet_v1_025_224"),
        (0.1, 96, "mobilenet_v1_010_96"),
        (1.4, 224, "mobilenet_v1_140_224"),
        (0.125, 128, "mobilenet_v1_012_5_128"),
        (10.0, 32, "mobilenet_v1_1000_32"),
    ],
)
def test_the_built_in_networks_name(alpha: float, resolution: int, name: str) -> None:
    assert builtin_name(MobileNetV1(alpha, resolution)) == name


def test_names_of_symbols(tmp_path: Path) -> None:
    assert compiled(small()).name == "mobilenet_v1_025_32"
    assert compiled(small(name="person")).name == "person"
    odd = compiled(CompileOptions(target="host", model=tflite_file(tmp_path, name="VWW 96.tflite")))
    assert odd.name == "vww_96"
    assert all(kernel.symbol.startswith("vww_96_") for kernel in odd.lowered.kernels)


def test_where_a_built_in_network_is_from(tmp_path: Path) -> None:
    net = MobileNetV1(0.25, 32, 10)
    np.savez(tmp_path / "trained.npz", **random_weights(net, seed=3))  # type: ignore[arg-type]
    random, trained = read_builtin(small()), read_builtin(small(weights=tmp_path / "trained.npz"))
    assert (random.info.weights, random.info.random_weights, random.info.sha256) == ("seeded random", True, None)
    digest = hashlib.sha256((tmp_path / "trained.npz").read_bytes()).hexdigest()
    assert (trained.info.weights, trained.info.random_weights, trained.info.sha256) == ("trained.npz", False, digest)
    np.testing.assert_array_equal(trained.graph.constant("conv_1.weights"), random_weights(net, 3)["conv_1.weights"])


@pytest.mark.parametrize("source", ["built in", "quantised"])
def test_every_layer_of_the_built_in_network_is_in_its_reference(source: str) -> None:
    read = in_requested_type(
        read_builtin(small()), small(dtype="int8" if source == "quantised" else None), load_target("host")
    )
    name, content = read.reference
    assert name == "model.onnx"
    values = {name for node in onnx.load_from_string(content).graph.node for name in node.output}
    assert {layer.source for layer in read.graph.layers} <= values


def test_a_file_is_told_by_its_content(tmp_path: Path) -> None:
    source = read_model(tflite_file(tmp_path, name="network.bin"))
    assert source.reference == ("model.tflite", (tmp_path / "network.bin").read_bytes())
    assert source.info.source == "tflite"
    assert source.info.sha256 == hashlib.sha256(source.reference[1]).hexdigest()
    assert source.net is None


def test_the_reference_holds_weights_that_onnx_keeps_in_another_file(tmp_path: Path) -> None:
    model = onnx.load_from_string(onnx_mobilenet_v1())
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
    assert (tmp_path / "weights.bin").stat().st_size > 1000
    name, content = read_model(tmp_path / "model.onnx").reference
    stored = {tensor.name: tensor for tensor in onnx.load_from_string(content).graph.initializer}
    assert name == "model.onnx"
    for tensor in onnx.load_from_string(onnx_mobilenet_v1()).graph.initializer:
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(stored[tensor.name]), onnx.numpy_helper.to_array(tensor)
        )


# --- types and calibration -----------------------------------------------------------------------------------------


def test_a_quantised_model_takes_no_type_and_no_calibration(tmp_path: Path) -> None:
    source = read_model(tflite_file(tmp_path))
    options = CompileOptions(target="host", dtype="float32")
    assert message(InputError, in_requested_type, source, options, load_target("host")) == (
        "the model is quantised to int8 and keeps its own type; leave out --dtype float32, or give the float model"
    )
    options = CompileOptions(target="host", calibration=tmp_path)
    assert message(InputError, in_requested_type, source, options, load_target("host")) == (
        "the model is quantised already; leave out --calibration, or give the float model"
    )
    assert in_requested_type(source, CompileOptions(target="host", dtype="int8"), load_target("host")) is source


def test_calibration_without_int8_is_refused(tmp_path: Path) -> None:
    options = small(calibration=tmp_path)
    assert message(InputError, in_requested_type, read_builtin(options), options, load_target("host")) == (
        "--calibration is for int8, but the model stays float32; add --dtype int8"
    )


def test_int8_without_calibration_is_refused_unless_the_weights_are_made_up(tmp_path: Path) -> None:
    source = read_model(onnx_file(tmp_path))
    options = CompileOptions(target="host", dtype="int8")
    assert message(InputError, in_requested_type, source, options, load_target("host")) == (
        "--dtype int8 needs data to set the ranges of the activations; give --calibration with a folder of about "
        "100 typical images, or a .npy or .npz array"
    )
    samples = calibration_samples(read_builtin(small()), small())
    assert samples.shape == (16, 32, 32, 3)
    assert samples.dtype == np.float32
    assert (samples.min(), samples.max()) == (-1, 1)
    assert calibration_summary(read_builtin(small()), small()) == "synthetic images"


def test_int8_is_for_images() -> None:
    x = Tensor("input", (1, 7), "float32")
    graph = Graph("flat", Numerics.FLOAT32, {"input": x}, (), "input", "input")
    source = dataclasses.replace(read_builtin(small()), graph=graph, net=None)
    assert message(InputError, calibration_samples, source, small(dtype="int8")) == (
        "--dtype int8 calibrates with images, but the model's input has shape [1, 7]"
    )


def test_pixels_are_preprocessed_as_asked_and_real_values_are_taken_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    np.save(tmp_path / "real.npy", rng.normal(0, 1, pixels.shape).astype(np.float32))
    source = read_builtin(small())
    for options, name in (
        (small(calibration=tmp_path / "pixels.npy"), "x/127.5-1"),
        (small(calibration=tmp_path / "pixels.npy", preprocess="x/255"), "x/255"),
    ):
        np.testing.assert_array_equal(calibration_samples(source, options), preprocess(pixels, name))
    real = small(calibration=tmp_path / "real.npy")
    np.testing.assert_array_equal(calibration_samples(source, real), np.load(tmp_path / "real.npy"))
    assert calibration_summary(source, real) == "real.npy"
    file = dataclasses.replace(source, net=None)  # of a file's preprocessing nothing is known
    assert "give --preprocess" in message(
        InputError, calibration_samples, file, small(calibration=tmp_path / "pixels.npy")
    )


@pytest.mark.slow
def test_a_float_file_is_quantised_with_what_is_given(tmp_path: Path) -> None:
    path = onnx_file(tmp_path)
    shape = read_model(path).graph.tensors["input"].shape
    np.save(tmp_path / "real.npy", np.random.default_rng(0).normal(0, 1, (4, *shape[1:])).astype(np.float32))
    network = compiled(
        CompileOptions(target="host", model=path, dtype="int8", calibration=tmp_path / "real.npy", preprocess="x/255")
    )
    assert network.graph.numerics is Numerics.QDQ
    assert network.model.calibration == "real.npy"
    assert network.options["preprocess"] == "x/255"


# --- limits --------------------------------------------------------------------------------------------------------


def float_source(net: MobileNetV1) -> Source:
    zeros = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(net).items()}
    return dataclasses.replace(read_builtin(small()), graph=build(net, zeros), net=net)


def test_an_arena_that_is_too_large_is_refused_with_what_would_fit() -> None:
    source = float_source(MobileNetV1(0.25, 224))
    planned = plan(source.graph, "speed")
    assert planned.arena_bytes == 1_204_224
    check_ram(planned, source, None, load_target("host"))
    check_ram(planned, source, 1_204_224, load_target("host"))
    assert message(RefusedError, check_ram, planned, source, 1_204_223, load_target("cortex-m4")) == (
        "pointwise_1: the arena needs 1,204,224 bytes; cortex-m4 has 1,204,223. "
        f"Try --resolution 192 (about 121,360 bytes). {ENDS_WITH_RAM}"
    )
    assert message(RefusedError, check_ram, planned, source, 80_000, load_target("cortex-m4")) == (
        "pointwise_1: the arena needs 1,204,224 bytes; cortex-m4 has 80,000. "
        f"Try --resolution 128 (about 72,720 bytes). {ENDS_WITH_RAM}"
    )
    assert message(RefusedError, check_ram, planned, source, 40_000, load_target("cortex-m4")) == (
        "pointwise_1: the arena needs 1,204,224 bytes; cortex-m4 has 40,000. "
        f"Try --dtype int8 or a smaller --alpha. {ENDS_WITH_RAM}"
    )


def test_speed_takes_the_small_plan_where_the_fast_one_does_not_fit() -> None:
    graph, target = float_source(MobileNetV1(0.25, 32)).graph, load_target("cortex-m4")
    fast, least = plan(graph, "speed"), plan(graph, "ram")
    assert (fast.arena_bytes, least.arena_bytes) == (24_576, 10_240)
    assert chosen_plan(graph, "speed", None, None, target) == fast
    assert chosen_plan(graph, "speed", 24_576, None, target) == fast
    assert chosen_plan(graph, "speed", 24_575, None, target) == least
    assert chosen_plan(graph, "speed", 100, None, target) == least


def test_as_many_layers_run_as_bands_as_ram_and_flash_have_room_for() -> None:
    graph, target = stand_in(MobileNetV1(0.25, 96, 10), "int8"), load_target("cortex-m4")
    whole = chosen_plan(graph, "speed", None, None, target)
    assert len(whole.bands) == 14
    fewer = chosen_plan(graph, "speed", None, packed_bytes(whole, graph) - 1, target)
    assert len(fewer.bands) == 13
    fewest = chosen_plan(graph, "speed", 40_000, None, target)
    assert (len(fewest.bands), fewest.arena_bytes) == (7, 37_136)
    assert chosen_plan(graph, "speed", 16_000, None, target) == plan(graph, "ram")


def test_avx2_streams_float32_beyond_its_cache() -> None:
    graph = float_source(MobileNetV1(0.5, 224)).graph
    target = read_target(data_folder("targets") / "host" / "x86-64-v3.toml", "host")
    assert chosen_plan(graph, "speed", None, None, target) == plan(graph, "speed", target.l2_bytes)
    assert len(chosen_plan(graph, "speed", None, None, target).stages) > 1
    other = load_target("cortex-a72")
    assert chosen_plan(graph, "speed", None, None, other) == plan(graph, "speed")


@pytest.mark.parametrize("optimize", ["ram", "flash"])
def test_ram_and_flash_take_the_small_plan_whatever_there_is(optimize: Optimize) -> None:
    graph, target = float_source(MobileNetV1(0.25, 32)).graph, load_target("cortex-m4")
    for ram in (None, 100, 10**9):
        assert chosen_plan(graph, optimize, ram, None, target) == plan(graph, "ram")


def test_the_alignment_of_the_arena_counts_too() -> None:
    """A plan of 10,000 bytes fits 10,000 on a core that aligns to 16, but the arena is 10,016 where that is 32."""
    source = float_source(MobileNetV1(0.25, 32))
    folder = data_folder("targets") / "host"
    narrow, wide = (read_target(folder / f"{variant}.toml", "host") for variant in ("x86-64", "x86-64-v3"))
    planned = dataclasses.replace(plan(source.graph, "ram"), arena_bytes=10_000)
    check_ram(planned, source, 10_000, narrow)
    assert message(RefusedError, check_ram, planned, source, 10_000, wide).startswith(
        "depthwise_3: the arena needs 10,016 bytes; host has 10,000. "
    )
    check_ram(planned, source, 10_016, wide)


def test_the_plan_that_was_chosen_is_the_networks() -> None:
    assert compiled(small("cortex-m0plus")).plan.arena_bytes == 6144
    assert compiled(small("cortex-m0plus", ram=6143)).plan.arena_bytes == 2560
    assert compiled(small("cortex-m0plus", optimize="ram")).plan.streamed == (
        "conv_1",
        "depthwise_1",
        "pointwise_1",
        "depthwise_2",
    )


@pytest.mark.parametrize("optimize", ["speed", "ram", "flash"])
def test_less_than_the_smallest_arena_is_refused_with_the_bytes_that_would_do(optimize: Optimize) -> None:
    assert message(RefusedError, compiled, small("cortex-m4", ram=2559, optimize=optimize)) == (
        f"depthwise_3: the arena needs 2,560 bytes; cortex-m4 has 2,559. Try a smaller --alpha. {ENDS_WITH_RAM}"
    )
    assert compiled(small("cortex-m4", ram=2560, optimize=optimize)).arena_bytes == 2560


def test_the_resolution_named_does_fit() -> None:
    refused = message(RefusedError, compiled, small("cortex-m4", resolution=128, ram=15_000))
    resolution, size = re.findall(r"--resolution (\d+) \(about ([\d,]+) bytes\)", refused)[0]
    network = compiled(small("cortex-m4", resolution=int(resolution), ram=15_000))
    assert network.arena_bytes == pytest.approx(int(size.replace(",", "")), rel=0.01)


def test_what_is_int8_already_is_not_told_to_become_it(tmp_path: Path) -> None:
    assert message(RefusedError, compiled, small("cortex-m4", ram=1000)) == (
        f"depthwise_3: the arena needs 2,560 bytes; cortex-m4 has 1,000. Try a smaller --alpha. {ENDS_WITH_RAM}"
    )
    for dtype, hint in (("int8", ""), ("float32", "Try --dtype int8. ")):
        refused = message(
            RefusedError, compiled, CompileOptions(target="cortex-m4", model=tflite_file(tmp_path, dtype), ram=100)
        )
        assert re.fullmatch(
            rf"\w+: the arena needs [\d,]+ bytes; cortex-m4 has 100\. {hint}{re.escape(ENDS_WITH_RAM)}", refused
        )


def test_weights_that_are_too_large_are_refused() -> None:
    source = float_source(MobileNetV1(0.25, 32))
    check_flash(10_000, source, None, load_target("host"))
    check_flash(10_000, source, 10_000, load_target("host"))
    assert message(RefusedError, check_flash, 10_001, source, 10_000, load_target("cortex-m4")) == (
        "the constants need 10,001 bytes without the code; cortex-m4 has 10,000 of flash. "
        f"Try --dtype int8 or a smaller --alpha. {ENDS_WITH_FLASH}"
    )
    file = dataclasses.replace(source, net=None)
    assert message(RefusedError, check_flash, 10_001, file, 10_000, load_target("cortex-m4")) == (
        "the constants need 10,001 bytes without the code; cortex-m4 has 10,000 of flash. "
        f"Try --dtype int8. {ENDS_WITH_FLASH}"
    )


@pytest.mark.parametrize(("flash", "bands"), [(256_300, 5), (250_000, 4)])
def test_a_plan_with_bands_knows_what_its_constants_take_at_most(flash: int, bands: int) -> None:
    """Where other layers are bytes, which they are if words do not fit."""
    network = compiled(small("cortex-m4", flash=flash))
    assert len(network.plan.bands) == bands
    assert network.constant_bytes <= packed_bytes(network.plan, network.graph) <= 1.1 * network.constant_bytes


@pytest.mark.parametrize("optimize", ["speed", "ram"])
def test_constants_that_take_more_than_they_must_give_way_to_the_flash_there_is(optimize: Optimize) -> None:
    options = small("cortex-m4", resolution=48, optimize=optimize)
    least = compiled(dataclasses.replace(options, optimize="flash")).constant_bytes
    assert compiled(options).constant_bytes > least
    assert compiled(dataclasses.replace(options, flash=least)).constant_bytes == least


def test_limits_are_the_targets_unless_given() -> None:
    """alpha 1.0 in int8 has 4.2 MB of weights; a Cortex-M4 has 1 MB of flash."""
    options = small("cortex-m4", alpha=1.0, classes=1000)
    refused = message(RefusedError, compiled, options)
    assert re.match(
        r"the constants need 4,\d{3},\d{3} bytes without the code; cortex-m4 has 1,048,576 of flash\.", refused
    )
    assert compiled(dataclasses.replace(options, flash=2**23)).constant_bytes > 4_000_000


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"name": "2nd"}, "'2nd' cannot be the library's name"),
        ({"preprocess": "x/256"}, "there is no preprocessing named 'x/256'; choose one of none, "),
        ({"target": "cortex-m44"}, "unknown target 'cortex-m44'; the nearest are"),
    ],
)
def test_options_are_checked_before_the_model_is_read(changes: dict[str, Any], start: str) -> None:
    options = dataclasses.replace(small(), model=Path("there is no such file.tflite"), **changes)
    assert message(InputError, compiled, options).startswith(start)


# --- what the input holds ------------------------------------------------------------------------------------------


def image_tensor(dtype: DType, quantization: Quantization | None) -> Tensor:
    return Tensor("input", (1, 8, 8, 3), dtype, quantization)


@pytest.mark.parametrize(
    ("dtype", "quantization", "name"),
    [
        ("int8", per_tensor(1 / 255, -128), "x/255"),
        ("uint8", per_tensor(1 / 255, 0), "x/255"),
        ("uint8", per_tensor(1 / 128, 128), "(x-128)/128"),
        ("int8", per_tensor(1 / 128, 0), "(x-128)/128"),
        ("int8", per_tensor(1.0, 0), "x-128"),
        ("uint8", per_tensor(1.0, 0), "none"),
        ("int8", per_tensor(0.02, -3), "x/127.5-1"),
        ("float32", None, "x/127.5-1"),
    ],
)
def test_the_preprocessing_of_quantised_inputs_is_read_from_their_scale(
    dtype: DType, quantization: Quantization | None, name: str
) -> None:
    tensor = image_tensor(dtype, quantization)
    assert natural_preprocessing(tensor) == name
    if name != "x/127.5-1":
        pixels = np.arange(192, dtype=np.uint8).reshape(tensor.shape)
        lowest = -128 if dtype == "int8" else 0
        np.testing.assert_array_equal(quantize_pixels(pixels, tensor, name), pixels.astype(np.int32) + lowest)


@pytest.mark.parametrize("preprocessing", [name for name, steps in PREPROCESSING.items() if len(steps.mean) == 1])
def test_sample_images(preprocessing: str) -> None:
    tensor = image_tensor("int8", per_tensor(1 / 128, 0))
    sample = sample_input(tensor, preprocessing)
    assert sample.shape == tensor.shape
    assert sample.dtype == np.int8
    np.testing.assert_array_equal(sample, sample_input(tensor, preprocessing))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_sample_vectors(dtype: DType) -> None:
    tensor = Tensor("input", (1, 500), dtype, None if dtype == "float32" else per_tensor(0.1, 0))
    sample = sample_input(tensor, "x/255")
    assert sample.shape == tensor.shape
    assert sample.dtype == dtype
    assert len(np.unique(sample)) > 200
    np.testing.assert_array_equal(sample, sample_input(tensor, "x/255"))


@pytest.mark.slow
def test_the_shared_models_read_plain_pixels(shared_data: Path) -> None:
    for model, name in (("vww_96_int8", "x/255"), ("mobilenet_v1_0.25_128_quant", "(x-128)/128")):
        source = read_model(shared_data / "weights" / f"{model}.tflite")
        tensor = source.graph.tensors["input"]
        assert natural_preprocessing(tensor) == name
        _, height, width, channels = tensor.shape
        _, pixels = load_pixels(shared_data / "person_train2017_192", height, width, channels, limit=1)
        lowest = -128 if tensor.dtype == "int8" else 0
        np.testing.assert_array_equal(quantize_pixels(pixels, tensor, name), pixels.astype(np.int32) + lowest)


# --- schedule records ----------------------------------------------------------------------------------------------


def spaces(options: CompileOptions) -> dict[str, Space]:
    """The space of every kernel of a network, by the first layer that has it."""
    found: dict[str, Space] = {}

    def choose(space: Space) -> Chosen:
        found.setdefault(space.key, space)
        return default_schedule(space)

    planned = plan_model(options, lambda *_: None)
    lower(planned.graph, planned.plan, planned.target, "net", choose)
    return found


def record(space: Space, point: Point) -> Record:
    return Record(space.family, space.facts, point, 1, 2, "instructions", 3, ((1, 2), (2, 1)), "0.1")


def test_schedules_come_from_the_records_that_are_given(tmp_path: Path) -> None:
    target = load_target("cortex-m0plus")
    pointwise = [space for space in spaces(small("cortex-m0plus")).values() if space.family == "gemm"]
    tuned = next(
        one
        for one, other in itertools.permutations(pointwise, 2)
        if one.structure == other.structure and record(one, one.default).distance(other.facts) <= math.log(NEAR)
    )
    point = next(point for point in tuned.points() if point != tuned.default)
    write_records(tmp_path, target, [record(tuned, point)])
    network = compiled(small("cortex-m0plus", records=tmp_path))
    sources = [kernel.schedule_source for kernel in network.lowered.kernels]
    digest = record(tuned, point).digest
    assert sources.count(f"record {digest}") == 1
    assert f"nearest record {digest}" in sources
    assert "default" in sources
    content = json.loads(render(network).files["manifest.json"])
    assert content["records"] == hashlib.sha256(digest.encode()).hexdigest()
    assert [one["record"] for one in content["tuning"]] == [record(tuned, point).document] * len(content["tuning"])
    assert len(content["tuning"]) == sum(source != "default" for source in sources)
    kernels = {kernel.symbol: kernel for kernel in network.lowered.kernels}
    for one in content["tuning"]:
        assert one["default"]["schedule"] != kernels[one["kernel"]].schedule
        assert one["default"]["body"] != kernels[one["kernel"]].body
    assert str(tmp_path) not in json.dumps(content)
    again = compiled(small("cortex-m0plus", records=tmp_path))
    assert render(again).files == render(network).files


def test_a_folder_without_records_of_the_core_gives_defaults(tmp_path: Path) -> None:
    network = compiled(small("cortex-m4", records=tmp_path))
    assert {kernel.schedule_source for kernel in network.lowered.kernels} == {"default"}
    assert json.loads(render(network).files["manifest.json"])["records"] is None


def test_damaged_records_are_refused_before_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "cortex-m4").mkdir()
    (tmp_path / "cortex-m4" / "gemm.jsonl").write_text("{}\n")
    options = CompileOptions(target="cortex-m4", model=tmp_path / "absent.tflite", records=tmp_path)
    assert message(InputError, compiled, options) == (
        "cortex-m4/gemm.jsonl:1: damaged schedule record: it has no family. Remove the line or tune again"
    )
