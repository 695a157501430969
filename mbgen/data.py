"""Where the data that ships with mbgen lies: beside the package in a checkout, inside it in a wheel.

Knows two places and nothing about what is in them.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_folder(name: str) -> Path:
    """The folder of that name, "targets" or "templates"."""
    in_wheel = _PACKAGE / "data" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / name
