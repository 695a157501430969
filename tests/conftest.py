"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real models and images; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("MBGEN_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real models and images are not here: no folder {folder.name!r} beside the checkout")
    return folder
