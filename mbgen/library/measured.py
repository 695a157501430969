"""What is predicted of a library when it is made, and measured later: rows of its README, keys of its manifest.

Changes a library that is there already. May not know how anything is measured.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mbgen.costs import Prediction
from mbgen.errors import InputError
from mbgen.library.manifest import MANIFEST, file_entry, manifest_text

README = "README.md"
# rows of the README's table
CODE_ROW, STACK_ROW, TIME_ROW = "flash: code", "stack of one inference", "time of one inference"

_UNITS = {"cycles~": "cycles by a model of the core", "cycles": "cycles", "instructions": "instructions"}
_DIGITS = 3  # of what is only predicted


def predicted_rows(predicted: Prediction | None, clock_hz: int | None) -> dict[str, str]:
    """What the README says before anything is measured, by row; where there is no prediction, what measures it."""
    if predicted is None:
        return {
            CODE_ROW: "known once it is linked: the linker's map says how much",
            STACK_ROW: "not measured: `mbgen verify` on this folder measures it and writes it here",
            TIME_ROW: "not measured: `mbgen report` on this folder measures it and writes it here",
        }
    cost = round(predicted.cost, _DIGITS - len(str(round(predicted.cost))))
    return {
        CODE_ROW: f"predicted: at most about {predicted.code_bytes:,} bytes, as in libraries of this kind",
        STACK_ROW: f"predicted: at most about {predicted.stack_bytes:,} bytes, as in libraries of this kind; "
        "`mbgen verify` measures this one and writes it here",
        TIME_ROW: f"predicted: {_time(cost, predicted.unit, clock_hz)}, within {predicted.error:.0%} for libraries "
        "of this kind; `mbgen report` measures this one and writes it here",
    }


def measured_stack(taken: int) -> str:
    """The README's row of the stack, `taken` bytes."""
    return f"measured: {taken:,} bytes"


def measured_time(cost: float, unit: str, clock_hz: int | None) -> str:
    """The README's row of the time, `cost` in `unit`."""
    return f"measured: {_time(cost, unit, clock_hz)}"


def _time(cost: float, unit: str, clock_hz: int | None) -> str:
    if unit == "seconds":
        return f"{cost * 1e3:,.3f} ms"
    counted = f"{cost:,.0f} {_UNITS[unit]}"
    if unit == "instructions" or clock_hz is None:
        return counted
    return f"{counted}, {1e3 * cost / clock_hz:,.3g} ms at {clock_hz / 1e6:g} MHz"


def record(
    directory: Path,
    what: str,
    rows: Mapping[str, str],
    changes: Mapping[str, Any] | None = None,
    files: Mapping[str, tuple[str, bytes]] | None = None,
) -> None:
    """Change what the library in `directory` says of itself: rows of its README, keys of its manifest, whole files.

    `files` are by path in the library: role and content. A README that has no such rows stays as it is. Each file is
    replaced at once or not at all; InputError, by which `what` cannot be written, where the folder is read-only.
    """
    path, readme, contents = directory / MANIFEST, directory / README, dict(files or {})
    try:
        if readme.is_file():
            text = _with_rows(readme.read_text(encoding="utf-8"), rows)
            contents[README] = "documentation", text.encode("utf-8")
        manifest = json.loads(path.read_text(encoding="ascii"))
        entries = [file for file in manifest.get("files", []) if file["path"] not in contents]
        entries += [file_entry(name, *content) for name, content in contents.items()]
        if entries:
            manifest["files"] = sorted(entries, key=lambda entry: str(entry["path"]))
        made = {name: content for name, (_, content) in contents.items()}
        _replace(directory, made | {MANIFEST: manifest_text(manifest | dict(changes or {}))})
    except OSError as error:
        raise InputError(f"{directory}: {what} cannot be written ({error.strerror})") from error


def _with_rows(text: str, rows: Mapping[str, str]) -> str:
    for name, value in rows.items():
        line = f"| {name} | {value} |"
        text = re.sub(rf"(?m)^\| {re.escape(name)} \|.*$", line.replace("\\", r"\\"), text, count=1)
    return text


def _replace(directory: Path, contents: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix=".measured.", dir=directory) as name:
        for path, content in contents.items():
            new, target = Path(name) / "new", directory / path
            new.write_bytes(content)
            shutil.copymode(target if target.exists() else directory / MANIFEST, new)
            new.replace(target)
