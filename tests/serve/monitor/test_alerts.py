"""Healthy series raise nothing; each planted fault raises its alert, within a stated number of bars."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.serve.monitor.alerts import RULES, alerts
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.records import Alert
from quantum_trader.serve.monitor.situation import Situation
from quantum_trader.serve.monitor.table import Table

from .simulated import HOUR, START, Truth, after, changed, last_bars, simulate

FAST = MonitorConfig(draws=300)
HEALTHY = Truth(bars=1_200, win=0.60, hold=0.3, quiet=0.15, shadow_win=0.58)
HANDBOOK = Path(__file__).parents[3] / "docs" / "monitor.md"


def situation(table: Table, *, config: MonitorConfig = FAST, late_ms: int = 0, fault: str = "") -> Situation:
    taken = table.where(~table.refused)
    newest = {
        name: int(taken.decided_ms[taken.symbol.codes == code].max())
        for code, name in enumerate(taken.symbol.names)
        if (taken.symbol.codes == code).any()
    }
    return Situation(
        table=table,
        config=config,
        now_ms=after(table) + late_ms,
        step_ms=table.counted.step_ms,
        newest_ms=newest,
        fault=fault,
    )


def raised(table: Table, **arguments: object) -> dict[str, Alert]:
    return {alert.name: alert for alert in alerts(situation(table, **arguments))}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "truth",
    [HEALTHY, replace(HEALTHY, symbols=1), replace(HEALTHY, symbols=12, spread=0.1)],
    ids=["three symbols", "one symbol", "luck in common"],
)
def test_healthy_series_raise_next_to_nothing(truth: Truth) -> None:
    """15 series, looked at 6 times while they grow: at most one alarm in 90 looks."""
    found: Counter[str] = Counter()
    for seed in range(15):
        table = simulate(replace(truth, seed=seed))
        for bars in (30, 60, 150, 300, 600, 1_200):
            found.update(raised(table.where(table.bar_ms < START + bars * HOUR)))
    assert sum(found.values()) <= 1, found


def test_a_decider_that_just_breaks_even_is_rarely_called_a_loser() -> None:
    """The hardest healthy case: at most 2 of 40 series after 1,200 bars."""
    truths = [Truth(bars=1_200, win=0.54, shadow_win=0.54, spread=0.1, seed=seed) for seed in range(40)]
    found = Counter(name for truth in truths for name in raised(simulate(truth)))
    assert found["win_rate"] <= 2
    assert found["shadow_better"] <= 2


def test_an_empty_or_young_journal_raises_nothing() -> None:
    """There is nothing to be said of ten bars."""
    table = simulate(HEALTHY)
    assert raised(table.where(table.bar_ms < START + 10 * HOUR)) == {}
    nothing = table.where(np.zeros(0, dtype=np.int64))
    assert alerts(Situation(table=nothing, config=FAST, now_ms=START)) == ()


def test_losing_trades_are_critical() -> None:
    """14 points below break-even is found in 800 bars of three symbols, about 510 trades."""
    truths = [Truth(bars=800, win=0.40, overstated=0.2, seed=seed) for seed in range(10)]
    levels = [raised(simulate(truth)).get("win_rate") for truth in truths]
    assert all(alert is not None and alert.level == "critical" for alert in levels)


def test_silence_is_critical_within_two_days() -> None:
    """HOLD on every symbol for 48 hourly bars."""
    table = simulate(HEALTHY)
    alert = raised(changed(table, last_bars(table, 48), action=0))["all_hold"]
    assert alert.level == "critical"
    assert "No BUY or SELL in the last" in alert.message
    assert "all_hold" not in raised(changed(table, last_bars(table, 8), action=0))


def test_one_silent_symbol_is_a_warning() -> None:
    """The others go on; it is named."""
    table = simulate(HEALTHY)
    one = last_bars(table, 90) & (table.symbol.codes == 1)
    alert = raised(changed(table, one, action=0))["all_hold"]
    assert alert.level == "warning"
    assert "SYM1USDT" in alert.message


def test_shares_far_off_are_found_in_ten_days() -> None:
    """80 % HOLD, 240 bars; the message names what is off."""
    alert = raised(simulate(replace(HEALTHY, bars=240, hold=0.8, quiet=0.0)))["shares"]
    assert "HOLD" in alert.message
    assert "BUY" in alert.message


@pytest.mark.parametrize(
    ("name", "columns", "level"),
    [
        ("drift", {"drifted": True}, "warning"),
        ("fallback", {"source": "xgboost", "reason": "TFT failed (OSError): confidence N"}, "warning"),
        ("fallback", {"source": "none", "reason": "TFT failed (OSError); XGBoost not available"}, "critical"),
        ("refused", {"source": "none", "reason": "duplicate bar", "refused": True}, "warning"),
    ],
)
def test_a_total_failure_is_found_within_six_bars(name: str, columns: dict[str, object], level: str) -> None:
    """And a single bad bar is not one."""
    table = simulate(replace(HEALTHY, bars=300))
    assert raised(changed(table, last_bars(table, 6), **columns))[name].level == level
    assert name not in raised(changed(table, last_bars(table, 1), **columns))


def test_a_pool_that_was_never_whole_is_known_by_name_or_reason() -> None:
    """Without TFT from the first bar on: its reasons say so; alone, XGBoost may be declared the pool."""
    table = simulate(replace(HEALTHY, bars=60))
    everything = np.ones(len(table), dtype=np.bool_)
    alone = changed(table, everything, source="xgboost", reason="TFT not available: confidence N")
    assert "fallback" in raised(alone)
    assert "fallback" not in raised(alone, config=replace(FAST, full_pool="xgboost"))
    plain = changed(table, everything, source="xgboost")
    assert "fallback" in raised(plain, config=replace(FAST, full_pool="tft+ppo+xgboost"))


def test_slow_calls_are_found_after_six_of_a_hundred() -> None:
    """One symbol has 30 ms, several have 50 ms, and four slow calls are forgiven."""
    table = simulate(replace(HEALTHY, bars=100))
    assert "latency" in raised(changed(table, last_bars(table, 6), latency_ms=80.0))
    assert "latency" not in raised(changed(table, last_bars(table, 4), latency_ms=80.0))
    assert "latency" not in raised(changed(table, last_bars(table, 50), latency_ms=40.0))
    one = simulate(replace(HEALTHY, bars=100, symbols=1))
    assert "latency" in raised(changed(one, last_bars(one, 50), latency_ms=40.0))


def test_a_dead_bot_is_critical_and_a_dead_feed_a_warning() -> None:
    """Three bars are forgiven; a symbol given up a week ago is no longer missed."""
    table = simulate(replace(HEALTHY, bars=300))
    assert "stale" not in raised(table, late_ms=2 * HOUR)
    assert raised(table, late_ms=4 * HOUR)["stale"].level == "critical"
    gone = table.where(~(last_bars(table, 5) & (table.symbol.codes == 2)))
    assert raised(gone)["stale"].level == "warning"
    assert "SYM2USDT" in raised(gone)["stale"].message
    assert "stale" not in raised(table.where(~(last_bars(table, 200) & (table.symbol.codes == 2))))


def test_overconfidence_is_found() -> None:
    """Ten points stated too much, 600 bars."""
    alert = raised(simulate(Truth(bars=600, win=0.58, overstated=0.10)))["calibration"]
    assert "promises more than it keeps" in alert.message
    assert "calibration" not in raised(simulate(Truth(bars=600, win=0.58)))


def test_a_better_shadow_is_found() -> None:
    """Ten points of win rate in 600 bars; the other way round it is no alert."""
    assert "shadow_better" in raised(simulate(Truth(bars=600, win=0.52, shadow_win=0.64)))
    assert "shadow_better" not in raised(simulate(Truth(bars=600, win=0.64, shadow_win=0.52)))


def test_missing_outcomes_are_found() -> None:
    """Horizons that passed a day ago; those of the last bars are not due."""
    table = simulate(replace(HEALTHY, bars=300))
    assert "outcomes" in raised(changed(table, last_bars(table, 60), due=True, label=-1))
    assert "outcomes" not in raised(changed(table, last_bars(table, 15), due=True, label=-1))


def test_a_change_of_models_is_mentioned_for_a_day() -> None:
    """Two that answer in turns are something else."""
    table = simulate(replace(HEALTHY, bars=200))
    assert (
        "changed from model-a to model-b"
        in raised(changed(table, last_bars(table, 5), model="model-b"))["model_changed"].message
    )
    assert "model_changed" not in raised(changed(table, last_bars(table, 40), model="model-b"))
    turns = changed(table, (table.bar_ms // HOUR) % 2 == 0, model="model-b")
    assert "in turns" in raised(turns)["model_changed"].message


def test_a_journal_that_cannot_be_written_is_critical_and_first() -> None:
    """Critical alerts stand before warnings."""
    table = simulate(replace(HEALTHY, bars=300))
    broken = changed(table, last_bars(table, 20), drifted=True)
    found = alerts(situation(broken, fault="the disk is full"))
    assert [(alert.name, alert.level) for alert in found] == [("journal", "critical"), ("drift", "warning")]
    assert "the disk is full" in found[0].message


def test_the_runbook_and_the_rules_name_the_same_alerts() -> None:
    """Each alert has a row in the runbook, and no row is of an alert that does not exist."""
    runbook = HANDBOOK.read_text(encoding="utf-8").partition("## Runbook")[2]
    assert re.findall(r"^\| `(\w+)` \|", runbook, flags=re.MULTILINE) == list(RULES)
