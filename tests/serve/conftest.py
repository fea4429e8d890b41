"""One small finished run for all tests that need trained models."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.serve.cli import main

QUICK = (
    *("--preset", "tiny", "--tft.epochs", "2", "--ppo.total-steps", "40000", "--ppo.evaluations", "4"),
    *("--xgboost.rounds", "40", "--coin-flips", "20", "--bootstrap-draws", "100"),
)
"""Options that make a run small; nothing is left out of it."""


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run on the embedded sample, called "demo". Copy it before changing anything in it."""
    out = tmp_path_factory.mktemp("runs")
    assert main(["run", "--name", "demo", "--out", str(out), *QUICK]) == 0
    return out / "demo"
