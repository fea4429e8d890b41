from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report_data import agent, judgement

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate.records import to_json, write_metrics


def test_metrics_are_strict_json_with_null_for_undefined(tmp_path: Path) -> None:
    """metrics.json holds every record under its own name; what is undefined is null, never NaN."""
    write_metrics(tmp_path / "metrics.json", judgement(agent("tft")))
    text = (tmp_path / "metrics.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    found = json.loads(text)
    first = found["agents"][0]
    assert first["name"] == "tft"
    assert first["total_return"] == pytest.approx(
        {"estimate": -0.04, "high": 0.06, "level": 0.95, "low": -0.14}
    )
    assert first["confidence"][1]["win_rate"]["estimate"] is None
    assert found["agents"][1]["signal"] is None


def test_infinity_becomes_null_too() -> None:
    """JSON knows neither NaN nor infinity."""
    assert to_json({"a": float("inf"), "b": [float("nan"), 1.0], "c": "NaN"}) == {
        "a": None,
        "b": [None, 1.0],
        "c": "NaN",
    }


def test_whatever_a_record_holds_becomes_json() -> None:
    """Enums are written by their names, as values and as keys; arrays and numpy's numbers as plain ones."""
    found = to_json(
        {
            Action.BUY: Action.SELL,
            "array": np.array([[1.0, np.nan]], dtype=np.float32),
            "scalars": (np.float32(0.5), np.int64(3), np.bool_(True)),
            "path": Path("runs/demo"),
            3: None,
        }
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "BUY": "SELL",
        "array": [[1.0, None]],
        "scalars": [0.5, 3, True],
        "path": "runs/demo",
        "3": None,
    }
