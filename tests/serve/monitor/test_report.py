from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.records import to_json
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.report import monitor, monitor_rows

from .a_journal import write_journal
from .simulated import HOUR, START, Truth, after, changed, rows_of, simulate

FAST = MonitorConfig(draws=100)


def test_a_journal_and_its_rows_give_one_report(tmp_path: Path) -> None:
    """By path, by reader or from memory."""
    table = simulate(Truth(bars=120, shadow_win=0.5))
    table = changed(table, table.bar_ms == START, refused=True, source="none", reason="bad bar: no close")
    path = write_journal(tmp_path / "journal.db", rows_of(table))
    now = after(table)
    with JournalReader(path) as reader:
        report = monitor(reader, FAST, now_ms=now)
        assert to_json(monitor_rows(reader.rows(), FAST, now_ms=now)) == to_json(report)
    assert to_json(monitor(str(path), FAST, now_ms=now)) == to_json(report)
    assert report.by_reason == {"confidence N": 357, "bad bar: no close": 3}
    assert report.arbiter.decisions == 357
    assert report.shadow is not None
    assert report.difference is not None
    assert report.explanation is not None
    assert len(report.explanation.importances) == 14


def test_a_range_holds_its_bars_and_misses_nobody(tmp_path: Path) -> None:
    """A range in the past says nothing about staleness; one up to now does, also when it is empty."""
    table = simulate(Truth(bars=120))
    path = write_journal(tmp_path / "journal.db", rows_of(table))
    now = after(table) + 100 * HOUR
    past = monitor(path, FAST, now_ms=now, since_ms=START + HOUR, until_ms=START + 3 * HOUR)
    assert (past.arbiter.decisions, past.since_ms, past.alerts) == (6, START + HOUR, ())
    empty = monitor(path, FAST, now_ms=now, since_ms=now - HOUR)
    assert (empty.arbiter.decisions, empty.symbols, empty.latest) == (0, (), ())
    assert [alert.name for alert in empty.alerts] == ["stale"]


def test_the_same_journal_gives_the_same_report(tmp_path: Path) -> None:
    """Resampling is seeded."""
    path = write_journal(tmp_path / "journal.db", rows_of(simulate(Truth(bars=300))))
    first, second = (to_json(monitor(path, FAST, now_ms=START)) for _ in range(2))
    assert first == second


def test_a_missing_journal_is_said(tmp_path: Path) -> None:
    """As the reader says it."""
    with pytest.raises(JournalError, match="no journal"):
        monitor(tmp_path / "journal.db", now_ms=START)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("level", 1.0),
        ("drift_share", -0.1),
        ("buy_share", (0.4, 0.3)),
        ("draws", 0),
        ("recent_bars", ()),
        ("latency_ms", float("nan")),
    ],
)
def test_limits_outside_their_range_are_refused(field: str, value: object) -> None:
    """By the name of the field."""
    with pytest.raises(ConfigError, match=field):
        MonitorConfig(**{field: value})  # type: ignore[arg-type]
