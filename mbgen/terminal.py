"""How the command line shows progress and tables: rich on a terminal, plain text elsewhere.

Knows no command and no stage of the compiler.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ProgressCallback = Callable[[str, int, int], None]  # what is being done, how many are done, how many there are

PLAIN_INTERVAL = 5.0  # seconds between two lines of progress where there is no terminal
PLAIN_WIDTH = 1000  # columns; a pipe has no width, so that no row of a table is broken


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """A callback that shows progress on standard error: a bar on a terminal, a line every five seconds elsewhere."""
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
