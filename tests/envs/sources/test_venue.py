"""The client: it reads, keeps the pace, notices broken answers, and can do nothing else."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.sources.client import URL_VARIABLE, open_venue
from quantum_trader.envs.sources.errors import SourceError
from quantum_trader.envs.sources.retry import Retry
from quantum_trader.envs.sources.venue import Venue

from ...fake_exchange.faults import CUT, DISCONNECT, FOREIGN, HTML, TRUNCATED, status
from ...fake_exchange.server import FakeExchange
from .conftest import HOUR_MS, START_MS


@pytest.fixture
def reader(venue: FakeExchange, retry: Retry) -> Venue:
    return open_venue(url=venue.url, retry=retry)


def test_the_venue_offers_reading_and_nothing_else(reader: Venue) -> None:
    """A method that trades would have to be added here and to this list."""
    public = {name for name in dir(reader) if not name.startswith("_")}
    assert public == {
        "candles", "check_timeframe", "exchange", "funding", "instrument", "mark_candles", "now_ms",
    }  # fmt: skip


@pytest.mark.parametrize(
    "attempt",
    [
        lambda client: client.create_order("BTC/USDT:USDT", "market", "buy", 1),
        lambda client: client.cancel_all_orders("BTC/USDT:USDT"),
        lambda client: client.set_leverage(5, "BTC/USDT:USDT"),
        lambda client: client.fetch_balance(),
        lambda client: client.fapiPrivatePostOrder({"symbol": "BTCUSDT"}),
        lambda client: client.withdraw("USDT", 1, "0x0"),
    ],
    ids=["order", "cancel", "leverage", "balance", "raw", "withdraw"],
)
def test_even_the_client_within_cannot_sign_anything(
    venue: FakeExchange, reader: Venue, attempt: Any
) -> None:
    """With keys forced upon it, it still refuses before a request leaves: orders are impossible."""
    import ccxt

    client = reader._client
    client.apiKey, client.secret = "key", "secret"
    reader.instrument("BTCUSDT")
    venue.forget()
    with pytest.raises(ccxt.NotSupported, match="signs nothing"):
        attempt(client)
    assert not [request for request in venue.requests if request.path != "/fapi/v1/exchangeInfo"]


def test_keys_in_the_environment_are_not_read(
    venue: FakeExchange, retry: Retry, monkeypatch: pytest.MonkeyPatch, bars: Bars
) -> None:
    """Requests carry no key, whatever the shell holds."""
    for name in ("BINANCEUSDM_APIKEY", "BINANCE_API_KEY", "BINANCEUSDM_SECRET"):
        monkeypatch.setenv(name, "secret-value")
    reader = open_venue(url=venue.url, retry=retry)
    reader.candles(reader.instrument("BTCUSDT"), "1h", START_MS)
    assert all(request.method == "GET" for request in venue.requests)
    assert "secret-value" not in str([request.headers for request in venue.requests])
    assert not any("x-mbx-apikey" in request.headers for request in venue.requests)


@pytest.mark.parametrize("name", ["BTCUSDT", "BTC/USDT:USDT"])
def test_a_market_is_found_by_either_name(reader: Venue, name: str) -> None:
    """The venue's id and ccxt's unified symbol are the same instrument and file."""
    found = reader.instrument(name)
    assert (found.symbol, found.name) == ("BTC/USDT:USDT", "BTCUSDT")
    assert (found.listed_ms, found.has_funding, found.has_mark) == (START_MS, True, True)


def test_unknown_names_are_refused_with_the_nearest_known(reader: Venue) -> None:
    """Symbols, timeframes and exchanges."""
    with pytest.raises(ConfigError, match="no market 'BTCUSD'; did you mean BTCUSDT"):
        reader.instrument("BTCUSD")
    with pytest.raises(ConfigError, match="timeframe '7h' is unknown; choose one of 1m, 3m"):
        reader.check_timeframe("7h")
    with pytest.raises(ConfigError, match=r"exchange 'binanceusd' is not one of ccxt's .* binanceusdm"):
        open_venue("binanceusd")
    with pytest.raises(ConfigError, match="expected a URL"):
        open_venue(url="fapi.binance.com")


@pytest.mark.parametrize(
    "exchange", ["binanceusdm", "bybit", "okx", "kraken", "gate", "bitget", "hyperliquid"]
)
def test_another_host_takes_the_place_of_every_address(exchange: str) -> None:
    """Whatever the shape of ccxt's table: text, nested dicts, or hosts with a placeholder."""
    reader = open_venue(exchange, url="http://127.0.0.1:9/ignored/path")

    def addresses(urls: Any) -> list[str]:
        return (
            [address for value in urls.values() for address in addresses(value)]
            if isinstance(urls, dict)
            else [urls]
        )

    assert all(address.startswith("http://127.0.0.1:9") for address in addresses(reader._client.urls["api"]))


def test_an_address_that_escaped_is_stopped_before_it_is_asked(reader: Venue) -> None:
    """ccxt ignores some keys of its table: the address is checked at the last moment."""
    with pytest.raises(
        ConfigError, match=r"would have asked https://fapi\.binance\.com/fapi/v1/time, not http"
    ):
        reader._client.fetch("https://fapi.binance.com/fapi/v1/time?x=1")


def test_the_environment_can_lead_to_another_host(
    venue: FakeExchange, retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QUANTUM_TRADER_EXCHANGE_URL does what `url` does, and `url` wins."""
    monkeypatch.setenv(URL_VARIABLE, venue.url)
    assert open_venue(retry=retry).now_ms() == venue.now_ms
    with pytest.raises(SourceError):
        open_venue(url="http://127.0.0.1:9", retry=retry).now_ms()


@pytest.mark.parametrize(
    "fault",
    [status(500), status(503), status(429, 2), status(418, 2), TRUNCATED, CUT, DISCONNECT, HTML],
    ids=lambda fault: f"{fault.kind}{fault.status if fault.kind == 'status' else ''}",
)
def test_failures_that_pass_are_asked_again(
    venue: FakeExchange, reader: Venue, bars: Bars, pauses: list[float], fault: Any
) -> None:
    """Two failures in a row change nothing about the answer; a wait that the venue asks for is kept."""
    instrument = reader.instrument("BTCUSDT")
    venue.fail("klines", fault, times=2)
    pauses.clear()
    rows, until = reader.candles(instrument, "1h", START_MS, 7)
    np.testing.assert_array_equal(rows[:, 4], bars.close[:7])
    assert until == START_MS + 7 * HOUR_MS
    assert len(venue.asked("klines")) == 3
    waits = [pause for pause in pauses if pause >= 1.0]
    assert waits == ([2.0, 2.0] if fault.retry_after_s else [1.0, 2.0])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (status(451), "HTTP 451: not served to this place"),
        (status(403), "refuses candles of BTCUSDT"),
        (status(418, 86_400), "asks to wait 86,400 s"),
    ],
    ids=["451", "403", "418"],
)
def test_failures_that_stay_are_not_asked_again(
    venue: FakeExchange, reader: Venue, fault: Any, message: str
) -> None:
    """One request, one sentence."""
    instrument = reader.instrument("BTCUSDT")
    venue.fail("klines", fault, times=9)
    with pytest.raises(SourceError, match=message):
        reader.candles(instrument, "1h", START_MS)
    assert len(venue.asked("klines")) == 1


def test_an_outage_ends_after_the_last_attempt(venue: FakeExchange, reader: Venue) -> None:
    """With the reason in the sentence."""
    instrument = reader.instrument("BTCUSDT")
    venue.fail("klines", status(502), times=9)
    with pytest.raises(SourceError, match=r"no usable answer in 3 attempts \(.*HTTP 502\)"):
        reader.candles(instrument, "1h", START_MS)


def test_a_stale_retry_after_is_not_taken_for_the_next_failure(
    venue: FakeExchange, reader: Venue, pauses: list[float]
) -> None:
    """A connection that breaks has no headers: those of an earlier answer do not count."""
    instrument = reader.instrument("BTCUSDT")
    venue.fail("klines", status(429, 40), times=1)
    venue.fail("klines", DISCONNECT, times=1)
    reader.candles(instrument, "1h", START_MS)
    assert [pause for pause in pauses if pause >= 1.0] == [40.0, 2.0]


def test_rates_of_another_symbol_are_not_taken(venue: FakeExchange, reader: Venue) -> None:
    """ccxt drops rows of other symbols, and an empty page is asked for again by the reader of pages."""
    venue.fail("fundingRate", FOREIGN)
    rows, _ = reader.funding(reader.instrument("BTCUSDT"), START_MS)
    assert len(rows) == 0


def test_the_pace_is_the_exchanges_and_does_not_hang_on_the_wall_clock(
    venue: FakeExchange, reader: Venue, pauses: list[float]
) -> None:
    """After a request of weight 5 the next one waits 5 times the exchange's 50 ms."""
    instrument = reader.instrument("BTCUSDT")
    client = reader._client
    client.clock, client.free_at_s = lambda: 1_000.0, 0.0
    pauses.clear()
    reader.candles(instrument, "1h", START_MS, 1_000)
    reader.candles(instrument, "1h", START_MS, 10)
    reader.candles(instrument, "1h", START_MS, 10)
    assert pauses == pytest.approx([0.25, 0.05])


def test_without_ccxt_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is said as what to install."""
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "ccxt":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.delitem(sys.modules, "ccxt")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r'pip install "quantum-trader\[live\]"'):
        open_venue()
