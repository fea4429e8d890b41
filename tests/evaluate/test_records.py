from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_data import agent, judgement

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
