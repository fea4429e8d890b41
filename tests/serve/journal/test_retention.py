from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.presets import preset
from quantum_trader.serve.journal.config import JournalConfig
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.journal.resolving import resolve
from quantum_trader.serve.journal.retention import prune

from .made import HOUR, SOON_S, bars, entry, full_entry

DAY = 24 * HOUR


def fill(path: Path, steps: int, symbols: str = "A", *, settle: bool = True) -> None:
    with Journal(path) as journal:
        for symbol in symbols:
            made = [full_entry(symbol, step, horizon_bars=6) for step in range(steps)]
            journal.record(made, {symbol: bars(steps)}).result(SOON_S)
        if settle:
            resolve(journal, lambda _: preset("binance-btc"), HOUR)


def test_old_things_go_and_new_ones_stay(tmp_path: Path) -> None:
    """Ten days kept of thirty: what is older is gone, totals agree, and the room is given back."""
    path = tmp_path / "j.db"
    fill(path, 720, "AB")
    before = path.stat().st_size
    gone = prune(path, keep_days=10, now_ms=30 * DAY, keep_bars=50, together=1)
    assert gone.decisions == gone.bars == 2 * 20 * 24
    with JournalReader(path) as reader:
        reader.check()
        state = reader.state()
        assert min(row.entry.bar_ms for row in reader.rows()) == 20 * DAY
        assert reader.bars("A")[0].timestamp == 20 * DAY
        assert (state.decisions, state.bars) == (2 * 240, 2 * 240)
        assert state.outcomes == sum(row.outcome is not None for row in reader.rows()) == 2 * 233
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM outcomes").fetchone()[0] == state.outcomes
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] == 0
    connection.close()
    assert path.stat().st_size < before / 2


def test_what_is_unresolved_stays_with_its_bars(tmp_path: Path) -> None:
    """Decisions that wait for their outcome are never deleted, and can still be resolved afterwards."""
    path = tmp_path / "j.db"
    fill(path, 100, settle=False)
    gone = prune(path, keep_days=1, now_ms=1_000 * DAY, keep_bars=1, together=1)
    assert (gone.decisions, gone.bars) == (0, 0)
    with Journal(path) as journal:
        assert resolve(journal, lambda _: preset("binance-btc"), HOUR) == 93
    gone = prune(path, keep_days=1, now_ms=1_000 * DAY, keep_bars=1, together=1)
    assert (gone.decisions, gone.bars) == (93, 93)
    with JournalReader(path) as reader:
        assert len(reader.rows()) == 7


def test_the_bars_of_a_warm_up_stay(tmp_path: Path) -> None:
    """The newest bars of each symbol outlive any age, and a journal shorter than that loses none."""
    path = tmp_path / "j.db"
    fill(path, 300)
    assert prune(path, keep_days=1, now_ms=1_000 * DAY, keep_bars=120, together=1).bars == 180
    assert prune(path, keep_days=1, now_ms=1_000 * DAY).bars == 0
    with JournalReader(path) as reader:
        assert [bar.timestamp for bar in reader.bars("A")] == [step * HOUR for step in range(180, 300)]


def test_bars_go_as_histories_forget_them(tmp_path: Path) -> None:
    """Fifty at a time: of the 180 that might go 150 do, so that what is left still tells where a history
    of 300 bars began; and the next time nothing does."""
    path = tmp_path / "j.db"
    fill(path, 300)
    for gone in (150, 0):
        assert prune(path, keep_days=1, now_ms=1_000 * DAY, keep_bars=120, together=50).bars == gone
    with JournalReader(path) as reader:
        assert reader.bar_count("A") == 150
        assert reader.bars("A")[0].timestamp == 150 * HOUR


def test_decisions_go_on_while_a_journal_is_shortened(tmp_path: Path) -> None:
    """A writer that never stops and a reader get along with pruning, and lose nothing."""
    path = tmp_path / "j.db"
    fill(path, 3_000, "AB")
    # Each deleting transaction may hold the file for long.
    with Journal(path, JournalConfig(busy_s=SOON_S)) as journal:
        pruning = threading.Thread(
            target=lambda: prune(path, keep_days=1, now_ms=1_000 * DAY, keep_bars=60, together=1)
        )
        pruning.start()
        steps = 0
        while pruning.is_alive() or steps < 20:
            journal.record([entry("NEW", steps, bar_ms=1_000 * DAY + steps)], {}).result(SOON_S)
            journal.reader.rows(limit=10)
            steps += 1
        pruning.join()
        assert journal.state().fault == ""
        assert len(journal.reader.rows(symbols=["NEW"])) == steps


def test_pruning_needs_a_journal_and_a_number_of_days(tmp_path: Path) -> None:
    """A missing file is not made by the way, and days must be above 0."""
    with pytest.raises(JournalError, match="there is no journal"):
        prune(tmp_path / "j.db", keep_days=1, now_ms=0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="above 0"):
        prune(tmp_path / "j.db", keep_days=0, now_ms=0)
