"""The parts of the live loop one by one: clock, pace, lock, plan, accounts on disk, status and export."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.paper_account import PaperAccount
from quantum_trader.envs.presets import preset
from quantum_trader.serve.commands.live import Live, LiveExport, LiveStatus
from quantum_trader.serve.live.book import EquityPoint, PaperBook
from quantum_trader.serve.live.clock import VenueClock
from quantum_trader.serve.live.config import Plan, settled_plan
from quantum_trader.serve.live.errors import FeedError, StoreError
from quantum_trader.serve.live.export import export
from quantum_trader.serve.live.lock import FolderLock
from quantum_trader.serve.live.pace import Pace
from quantum_trader.serve.live.run import Ending
from quantum_trader.serve.live.status import read_status, results

from .support import SOON_S, Venue, live, series


class Hands:
    """Clocks that a test moves by hand: the venue's (ms), and this machine's two (s)."""

    def __init__(self) -> None:
        self.venue_ms, self.monotonic_s, self.wall_s = 1_000_000, 50.0, 7.0
        self.answers: list[int] = []
        self.slow_s = 0.0

    def ask(self) -> int:
        self.monotonic_s += self.slow_s
        return self.answers.pop(0) if self.answers else self.venue_ms

    def clock(self) -> VenueClock:
        return VenueClock(self.ask, monotonic=lambda: self.monotonic_s, wall=lambda: self.wall_s)

    def pass_s(self, seconds: float, *, asleep: bool = False) -> None:
        self.venue_ms += int(seconds * 1000)
        self.wall_s += seconds
        self.monotonic_s += 0.0 if asleep else seconds


def test_the_clock_runs_on_by_the_monotonic_clock() -> None:
    """Between two answers nobody is asked, and setting this machine's clock changes nothing."""
    hands = Hands()
    clock = hands.clock()
    with pytest.raises(FeedError, match="not known yet"):
        clock.now_ms()
    clock.sync()
    hands.pass_s(12.5)
    hands.wall_s -= 3_600.0
    assert clock.now_ms() == 1_012_500
    assert clock.offset_ms == 1_012_500 - int(hands.wall_s * 1000)


def test_the_clock_notices_sleep_and_asks_again() -> None:
    """The monotonic clock of some systems stands still while a machine sleeps."""
    hands = Hands()
    clock = hands.clock()
    clock.sync()
    assert not clock.doubtful
    hands.pass_s(7_200.0, asleep=True)
    assert clock.doubtful
    clock.sync()
    assert clock.now_ms() == hands.venue_ms
    assert not clock.doubtful
    hands.pass_s(301.0)
    assert clock.doubtful


def test_one_strange_answer_of_the_venue_is_not_believed() -> None:
    """An hour ahead once, it would make open bars look closed; twice the same, it is the venue's time."""
    hands = Hands()
    clock = hands.clock()
    clock.sync()
    hands.answers = [hands.venue_ms + 3_600_000]
    clock.sync()
    assert clock.now_ms() == hands.venue_ms
    hands.venue_ms += 3_600_000
    clock.sync()
    assert clock.now_ms() == hands.venue_ms


def test_an_answer_counts_from_the_middle_of_its_journey() -> None:
    """Half of the time from question to answer is added; an answer that took long is left."""
    hands = Hands()
    hands.slow_s = 0.4
    clock = hands.clock()
    clock.sync()
    assert clock.now_ms() == 1_000_200
    hands.slow_s = 9.0
    hands.answers = [5_000_000, 5_000_000]
    clock.sync()
    assert clock.now_ms() == 1_000_200 + 9_000


def test_the_pace_spaces_requests_and_keeps_a_venues_pause() -> None:
    """Ten a second are a tenth of a second apart; a long pause sends everybody away at once."""
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        now[0] += seconds

    pace = Pace(10.0, sleep=sleep, monotonic=lambda: now[0])
    for _ in range(4):
        pace.take()
    assert slept == [0.1, 0.1, 0.1]
    pace.hold(60.0)
    with pytest.raises(FeedError, match="asked for a pause") as caught:
        pace.take()
    assert caught.value.retry_after_s == pytest.approx(60.0)
    now[0] += 55.0
    pace.take()
    assert slept[-1] == pytest.approx(5.0)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a signal of POSIX systems")
def test_a_killed_process_leaves_no_lock_behind(tmp_path: Path) -> None:
    """The system lets go of it, whatever became of the process."""
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from quantum_trader.serve.live.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=5 * SOON_S)
    assert done.returncode == -signal.SIGKILL
    lock = FolderLock(tmp_path)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()


def plan(**changes: object) -> Plan:
    usual = Plan(
        exchange="binanceusdm",
        timeframe="1h",
        rules=EnvConfig(leverage=2.0),
        contracts={"BTCUSDT": preset("binance-btc")},
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_a_folder_keeps_the_contracts_it_began_with(tmp_path: Path) -> None:
    """Other figures for a known symbol are only taken where they were asked for, which is refused."""
    assert settled_plan(tmp_path, plan(), contract_given=False) == plan()
    dearer = replace(preset("binance-btc"), taker_fee=0.001)
    wanted = plan(contracts={"BTCUSDT": dearer, "ETHUSDT": preset("binance-eth")})
    found = settled_plan(tmp_path, wanted, contract_given=False)
    assert found.contracts == {"BTCUSDT": preset("binance-btc"), "ETHUSDT": preset("binance-eth")}
    with pytest.raises(ConfigError, match="BTCUSDT was started with another contract"):
        settled_plan(tmp_path, wanted, contract_given=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exchange": "okx"}, "started with exchange binanceusdm, found okx"),
        ({"timeframe": "4h"}, "started with timeframe 1h, found 4h"),
        ({"rules": EnvConfig(leverage=9.0)}, r"started with leverage 2\.0, found 9\.0"),
    ],
)
def test_a_folder_refuses_another_plan(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """With what differs in the message."""
    settled_plan(tmp_path, plan(), contract_given=False)
    with pytest.raises(ConfigError, match=message):
        settled_plan(tmp_path, plan(**change), contract_given=False)


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    """In one sentence, whatever is wrong with it."""
    for text in (
        "{",
        "[]",
        '{"version": 1}',
        '{"version": 1, "contracts": 3, "exchange": "", "timeframe": ""}',
    ):
        (tmp_path / "session.json").write_text(text)
        with pytest.raises(ConfigError, match=r"session\.json"):
            settled_plan(tmp_path, plan(), contract_given=False)


def bar(step: int, close: float = 100.0) -> Bar:
    return Bar(timestamp=step * 3_600_000, open=close, high=close, low=close, close=close, volume=1.0)


def test_the_book_gives_back_the_same_account(tmp_path: Path) -> None:
    """State, trades, fills and equity of a saved account, read by another connection beside the writer."""
    account, twin = (PaperAccount("X", preset("binance-btc")) for _ in range(2))
    book = PaperBook(tmp_path / "paper.sqlite")
    account.warm(bar(0))
    for step, action in enumerate((1, 2, 2, 0, 1), start=1):
        account.step(action, bar(step, 100.0 + step))
        point = EquityPoint(bar_ms=step, equity=account.equity, position=account.position)
        book.save({"X": account}, {"X": [point]})
    reader = PaperBook(tmp_path / "paper.sqlite", read_only=True)
    saved = reader.load("X")
    assert saved is not None
    assert reader.load("Y") is None
    twin.restore(saved.state)
    assert twin.state() == account.state()
    assert len(reader.trades("X")) == 2
    assert len(reader.fills("X")) == 4
    assert reader.equity("X")["equity"].iloc[-1] == account.equity
    assert reader.won_and_lost("X") == (1, 1)
    with pytest.raises(StoreError, match="readonly"):
        reader.save({"X": account}, {})
    reader.close()
    book.close()


def test_a_file_that_is_no_book_is_refused(tmp_path: Path) -> None:
    """Damaged, missing, or of a newer version: one sentence each."""
    path = tmp_path / "paper.sqlite"
    with pytest.raises(StoreError, match="there is no such file"):
        PaperBook(path, read_only=True)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read or written"):
        PaperBook(path)
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreError, match="version 9"):
        PaperBook(path)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "state"
    live(folder, Venue(series(("BTCUSDT", "ETHUSDT")), 400), bars=40)
    return folder


def test_the_status_tells_each_symbols_decision_and_account(traded: Path) -> None:
    """Written whole as JSON; its sums are those of the accounts."""
    status = read_status(traded)
    assert status is not None
    assert not status.running
    assert status.model_hash == ""
    assert [symbol.symbol for symbol in status.symbols] == ["BTCUSDT", "ETHUSDT"]
    assert status.equity == sum(result.equity for result in results(traded))
    assert {symbol.action for symbol in status.symbols} <= {"BUY", "SELL", "HOLD"}
    assert tuple(symbol.result for symbol in status.symbols) == results(traded)
    assert not list(traded.glob("*.part"))


def test_the_status_command_prints_table_and_json(traded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has one line an account and their sum; JSON has every figure."""
    LiveStatus(state=traded).run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["symbol", "BTCUSDT", "ETHUSDT", "together"]
    assert "ended as of" in lines[4]
    LiveStatus(state=traded, json=True).run()
    accounts = json.loads(capsys.readouterr().out)
    assert accounts[0]["equity"] == results(traded)[0].equity
    assert 0.0 <= accounts[0]["win_rate"] <= 1.0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("what", ["trades", "fills", "equity"])
def test_accounts_are_exported(traded: Path, tmp_path: Path, ending: str, what: str) -> None:
    """One file with every symbol, or with those asked for."""
    output = tmp_path / f"out.{ending}"
    LiveExport(state=traded, output=output, what=what).run()  # type: ignore[arg-type]
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    assert set(read(output)["symbol"]) == {"BTCUSDT", "ETHUSDT"}
    assert export(traded, output, what=what, symbols="ETHUSDT") == len(read(output))  # type: ignore[arg-type]
    assert set(read(output)["symbol"]) == {"ETHUSDT"}


def test_wrong_folders_names_and_endings_are_refused(traded: Path, tmp_path: Path) -> None:
    """In one sentence that says what to do."""
    with pytest.raises(ConfigError, match="no folder of a live session"):
        results(tmp_path)
    with pytest.raises(ConfigError, match="there is no account of 'X'"):
        export(traded, tmp_path / "out.csv", symbols="X")
    with pytest.raises(ConfigError, match=r"ending in \.parquet or \.csv"):
        export(traded, tmp_path / "out.txt")
    with pytest.raises(ConfigError, match="expected different names"):
        Live(run_folder=tmp_path, symbols="A,A", state=tmp_path).run()


def test_a_signal_ends_the_wait_and_handlers_are_put_back() -> None:
    """SIGTERM and the first Ctrl-C ask for an end; outside the block signals do what they did."""
    before = signal.getsignal(signal.SIGTERM)
    with Ending().listening() as ending:
        assert not ending.stopped()
        os.kill(os.getpid(), signal.SIGTERM)
        ending.sleep(SOON_S)
        assert ending.stopped()
    assert signal.getsignal(signal.SIGTERM) is before
