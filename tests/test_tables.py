"""What the commands print for people."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from mbgen.cli import main
from mbgen.passes.simplify import Reason, Removal
from mbgen.tables import REASONS, print_removals, print_targets, print_verification
from mbgen.target import load_target
from mbgen.toolchain import Tool
from mbgen.verify import Accuracy, Difference, LayerResult, Verdict, Verification
from tests.support.pruned import some_channels_gone
from tests.support.tflite_export import to_tflite


def test_inspect_shows_layers_and_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--alpha", "0.25"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "layer",
        "operation",
        "output",
        "type",
        "weights",
        "MACs",
        "share",
        "parameters",
        "pair",
    ]
    assert lines[1].split() == [
        "conv_1",
        "conv2d",
        "112x112x8",
        "float32",
        "float32",
        "8x3x3x3",
        "2,709,504",
        "6.6%",
        "224",
    ]
    assert lines[3].split()[-5:] == ["16x1x1x8", "1,605,632", "3.9%", "144", "17.4%"]  # 1/16 + 1/9
    assert lines[-6:] == [
        "float32 224x224x3 -> float32 1000, numerics float32",
        "multiply-accumulates 41,030,272",
        "  306,429,952 with a standard convolution for each pair of depthwise and pointwise; "
        "`pair` is a pair's part of that, 1/N + 1/D_K^2",
        "parameters 467,336",
        "  470,072 as trained, with gamma and beta of batch normalisation",
        "constants 1,869,344 bytes",
    ]


@pytest.mark.parametrize(
    ("options", "macs", "parameters"),
    [
        ([], 568_740_352, 4_231_976),
        (["--alpha", "0.75"], 325_400_448, 2_585_560),
        (["--alpha", "0.5"], 149_497_088, 1_331_592),
        (["--alpha", "0.25"], 41_030_272, 470_072),
        (["--resolution", "192"], 418_121_728, 4_231_976),
        (["--rho", "0.714"], 290_675_200, 4_231_976),
        (["--rho", "0.571", "--no-softmax"], 186_400_768, 4_231_976),
    ],
)
def test_inspect_prints_the_papers_counts(
    options: list[str], macs: int, parameters: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "--json", *options]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["macs"], document["parameters_with_batch_norm"]) == (macs, parameters)
    assert (document["macs_executed"], document["removed"]) == (macs, [])
    assert captured.err == ""


def test_removals_are_a_row_for_each_layer_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    removals = (
        Removal("conv_1", "dead", 3, 1_234_567),
        Removal("conv_1", "duplicate", 1, 40),
        Removal("depthwise_1", "constant", 12, 500),
        Removal("clip_1", "clip"),
        Removal("pad_1", "pad"),
        Removal("requantize_1", "requantize"),
    )
    print_removals(removals, 4_000_000, 2_764_893)
    assert [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()] == [
        [""],
        ["taken out by exact rewrites, with the same output for every input:"],
        ["layer", "channels", "because", "MACs"],
        ["conv_1", "3", "read by nobody", "1,234,567"],
        ["conv_1", "1", "equal to another channel", "40"],
        ["depthwise_1", "12", "one value for every input", "500"],
        ["clip_1", "never binds"],
        ["pad_1", "folded into its readers"],
        ["requantize_1", "changes nothing"],
        ["multiply-accumulates left 2,764,893 of 4,000,000 (69.1%)"],
    ]


def test_no_removals_are_nothing_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    print_removals((), 100, 100)
    assert capsys.readouterr().out == ""


def test_every_reason_has_words() -> None:
    assert REASONS.keys() == set(get_args(Reason))


def test_inspect_shows_what_goes_after_the_totals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "pruned.tflite").write_bytes(to_tflite(some_channels_gone()))
    assert main(["inspect", str(tmp_path / "pruned.tflite")]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("taken out by exact rewrites, with the same output for every input:")
    assert lines[start - 2].startswith("constants ")
    assert re.split(r"  +", lines[start + 2]) == ["conv_1", "1", "one value for every input", "675"]
    assert lines[-1] == "multiply-accumulates left 5,145 of 8,424 (61.1%)"


def test_targets_shows_how_to_get_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    compiler = Tool("arm-none-eabi-gcc", "build", ("gcc-arm-none-eabi", "libnewlib-arm-none-eabi"), None)
    emulator = Tool("qemu-system-arm", "run", ("qemu-system-arm",), Path("/usr/bin/qemu-system-arm"))
    m4, m55 = load_target("cortex-m4"), load_target("cortex-m55")
    print_targets({m4: (compiler, emulator), m55: (emulator,)})
    columns = [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]
    assert columns == [
        ["target", "core", "RAM", "flash", "tools"],
        ["cortex-m4", m4.description, "128K", "1M", "missing arm-none-eabi-gcc"],
        ["cortex-m55", m55.description, "4M", "5632K", "ready"],
        ["arm-none-eabi-gcc: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi"],
    ]


def test_targets_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["targets", "--json"]) == 0
    captured = capsys.readouterr()
    targets = {target["name"]: target for target in json.loads(captured.out)["targets"]}
    assert next(iter(targets)) == "host"
    assert targets["cortex-m4"]["ram"] == 131072
    assert targets["cortex-m4"]["instruction_set"] == ["dsp", "scalar"]
    assert targets["cortex-a72"]["tools"][1] == {
        "program": "qemu-aarch64",
        "purpose": "run",
        "packages": ["qemu-user"],
        "installed": False,
    }
    assert captured.err == ""


def layer(
    name: str, difference: Difference | None, runtime: Difference | None = None, verdict: Verdict = "equal"
) -> LayerResult:
    return LayerResult(name, "pointwise", (1, 8, 8, 16), verdict, difference, runtime)


EQUAL = Difference(1024)
NET = Verification("net", "cortex-m4", "qdq", "the definition in NumPy", "ONNX Runtime 1.20", None, 2, ())
HEADS = ["layer", "operation", "output", "verdict"]
CELLS = ["pointwise", "8x8x16"]


def printed(found: Verification, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    print_verification(found, 360 if found.passed else None)
    return [re.split(r"  +", line) for line in capsys.readouterr().out.splitlines()]


def test_a_proof_bit_for_bit(capsys: pytest.CaptureFixture[str]) -> None:
    layers = (layer("conv_1", EQUAL, EQUAL), layer("pointwise_1", EQUAL, Difference(1024, 3, 3, 1.0, 0.01)))
    found = replace(NET, layers=layers, output=Difference(1000, 7, 6, 2.0, 0.02))
    assert printed(found, capsys) == [
        [*HEADS, "runtime differs"],
        ["conv_1", *CELLS, "equal"],
        ["pointwise_1", *CELLS, "equal", "3 of 1,024"],
        [""],
        ["net for cortex-m4, 2 inputs; reference: the definition in NumPy"],
        ["`runtime differs`: values for which ONNX Runtime 1.20 departs from the definition; for comparison only"],
        ["from input to output: 7 of 1,000 values are not those of ONNX Runtime 1.20, by at most 2"],
        ["every layer equals it bit for bit; the self-test passed"],
        ["an inference takes 360 bytes of stack"],
    ]


def test_a_layer_that_differs_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = layer("pointwise_1", Difference(1024, 1000, 12, 77.0, 0.5), verdict="differs")
    found = replace(NET, reference="LiteRT 2.0", inputs=1, layers=(layer("conv_1", EQUAL), wrong))
    assert printed(found, capsys) == [
        [*HEADS, "differing", "greatest", "relative"],
        ["conv_1", *CELLS, "equal"],
        ["pointwise_1", *CELLS, "differs", "1,000", "77", "5.0e-01"],
        [""],
        ["net for cortex-m4, 1 input; reference: LiteRT 2.0"],
        ["NOT EQUAL: pointwise_1 is the first layer that differs from the reference"],
    ]


def test_float_layers_are_within_a_bound_and_accuracy_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    layers = (
        layer("conv_1", Difference(1024, 0, 0, 2e-7, 3e-8), verdict="within bound"),
        layer("pool_1", EQUAL),
        layer("pad_1", None, verdict="not compared"),
    )
    found = replace(
        NET,
        numerics="float32",
        reference="ONNX Runtime 1.20",
        bound=1e-4,
        inputs=500,
        layers=layers,
        accuracy=Accuracy(500, 288, 289),
        output=Difference(500, 0, 0, 2.5e-6, 4e-6),
    )
    assert printed(found, capsys) == [
        [*HEADS, "greatest", "relative"],
        ["conv_1", *CELLS, "within bound", "2e-07", "3.0e-08"],
        ["pool_1", *CELLS, "equal"],
        ["pad_1", *CELLS, "not compared"],
        [""],
        ["net for cortex-m4, 500 inputs; reference: ONNX Runtime 1.20"],
        ["from input to output: at most 2.5e-06 from ONNX Runtime 1.20, 4.0e-06 of the greatest value"],
        ["top-1 of 500 images: library 57.6% (288), ONNX Runtime 1.20 57.8% (289)"],
        [
            "each of the 2 layers that the reference has equals it within 0.0001 of its greatest value; "
            "the self-test passed"
        ],
        ["an inference takes 360 bytes of stack"],
    ]
