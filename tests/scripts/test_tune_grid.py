from __future__ import annotations

import pytest

from scripts.tune_grid import grid


def test_networks_that_have_no_room_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = [one.source.name for one in grid("cortex-m4", "float32")]
    assert found[:2] == ["mobilenet_v1_025_96", "mobilenet_v1_025_128"]
    assert "mobilenet_v1_1_224" not in found
    assert "the arena needs" in capsys.readouterr().err
