from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import mbgen
from mbgen.graph import Conv2D, DType, Mean
from mbgen.library import render
from mbgen.library.manifest import operator
from tests.support.tiny_network import Form, make_network

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs" / "manifest.schema.json").read_text(encoding="utf-8"))


def manifest(dtype: DType = "int8", **changes: Any) -> Any:
    return json.loads(render(make_network(dtype, **changes)).files["manifest.json"])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize("form", ["whole", "rows"])
def test_it_is_valid(dtype: DType, form: Form) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest(dtype, form=form, reference=("model.onnx", b"onnx")))


def schema_objects(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [found for item in schema for found in schema_objects(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for item in schema.values() for found in schema_objects(item)]


def test_the_schema_leaves_no_key_undescribed() -> None:
    for found in schema_objects(SCHEMA):
        if "properties" in found:
            assert found["additionalProperties"] is False
            assert found["required"] == list(found["properties"])


def test_keys_stand_in_the_order_of_the_schema() -> None:
    content = manifest()
    assert list(content) == SCHEMA["required"]
    assert all(list(layer) == SCHEMA["$defs"]["layer"]["required"] for layer in content["layers"])


def test_totals_and_origin() -> None:
    content = manifest()
    assert content["generator"] == {"mbgen": mbgen.__version__, "tvm": importlib.metadata.version("apache-tvm")}
    assert content["arena_bytes"] == 256
    assert content["arena_lower_bound"] == 256
    assert content["peak_layer"] == "depthwise_1"
    assert content["constant_bytes"] == 24 + 72 + 2 * 3 * 8 * 4
    assert content["parameters"] == 24 + 72 + 2 * 8
    assert content["macs_nominal"] == content["macs_executed"] == 16 * 8 * 3 + 16 * 8 * 9
    assert content["model"]["random_weights"] is True
    assert content["options"] == {"alpha": 0.25, "preprocess": "x/127.5-1"}
    assert content["input"] == {
        "shape": [1, 4, 4, 3],
        "dtype": "int8",
        "quantization": {"scale": [0.0078125], "zero_point": [0]},
    }


def test_layers() -> None:
    layers = manifest()["layers"]
    assert [layer["name"] for layer in layers] == ["pointwise_1", "depthwise_1", "pool_1", "reshape_1"]
    assert [layer["op"] for layer in layers] == ["pointwise", "depthwise_conv2d", "average_pool2d", "reshape"]
    assert [layer["inputs"] for layer in layers] == [["input"], ["pointwise_1"], ["depthwise_1"], ["pool_1"]]
    assert [layer["output"] for layer in layers] == [
        {"place": "arena", "offset": 128},
        {"place": "arena", "offset": 0},
        {"place": "output"},
        {"place": "output"},
    ]
    assert [layer["kernel"] for layer in layers] == ["tiny_pointwise_1", "tiny_depthwise_1", "tiny_pool_1", None]
    assert [layer["schedule_source"] for layer in layers] == ["default", "default", "default", None]
    assert layers[0]["quantization"] == {"scale": [0.02], "zero_point": [-128]}


def test_layers_of_the_row_pipeline() -> None:
    layers = manifest(form="rows")["layers"]
    streamed = ["conv_1", "depthwise_1", "pointwise_1", "depthwise_2", "pointwise_2"]
    assert [layer["name"] for layer in layers if layer["streamed"]] == streamed
    assert [layer["output"]["place"] for layer in layers] == [*["row"] * 4, "arena", "arena", "output", "output"]


@pytest.mark.parametrize("form", ["whole", "rows"])
def test_buffers(form: Form) -> None:
    content = manifest(form=form)
    assert all(list(buffer) == SCHEMA["properties"]["buffers"]["items"]["required"] for buffer in content["buffers"])
    names = [layer["name"] for layer in content["layers"]]
    buffers = {buffer["name"]: buffer for buffer in content["buffers"]}
    assert max(buffer["offset"] + buffer["bytes"] for buffer in buffers.values()) <= content["arena_bytes"]
    for index, layer in enumerate(content["layers"]):
        if layer["output"]["place"] == "arena":
            buffer = buffers[layer["name"]]
            assert buffer["offset"] == layer["output"]["offset"]
            assert buffer["bytes"] == math.prod(layer["output_shape"])
            reader = next(number for number, other in enumerate(content["layers"]) if layer["name"] in other["inputs"])
            assert (buffer["first"], buffer["last"]) == (index, reader)
    if form == "rows":
        lasting = {(buffers[name]["first"], buffers[name]["last"]) for name in buffers if name not in names}
        assert lasting == {(0, names.index("pointwise_2"))}
        assert {"ring of conv_1", "ring of depthwise_1", "ring of depthwise_2", "rows so far"} < buffers.keys()


def test_float_tensors_have_no_quantization() -> None:
    content = manifest("float32")
    assert content["numerics"] == "float32"
    assert {str(layer["quantization"]) for layer in content["layers"]} == {"None"}


def test_every_other_file_is_listed_with_its_hash() -> None:
    library = render(make_network(reference=("model.tflite", b"TFL3")))
    listed = json.loads(library.files["manifest.json"])["files"]
    assert [entry["path"] for entry in listed] == sorted(library.files.keys() - {"manifest.json"})
    for entry in listed:
        content = library.files[entry["path"]]
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    roles = {entry["path"]: entry["role"] for entry in listed}
    assert roles["reference/model.tflite"] == "reference"
    assert roles["include/tiny.h"] == roles["include/tiny_image.h"] == "public_header"
    assert roles["src/tiny_weights.c"] == "source"


def test_operators_are_named_after_their_class() -> None:
    graph = make_network().graph
    assert operator(graph.layers[1], graph) == "depthwise_conv2d"
    assert operator(Mean(name="mean_1", inputs=("input",), output="mean_1"), graph) == "mean"
    wide = Conv2D(
        name="conv_1", inputs=("input",), output="conv_1", weights="pointwise_1.weights", bias=None, stride=(2, 2)
    )
    assert operator(wide, graph) == "conv2d"
