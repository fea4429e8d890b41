"""The venue that the other tests trust: to ccxt it looks like the real one, with only urls changed."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import urllib.error
import urllib.request
import zipfile
from typing import Any

import ccxt
import numpy as np
import pytest

from quantum_trader.envs.bars import Bars

from ...fake_exchange.archive import FUNDING_HEADER, KLINE_HEADER, ArchiveSettings
from ...fake_exchange.faults import (
    CORRUPT,
    CUT,
    DISCONNECT,
    EMPTY,
    FOREIGN,
    HTML,
    PARTIAL,
    TRUNCATED,
    slow,
    status,
)
from ...fake_exchange.server import FakeExchange
from .conftest import HOUR_MS, START_MS

MONTHLY = "/data/futures/um/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2020-01.zip"


def client(venue: FakeExchange) -> Any:
    return ccxt.binanceusdm({"urls": {"api": venue.ccxt_urls()}, "enableRateLimit": False})


def get(venue: FakeExchange, path: str) -> bytes:
    with urllib.request.urlopen(f"{venue.url}{path}", timeout=300) as answer:
        return bytes(answer.read())


def refused(venue: FakeExchange, path: str) -> dict[str, Any]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(venue, path)
    return {"status": caught.value.code, **json.loads(caught.value.read())}


def lines_of(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0]).decode().splitlines()


def test_the_guard_of_this_folder_stops_connections_to_other_hosts() -> None:
    """Neither an address nor a name of another machine is reached."""
    with socket.socket() as probe, pytest.raises(AssertionError, match="tried to connect"):
        probe.connect(("192.0.2.1", 80))
    with pytest.raises(AssertionError, match="tried to look up"):
        socket.create_connection(("fapi.binance.com", 443), timeout=0.1)


def test_ccxt_reads_bars_marks_and_funding_with_only_its_urls_changed(
    venue: FakeExchange, bars: Bars
) -> None:
    """Every number comes back to the bit, and every request that ccxt made is in the venue's log."""
    exchange = client(venue)
    candles = np.array(exchange.fetch_ohlcv("BTC/USDT:USDT", "1h", START_MS, 50))
    marks = np.array(exchange.fetch_mark_ohlcv("BTC/USDT:USDT", "1h", START_MS, 50))
    rates = exchange.fetch_funding_rate_history("BTC/USDT:USDT", START_MS, 3)
    for column, name in enumerate(("timestamp", "open", "high", "low", "close", "volume")):
        np.testing.assert_array_equal(candles[:, column], getattr(bars, name)[:50])
    for column, name in enumerate(("mark_open", "mark_high", "mark_low", "mark_close"), start=1):
        np.testing.assert_array_equal(marks[:, column], getattr(bars, name)[:50])
    assert [rate["fundingRate"] for rate in rates] == list(bars.funding_rate[[0, 8, 16]])
    assert [request.path for request in venue.requests] == [
        "/fapi/v1/exchangeInfo",
        "/fapi/v1/klines",
        "/fapi/v1/markPriceKlines",
        "/fapi/v1/fundingRate",
    ]


def test_every_address_of_ccxt_leads_to_the_venue(venue: FakeExchange) -> None:
    """No key of ccxt's table is forgotten, nested or not, in this version of ccxt."""
    untouched = ccxt.binanceusdm().urls["api"]
    assert set(untouched) == set(venue.ccxt_urls())
    assert all(str(url).startswith(venue.url) for url in client(venue).urls["api"].values())


def test_the_market_is_a_linear_perpetual_with_its_limits(venue: FakeExchange) -> None:
    """What ccxt makes of the market's entry is what it makes of the real one."""
    market = client(venue).load_markets()["BTC/USDT:USDT"]
    assert market["id"] == "BTCUSDT"
    assert market["swap"]
    assert market["linear"]
    assert market["active"]
    assert market["contractSize"] == 1.0
    assert market["precision"] == {
        "amount": 0.001,
        "price": 0.0001,
        "base": 1e-8,
        "quote": 1e-8,
    }
    assert market["limits"]["cost"]["min"] == 5.0


def test_the_newest_bar_is_open_and_still_changes(venue: FakeExchange, bars: Bars) -> None:
    """At half an hour the bar exists, with half its volume; later bars do not."""
    venue.now_ms = START_MS + 10 * HOUR_MS + HOUR_MS // 2
    rows = client(venue).fetch_ohlcv("BTC/USDT:USDT", "1h", START_MS, 50)
    assert len(rows) == 11
    assert rows[-1][0] == bars.timestamp[10]
    assert rows[-1][5] == pytest.approx(bars.volume[10] / 2)
    assert rows[-1][4] != bars.close[10]
    assert rows[-2][4] == bars.close[9]


def test_pages_have_the_venues_limits(venue: FakeExchange) -> None:
    """Klines: 500 by default, 1500 at most; funding: 100 by default, 1000 at most; more is refused."""
    klines = "/fapi/v1/klines?symbol=BTCUSDT&interval=1h"
    assert len(json.loads(get(venue, klines))) == 500
    assert len(json.loads(get(venue, f"{klines}&limit=1500"))) == 1500
    assert refused(venue, f"{klines}&limit=1501")["code"] == -1130
    funding = f"/fapi/v1/fundingRate?symbol=BTCUSDT&startTime={START_MS}"
    assert len(json.loads(get(venue, funding))) == 100
    assert refused(venue, f"{funding}&limit=1001")["code"] == -1130


def test_errors_have_the_venues_codes(venue: FakeExchange) -> None:
    """Unknown symbol, unknown interval, missing symbol."""
    assert refused(venue, "/fapi/v1/klines?symbol=NOUSDT&interval=1h") == {
        "status": 400,
        "code": -1121,
        "msg": "Invalid symbol.",
    }
    assert refused(venue, "/fapi/v1/klines?symbol=BTCUSDT&interval=7h")["code"] == -1120
    assert refused(venue, "/fapi/v1/klines?interval=1h")["code"] == -1102


def test_premium_index_and_clock_follow_the_venues_time(venue: FakeExchange, bars: Bars) -> None:
    """One symbol is an object, all are a list; the next settlement lies ahead."""
    venue.now_ms = START_MS + 9 * HOUR_MS
    one = json.loads(get(venue, "/fapi/v1/premiumIndex?symbol=BTCUSDT"))
    assert float(one["lastFundingRate"]) == bars.funding_rate[8]
    assert one["nextFundingTime"] == START_MS + 16 * HOUR_MS
    assert [entry["symbol"] for entry in json.loads(get(venue, "/fapi/v1/premiumIndex"))] == ["BTCUSDT"]
    assert json.loads(get(venue, "/fapi/v1/time")) == {"serverTime": venue.now_ms}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (status(500), ccxt.ExchangeNotAvailable),
        (status(502), ccxt.ExchangeNotAvailable),
        (status(429, 3), ccxt.DDoSProtection),
        (status(418, 60), ccxt.DDoSProtection),
        (CUT, ccxt.NetworkError),
        (DISCONNECT, ccxt.NetworkError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or f"{value.kind}{value.status}",
)
def test_a_fault_that_is_heard_raises_in_ccxt_once(
    venue: FakeExchange, fault: Any, expected: type[Exception]
) -> None:
    """The scheduled request fails, the next is answered rightly."""
    exchange = client(venue)
    venue.fail("klines", fault)
    with pytest.raises(expected):
        exchange.fetch_ohlcv("BTC/USDT:USDT", "1h", START_MS, 5)
    if fault.retry_after_s is not None:
        assert float(exchange.last_response_headers["Retry-After"]) == fault.retry_after_s
    assert len(exchange.fetch_ohlcv("BTC/USDT:USDT", "1h", START_MS, 5)) == 5


@pytest.mark.parametrize(
    ("fault", "rows"),
    [(TRUNCATED, 0), (HTML, 0), (EMPTY, 0), (PARTIAL, 3), (slow(0.01), 9)],
    ids=lambda v: getattr(v, "kind", ""),
)
def test_faults_that_ccxt_itself_does_not_notice(venue: FakeExchange, fault: Any, rows: int) -> None:
    """Why our client looks closer: plain ccxt takes broken JSON and HTML for an empty list."""
    exchange = client(venue)
    venue.fail("klines", fault)
    assert len(exchange.fetch_ohlcv("BTC/USDT:USDT", "1h", START_MS, 9)) == rows


def test_another_symbols_rows_in_answer(venue: FakeExchange) -> None:
    """The scheduled answer is of another symbol."""
    venue.fail("fundingRate", FOREIGN)
    rows = json.loads(get(venue, "/fapi/v1/fundingRate?symbol=BTCUSDT"))
    assert {row["symbol"] for row in rows} == {"ETHUSDT"}


def test_faults_are_counted_and_skipped(venue: FakeExchange) -> None:
    """`skip` right answers first, then `times` wrong ones; the log names each."""
    venue.fail("time", status(503), times=2, skip=1)
    for fails in (False, True, True, False):
        if fails:
            with pytest.raises(urllib.error.HTTPError):
                get(venue, "/fapi/v1/time")
        else:
            get(venue, "/fapi/v1/time")
    assert [request.fault for request in venue.asked("time")] == ["", "status", "status", ""]


def test_archive_files_and_their_checksums(venue: FakeExchange, bars: Bars) -> None:
    """A month's file without a header as in 2020, its SHA-256 beside it; 404 before the listing."""
    content = get(venue, MONTHLY)
    assert get(venue, f"{MONTHLY}.CHECKSUM").decode() == (
        f"{hashlib.sha256(content).hexdigest()}  BTCUSDT-1h-2020-01.zip\n"
    )
    lines = lines_of(content)
    assert len(lines) == 31 * 24
    assert lines[0].split(",")[0] == str(START_MS)
    assert float(lines[5].split(",")[4]) == bars.close[5]
    for missing in ("2019-12", "2020-12"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(venue, MONTHLY.replace("2020-01", missing))


def test_archive_peculiarities(bars: Bars) -> None:
    """Headers, microseconds, holes, funding files, daily files; a corrupted zip differs from its checksum."""
    settings = ArchiveSettings(
        header_from_ms=0,
        microseconds_from_ms=0,
        holes={"BTCUSDT-1h-2020-01.zip": (START_MS, START_MS + HOUR_MS)},
    )
    with FakeExchange({"BTCUSDT": bars}, archive=settings) as venue:
        lines = lines_of(get(venue, MONTHLY))
        assert lines[0] == KLINE_HEADER
        assert lines[1].split(",")[0] == str((START_MS + HOUR_MS) * 1000)
        funding = lines_of(
            get(venue, "/data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2020-01.zip")
        )
        assert funding[0] == FUNDING_HEADER
        assert len(funding) == 1 + 31 * 3
        daily = MONTHLY.replace("monthly", "daily").replace("2020-01", "2020-01-31")
        assert len(lines_of(get(venue, daily))) == 1 + 24
        right = get(venue, daily)
        venue.fail(".zip", CORRUPT)
        assert get(venue, daily) != right
