"""The live loop against an exchange on this machine, by ccxt over HTTP."""

from __future__ import annotations

import ast
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import quantum_trader.serve.live as package
from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.sources.errors import SourceError
from quantum_trader.serve.commands.live import Live
from quantum_trader.serve.live import exchange_feed, run
from quantum_trader.serve.live.clock import VenueClock
from quantum_trader.serve.live.config import Plan
from quantum_trader.serve.live.errors import FeedError
from quantum_trader.serve.live.exchange_feed import ExchangeFeed, open_feed
from quantum_trader.serve.live.run import Surroundings, run_live
from quantum_trader.serve.live.status import Status, read_status

from ...fake_exchange.faults import CUT, DISCONNECT, EMPTY, HTML, PARTIAL, TRUNCATED, status
from ...fake_exchange.server import FakeExchange
from .support import HOUR_MS, LOOP, RULES, SOON_S, assert_equals_backtest, journaled, make_arbiter, series

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
START_BAR = 400


@pytest.fixture(scope="module")
def known() -> dict[str, Bars]:
    return series(SYMBOLS)


@pytest.fixture(autouse=True)
def patient_with_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine answers late, which is none of the faults that are planned here."""
    monkeypatch.setattr(exchange_feed, "_TIMEOUT_S", SOON_S)


@pytest.fixture
def venue(known: dict[str, Bars]) -> Iterator[FakeExchange]:
    start = int(known["BTCUSDT"].timestamp[START_BAR]) + 1_000
    with FakeExchange(known, now_ms=start) as exchange:
        yield exchange


def feed_of(venue: FakeExchange) -> ExchangeFeed:
    return open_feed(
        "binanceusdm",
        "1h",
        url=venue.url,
        per_second=1e6,
        sleep=lambda seconds: None,
        monotonic=lambda: venue.now_ms / 1000.0,
    )


def trade(folder: Path, venue: FakeExchange, bars: int, symbols: tuple[str, ...] = SYMBOLS) -> list[str]:
    """Decide on `bars` bars of each symbol; whoever sleeps moves the venue's clock."""
    lock, said = threading.Lock(), []

    def sleep(seconds: float) -> None:
        with lock:
            venue.now_ms += int(max(seconds, 0.001) * 1000)

    feed = feed_of(venue)
    seconds = lambda: venue.now_ms / 1000.0  # noqa: E731
    world = Surroundings(
        feed=feed,
        clock=VenueClock(feed.now_ms, monotonic=seconds, wall=lambda: seconds() - 86_400.0),
        sleep=sleep,
        stopped=lambda: False,
        say=said.append,
    )
    contracts = {symbol: guess_preset(symbol) for symbol in symbols}
    plan = Plan(exchange="binanceusdm", timeframe="1h", rules=RULES, contracts=contracts)
    loop = replace(LOOP, bars=bars)
    run_live(folder, plan, loop, world, make_arbiter=make_arbiter, check=feed.check)
    return said


def test_a_session_over_http_is_a_backtest(
    tmp_path: Path, venue: FakeExchange, known: dict[str, Bars]
) -> None:
    """Bars and funding rates arrive as they are, also between errors, limits, cut and partial answers and
    maintenance pages: equity, trades and fills equal `run_actions` to the bit, and no bar is missing."""
    trade(tmp_path, venue, 4)
    for number, fault in enumerate(
        (status(502), TRUNCATED, DISCONNECT, CUT, HTML, EMPTY, PARTIAL, status(429, 3.0), status(418, 40.0))
    ):
        venue.fail("klines", fault, times=2, skip=5 * number)
    venue.fail("fundingRate", DISCONNECT, times=3, skip=4)
    venue.fail("/time", status(503), times=2)
    trade(tmp_path, venue, 30)
    venue.heal()
    venue.now_ms += 40 * HOUR_MS
    venue.fail("klines", PARTIAL, times=4)
    said = trade(tmp_path, venue, 45)
    assert any("made up for" in line for line in said)
    assert_equals_backtest(tmp_path, known, trades=5)
    for symbol in SYMBOLS:
        moments, _ = journaled(tmp_path, symbol)
        assert moments == list(range(moments[0], moments[-1] + 1, HOUR_MS))
        assert len(moments) >= 75
    from quantum_trader.serve.journal.reader import JournalReader

    with JournalReader(tmp_path / "journal.sqlite") as reader:
        bars = reader.bars("BTCUSDT")
    first = int(np.searchsorted(known["BTCUSDT"].timestamp, bars[0].timestamp))
    rates = known["BTCUSDT"].funding_rate[first : first + len(bars)]
    assert np.array_equal([bar.funding_rate for bar in bars], rates, equal_nan=True)


def test_only_public_reading_requests_are_made(tmp_path: Path, venue: FakeExchange) -> None:
    """Every request is a GET of public data, without a key or a signature."""
    trade(tmp_path, venue, 3)
    assert {request.method for request in venue.requests} == {"GET"}
    public = {"time", "exchangeInfo", "klines", "fundingRate"}
    assert {request.endpoint for request in venue.requests} <= public
    for request in venue.requests:
        assert not {"signature", "timestamp", "recvWindow"} & set(request.query)
        assert not any("key" in name or name == "authorization" for name in request.headers)


def test_a_bar_costs_few_requests(tmp_path: Path, venue: FakeExchange) -> None:
    """One for the candles, and funding rates asked for between the closes."""
    trade(tmp_path, venue, 3)
    venue.forget()
    trade(tmp_path, venue, 10)
    candles, rates = len(venue.asked("klines")), len(venue.asked("fundingRate"))
    assert candles <= 10 * 3 + 3
    assert rates <= 4 * (10 * 3 + 6)  # twice a bar, and an empty answer is asked for again


def test_a_funding_rate_that_is_published_late_is_found(venue: FakeExchange, known: dict[str, Bars]) -> None:
    """Not there at the first question of its bar, there at the second: the bar carries it, and nothing is
    asked for at the close."""
    feed, bars = feed_of(venue), known["BTCUSDT"]
    row = START_BAR + int(np.flatnonzero(np.isfinite(bars.funding_rate[START_BAR:]))[0])
    opened = int(bars.timestamp[row])
    venue.fail("fundingRate", EMPTY, times=2)
    for minutes in (2, 54):
        venue.now_ms = opened + minutes * 60_000
        feed.prepare("BTCUSDT", venue.now_ms)
    venue.now_ms = opened + HOUR_MS + 2_000
    venue.forget()
    found = feed.closed_bars("BTCUSDT", opened, venue.now_ms)
    assert [bar.funding_rate for bar in found] == [bars.funding_rate[row]]
    assert not venue.asked("fundingRate")


@pytest.mark.parametrize(("connections", "rate"), [(0, 20.0), (4, 0.0), (4, float("nan"))])
def test_limits_that_let_nothing_through_are_refused(tmp_path: Path, connections: int, rate: float) -> None:
    """No connection at all would wait for ever."""
    command = Live(
        run_folder=tmp_path, symbols="A", state=tmp_path, connections=connections, requests_per_second=rate
    )
    with pytest.raises(ConfigError, match="--connections must be at least 1 and --requests-per-second"):
        command.run()


def test_an_unknown_symbol_ends_the_first_start(tmp_path: Path, venue: FakeExchange) -> None:
    """A typing error is told at once, with what comes near it, and no folder is left half made."""
    with pytest.raises(ConfigError, match="has no market 'BTCUSD'; did you mean BTCUSDT"):
        trade(tmp_path / "new", venue, 1, ("BTCUSD",))
    trade(tmp_path / "new", venue, 1)


def test_a_symbol_that_is_delisted_is_reported_and_left_behind(
    tmp_path: Path, venue: FakeExchange, known: dict[str, Bars]
) -> None:
    """Known to the folder, gone from the venue: the others go on."""
    trade(tmp_path, venue, 3)
    del venue.series["SOLUSDT"]
    said = trade(tmp_path, venue, 6)
    assert any(line.startswith("SOLUSDT: ") and "no market" in line for line in said)
    found = read_status(tmp_path)
    assert found is not None
    assert [symbol.condition for symbol in found.symbols] == ["live", "live", "failing"]
    assert_equals_backtest(tmp_path, known, trades=0)


def test_a_session_under_way_waits_for_an_exchange_that_is_down(tmp_path: Path, venue: FakeExchange) -> None:
    """The first start fails with a sentence; a later one tries again until there is an answer."""
    venue.fail("/time", status(503), times=1)
    with pytest.raises(FeedError, match=r"does not answer \(.*HTTP 503\); check the connection"):
        trade(tmp_path, venue, 1)
    trade(tmp_path, venue, 1)
    venue.fail("/time", status(503), times=3)
    said = trade(tmp_path, venue, 2)
    assert sum("the exchange does not answer" in line for line in said) == 3


def test_a_feed_can_only_read(venue: FakeExchange) -> None:
    """It has no method for orders, and its clients have no keys and sign nothing."""
    feed = feed_of(venue)
    public = {name for name in dir(feed) if not name.startswith("_")}
    assert public == {"check", "closed_bars", "marked", "now_ms", "prepare", "step_ms", "timeframe"}
    client = feed._idle.get()._client
    assert not client.apiKey
    assert not client.secret
    with pytest.raises(Exception, match="reads public data and signs nothing"):
        client.create_order("BTC/USDT:USDT", "market", "buy", 1.0)
    assert not venue.asked("order")


FORBIDDEN = ("apikey", "secret", "password", "create_order", "createorder", "cancel", "withdraw", "transfer")


def test_no_code_of_the_live_loop_knows_of_keys_or_orders() -> None:
    """No name, attribute, argument or text in it could carry a credential or place an order."""
    folder = Path(package.__file__).parent
    files = [*folder.glob("*.py"), folder.parent / "commands" / "live.py"]
    assert len(files) > 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = [getattr(node, field, None) for field in ("id", "attr", "arg", "name")]
            for word in words:
                if isinstance(word, str) and not (word == "cancel" or word == "cancel_futures"):
                    assert not any(bad in word.lower() for bad in FORBIDDEN), f"{path.name}: {word}"


def test_errors_of_a_source_keep_their_reason(venue: FakeExchange) -> None:
    """What the venue said reaches the status in a few words."""
    feed = feed_of(venue)
    venue.fail("klines", status(502))
    with pytest.raises(FeedError, match="HTTP 502") as caught:
        feed.closed_bars("BTCUSDT", venue.now_ms - 5 * HOUR_MS, venue.now_ms)
    assert isinstance(caught.value.__cause__, SourceError)
    venue.fail("klines", status(429, 30.0))
    with pytest.raises(FeedError) as limited:
        feed.closed_bars("BTCUSDT", venue.now_ms - 5 * HOUR_MS, venue.now_ms)
    assert limited.value.retry_after_s == 30.0
    with pytest.raises(FeedError, match="asked for a pause"):
        feed.closed_bars("ETHUSDT", venue.now_ms - 5 * HOUR_MS, venue.now_ms)


def test_the_command_runs_ends_with_a_signal_and_goes_on(
    tmp_path: Path, venue: FakeExchange, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM after the warm-up ends it cleanly with a summary; started again it makes up for three bars."""
    monkeypatch.setenv("QUANTUM_TRADER_EXCHANGE_URL", venue.url)

    def loaded(self: Live, plan: Plan | None = None, clock: VenueClock | None = None) -> Arbiter:
        usual = Plan(exchange="", timeframe="1h", rules=RULES, contracts={})
        return make_arbiter(plan or usual, clock or VenueClock(lambda: 0))

    monkeypatch.setattr(Live, "_loaded", loaded)
    folder = tmp_path / "state"

    write = run.write_status

    def end_it(status: Status, folder: Path) -> None:
        write(status, folder)
        if status.symbols[0].last_bar:
            monkeypatch.setattr(run, "write_status", write)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(run, "write_status", end_it)
    command = Live(
        run_folder=tmp_path,
        symbols="BTCUSDT, ETHUSDT",
        state=folder,
        leverage=3.0,
        requests_per_second=1e3,
        loop=replace(LOOP, bars=3),
    )
    command.run()
    said = capsys.readouterr().err
    assert "warmed up 2 symbols" in said
    assert "together" in said
    assert journaled(folder, "BTCUSDT") == ([], [])
    venue.now_ms += 3 * HOUR_MS
    command.run()
    assert "2 bars before it made up for" in capsys.readouterr().err
    assert len(journaled(folder, "ETHUSDT")[0]) == 3
    with pytest.raises(ConfigError, match="found 4"):
        replace(command, leverage=4.0).run()
