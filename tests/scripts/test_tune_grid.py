from __future__ import annotations

import pytest

from scripts import tune_grid


def test_networks_that_have_no_room_are_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_grid, "RESOLUTIONS", (96,))
    found = [one.source.name for one in tune_grid.grid("cortex-m7", "float32", (0.25, 0.5))]
    assert found == ["mobilenet_v1_025_96"]
    assert "left out: the constants need" in capsys.readouterr().err
