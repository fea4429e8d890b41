"""`quantum-trader explain`: text, page and numbers of one prediction of a finished run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantum_trader.serve.cli import main

pytestmark = pytest.mark.xdist_group("finished_run")


def test_a_run_explains_its_network(finished_run: Path) -> None:
    """explanations.json and the report show where the TFT looks and what it would miss."""
    found = json.loads((finished_run / "explanations.json").read_text(encoding="utf-8"))
    assert found["tft"]["rows"] > 500
    assert len(found["tft"]["attention"]["mean"]) == 60
    assert {item["group"] for item in found["tft"]["shuffled"]} == {"feature", "static", "bars", "part"}
    assert "What tft looks at" in (finished_run / "report.html").read_text(encoding="utf-8")


def test_a_moment_is_explained(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text names the answer and the split; the page stands alone; the numbers are JSON."""
    words = ["explain", str(finished_run), "--symbol", "EURUSD", "--at", "2017-12-01 12:00"]
    assert main([*words, "--out", str(tmp_path / "one.html")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("EURUSD, 2017-12-01 12:00 UTC: tft says ")
    assert "atr_14" in said
    assert "test period" in said
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert len(page) < 1_000_000
    assert main([*words, "--out", str(tmp_path / "one.json")]) == 0
    found = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert sum(found["probabilities"]) == pytest.approx(1.0, abs=1e-4)
    assert len(found["steps"]) == 60


@pytest.mark.parametrize("agent", ["xgboost", "logistic"])
def test_other_agents_are_explained_by_what_they_hang_on(
    finished_run: Path, agent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --at the last usable bar is taken."""
    assert main(["explain", str(finished_run), "--agent", agent]) == 0
    assert f"{agent} says" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["--symbol", "BTCUSDT"], "EURUSD"),
        (["--at", "2017-12-02 12:00"], "nearest"),
        (["--at", "noon"], "UTC moment"),
        (["--agent", "bilstm"], "bilstm"),
        (["--out", "one.png"], ".html"),
        (["--contract", "fx-eurusd"], "--data"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(
    finished_run: Path, words: list[str], fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong symbol, moment, agent or file ends with code 2 and names the remedy."""
    assert main(["explain", str(finished_run), *words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("quantum-trader: ")
    assert fragment in error
    assert "\n" not in error
