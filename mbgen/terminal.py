"""How the command line shows progress and tables: rich on a terminal, plain text elsewhere.

Knows no command and no stage of the compiler.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ProgressCallback = Callable[[str, int, int], None]  # what is being done, how many are done, how many there are

PLAIN_INTERVAL = 2.0  # seconds between two lines of progress where there is no terminal
PLAIN_WIDTH = 1000  # columns; a pipe has no width, so that no row of a table is broken


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """A callback that shows progress on standard error: a bar on a terminal, a line every two seconds elsewhere."""
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
    shown_at = -PLAIN_INTERVAL

    def show(message: str, done: int, total: int) -> None:
        nonlocal shown_at
        now = time.monotonic()
        if done >= total or now - shown_at >= PLAIN_INTERVAL:
            shown_at = now
            print(f"{message} ({done}/{total})", file=stream, flush=True)

    return show


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """A table on standard output; the columns named in `numbers` are aligned to the right."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for header in headers:
        table.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
