"""kill -9 at any moment: the folder goes on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quantum_trader.serve.live.book import PaperBook
from quantum_trader.serve.live.config import BOOK

from .killed import MOMENTS, START_BAR, SYMBOLS
from .support import HOUR_MS, SOON_S, Venue, assert_equals_backtest, journaled, live, series

BARS = 16


def program(folder: Path, moment: str, number: int) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("killed.py")
    words = [sys.executable, str(script), str(folder), str(BARS), moment, str(number)]
    return subprocess.run(words, capture_output=True, text=True, timeout=5 * SOON_S)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a signal of POSIX systems")
def test_killed_at_every_moment_it_ends_as_one_that_never_was(tmp_path: Path) -> None:
    """Killed once at each moment of a round and of the warm-up, and started again each time: no bar is
    decided on twice or missing, no account steps twice, and equity, trades and fills equal those of a
    session that was never interrupted, to the bit."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    for moment in MOMENTS:
        number = 2 if "warm-up" in moment else 4  # the first is that of the start
        done = program(killed, moment, number)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    done = program(killed, "never", 0)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr

    bars = series(SYMBOLS)
    venue = Venue(bars, START_BAR)
    end = float(bars["BTCUSDT"].timestamp[START_BAR + BARS] + 600_000)
    live(whole, venue, bars=0, stopped=lambda: venue.clock_ms > end)

    mine, theirs = (PaperBook(folder / BOOK, read_only=True) for folder in (killed, whole))
    for symbol in SYMBOLS:
        moments, actions = journaled(killed, symbol)
        first = int(bars[symbol].timestamp[START_BAR])
        assert moments == list(range(first, first + BARS * HOUR_MS, HOUR_MS))
        assert (moments, actions) == journaled(whole, symbol)
        assert mine.equity(symbol).equals(theirs.equity(symbol))
        assert mine.trades(symbol).equals(theirs.trades(symbol))
        assert mine.fills(symbol).equals(theirs.fills(symbol))
        found, expected = mine.load(symbol), theirs.load(symbol)
        assert found is not None
        assert found == expected
    mine.close()
    theirs.close()
    assert_equals_backtest(killed, bars)
