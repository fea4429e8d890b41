"""Venues whose pages differ from Binance's: windows of time, newest rows first, small limits, no clock."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.sources.errors import SourceError
from quantum_trader.envs.sources.ranges import read_candles, read_funding, read_marks
from quantum_trader.envs.sources.retry import Retry
from quantum_trader.envs.sources.venue import Instrument, Venue

HOUR = 3_600_000


class OtherClient:
    """A stand-in for a ccxt client: candle t closes at t; rates settle every 8 hours, rate = hour / 1e6."""

    id = "other"
    timeframes = {"1h": "60"}  # noqa: RUF012
    last_status = None

    def __init__(self, hours: int, *, limit: int = 7, **has: bool) -> None:
        self.hours = hours
        self.limit = limit
        self.has: dict[str, Any] = {"fetchFundingRateHistory": True, **has}
        spot = {"symbol": "BTC/USDT", "id": "BTC-USDT", "base": "BTC", "quote": "USDT", "spot": True}
        swap = {**spot, "symbol": "BTC/USDT:USDT", "spot": False, "swap": True, "linear": True}
        dated = {**swap, "symbol": "BTC/USDT:USDT-240628", "id": "BTC/240628.X", "swap": False}
        self.markets = {market["symbol"]: market for market in (spot, swap, dated)}
        self.markets_by_id = {"BTC-USDT": [spot, swap]}

    def load_markets(self) -> dict[str, Any]:
        return self.markets

    def feature_value(self, symbol: str, method: str, name: str) -> int | None:
        return self.limit if name == "limit" else None

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[list[float]]:
        """A window of `limit` hours from `since` on, newest first."""
        hours = range(-(-since // HOUR), min(-(-since // HOUR) + limit, self.hours))
        return [[hour * HOUR, 1, 2, 0.5, float(hour), 3] for hour in reversed(hours)]

    def fetch_funding_rate_history(
        self, symbol: str, since: int, limit: int, params: dict[str, int]
    ) -> list[Any]:
        """The NEWEST rows of a window: without its end, older ones would be missing."""
        end = params.get("until", 2**60)
        stamps = [hour * HOUR for hour in range(0, self.hours, 8) if since <= hour * HOUR <= end]
        return [{"timestamp": stamp, "fundingRate": stamp / HOUR / 1e6} for stamp in stamps[-limit:]]


def open_other(client: OtherClient) -> tuple[Venue, Instrument]:
    venue = Venue(client, Retry(sleep=lambda seconds: None))
    return venue, venue.instrument("BTC/USDT:USDT")


def test_windows_of_candles_newest_first_come_whole_and_ascending() -> None:
    """Pages of seven, in whatever order."""
    venue, instrument = open_other(OtherClient(100))
    rows = read_candles(venue, instrument, "1h", 3 * HOUR, 90 * HOUR)
    assert rows[:, 4].tolist() == [float(hour) for hour in range(3, 90)]


def test_funding_of_a_venue_that_gives_the_newest_rows_has_no_hole() -> None:
    """2,000 hours are 250 settlements, more than a page of 100."""
    venue, instrument = open_other(OtherClient(2_000))
    rows = read_funding(venue, instrument, 0, 2_000 * HOUR)
    assert rows[:, 0].tolist() == [hour * HOUR for hour in range(0, 2_000, 8)]
    np.testing.assert_allclose(rows[:, 1], rows[:, 0] / HOUR / 1e6)


def test_what_a_venue_does_not_have_is_not_asked_for() -> None:
    """No mark prices, no funding, no clock."""
    venue, instrument = open_other(OtherClient(10, fetchFundingRateHistory=False))
    assert not instrument.has_mark
    assert not instrument.has_funding
    assert read_marks(venue, instrument, "1h", 0, 9 * HOUR).shape == (0, 5)
    assert read_funding(venue, instrument, 0, 9 * HOUR).shape == (0, 2)
    assert venue.now_ms() > 1_700_000_000_000
    with pytest.raises(ConfigError, match="other has no bars of '4h'; it has 1h"):
        venue.check_timeframe("4h")


def test_a_name_of_several_markets_means_the_perpetual() -> None:
    """The unified symbol of the spot market still means the spot market, which has no funding."""
    venue, _ = open_other(OtherClient(10))
    assert venue.instrument("BTC-USDT").symbol == "BTC/USDT:USDT"
    assert venue.instrument("BTCUSDT").symbol == "BTC/USDT:USDT"
    assert venue.instrument("BTC/USDT").has_funding is False


def test_the_name_of_a_dated_market_is_safe_as_a_files_name() -> None:
    """No slash and no dot: the name of a file ends at its first dot."""
    venue, _ = open_other(OtherClient(10))
    assert venue.instrument("BTC/USDT:USDT-240628").name == "BTC240628X"


@pytest.mark.parametrize(
    "answer",
    [None, "text", [[None, 1, 1, 1, 1, 1]], [["x", 1, 1, 1, 1, 1]], [[0, "?", 1, 1, 1, 1]], [3], {"a": 1}],
    ids=["none", "text", "no time", "words", "no number", "no row", "dict"],
)
def test_an_answer_of_another_shape_is_a_sentence_and_no_traceback(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for again first: such answers come from overloaded servers."""
    client = OtherClient(10)
    venue, instrument = open_other(client)
    monkeypatch.setattr(client, "fetch_ohlcv", lambda *arguments: answer)
    with pytest.raises(SourceError, match="other gave no usable answer in 6 attempts"):
        venue.candles(instrument, "1h", 0)


def test_an_empty_list_of_markets_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than to say that there is no such market."""
    client = OtherClient(10)
    answers = [{}, client.markets]
    monkeypatch.setattr(client, "load_markets", lambda: answers.pop(0))
    assert open_other(client)[1].name == "BTCUSDT"
