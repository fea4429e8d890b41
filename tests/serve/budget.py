"""Arbiters without a latency budget: on a busy machine XGBoost would answer for a TFT that is late."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from quantum_trader.agents.arbiter import Arbiter


def unhurried(arbiter: Arbiter) -> Arbiter:
    """The Arbiter, which from now on waits for its networks however long they take."""
    arbiter.settings = replace(arbiter.settings, latency_budget_ms=0.0)
    return arbiter


def without_budget(run: Path, copy: Path) -> Path:
    """A copy of a finished run whose Arbiter waits like that wherever it is loaded."""
    shutil.copytree(run, copy)
    file = copy / "models" / "arbiter" / "config.json"
    plain = json.loads(file.read_text(encoding="utf-8"))
    plain["config"]["latency_budget_ms"] = 0.0
    file.write_text(json.dumps(plain), encoding="utf-8")
    return copy
