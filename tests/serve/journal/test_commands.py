from __future__ import annotations

from pathlib import Path

import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.commands.journal import Export, Info, Prune
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal

from .made import SOON_S, bars, entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten decisions of one symbol, one of them twice."""
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        journal.record([entry(step=step) for step in (*range(10), 9)], {"BTCUSDT": bars(10)}).result(SOON_S)
    return path


def test_info_prints_the_figures(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, symbols and repetitions stand in the text; --check says that the file is sound."""
    Info(journal=path, check=True).run()
    text = capsys.readouterr().out
    assert "j.db: sound" in text
    for part in ("decisions 10", "0 (10 to come, 0 void)", "10 of 1 symbols", "1 decisions, 0 bars"):
        assert part in text


def test_export_writes_the_chosen_range(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Symbols and moments choose; the number of rows is told; a moment that is none is named."""
    Export(
        journal=path,
        out=tmp_path / "out",
        symbols="BTCUSDT",
        since="1970-01-01 02:00",
        until="1970-01-01 05:00",
    ).run()
    assert "3 decisions" in capsys.readouterr().out
    assert (tmp_path / "out" / "bars.parquet").is_file()
    with pytest.raises(ConfigError, match="--since"):
        Export(journal=path, out=tmp_path, since="yesterday-ish").run()


def test_prune_tells_what_it_deleted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Decisions that still wait and bars that a warm-up needs stay, however old."""
    Prune(journal=path, keep_days=1).run()
    assert "deleted 0 decisions and 0 bars" in capsys.readouterr().out


def test_a_missing_journal_is_one_sentence(tmp_path: Path) -> None:
    """Every command says that there is none."""
    for command in (
        Info(journal=tmp_path / "no.db"),
        Export(journal=tmp_path / "no.db", out=tmp_path),
        Prune(journal=tmp_path / "no.db"),
    ):
        with pytest.raises(JournalError, match="there is no journal"):
            command.run()
