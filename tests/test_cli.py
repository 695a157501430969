"""The command line itself: options, messages, exit codes, streams. What the commands do is tested with the stages."""

from __future__ import annotations

import os
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


def run_mbgen(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mbgen", *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


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
    ("arguments", "message"),
    [
        ([], "Missing command. (see mbgen --help)"),
        (["compil"], "No such command 'compil'. Did you mean 'compile'? (see mbgen --help)"),
        (["compile"], "Missing option '--target'. (see mbgen compile --help)"),
        (
            ["compile", "absent.tflite", "--target", "host"],
            "Invalid value for '[MODEL]': File 'absent.tflite' does not exist. (see mbgen compile --help)",
        ),
        (
            ["compile", "--target", "host", "--alpha", "wide"],
            "Invalid value for '--alpha': 'wide' is not a valid float. (see mbgen compile --help)",
        ),
        (
            ["compile", "--target", "host", "--ram", "192Q"],
            "Invalid value for '--ram': '192Q' is not a size; write bytes, or KiB and MiB as in 192K and 1M "
            "(see mbgen compile --help)",
        ),
        (
            ["compile", "--target", "host", "--dtype", "int4"],
            "Invalid value for '--dtype': 'int4' is not one of 'int8', 'float32'. (see mbgen compile --help)",
        ),
        (
            ["compile", "--target", "host", "--resolution", "192", "--rho", "0.857"],
            "--resolution and --rho both set the input size; give one of them (see mbgen compile --help)",
        ),
        (
            ["inspect", "--resolution", "192", "--rho", "0.857"],
            "--resolution and --rho both set the input size; give one of them (see mbgen inspect --help)",
        ),
        (
            ["verify", "absent"],
            "Invalid value for 'DIRECTORY': Directory 'absent' does not exist. (see mbgen verify --help)",
        ),
    ],
)
def test_a_wrong_command_line_is_one_message(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err == f"mbgen: error: {message}\n"
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


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
