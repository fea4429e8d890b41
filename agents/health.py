"""`Health`: how an Arbiter does at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantum_trader.agents.drift import Drift


@dataclass(frozen=True, kw_only=True)
class MemberHealth:
    """One member of the Arbiter."""

    name: str
    """"tft", "ppo" or "xgboost"."""
    state: Literal["ready", "missing", "resting", "trying"]
    """Resting: it failed repeatedly and is not asked. Trying: the next call may ask it again."""
    failures: int
    """Failures in a row."""
    last_error: str
    """Of the last failure; empty if there was none."""
    retry_in_s: float
    """Seconds until it is asked again; 0 unless it rests."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """An Arbiter at one moment."""

    status: Literal["ok", "degraded", "failing"]
    """Degraded: something is missing, resting, stale or drifting. Failing: nobody can decide."""
    problems: tuple[str, ...]
    """In words; empty where the status is ok."""
    members: tuple[MemberHealth, ...]
    symbols: int
    """Symbols with a history."""
    ready: int
    """Of these, symbols whose window is full."""
    stale: tuple[str, ...]
    """Symbols whose newest bar closed too long ago."""
    drift: tuple[Drift, ...]
    """Of each symbol the feature furthest beyond its limit, the worst symbol first, at most 20."""
    drift_watched: bool
    """False where the models carry no reference of their training features."""
    model_hash: str
    decisions: dict[str, int]
    """Decisions by source since the start."""
    clock_jump_ms: int
    """How far the system's clock has jumped away from the time that is believed; 0 as a rule."""
