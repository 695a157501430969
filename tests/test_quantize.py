"""Quantisation keeps what the float model says: form, means, accuracy; and it is quiet and repeatable."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from mbgen.errors import InputError
from mbgen.graph import (
    NO_CLAMP,
    Array,
    AveragePool2D,
    Clamp,
    Clip,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Graph,
    Layer,
    Numerics,
    Reshape,
    Tensor,
    WeightedLayer,
)
from mbgen.images import load_pixels, preprocess, synthetic_pixels
from mbgen.mobilenet import MobileNetV1, build, random_weights
from mbgen.onnx_export import to_onnx
from mbgen.quantize import quantize
from mbgen.weights import load_weights

NET = MobileNetV1(0.25, 64, classes=10)


def float_model() -> bytes:
    return to_onnx(build(NET, random_weights(NET)))


def samples(count: int = 8) -> Array:
    return preprocess(synthetic_pixels(count, NET.resolution, NET.resolution, 3), "x/127.5-1")


def infer(model: bytes, images: Array) -> Array:
    """Real outputs for real NHWC inputs, without optimisations: fused int8 kernels saturate on some processors."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options)
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    fed = images.transpose(0, 3, 1, 2)
    if source.type == "tensor(int8)":
        scale, zero_point = end_quantization(model, source.name)
        fed = np.clip(np.rint(fed / scale) + zero_point, -128, 127).astype(np.int8)
    outputs: Array = np.concatenate([session.run(None, {source.name: image[np.newaxis]})[0] for image in fed])
    if result.type == "tensor(int8)":
        scale, zero_point = end_quantization(model, result.name)
        outputs = (outputs.astype(np.float32) - zero_point) * scale
    return outputs


def end_quantization(model: bytes, name: str) -> tuple[Array, int]:
    """Scale and zero point at the DequantizeLinear that reads a value or the QuantizeLinear that writes it."""
    graph = onnx.load_from_string(model).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    (node,) = (
        node
        for node in graph.node
        if (node.op_type == "DequantizeLinear" and node.input[0] == name)
        or (node.op_type == "QuantizeLinear" and node.output[0] == name)
    )
    return constants[node.input[1]], int(constants[node.input[2]])


def test_form() -> None:
    encoded = quantize(float_model(), samples())
    model = onnx.load_from_string(encoded)
    onnx.checker.check_model(model, full_check=True)
    (source,), (result,) = model.graph.input, model.graph.output
    assert (source.name, result.name) == ("input", "softmax_1")
    assert source.type.tensor_type.elem_type == result.type.tensor_type.elem_type == onnx.TensorProto.INT8
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    readers = {name: node for node in model.graph.node for name in node.input}
    operators = [node.op_type for node in model.graph.node]
    assert (operators.count("Conv"), operators.count("Gemm"), operators.count("Clip")) == (27, 1, 0)
    for node in model.graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            image, weights, bias = (producers[name] for name in node.input)
            assert {image.op_type, weights.op_type, bias.op_type} == {"DequantizeLinear"}
            values, scale, zero_point = (constants[name] for name in weights.input)
            assert (values.dtype, scale.shape) == (np.int8, (len(values),))
            assert not zero_point.any()
            assert constants[bias.input[0]].dtype == np.int32
            assert readers[node.output[0]].op_type == "QuantizeLinear"
            assert constants[readers[node.output[0]].input[2]].dtype == np.int8


def test_importer_reads_it_as_one_layer_each_with_int8_ends() -> None:
    from mbgen.importers import import_onnx

    graph = import_onnx(quantize(float_model(), samples()), "the quantised model")
    assert graph.numerics is Numerics.QDQ
    assert [layer.name for layer in graph.layers] == [layer.name for layer in build(NET, random_weights(NET)).layers]
    assert graph.tensors[graph.input].dtype == graph.tensors[graph.output].dtype == "int8"
    clamps = [layer.clamp for layer in graph.layers if isinstance(layer, WeightedLayer)]
    assert clamps == [NO_CLAMP] * 28


def test_random_network_gives_nearly_the_float_answers() -> None:
    """Only what differs between images counts: a network of dead channels would agree in the rest."""
    images = samples(12)
    real, rounded = infer(float_model(), images), infer(quantize(float_model(), images[:8]), images)
    typical = real.mean(axis=0)
    assert np.corrcoef((real - typical).ravel(), (rounded - typical).ravel())[0, 1] > 0.9
    assert (real.argmax(axis=1) == rounded.argmax(axis=1)).mean() > 0.7


def test_the_same_bytes_again_and_in_another_process() -> None:
    first = quantize(float_model(), samples())
    assert quantize(float_model(), samples()) == first
    script = (
        "import hashlib, sys; from mbgen.quantize import quantize\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_quantize as t\n"
        "print(hashlib.sha256(quantize(t.float_model(), t.samples())).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert other.stdout.strip() == hashlib.sha256(first).hexdigest()


def test_nothing_is_printed_or_logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        quantize(float_model(), samples())
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def one_layer(layer: Layer, shape: tuple[int, ...], output: tuple[int, ...], constants: dict[str, Array]) -> bytes:
    tensors = {"input": Tensor("input", shape, "float32"), layer.output: Tensor(layer.output, output, "float32")}
    tensors |= {name: Tensor(name, data.shape, "float32", data=data) for name, data in constants.items()}
    return to_onnx(Graph("one", Numerics.FLOAT32, tensors, (layer,), "input", layer.output))


def uneven(*shape: int, axis: int) -> Array:
    """Weights of which one in each output channel is large, so that the many small ones are all rounded to zero."""
    weights = np.full(shape, 0.4 / 127, np.float32)
    index: list[slice | int] = [0] * len(shape)
    index[axis] = slice(None)
    weights[tuple(index)] = 1
    return weights


@pytest.mark.parametrize(
    ("layer", "weights", "channels"),
    [
        (Conv2D(name="l", inputs=("input",), output="l", weights="w", bias="b"), uneven(6, 1, 1, 64, axis=0), 6),
        (Conv2D(name="l", inputs=("input",), output="l", weights="w", bias="b"), uneven(6, 3, 3, 64, axis=0), 6),
        (DepthwiseConv2D(name="l", inputs=("input",), output="l", weights="w", bias="b"), uneven(7, 7, 64, axis=2), 64),
        (
            DepthwiseConv2D(name="l", inputs=("input",), output="l", weights="w", bias="b"),
            uneven(7, 7, 128, axis=2),
            128,
        ),
    ],
)
def test_rounding_weights_does_not_move_the_mean(
    layer: Conv2D | DepthwiseConv2D, weights: Array, channels: int
) -> None:
    random = np.random.default_rng(9)
    by_channel = random.uniform(0.5, 1.5, 64)
    images = (random.uniform(0, 2, (16, 8, 8, 64)) * by_channel).astype(np.float32)
    kh, kw = weights.shape[:2] if isinstance(layer, DepthwiseConv2D) else weights.shape[1:3]
    shape = (1, 8 - kh + 1, 8 - kw + 1, channels)
    model = one_layer(layer, (1, 8, 8, 64), shape, {"w": weights, "b": np.zeros(channels, np.float32)})
    real, rounded = infer(model, images), infer(quantize(model, images), images)
    lost = 63 * 0.4 / 127 if not isinstance(layer, DepthwiseConv2D) else 48 * 0.4 / 127
    error = np.abs((real - rounded).mean(axis=(0, 2, 3)))
    assert error.max() < lost / 4


def test_rounding_weights_of_a_dense_layer_does_not_move_the_mean() -> None:
    images = np.random.default_rng(9).uniform(0, 2, (16, 4, 4, 64)).astype(np.float32)
    tensors = {
        "input": Tensor("input", (1, 4, 4, 64), "float32"),
        "pool_1": Tensor("pool_1", (1, 1, 1, 64), "float32"),
        "reshape_1": Tensor("reshape_1", (1, 64), "float32"),
        "dense_1": Tensor("dense_1", (1, 6), "float32"),
        "w": Tensor("w", (6, 64), "float32", data=uneven(6, 64, axis=0)),
        "b": Tensor("b", (6,), "float32", data=np.zeros(6, np.float32)),
    }
    layers = (
        AveragePool2D(name="pool_1", inputs=("input",), output="pool_1", kernel=(4, 4)),
        Reshape(name="reshape_1", inputs=("pool_1",), output="reshape_1"),
        Dense(name="dense_1", inputs=("reshape_1",), output="dense_1", weights="w", bias="b"),
    )
    model = to_onnx(Graph("dense", Numerics.FLOAT32, tensors, layers, "input", "dense_1"))
    error = (infer(model, images) - infer(quantize(model, images), images)).mean(axis=0)
    assert np.abs(error).max() < 63 * 0.4 / 127 / 4


def test_a_float_layer_at_an_end_stays_float() -> None:
    """ONNX Runtime does not quantise a clamp that stands before everything."""
    tensors = {name: Tensor(name, (1, 4, 4, 2), "float32") for name in ("input", "clip_1", "conv_1")}
    tensors["w"] = Tensor("w", (2, 1, 1, 2), "float32", data=np.ones((2, 1, 1, 2), np.float32))
    layers = (
        Clip(name="clip_1", inputs=("input",), output="clip_1", clamp=Clamp(0, 6)),
        Conv2D(name="conv_1", inputs=("clip_1",), output="conv_1", weights="w"),
    )
    images = np.random.default_rng(9).uniform(-2, 8, (4, 4, 4, 2)).astype(np.float32)
    model = quantize(to_onnx(Graph("clipped", Numerics.FLOAT32, tensors, layers, "input", "conv_1")), images)
    session = onnxruntime.InferenceSession(model)
    assert [end.type for end in (*session.get_inputs(), *session.get_outputs())] == ["tensor(float)", "tensor(int8)"]
    expected = np.clip(images, 0, 6).sum(axis=3)
    np.testing.assert_allclose(infer(model, images)[:, 0], expected, atol=0.1)


@pytest.mark.parametrize("shape", [(4, 3, 64, 64), (4, 32, 32, 3), (64, 64, 3)])
def test_samples_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        quantize(float_model(), np.zeros(shape, np.float32))
    assert str(error.value) == f"the calibration data has shape {list(shape)}; the network needs [n, 64, 64, 3]"


def test_no_samples() -> None:
    with pytest.raises(InputError) as error:
        quantize(float_model(), np.zeros((0, 64, 64, 3), np.float32))
    assert str(error.value) == (
        "the calibration data is empty; quantisation needs at least one sample, better a hundred"
    )


def test_samples_that_are_not_finite() -> None:
    damaged = samples(1)
    damaged[0, 3, 3, 0] = np.nan
    with pytest.raises(InputError) as error:
        quantize(float_model(), damaged)
    assert str(error.value) == "the calibration data holds a value that is not finite"


@pytest.mark.slow
def test_imagenet_accuracy_is_at_most_four_points_below_float(shared_data: Path) -> None:
    """Keras weights, 100 of the 500 images for calibration: 57.8 % in float, 56.4 % in int8."""
    net = MobileNetV1(0.25, 224)
    model = to_onnx(build(net, load_weights(shared_data / "weights" / "imagenet_v1_0.25_224_keras_float.h5", net)))
    with (shared_data / "imagenet_dev.csv").open() as file:
        classes = {row["file"]: int(row["class_index"]) for row in csv.DictReader(file)}
    names, pixels = load_pixels(shared_data / "imagenet_dev", 224, 224, 3)
    images, wanted = preprocess(pixels, "x/127.5-1"), np.array([classes[name] for name in names])

    def top_1(candidate: bytes) -> float:
        return float((infer(candidate, images).argmax(axis=1) == wanted).mean())

    float_top_1 = top_1(model)
    assert float_top_1 == pytest.approx(0.578)
    assert top_1(quantize(model, images[::5])) > float_top_1 - 0.04
