"""The commands end to end, on small networks: what they print, where, and the exit code."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mbgen.cli import INTERRUPTED, main
from tests.support.pruned import LEFT, POINTWISE_LEFT, some_channels_gone
from tests.support.tflite_export import to_tflite
from tests.support.tflite_models import mobilenet_v1
from tests.support.tools import require_target

SMALL = ("--alpha", "0.25", "--resolution", "32", "--classes", "10")


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, and no progress, which a slow machine would show."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mbgen.terminal.PLAIN_INTERVAL", float("inf"))


def test_compile_says_what_it_made_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "--target", "cortex-m4", *SMALL]) == 0
    output, errors = capsys.readouterr()
    manifest = json.loads(Path("mobilenet_v1_025_32/manifest.json").read_text())
    lines = output.splitlines()
    assert lines[0] == "mobilenet_v1_025_32 for cortex-m4, numerics qdq"
    assert lines[1] == (
        "the weights are random: good for time and size, not for classifying; trained ones come with --weights"
    )
    assert lines[2] == "quantised with synthetic images"
    assert lines[3].split() == ["arena", f"{manifest['arena_bytes']:,}", "bytes"]
    assert lines[4].split() == ["constants", f"{manifest['constant_bytes']:,}", "bytes"]
    executed, nominal = manifest["macs_executed"], manifest["macs_nominal"]
    assert executed < nominal
    assert lines[5].split() == ["multiply-accumulates", f"{executed:,}", "an", "inference"]
    assert re.split(r"  +", lines[6]) == ["", "of the model's", f"{nominal:,}", "the rest is taken out exactly"]
    assert lines[7:] == ["written to mobilenet_v1_025_32; to prove it: mbgen verify mobilenet_v1_025_32"]
    assert errors == ""


def test_compile_says_nothing_of_rewrites_that_found_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.tflite").write_bytes(mobilenet_v1("int8"))
    assert main(["compile", "model.tflite", "--target", "cortex-m4"]) == 0
    output, _ = capsys.readouterr()
    manifest = json.loads(Path("model/manifest.json").read_text())
    assert manifest["macs_executed"] == manifest["macs_nominal"]
    assert [line.split()[0] for line in output.splitlines()] == [
        "model",
        "arena",
        "constants",
        "multiply-accumulates",
        "written",
    ]


def test_tune_leaves_records_that_compile_takes(capsys: pytest.CaptureFixture[str]) -> None:
    require_target("cortex-m0plus")
    Path("model.tflite").write_bytes(mobilenet_v1("int8"))
    command = ["tune", "model.tflite", "--target", "cortex-m0plus", "--trials", "12", "--records", "found"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["trials"], found["measured"], found["failures"]) == (12, 12, {})
    assert 0 < found["tuned_total"] <= found["default_total"]
    assert main(["compile", "model.tflite", "--target", "cortex-m0plus", "--records", "found", "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    sources = [layer["schedule_source"] for layer in manifest["layers"] if layer["schedule_source"]]
    assert any(source.startswith("record ") for source in sources)
    assert manifest["records"] is not None

    assert main(command) == 0  # everything is in the journal
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["first", "layer"]
    assert lines[-3].startswith("these kernels in one inference: ")
    assert lines[-2].startswith("12 points, 0 measured in ")
    assert lines[-2].endswith("; failed: none")
    assert lines[-1] == "records written to found; to use them: mbgen compile ... --records found"


def test_inspect_and_compile_say_the_same_of_what_is_taken_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pruned.tflite").write_bytes(to_tflite(some_channels_gone()))
    assert main(["inspect", "pruned.tflite", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(["compile", "pruned.tflite", "--target", "cortex-m4", "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)["manifest"]
    assert document["removed"][0] == {"layer": "conv_1", "reason": "constant", "channels": 1, "macs": 675}
    assert document["removed"] == manifest["removed"]
    assert (document["macs"], document["macs_executed"]) == (manifest["macs_nominal"], manifest["macs_executed"])
    assert document["macs"] - document["macs_executed"] == sum(removal["macs"] for removal in document["removed"])
    channels = {layer["name"]: layer["channels"] for layer in manifest["layers"]}
    assert channels["conv_1"] == {"of": 8, "left": list(LEFT)}
    assert channels["pointwise_1"] == {"of": 6, "left": list(POINTWISE_LEFT)}
    assert channels["dense_1"] is None


def test_compile_json_is_one_document_with_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "--target", "host", *SMALL, "--name", "tiny", "--output", "here/lib", "--json"]) == 0
    output, errors = capsys.readouterr()
    manifest = json.loads(Path("here/lib/manifest.json").read_text())
    assert json.loads(output) == {"directory": "here/lib", "manifest": manifest}
    assert manifest["name"] == "tiny"
    assert errors == ""


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_verify_proves_what_compile_made(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    require_target("host")
    assert main(["compile", "--target", "host", *SMALL, "--dtype", dtype, "--output", "net"]) == 0
    capsys.readouterr()
    assert main(["verify", "net", "--json"]) == 0
    output, errors = capsys.readouterr()
    found = json.loads(output)
    assert (found["passed"], found["first_difference"], errors) == (True, None, "")
    assert [layer["name"] for layer in found["layers"]][:3] == ["conv_1", "depthwise_1", "pointwise_1"]
    verdicts = {layer["verdict"] for layer in found["layers"]}
    assert verdicts == {"equal"} if dtype == "int8" else verdicts <= {"equal", "within bound"}


def test_verify_says_no_and_names_the_first_layer_that_differs(capsys: pytest.CaptureFixture[str]) -> None:
    require_target("host")
    assert main(["compile", "--target", "host", *SMALL, "--dtype", "int8", "--output", "net"]) == 0
    spoil_weights(Path("net/src/mobilenet_v1_025_32_weights.c"), "pointwise_2")
    capsys.readouterr()
    assert main(["verify", "net"]) == 1
    output, errors = capsys.readouterr()
    assert output.splitlines()[-1] == ("NOT EQUAL: pointwise_2 is the first layer that differs from the reference")
    assert errors == ""


def spoil_weights(source: Path, layer: str) -> None:
    """Negate the weights of one layer."""
    text = source.read_text()
    start = text.index("{", text.index(f"{layer}_weights"))
    end = text.index("}", start)
    source.write_text(text[:start] + re.sub(r"-?\d+", lambda m: str(-int(m[0])), text[start:end]) + text[end:])


INTERRUPTED_COMPILE = """
import sys, mbgen.terminal
from mbgen.cli import main
mbgen.terminal.PLAIN_INTERVAL = 0
sys.exit(main(["compile", "--target", "host", "--alpha", "1"]))
"""


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED_COMPILE],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any(line.startswith("lowering") for line in process.stderr)  # which takes seconds
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (INTERRUPTED, "")
    assert errors.splitlines()[-1] == "mbgen: interrupted"
    assert not list(tmp_path.iterdir())
