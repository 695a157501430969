"""How the command line shows progress and tables: rich on a terminal, plain text elsewhere.

Knows no command and no stage of the compiler.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ProgressCallback = Callable[[str, int, int], None]  # what is being done, how many are done, how many there are

PLAIN_INTERVAL = 5.0  # seconds between two lines of progress where there is no terminal
PLAIN_WIDTH = 1000  # columns; a pipe has no width, so that no row of a table is broken

_INTERRUPTED = threading.Event()  # set by an interrupt, until its command ends


@contextmanager
def keep_interrupts() -> Iterator[None]:
    """Interrupts are raised as ever, and again by the next progress if one came where it was swallowed.

    C++ that calls Python, as TVM does, can drop an exception.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not _in_main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        _INTERRUPTED.set()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _INTERRUPTED.clear()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """A callback that shows progress on standard error: a bar on a terminal, a line every five seconds elsewhere.

    It raises KeyboardInterrupt if an interrupt got lost since the last call, in `keep_interrupts`.
    """
    with _progress() as show:

        def shown(message: str, done: int, total: int) -> None:
            if _INTERRUPTED.is_set():
                raise KeyboardInterrupt
            show(message, done, total)

        yield shown


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_progress(sys.stderr)
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # 50 ms

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)

        def update(message: str, done: int, total: int) -> None:
            bars.update(task, description=escape(message), completed=done, total=total)

        yield update


def _plain_progress(stream: IO[str]) -> ProgressCallback:
    shown_at = time.monotonic()
    silent = True  # work that ends before its first line is due says nothing

    def show(message: str, done: int, total: int) -> None:
        nonlocal shown_at, silent
        now = time.monotonic()
        if now - shown_at >= PLAIN_INTERVAL or (done >= total and not silent):
            shown_at, silent = now, False
            print(f"{message} ({done}/{total})", file=stream, flush=True)

    return show


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """A table on standard output without the columns that are empty; those named in `numbers` align to the right."""
    on_terminal = sys.stdout.isatty()
    console = Console(width=None if on_terminal else PLAIN_WIDTH)
    table = Table(box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=False)
    used = [index for index in range(len(headers)) if any(row[index] for row in rows)]
    for index in used:
        table.add_column(headers[index], justify="right" if headers[index] in numbers else "left")
    for row in rows:
        table.add_row(*(escape(row[index]) for index in used))
    with console.capture() as capture:  # rich would end the process by itself where the reader of a pipe has gone
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
