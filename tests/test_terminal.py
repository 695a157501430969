"""Progress and tables, where there is a terminal and where there is none."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys

import pytest

from mbgen.terminal import keep_interrupts, print_table, show_progress

STEPS = """
from mbgen.terminal import keep_interrupts, print_table, show_progress
with show_progress() as progress:
    progress("pack [weights]", 1, 2)
    progress("print kernels", 2, 2)
print_table(("layer", "MACs"), [("conv_1", "8")], numbers=("MACs",))
"""


def on_a_terminal(script: str) -> str:
    """What a process shows on a terminal of 80 columns."""
    master, slave = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux reports the end of a terminal so
            part = b""
        if not part:
            break
        shown += part
    os.close(master)
    assert process.wait() == 0
    return shown.decode()


def test_a_terminal_shows_a_bar_and_a_ruled_table() -> None:
    shown = on_a_terminal(STEPS)
    assert "print kernels" in shown
    assert "2/2" in shown
    assert "━" in shown  # the bar
    assert "───" in shown  # the rule below the table's head


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        ([0.5, 3.0, 4.9], []),  # quick work says nothing
        ([0.5, 5.1, 9.0, 10.2, 10.3], ["image [2] (2/5)", "image [4] (4/5)", "image [5] (5/5)"]),
    ],
)
def test_progress_without_a_terminal_is_lines_at_a_distance(
    seconds: list[float], shown: list[str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, *(100.0 + second for second in seconds)])
    monkeypatch.setattr("mbgen.terminal.time.monotonic", lambda: next(clock))
    with show_progress() as progress:
        for done in range(1, len(seconds) + 1):
            progress(f"image [{done}]", done, len(seconds))
    assert capfd.readouterr() == ("", "".join(f"{line}\n" for line in shown))


def test_a_table_without_a_terminal_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    wide = "x" * 200
    print_table(
        ("layer", "scale", "MACs", "note"), [("conv_1", "", "12", "[b]"), ("dense_10", "", "3", wide)], ["MACs"]
    )
    assert capsys.readouterr().out == (
        "layer     MACs  note\n"  # no column for scale: it is empty
        "conv_1      12  [b]\n"
        f"dense_10     3  {wide}\n"
    )


def test_an_interrupt_that_was_swallowed_is_raised_by_the_next_progress() -> None:
    with keep_interrupts(), show_progress() as progress:
        progress("lowering", 0, 2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            progress("lowering", 1, 2)
    with show_progress() as progress:
        progress("lowering", 0, 2)


def test_who_ignores_interrupts_goes_on_ignoring_them() -> None:
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with keep_interrupts(), show_progress() as progress:
            signal.raise_signal(signal.SIGINT)
            progress("lowering", 1, 2)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
