"""`data fetch` as a user meets it: its lines, its exit, Ctrl-C and kill -9 in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tyro

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.load import read_bars, read_folder
from quantum_trader.serve.commands.fetch import Fetch

from ...fake_exchange.faults import slow
from ...fake_exchange.server import FakeExchange


def fetch(venue: FakeExchange, out: Path, *options: str) -> None:
    tyro.cli(
        Fetch, args=[*options, "--exchange-url", venue.url, "--archive-url", venue.url, "--out", str(out)]
    ).run()


def test_several_symbols_become_one_file_each(
    venue: FakeExchange, tmp_path: Path, capsys: pytest.CaptureFixture[str], bars: Bars
) -> None:
    """A folder that every other command reads; a line each, progress on the other stream."""
    fetch(venue, tmp_path, "BTCUSDT", "ETH/USDT:USDT", "--start", "2020-03-01")
    written = {series.symbol: series for series in read_folder(tmp_path)}
    assert set(written) == {"BTCUSDT", "ETHUSDT"}
    assert written["BTCUSDT"].digest == bars[60 * 24 :].digest
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == (
        f"{tmp_path / 'BTCUSDT.parquet'}: 1,060 bars, 2020-03-01 00:00 to 2020-04-14 03:00 UTC, "
        "1,060 new, no gaps"
    )
    assert "BTCUSDT: " in printed.err
    assert "pieces" in printed.err


def test_the_archive_is_another_source_of_the_same_bars(
    venue: FakeExchange, tmp_path: Path, bars: Bars
) -> None:
    """Same columns, same values as from the exchange."""
    fetch(venue, tmp_path, "BTCUSDT", "--source", "archive", "--start", "2020-02-01", "--end", "2020-03-01")
    assert read_bars(tmp_path / "BTCUSDT.parquet").digest == bars[31 * 24 : 60 * 24].digest


def test_a_symbol_without_bars_does_not_keep_the_others_from_being_fetched(
    venue: FakeExchange, tmp_path: Path
) -> None:
    """ETHUSDT was not listed then: BTCUSDT is written, and the command ends with an error that says so."""
    with pytest.raises(DataError, match="no closed bars of ETHUSDT"):
        fetch(venue, tmp_path, "ETHUSDT", "BTCUSDT", "--start", "2020-01-02", "--end", "2020-01-05")
    assert len(read_bars(tmp_path / "BTCUSDT.parquet")) == 72


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("BTCUSDT", "--start", "yesterdayish"), "--start: expected a date such as 2024-01-01"),
        (("BTCUSDT", "--start", "2020-02-01", "--end", "2020-02-01"), "must lie before --end"),
        (("BTCUSDT", "--timeframe", "7h"), "timeframe '7h' is unknown"),
        (("BTCUSDT", "--attempts", "0"), "attempts must be at least 1"),
        (("BTCUSDT", "BTC/USDT:USDT"), "two of the symbols would be written to BTCUSDT.parquet"),
        (("BTCUSDT", "--exchange", "nobody"), "exchange 'nobody' is not one of ccxt's"),
        (("BTCUSDT", "NOUSDT"), "binanceusdm has no market 'NOUSDT'"),
        ((), "name at least one symbol"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_fetched_is_refused_before_any_bar_is_asked_for(
    venue: FakeExchange, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    """One sentence; nothing is written."""
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        fetch(venue, tmp_path, *options)
    assert not venue.asked("klines")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def started(venue: FakeExchange, tmp_path: Path) -> Iterator[Any]:
    """started() runs the command on BTCUSDT in a process of its own."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        arguments = ["BTCUSDT", "--exchange-url", venue.url, "--out", str(tmp_path)]
        process = subprocess.Popen(
            [sys.executable, "-m", "quantum_trader.serve.cli", "data", "fetch", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_killed_fetch_goes_on_where_it_stopped(
    venue: FakeExchange, started: Any, tmp_path: Path, bars: Bars, how: signal.Signals
) -> None:
    """Killed while it waits for the third page: the next run does not ask for the first two again."""
    # The first request looks up where the history begins.
    venue.fail("/klines", slow(600.0), skip=3)
    process = started()
    deadline = time.monotonic() + 300
    while not venue.waiting:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    _, complaint = process.communicate(timeout=300)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        assert "interrupted; the same command goes on where this one stopped." in complaint
        assert "Traceback" not in complaint
    assert not (tmp_path / "BTCUSDT.parquet").exists()
    answered = [request.query for request in venue.asked("/klines")[1:3]]
    assert len(answered) == 2
    venue.heal()
    venue.forget()
    fetch(venue, tmp_path, "BTCUSDT")
    assert read_bars(tmp_path / "BTCUSDT.parquet").digest == bars.digest
    assert len(venue.asked("/klines")) > 1
    assert not [request for request in venue.asked("/klines") if request.query in answered]
    assert [path.name for path in tmp_path.iterdir()] == ["BTCUSDT.parquet"]
