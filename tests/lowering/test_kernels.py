"""Every kind of layer in every arithmetic, generated, built, run on its target and compared with the reference."""

from __future__ import annotations

import dataclasses
import platform
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mbgen.data import data_folder
from mbgen.graph import (
    Add,
    AveragePool2D,
    Clamp,
    Clip,
    Concat,
    Dequantize,
    DType,
    Graph,
    Layer,
    Logistic,
    Mean,
    Numerics,
    Pad,
    Padding,
    Quantize,
    Requantize,
    Softmax,
    Tensor,
    infer_shape,
    window_output,
)
from mbgen.target import load_target, read_target
from tests.support.compilers import COMPILERS, call, check_strict, check_symbols, includes, sources
from tests.support.layer_network import LayerNetwork, assert_telling, check, library
from tests.support.layers import additions, average_pools, convolutions, dense_layers, per_tensor
from tests.support.tools import require_target

TFLITE, QDQ, FLOAT32 = Numerics.TFLITE, Numerics.QDQ, Numerics.FLOAT32
TYPES: dict[Numerics, tuple[DType, ...]] = {TFLITE: ("int8", "uint8"), QDQ: ("int8", "uint8"), FLOAT32: ("float32",)}
# where the C is looked at and not its results: what uint8 adds is in TFLite's arithmetic too
TELLING_TYPES = TYPES | {QDQ: ("int8",)}


# --- one layer of each kind ----------------------------------------------------------------------------------------


def pool(net: LayerNetwork, x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding) -> None:
    name = net.name("pool")
    places = [
        window_output(x.shape[1 + i], kernel[i], stride[i], 1, padding[2 * i] + padding[2 * i + 1]) for i in (0, 1)
    ]
    y = Tensor(name, (1, *places, x.shape[3]), x.dtype, x.quantization)
    if net.numerics is QDQ:
        y = dataclasses.replace(y, quantization=per_tensor(0.03, 4))
    net.declare(y)
    clamp = net.clamp("relu6", y)
    net.add(
        AveragePool2D(
            name=name, inputs=(x.name,), output=name, kernel=kernel, stride=stride, padding=padding, clamp=clamp
        )
    )


def same(net: LayerNetwork, layer: Layer) -> Tensor:
    """A layer whose output has the type and quantisation of its first input."""
    net.tensors[layer.output] = dataclasses.replace(net.tensors[layer.inputs[0]], name=layer.output)
    shape = infer_shape(layer, Graph("", net.numerics, net.tensors, (), "input", "input"))
    net.tensors[layer.output] = dataclasses.replace(net.tensors[layer.output], shape=shape)
    return net.add(layer)


def weighted_layers(net: LayerNetwork, dtype: DType) -> None:
    image = net.source(dtype)
    net.convolution(image, (3, 3), 8, stride=(2, 2), padding=Padding(0, 1, 0, 1), clamp="relu6")
    net.convolution(image, (3, 3), 12, stride=(2, 2), padding=Padding(1, 1, 1, 1), clamp="relu")
    net.convolution(image, (2, 5), 5, stride=(3, 1), padding=Padding(2, 0, 1, 3), bias=False)
    net.convolution(image, (3, 2), 16, dilation=(2, 3), padding=Padding(2, 2, 0, 3), per_channel=False)
    net.convolution(net.feed((1, 5, 5, 1), dtype), (1, 1), 1, stride=(2, 2))
    net.convolution(net.feed((1, 4, 4, 5), dtype), (1, 1), 57, clamp="relu", kind="pointwise")
    net.convolution(net.feed((1, 7, 5, 13), dtype), (1, 1), 32, kind="pointwise")
    net.convolution(net.feed((1, 11, 7, 5), dtype), (1, 1), 13, kind="pointwise")
    net.convolution(net.feed((1, 5, 1, 13), dtype), (1, 1), 19, kind="pointwise", clamp="relu6")
    net.convolution(net.feed((1, 6, 4, 8), dtype), (1, 1), 40, bias=False, clamp="relu6", kind="pointwise")
    net.convolution(net.feed((1, 1, 1, 12), dtype), (1, 1), 3, kind="pointwise")
    net.convolution(net.feed((1, 3, 1, 1), dtype), (1, 1), 1, kind="pointwise", per_channel=False)
    net.convolution(net.feed((1, 5, 7, 2), dtype), (1, 1), 16, multiplier=1.7, kind="pointwise")
    net.convolution(net.feed((1, 9, 7, 16), dtype), (3, 3), 16, depthwise=True, padding=Padding(1, 1, 1, 1))
    net.convolution(net.feed((1, 5, 3, 19), dtype), (3, 3), 19, depthwise=True, padding=Padding(1, 1, 1, 1))
    net.convolution(net.feed((1, 3, 5, 57), dtype), (3, 3), 57, depthwise=True, padding=Padding(0, 1, 1, 0))
    net.convolution(net.feed((1, 3, 3, 5), dtype), (3, 3), 5, depthwise=True, clamp="relu")
    net.convolution(net.feed((1, 4, 5, 3), dtype), (3, 3), 57, padding=Padding(1, 1, 1, 1), clamp="relu6")
    net.convolution(net.feed((1, 4, 3, 2), dtype), (2, 2), 19)
    down = {"stride": (2, 2), "padding": Padding(0, 1, 0, 1), "clamp": "relu6"}
    net.convolution(net.feed((1, 8, 6, 12), dtype), (3, 3), 12, depthwise=True, **down)  # type: ignore[arg-type]
    net.convolution(net.feed((1, 6, 6, 3), dtype), (3, 3), 6, depthwise=True, padding=Padding(1, 1, 1, 1), bias=False)
    net.convolution(net.feed((1, 7, 7, 13), dtype), (2, 3), 13, depthwise=True, stride=(3, 1), dilation=(2, 2))
    net.convolution(net.feed((1, 1, 1, 1), dtype), (3, 3), 4, depthwise=True, padding=Padding(1, 1, 1, 1))
    net.convolution(net.feed((1, 5, 5, 8), dtype), (3, 3), 8, depthwise=True, multiplier=3.1, clamp="relu")
    net.convolution(net.feed((1, 5, 4, 64), dtype), (1, 1), 21, clamp="relu6", kind="pointwise")
    net.convolution(net.feed((1, 6, 7, 20), dtype), (3, 3), 20, depthwise=True, padding=Padding(1, 1, 1, 1))
    net.convolution(net.feed((1, 8, 8, 11), dtype), (3, 3), 11, depthwise=True, **down)  # type: ignore[arg-type]
    net.convolution(net.feed((1, 2, 2, 9), dtype), (3, 3), 9, depthwise=True, **down)  # type: ignore[arg-type]
    net.dense(net.feed((1, 9), dtype), 2)
    net.dense(net.feed((1, 16), dtype), 1001, bias=False)
    net.dense(net.feed((1, 5), dtype), 32, multiplier=1.2)
    net.dense(net.feed((1, 19), dtype), 13)
    net.dense(net.feed((1, 13), dtype), 57, clamp="relu")


def other_layers(net: LayerNetwork, dtype: DType) -> None:
    pool(net, net.feed((1, 7, 7, 5), dtype), (7, 7), (1, 1), Padding())
    pool(net, net.feed((1, 6, 5, 8), dtype), (3, 2), (2, 2), Padding(1, 1, 0, 1))
    a, b = net.feed((1, 5, 3, 4), dtype), net.feed((1, 5, 3, 4), dtype)
    name = net.name("add")
    y = net.tensor(name, a.shape, dtype, 0.12)
    net.add(Add(name=name, inputs=(a.name, b.name), output=name, clamp=net.clamp("relu", y)))
    same(net, Add(name=net.name("double"), inputs=(a.name, a.name), output=net.name("double")))
    same(net, Pad(name=net.name("pad"), inputs=(a.name,), output=net.name("pad"), padding=Padding(1, 0, 2, 1)))
    c = net.feed((1, 5, 3, 7), dtype, a.quantization)
    same(net, Concat(name=net.name("concat"), inputs=(a.name, c.name, a.name), output=net.name("concat"), axis=3))
    d = net.feed((1, 2, 3, 4), dtype, a.quantization)
    same(net, Concat(name=net.name("concat"), inputs=(d.name, a.name), output=net.name("concat"), axis=1))
    real_clamps = (Clamp(-1.5, 2.0), Clamp(high=1.0), Clamp(low=0.5))
    for clamp in real_clamps if dtype == "float32" else (net.clamp("relu6", a),):
        same(net, Clip(name=net.name("clip"), inputs=(a.name,), output=net.name("clip"), clamp=clamp))
    for shape, scale, beta in (((1, 2), 0.1, 1.0), ((1, 21), 0.03, 1.0), ((1, 2, 3, 9), 0.05, 1.7)):
        name = net.name("softmax")
        x = net.feed(shape, dtype, None if dtype == "float32" else per_tensor(scale, 3))
        net.tensor(name, shape, dtype, 1 / 256, -128 if dtype == "int8" else 0)
        net.add(Softmax(name=name, inputs=(x.name,), output=name, beta=beta))
    name = net.name("logistic")
    net.tensor(name, a.shape, dtype, 1 / 256, -128 if dtype == "int8" else 0)
    net.add(Logistic(name=name, inputs=(a.name,), output=name))


def conversions(net: LayerNetwork, dtype: DType, other: DType) -> None:
    """Bytes to other bytes, to float32 and back; float layers between."""
    x = net.feed((1, 4, 3, 5), dtype)
    for result, scale in ((dtype, 0.3), (other, 0.09)):
        name = net.name("requantize")
        net.tensor(name, x.shape, result, scale)
        net.add(Requantize(name=name, inputs=(x.name,), output=name))
    real = net.name("dequantize")
    net.tensor(real, x.shape, "float32")
    net.add(Dequantize(name=real, inputs=(x.name,), output=real))
    for scale in (2 * net.tensors[x.name].quantization.scale[0], 0.037):  # type: ignore[union-attr]
        name = net.name("quantize")  # halves, which the two contracts round apart; and some other scale
        net.tensor(name, x.shape, dtype, scale)
        net.add(Quantize(name=name, inputs=(real,), output=name))


def means(net: LayerNetwork, dtype: DType) -> None:
    for shape, scale in (((1, 7, 7, 5), 0.02), ((1, 3, 2, 8), 0.2), ((1, 1, 1, 3), 0.4)):
        x, name = net.feed(shape, dtype), net.name("mean")
        net.tensor(name, (1, 1, 1, shape[3]), dtype, scale)
        net.add(Mean(name=name, inputs=(x.name,), output=name))


def all_layers(numerics: Numerics, dtypes: Iterable[DType]) -> Graph:
    net = LayerNetwork(numerics)
    for dtype in dtypes:
        weighted_layers(net, dtype)
        other_layers(net, dtype)
        if dtype != "float32":
            conversions(net, dtype, "uint8" if dtype == "int8" else "int8")
        if numerics is TFLITE:
            means(net, dtype)
    return net.graph


@pytest.mark.parametrize("numerics", list(Numerics))
def test_layers_on_the_host(numerics: Numerics, tmp_path: Path) -> None:
    """With few optimisations, to be quick."""
    host = require_target("host")
    graph = all_layers(numerics, TYPES[numerics])
    assert_telling(graph, check(graph, dataclasses.replace(host, c_flags=(*host.c_flags, "-O1")), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize("name", ["host", "cortex-a72", "cortex-m4"])
def test_layers_as_targets_build_them(name: str, numerics: Numerics, tmp_path: Path) -> None:
    check(all_layers(numerics, TYPES[numerics]), require_target(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("numerics", list(Numerics))
def test_layers_on_a_host_without_avx(numerics: Numerics, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("this machine is no x86-64")
    require_target("host")
    plain = read_target(data_folder("targets") / "host" / "x86-64.toml", "host")
    check(all_layers(numerics, TYPES[numerics]), plain, tmp_path)


# --- the C itself --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize(("compiler", "cpp", "target"), COMPILERS)
def test_every_compiler_takes_every_kernel(
    compiler: str, cpp: str, target: str, numerics: Numerics, tmp_path: Path
) -> None:
    directory = library(all_layers(numerics, TELLING_TYPES[numerics]), load_target(target), tmp_path)
    flags = load_target(target).c_flags
    check_strict(directory, [compiler, *flags, "-O1", "-std=c99"], tmp_path)
    check_strict(directory, [cpp, "-x", "c++", *flags, "-fsyntax-only", "-std=c++17"], tmp_path)
    check_symbols(directory, [compiler, *flags, "-O0"], tmp_path, may_call=frozenset({"expf"}))


@pytest.mark.slow
@pytest.mark.parametrize("numerics", list(Numerics))
def test_sanitizers_find_nothing(numerics: Numerics, tmp_path: Path) -> None:
    require_target("host")
    directory = library(all_layers(numerics, TELLING_TYPES[numerics]), load_target("host"), tmp_path)
    main = tmp_path / "main.c"
    main.write_text(
        '#include "net.h"\nstatic struct net_arena arena;\nint main(void) { return (int)net_self_test(&arena); }\n'
    )
    sanitize = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *load_target("host").c_flags, *sanitize, *includes(directory)]
    call([*command, main, *sources(directory), "-lm", "-o", tmp_path / "program"])
    call([tmp_path / "program"])


# --- at random -----------------------------------------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn, numerics: Numerics) -> Graph:
    """A dozen random layers of several kinds."""
    net = LayerNetwork(numerics, draw(st.integers(0, 2**32 - 1)))
    kinds = [
        convolutions(numerics),
        convolutions(numerics),
        dense_layers(numerics),
        average_pools(numerics),
        additions(numerics, lambda source, target: Logistic(name="other", inputs=(source,), output=target)),
    ]
    for case in draw(st.lists(st.one_of(kinds), min_size=10, max_size=14)):
        net.take_in(case)
    return net.graph


@pytest.mark.slow
@pytest.mark.parametrize("numerics", list(Numerics))
@pytest.mark.parametrize("name", ["host", "cortex-a72"])
def test_random_layers(name: str, numerics: Numerics) -> None:
    target = require_target(name)

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(networks(numerics))
    def check_one(graph: Graph) -> None:
        with tempfile.TemporaryDirectory() as folder:
            check(graph, target, Path(folder))

    check_one()
