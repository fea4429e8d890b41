"""Entries and bars for the journal's tests, identifiable by their numbers."""

from __future__ import annotations

from typing import Any

from quantum_trader.agents.decision import Vote
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar
from quantum_trader.serve.journal.records import Entry, Shadow

HOUR = 3_600_000
SOON_S = 300.0
"""Seconds to wait for what comes at once on a machine, and a disk, that is not busy."""


def entry(symbol: str = "BTCUSDT", step: int = 0, **changes: Any) -> Entry:
    """The decision on bar number `step`: close 100 + step."""
    values: dict[str, Any] = {
        "symbol": symbol,
        "bar_ms": step * HOUR,
        "decided_ms": (step + 1) * HOUR + 250,
        "action": Action.BUY,
        "confidence": 0.625,
        "probabilities": (0.2, 0.5, 0.3),
        "source": "tft+ppo",
        "reason": "confidence 0.625",
        "model_hash": "abc",
        "latency_ms": 12.5,
        "close": 100.0 + step,
        "atr": 2.0,
    }
    return Entry(**{**values, **changes})


def full_entry(symbol: str = "BTCUSDT", step: int = 0, **changes: Any) -> Entry:
    """An entry with everything in it."""
    values: dict[str, Any] = {
        "warming_up": True,
        "warnings": ("drift: volume_ratio 3.10, in training at most 2.00", 'ppo left out: "quotes", äöü'),
        "shadow": Shadow(action=Action.SELL, confidence=0.75, probabilities=(0.1, 0.225, 0.675)),
        "votes": (
            Vote(member="tft", action=Action.BUY, probabilities=(0.1, 0.6, 0.3)),
            Vote(member="xgboost", action=Action.HOLD, probabilities=(0.6, 0.1, 0.3)),
        ),
        "quantiles": tuple((-0.25 * k, 0.0, 0.5 * k) for k in range(1, 5)),
        "attention": (1 / 64,) * 60,
        "importances": tuple(k / 128 for k in range(14)),
        "horizon_bars": 4,
        "barrier_atr": 1.25,
    }
    return entry(symbol, step, **{**values, **changes})


def bar(step: int, **changes: Any) -> Bar:
    """Bar number `step`, closing at 100 + step."""
    values: dict[str, Any] = {
        "timestamp": step * HOUR,
        "open": 99.5 + step,
        "high": 101.0 + step,
        "low": 99.0 + step,
        "close": 100.0 + step,
        "volume": 10.0,
    }
    return Bar(**{**values, **changes})


def bars(count: int, *, start: int = 0) -> list[Bar]:
    """`count` successive bars."""
    return [bar(step) for step in range(start, start + count)]
