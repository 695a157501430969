from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mbgen.graph import Quantization, Softmax, Tensor
from mbgen.mobilenet import MobileNetV1, build, random_weights
from scripts.bench_peers import HEAD, Model, parse_models, results, table, turn_length, with_tflite_softmax
from scripts.ncnn_export import to_ncnn
from tests.support.layers import graph_of, per_tensor

SMALL = MobileNetV1(0.25, 32, classes=10)


def test_models_are_type_alpha_and_resolution() -> None:
    assert parse_models("float32:1.0/224, int8:0.25/96") == [Model("float32", 1.0, 224), Model("int8", 0.25, 96)]


@pytest.mark.parametrize("text", ["", "int8", "int4:1.0/224", "int8:1.0", "int8:-1/96"])
def test_what_is_no_model_is_refused(text: str) -> None:
    message = f"{text!r} is no model; write for example int8:0.25/96 (type, alpha, resolution)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_models(text)


def test_a_turn_is_of_one_length_for_all_and_has_three_inferences_at_least() -> None:
    assert [turn_length(seconds) for seconds in (0.0002, 0.006, 1.0)] == [300, 10, 3]


def test_ratios_are_to_the_fastest_peer_and_mbgen_is_none() -> None:
    times = {"mbgen": [0.001, 0.002, 0.003], "litert": [0.004] * 3, "onnxruntime": [0.005, 0.008, 0.008]}
    found = results(Model("int8", 0.25, 96), times)
    assert [(one.runtime, one.median, one.least, one.runs, one.ratio) for one in found] == [
        ("mbgen", 2.0, 1.0, 3, 0.5),
        ("litert", 4.0, 4.0, 3, 1.0),
        ("onnxruntime", 8.0, 5.0, 3, 2.0),
    ]
    assert found[0].p95 == pytest.approx(2.9)


def test_alone_mbgen_has_no_ratio() -> None:
    (found,) = results(Model("int8", 0.25, 96), {"mbgen": [0.001]})
    assert found.ratio is None
    assert table([found]).split()[-1] == "-"


def test_table_has_a_line_for_each_runtime() -> None:
    lines = [HEAD, *table(results(Model("float32", 1.0, 224), {"mbgen": [0.003], "litert": [0.004]})).splitlines()]
    assert lines[0].split() == ["model", "runtime", "median", "ms", "p95", "least", "of", "fastest", "peer"]
    assert lines[1].split()[:3] == ["float32", "1/224", "mbgen"]
    assert lines[1].split()[-4:] == ["3.000", "3.000", "3.000", "0.750"]


def test_softmax_takes_the_quantisation_that_tflite_gives_it() -> None:
    x, y = Tensor("x", (1, 4), "int8", per_tensor(0.5, 3)), Tensor("y", (1, 4), "int8", per_tensor(0.01, -5))
    graph = with_tflite_softmax(graph_of([Softmax(name="softmax_1", inputs=("x",), output="y")], [x, y]))
    assert graph.tensors["y"].quantization == Quantization((1 / 256,), (-128,))
    assert graph.tensors["x"] == x


def test_ncnn_files_have_every_layer_and_every_weight() -> None:
    graph = build(SMALL, random_weights(SMALL))
    files = to_ncnn(graph)
    lines = files.param.splitlines()
    assert lines[:3] == ["7767517", f"{len(graph.layers) + 1} {len(graph.layers) + 1}", "Input input 0 1 input"]
    assert lines[3] == (
        "Convolution conv_1 1 1 input conv_1 "
        "0=8 1=3 11=3 2=1 12=1 3=2 13=2 4=0 15=1 14=0 16=1 5=1 6=216 9=3 -23310=2,0.000000e+00,6.000000e+00"
    )
    assert lines[4].startswith("ConvolutionDepthWise depthwise_1 1 1 conv_1 depthwise_1 0=8 ")
    assert lines[4].endswith(" 7=8")
    assert lines[-1] == "Softmax softmax_1 1 1 dense_1 output 0=0 1=1"
    weighted = [layer for layer in graph.layers if layer.constants]
    constants = {name: graph.constant(name) for layer in weighted for name in layer.constants}
    assert len(files.bin) == 4 * (len(weighted) + sum(values.size for values in constants.values()))
    assert np.frombuffer(files.bin, np.float32)[1] == constants["conv_1.weights"][0, 0, 0, 0]


@pytest.mark.slow
def test_the_script_compares_what_is_installed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.bench_peers", "--models", "int8:0.25/32", "--turns", "1"]
    written = tmp_path / "results.json"
    subprocess.run([*command, "--runtimes", "onnxruntime", "--json", written], check=True, capture_output=True)
    found = json.loads(written.read_text())
    assert {one["runtime"] for one in found["results"]} == {"mbgen", "onnxruntime"}
    assert all(0 < one["least"] <= one["median"] <= one["p95"] for one in found["results"])
