"""Reports and health as answers: in full for programs, or without the long tails for the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quantum_trader.agents.health import Health
from quantum_trader.evaluate.records import to_json
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.records import MonitorReport


def report_json(report: MonitorReport, config: MonitorConfig, *, latest: int | None = None) -> dict[str, Any]:
    """The report's fields, `latest_left_out`, and `normal`: what its figures are judged by.

    Args:
        report: of the monitor.
        config: it was made with.
        latest: most decisions in `latest`, the newest; None keeps all.
    """
    kept = report.latest
    if latest is not None and len(kept) > latest:
        newest = sorted(kept, key=lambda each: (-each.decided_ms, each.symbol))[:latest]
        kept = tuple(sorted(newest, key=lambda each: each.symbol))
    found: dict[str, Any] = to_json(replace(report, latest=kept))
    found["latest_left_out"] = len(report.latest) - len(kept)
    found["normal"] = {
        "shares": to_json({"BUY": config.buy_share, "SELL": config.sell_share, "HOLD": config.hold_range}),
        "fewest_trades": config.fewest_trades,
    }
    return found


def health_json(health: Health, *, stale: int | None = None) -> dict[str, Any]:
    """The health's fields and `stale_left_out`.

    Args:
        health: of the Arbiter.
        stale: most symbols named in `stale`; None names all.
    """
    kept = health.stale if stale is None else health.stale[:stale]
    return {**to_json(replace(health, stale=kept)), "stale_left_out": len(health.stale) - len(kept)}
