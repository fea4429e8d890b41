"""Faults that showed up in use: each is held by a test."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.live.config import STATUS
from quantum_trader.serve.live.status import described, read_status

from .support import HOUR_MS, LOOP, RULES, Venue, journaled, live, series

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def test_rules_that_no_account_can_have_do_not_bind_a_folder(tmp_path: Path) -> None:
    """A leverage beyond the contract's is refused, and the next start may give a right one."""
    bars = series(SYMBOLS[:1])
    with pytest.raises(ConfigError, match="leverage 500 is above the 125"):
        live(tmp_path, Venue(bars, 400), bars=1, rules=replace(RULES, leverage=500.0))
    live(tmp_path, Venue(bars, 400), bars=1)


def test_one_request_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """It is waited for once; in later rounds the others are decided on as soon as they have answered."""
    venue, free = Venue(series(SYMBOLS), 400), threading.Event()
    live(tmp_path, venue, bars=1)

    def hang(symbol: str) -> None:
        if symbol == "ETHUSDT":
            free.wait(60.0)

    venue.hook = hang
    venue.sleep = lambda seconds: Venue.sleep(venue, max(seconds, 60.0))  # type: ignore[method-assign]
    end_ms = venue.clock_ms + 6.5 * HOUR_MS
    try:
        live(
            tmp_path,
            venue,
            bars=0,
            stopped=lambda: venue.clock_ms > end_ms,
            loop=replace(LOOP, together_s=0.2),
        )
    finally:
        free.set()
    decided = [len(journaled(tmp_path, symbol)[0]) for symbol in SYMBOLS]
    assert decided == [7, 1]


def test_the_status_tells_a_session_that_was_cut_off(tmp_path: Path) -> None:
    """After kill -9 nothing says that it runs; symbols without new bars, or in warm-up, are named."""
    bars = series(SYMBOLS)
    bars["ETHUSDT"] = bars["ETHUSDT"][:403]
    live(tmp_path, Venue(bars, 400), bars=12)
    found = read_status(tmp_path)
    assert found is not None
    assert "ended as of" in described(tmp_path)
    assert "ETHUSDT: silent: no new bar" in described(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / STATUS
    saved = json.loads(path.read_text()) | {"running": True, "process": gone.pid}
    path.write_text(json.dumps(saved))
    assert "cut off as of" in described(tmp_path)
