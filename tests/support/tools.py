"""What tests ask of the machine: compilers and emulators that may not be installed."""

from __future__ import annotations

import os

import pytest

from mbgen.errors import MissingToolError
from mbgen.target import Target, load_target
from mbgen.toolchain import require


def require_target(name: str) -> Target:
    """The target, if its code builds and runs here; otherwise skip the test, or fail it where MBGEN_REQUIRE_TOOLS=1."""
    target = load_target(name)
    try:
        require(target)
    except MissingToolError as missing:
        if os.environ.get("MBGEN_REQUIRE_TOOLS") == "1":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    return target
