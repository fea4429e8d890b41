from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from quantum_trader.envs.errors import DataError
from quantum_trader.envs.load import read_bars
from quantum_trader.envs.presets import preset
from quantum_trader.serve.journal import parquet
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.parquet import export
from quantum_trader.serve.journal.reader import JournalReader, Selection
from quantum_trader.serve.journal.resolving import resolve

from .made import HOUR, SOON_S, bar, bars, entry, full_entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Twenty full decisions of A, resolved as far as possible, and a bare one of B."""
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        made = [full_entry("A", step, horizon_bars=6) for step in range(20)]
        series = [*bars(19), bar(19, funding_rate=0.0001)]
        journal.record([*made, entry("B", 3, atr=None)], {"A": series, "B": bars(4)}).result(SOON_S)
        resolve(journal, lambda _: preset("binance-btc"), HOUR)
    return path


def test_the_files_hold_what_the_journal_holds(path: Path, tmp_path: Path) -> None:
    """Every row of the reader is a row of the files, with outcomes where there are some."""
    with JournalReader(path) as reader:
        written = export(reader, tmp_path / "out", Selection())
        rows = reader.rows()
    frame = pd.read_parquet(written.decisions)
    assert len(frame) == written.decision_rows == 21
    assert list(frame["symbol"]) == [row.entry.symbol for row in rows]
    assert frame["timestamp"][5] == pd.Timestamp(rows[5].entry.bar_ms, unit="ms", tz="UTC")
    first, plain = frame.iloc[0], frame[frame["symbol"] == "B"].iloc[0]
    assert (first["action"], first["shadow_action"], first["p_buy"], first["tft_p_buy"]) == (
        "BUY",
        "SELL",
        0.5,
        0.6,
    )
    assert np.isnan(first["ppo_p_buy"])
    assert list(first["attention"]) == [1 / 64] * 60
    outcome = rows[0].outcome
    assert outcome is not None
    assert (first["label"], first["buy_net_return"]) == (outcome.label.name, outcome.buy.net_return)
    assert first["sell_exit_ms"] == pd.Timestamp(outcome.sell.exit_ms, unit="ms", tz="UTC")
    assert plain[["atr", "shadow_action", "label", "buy_net_return"]].isna().all()
    assert frame["label"].notna().sum() == 13


def test_the_bars_can_be_read_as_market_data(path: Path, tmp_path: Path) -> None:
    """bars.parquet of one symbol is a file that `read_bars` takes."""
    with JournalReader(path) as reader:
        written = export(reader, tmp_path, Selection(symbols=("A",), since_ms=2 * HOUR, until_ms=20 * HOUR))
    assert (written.decision_rows, written.bar_rows) == (18, 18)
    series = read_bars(written.bars, symbol="A")
    assert list(series.timestamp) == [step * HOUR for step in range(2, 20)]
    assert series.funding_rate[-1] == 0.0001


def test_large_journals_are_written_in_parts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size of a part changes nothing but the number of row groups."""
    monkeypatch.setattr(parquet, "ROWS", 4)
    with JournalReader(path) as reader:
        parts = export(reader, tmp_path / "parts", Selection())
        monkeypatch.undo()
        whole = export(reader, tmp_path / "whole", Selection())
    assert pq.ParquetFile(parts.decisions).num_row_groups == 6
    for one, other in ((parts.decisions, whole.decisions), (parts.bars, whole.bars)):
        pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other))


def test_an_empty_choice_gives_empty_files(path: Path, tmp_path: Path) -> None:
    """No row is chosen: both files are there, with their columns."""
    with JournalReader(path) as reader:
        written = export(reader, tmp_path, Selection(symbols=("nobody",)))
    assert "buy_net_return" in pd.read_parquet(written.decisions).columns
    assert len(pd.read_parquet(written.bars)) == 0


def test_an_export_that_breaks_off_leaves_the_old_files(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure in the middle leaves what stood there before, and no half of a file."""
    with JournalReader(path) as reader:
        written = export(reader, tmp_path / "out", Selection())
        before = written.decisions.read_bytes()

        def full(*_: object, **__: object) -> object:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(reader, "bar_pages", full)
        with pytest.raises(DataError, match="cannot be written"):
            export(reader, tmp_path / "out", Selection())
    assert written.decisions.read_bytes() == before
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == ["bars.parquet", "decisions.parquet"]
