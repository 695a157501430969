"""The command line itself: options, messages, exit codes, streams. What the commands do is tested with the stages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from mbgen import __version__
from mbgen.cli import DEFECT, INTERRUPTED, cli, main, size
from mbgen.errors import InputError, MissingToolError, RefusedError

COMMANDS = sorted(cli.commands)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def failing_targets(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `mbgen targets` raise."""

    def install(error: BaseException) -> None:
        def callback(**_: object) -> int:
            raise error

        monkeypatch.setattr(cli.commands["targets"], "callback", callback)

    return install


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mbgen {__version__}\n"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(f"\n  {command} " in output for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"Example:\n    mbgen {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "command", "word"),
    [
        ([], "mbgen", "command"),
        (["compil"], "mbgen", "'compil'"),
        (["compile"], "mbgen compile", "'--target'"),
        (["compile", "absent.tflite", "--target", "host"], "mbgen compile", "'absent.tflite'"),
        (["compile", "--target", "host", "--alpha", "wide"], "mbgen compile", "'wide'"),
        (["compile", "--target", "host", "--dtype", "int4"], "mbgen compile", "'int4'"),
        (["verify", "absent"], "mbgen verify", "'absent'"),
        (["inspect", "--width", "2"], "mbgen inspect", "--width"),
    ],
)
def test_what_click_refuses_is_one_message_with_the_help_to_read(
    arguments: list[str], command: str, word: str, capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert re.fullmatch(rf"mbgen: error: .*{re.escape(word)}.* \(see {command} --help\)\n", captured.err)
    assert captured.out == ""
    assert not list(empty_folder.iterdir())


@pytest.mark.parametrize("command", [["compile", "--target", "host"], ["inspect"]])
def test_the_input_size_has_one_source(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--resolution", "192", "--rho", "0.857"]) == 2
    assert capsys.readouterr() == (
        "",
        "mbgen: error: --resolution and --rho both set the input size; give one of them "
        f"(see mbgen {command[0]} --help)\n",
    )


@pytest.mark.parametrize("command", [["compile", "--target", "host"], ["inspect"]])
@pytest.mark.parametrize(
    ("option", "spelled"),
    [
        (["--alpha", "0.5"], "--alpha"),
        (["--resolution", "128"], "--resolution"),
        (["--rho", "0.571"], "--rho"),
        (["--classes", "10"], "--classes"),
        (["--no-softmax"], "--softmax/--no-softmax"),
        (["--softmax"], "--softmax/--no-softmax"),
    ],
)
def test_the_built_in_networks_options_are_refused_with_a_model_file(
    command: list[str], option: list[str], spelled: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"")
    assert main([*command, str(model), *option]) == 2
    assert capsys.readouterr().err == (
        f"mbgen: error: {spelled} describes the built-in MobileNet V1, but the model is the file '{model}'; "
        f"leave one of them out (see mbgen {command[0]} --help)\n"
    )


def test_weights_are_refused_with_a_model_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model, weights = tmp_path / "model.onnx", tmp_path / "weights.npz"
    model.write_bytes(b"")
    weights.write_bytes(b"")
    assert main(["compile", str(model), "--target", "host", "--weights", str(weights)]) == 2
    assert capsys.readouterr().err == (
        f"mbgen: error: --weights describes the built-in MobileNet V1, but the model is the file '{model}'; "
        "leave one of them out (see mbgen compile --help)\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("65536", 65536), ("192K", 196608), ("192k", 196608), ("1M", 1048576), ("3m", 3145728)],
)
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0K", "-1", "1.5M", "K", "1 K", "1KiB", "1G", "\N{ARABIC-INDIC DIGIT ONE}K"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter) as failure:
        size(text)
    assert failure.value.message == f"{text!r} is not a size; write bytes, or KiB and MiB as in 192K and 1M"


@pytest.mark.parametrize(("error", "status"), [(InputError, 2), (RefusedError, 1), (MissingToolError, 3)])
def test_an_errors_class_is_its_exit_code(
    error: type[Exception],
    status: int,
    failing_targets: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing_targets(error("what, where, why, and what to do"))
    assert main(["targets"]) == status
    captured = capsys.readouterr()
    assert captured.err == "mbgen: error: what, where, why, and what to do\n"
    assert captured.out == ""


def test_a_defect_shows_where_it_is(
    failing_targets: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing_targets(ZeroDivisionError("by zero"))
    assert main(["targets"]) == DEFECT
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "mbgen: a defect in mbgen, not in what you gave it; please report it with the lines below"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "ZeroDivisionError: by zero"


def test_interrupt(failing_targets: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]) -> None:
    failing_targets(KeyboardInterrupt())
    assert main(["targets"]) == INTERRUPTED
    assert capsys.readouterr().err == "mbgen: interrupted\n"


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        process = subprocess.run(
            [sys.executable, "-m", "mbgen", "targets"], stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (process.returncode, process.stderr) == (141, "")


@pytest.mark.parametrize("arguments", [["--help"], ["targets"], ["inspect", "--alpha", "0.25"]])
def test_tvm_is_not_imported(arguments: list[str]) -> None:
    script = f"import sys, mbgen.cli\nsys.exit(mbgen.cli.main({arguments!r}) or 'tvm' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout
