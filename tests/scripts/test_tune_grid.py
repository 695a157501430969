from __future__ import annotations

from pathlib import Path

import pytest

from scripts import tune_grid


def test_networks_that_have_no_room_are_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_grid, "RESOLUTIONS", (96,))
    found = [one.source.name for one in tune_grid.grid("cortex-m7", "float32", (0.25, 0.5))]
    assert found == ["mobilenet_v1_025_96"]
    assert "left out: the constants need" in capsys.readouterr().err


def test_without_a_network_there_is_nothing_to_tune(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("xgboost")
    monkeypatch.setattr(tune_grid, "RESOLUTIONS", ())
    with pytest.raises(SystemExit) as ended:
        tune_grid.main(["cortex-m4", "--dtype", "int8", "--records", str(tmp_path)])
    assert ended.value.code == 2
    message = "there is no network to tune: the target has room for none of those asked for"
    assert capsys.readouterr().err.endswith(f"error: {message}\n")
