"""The journal of a search: every finished measurement, on disk before anything else happens with it.

May not know TVM or what is measured.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from mbgen.errors import InputError
from mbgen.schedules.space import Point

Cause = Literal["illegal", "compile error", "not flashed", "wrong result", "timeout", "crash"]


@dataclass(frozen=True)
class Outcome:
    """What measuring one point gave: a figure, or the cause of its failure and a message for people."""

    figure: float | None
    unit: str = ""
    cause: Cause | None = None
    message: str = ""


class Journal:
    """Outcomes by kernel and point, appended to one file that survives a kill at any moment.

    `setting` is what else an outcome depends on (runner, core, mbgen); outcomes of other settings are left alone. One
    process at a time: InputError if another one holds the file, or if it cannot be read or written.
    """

    def __init__(self, path: Path, setting: Mapping[str, str]) -> None:
        self._path, self._setting = path, dict(sorted(setting.items()))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise InputError(
                f"{path}: the journal cannot be written ({error.strerror}); give another --records"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._known = self._read()
        except BlockingIOError as error:
            self._file.close()
            raise InputError(
                f"{path}: another tuning run is writing there; wait for it or give another --records"
            ) from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def find(self, kernel: str, point: Point) -> Outcome | None:
        """The outcome of a point that was measured before."""
        return self._known.get((kernel, _spelled(point)))

    def add(self, kernel: str, point: Point, outcome: Outcome) -> None:
        """Write an outcome and wait until it is on the disk."""
        if outcome.cause == "not flashed":  # says nothing of the point: the next run tries again
            return
        entry = {"kernel": kernel, "point": dict(sorted(point.items())), **asdict(outcome), "setting": self._setting}
        self._file.write(f"{json.dumps(entry, allow_nan=False)}\n".encode("ascii"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._known[kernel, _spelled(point)] = outcome

    def _read(self) -> dict[tuple[str, str], Outcome]:
        """What is there; a last line that a kill cut short is cut off."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        entries = _entries(self._path, content[:whole], "--records")
        return {
            (kernel, _spelled(point)): outcome
            for kernel, point, outcome, setting in entries
            if setting == self._setting
        }


def read_figures(path: Path) -> dict[str, tuple[float | None, ...]]:
    """Figures by kernel in the order in which they were written, None for failures; of the last setting only.

    InputError if the journal cannot be read or is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the journal cannot be read ({error.strerror})") from error
    entries = _entries(path, content[: content.rfind(b"\n") + 1], "--journal")
    figures: dict[str, list[float | None]] = {}
    for kernel, _, outcome, setting in entries:
        if setting == entries[-1][3]:
            figures.setdefault(kernel, []).append(outcome.figure)
    return {kernel: tuple(measured) for kernel, measured in figures.items()}


def _entries(path: Path, content: bytes, option: str) -> list[tuple[str, Point, Outcome, dict[str, str]]]:
    """Kernel, point, outcome and setting of each line; `option` is what names another journal."""
    entries = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            entry: dict[str, Any] = json.loads(line)
            kernel, point, setting = entry.pop("kernel"), entry.pop("point"), entry.pop("setting")
            outcome = Outcome(**entry)
            if outcome.cause not in (None, *get_args(Cause)) or (outcome.figure is None) == (outcome.cause is None):
                raise ValueError("an outcome is a figure or a cause")
            _spelled(point)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{path}:{number}: damaged journal ({error}); remove the line or give another {option}"
            ) from error
        entries.append((kernel, point, outcome, setting))
    return entries


def _spelled(point: Point) -> str:
    return json.dumps(sorted(point.items()))
