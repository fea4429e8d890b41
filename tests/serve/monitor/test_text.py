from __future__ import annotations

import json
from dataclasses import replace

import pytest

from quantum_trader.evaluate.bootstrap import Interval
from quantum_trader.evaluate.records import to_json
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.report import monitor_rows
from quantum_trader.serve.monitor.text import WIDTH, report_text
from quantum_trader.serve.monitor.words import at, duration, interval, percent, some

from .simulated import HOUR, Truth, after, changed, last_bars, rows_of, simulate

FAST = MonitorConfig(draws=100)


def test_a_report_fits_a_terminal_of_plain_ascii() -> None:
    """100 columns, alerts before figures, and no letter that a log could not hold."""
    table = simulate(Truth(bars=300, symbols=12, win=0.42, shadow_win=0.5, overstated=0.15))
    broken = changed(table, last_bars(table, 20), drifted=True, source="xgboost", reason="TFT failed " * 20)
    text = report_text(monitor_rows(rows_of(broken), FAST, now_ms=after(table) + 9 * HOUR))
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.index("CRITICAL stale") < text.index("win rate to break even")
    assert "xgboost alone" in text
    assert "and 2 more symbols" in text


@pytest.mark.parametrize("bars", [0, 1, 24])
def test_little_or_nothing_is_said_honestly(bars: int) -> None:
    """No figure where there is none, in text as in JSON, and strict JSON whatever is missing."""
    rows = rows_of(simulate(Truth(bars=24, symbols=1)))[:bars]
    report = monitor_rows(rows, FAST, now_ms=after(simulate(Truth(bars=24, symbols=1))))
    text = report_text(report)
    assert ("n too small" if bars else "n/a") in text
    plain = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert plain["arbiter"]["win_rate"]["low"] is None
    assert plain["arbiter"]["decisions"] == bars


def test_words() -> None:
    """By hand."""
    assert at(0) == "1970-01-01 00:00"
    assert at(10**18) == "1000000000000000000 ms"
    assert percent(float("nan")) == "n/a"
    assert interval(Interval(estimate=0.5, low=0.4, high=0.6)) == "50.0 % [40.0, 60.0]"
    assert interval(Interval(estimate=0.5, low=float("nan"), high=float("nan"))).endswith("for an interval)")
    assert some(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert [duration(ms) for ms in (5_000, 3 * HOUR, 50 * HOUR)] == ["5 seconds", "3 hours", "2 days"]


def test_the_line_of_symbols_says_how_many_are_not_named() -> None:
    """Names give way to the count, which would otherwise be cut off at the edge."""
    table = simulate(Truth(bars=2, symbols=40))
    long = replace(table, symbol=replace(table.symbol, names=tuple(f"LONGNAME{n:02}USDT" for n in range(40))))
    line = report_text(monitor_rows(rows_of(long), FAST, now_ms=after(table))).splitlines()[1]
    assert line.startswith("symbols  40: LONGNAME00USDT, ")
    assert line.endswith(" more")


def test_break_even_of_a_few_trades_is_marked_like_their_win_rate() -> None:
    """Both come from the same handful of trades; a bare figure beside a marked one would look sure."""

    def line(bars: int) -> str:
        table = simulate(Truth(bars=bars, symbols=1))
        lines = report_text(monitor_rows(rows_of(table), FAST, now_ms=after(table))).splitlines()
        return next(line for line in lines if line.startswith("win rate to break even"))

    assert line(40).endswith("% (n too small)")
    assert line(600).endswith("%")
