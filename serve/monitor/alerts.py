"""Alerts: one small rule each, in the order they are to be read; `docs/monitor.md` is their runbook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from quantum_trader.serve.monitor.behaviour_alerts import all_hold, model_changed, shares
from quantum_trader.serve.monitor.operation_alerts import (
    drift,
    fallback,
    journal,
    latency,
    outcomes,
    refused,
    stale,
)
from quantum_trader.serve.monitor.records import Alert
from quantum_trader.serve.monitor.result_alerts import calibration, shadow_better, win_rate
from quantum_trader.serve.monitor.situation import Situation

Rule = Callable[[Situation], Alert | None]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "journal": journal,
        "stale": stale,
        "all_hold": all_hold,
        "win_rate": win_rate,
        "fallback": fallback,
        "drift": drift,
        "shadow_better": shadow_better,
        "calibration": calibration,
        "shares": shares,
        "latency": latency,
        "refused": refused,
        "outcomes": outcomes,
        "model_changed": model_changed,
    }
)
"""Every alert by its name."""


def alerts(situation: Situation) -> tuple[Alert, ...]:
    """What a person should look at, critical ones first."""
    found = [alert for alert in (rule(situation) for rule in RULES.values()) if alert is not None]
    return tuple(sorted(found, key=lambda alert: alert.level != "critical"))
