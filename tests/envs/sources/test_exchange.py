from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.load import read_bars
from quantum_trader.envs.sources.client import open_venue
from quantum_trader.envs.sources.errors import SourceError
from quantum_trader.envs.sources.exchange import ExchangeSource
from quantum_trader.envs.sources.fetch import FetchReport, FetchRequest, fetch_symbol
from quantum_trader.envs.sources.retry import Retry, RetryConfig

from ...fake_exchange.faults import CUT, DISCONNECT, EMPTY, FOREIGN, HTML, PARTIAL, TRUNCATED, status
from ...fake_exchange.server import FakeExchange, Request
from .conftest import HOUR_MS, START_MS

HOURLY = FetchRequest(step_ms=HOUR_MS)


@pytest.fixture
def fetch(venue: FakeExchange, retry: Retry, tmp_path: Path) -> Any:
    """fetch(request, symbol="BTCUSDT", **options of ExchangeSource) -> FetchReport."""

    def run(request: FetchRequest = HOURLY, symbol: str = "BTCUSDT", **options: bool) -> FetchReport:
        source = ExchangeSource(open_venue(url=venue.url, retry=retry), symbol, "1h", **options)
        return fetch_symbol(source, request, tmp_path)

    return run


def pages(venue: FakeExchange) -> list[Request]:
    """Requests for data, in order; the look-up of the first bar, a page of one, is none."""
    data = ("klines", "markPriceKlines", "fundingRate")
    return [r for r in venue.requests if r.endpoint in data and r.query["limit"] != "1"]


def kinds(venue: FakeExchange) -> list[str]:
    """Endpoints asked for data, in order."""
    return [request.endpoint for request in pages(venue)]


def test_a_fetched_file_holds_the_venues_bars_to_the_bit(fetch: Any, bars: Bars, tmp_path: Path) -> None:
    """Prices, volume, funding and mark prices; nothing but the file is left."""
    report = fetch()
    assert read_bars(tmp_path / "BTCUSDT.parquet").digest == bars.digest
    assert report.added == len(bars)
    assert report.notes == report.differing == ()
    assert report.gaps.gaps == 0
    assert [path.name for path in tmp_path.iterdir()] == ["BTCUSDT.parquet"]


def test_an_open_bar_is_never_taken(fetch: Any, venue: FakeExchange, bars: Bars) -> None:
    """One millisecond before its close it is not there, at its close it is."""
    venue.now_ms = START_MS + 100 * HOUR_MS - 1
    assert len(fetch().bars) == 99
    venue.now_ms += 1
    report = fetch()
    assert len(report.bars) == 100
    assert report.bars.digest == replace(bars[:100]).digest


@pytest.mark.parametrize(
    "fault",
    [status(500), status(429, 1), TRUNCATED, CUT, DISCONNECT, HTML],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
def test_no_fault_that_passes_changes_the_file(
    fetch: Any, venue: FakeExchange, bars: Bars, fault: Any
) -> None:
    """Whatever fails twice in a row, on every kind of request: the same bars come out."""
    for endpoint in ("exchangeInfo", "time", "/klines", "markPriceKlines", "fundingRate"):
        venue.fail(endpoint, fault, times=2)
    assert fetch().bars.digest == bars.digest


@pytest.mark.parametrize("fault", [EMPTY, PARTIAL], ids=lambda fault: fault.kind)
@pytest.mark.parametrize("skip", [0, 2])
def test_short_and_empty_pages_lose_nothing(
    fetch: Any, venue: FakeExchange, bars: Bars, fault: Any, skip: int
) -> None:
    """A page that is shorter than asked for, or empty by mistake, does not end the history."""
    for endpoint in ("/klines", "markPriceKlines", "fundingRate"):
        venue.fail(endpoint, fault, skip=skip)
    assert fetch().bars.digest == bars.digest


def test_rates_of_another_symbol_are_asked_for_again(fetch: Any, venue: FakeExchange, bars: Bars) -> None:
    """Rows of another symbol are no rows of this one."""
    venue.fail("fundingRate", FOREIGN)
    assert fetch().bars.digest == bars.digest


def test_work_that_was_cut_off_goes_on_where_it_stopped(
    fetch: Any, venue: FakeExchange, bars: Bars, tmp_path: Path
) -> None:
    """No request that was answered is sent again, and no file is there before everything is."""
    venue.fail("klines", status(451), skip=2)
    with pytest.raises(SourceError):
        fetch()
    assert [path.name for path in tmp_path.iterdir()] == [".BTCUSDT.fetch"]
    answered = {(r.path, str(r.query)) for r in pages(venue) if r.status == 200}
    venue.forget()
    assert fetch().bars.digest == bars.digest
    again = {(r.path, str(r.query)) for r in pages(venue)}
    assert answered
    assert not answered & again


def test_a_damaged_piece_is_asked_for_again(
    fetch: Any, venue: FakeExchange, bars: Bars, tmp_path: Path
) -> None:
    """A file of the cut-off work that cannot be read costs a request, not the bars."""
    venue.fail("markPriceKlines", status(451))
    with pytest.raises(SourceError):
        fetch()
    pieces = sorted((tmp_path / ".BTCUSDT.fetch").glob("bars-*.npy"))
    pieces[0].write_bytes(pieces[0].read_bytes()[:40])
    venue.forget()
    assert fetch().bars.digest == bars.digest
    assert kinds(venue).count("klines") == 1


def test_pieces_of_other_work_are_never_mixed_in(
    fetch: Any, venue: FakeExchange, retry: Retry, tmp_path: Path
) -> None:
    """Pieces of one market are thrown away when the same file is fetched from another source."""
    venue.fail("markPriceKlines", status(451))
    with pytest.raises(SourceError):
        fetch()
    plan = tmp_path / ".BTCUSDT.fetch" / "plan.json"
    plan.write_text(plan.read_text().replace("binanceusdm", "bybit"))
    venue.forget()
    fetch()
    assert kinds(venue).count("klines") == 3


def test_a_second_run_asks_only_for_what_is_new(fetch: Any, venue: FakeExchange, bars: Bars) -> None:
    """One request of each kind for the bars since; the old part of the file stays to the bit."""
    venue.now_ms = START_MS + 2_000 * HOUR_MS
    fetch()
    venue.now_ms = START_MS + 2_010 * HOUR_MS
    venue.forget()
    report = fetch()
    assert report.added == 10
    assert report.bars.digest == bars[:2_010].digest
    assert set(kinds(venue)) == {"klines", "markPriceKlines", "fundingRate"}
    assert all(int(r.query["startTime"]) >= START_MS + 1_999 * HOUR_MS for r in venue.asked("Klines"))
    venue.forget()
    assert fetch().added == 0
    assert kinds(venue) == []


def test_nothing_new_leaves_the_file_alone(fetch: Any, tmp_path: Path) -> None:
    """Not even its time of change moves."""
    fetch()
    before = (tmp_path / "BTCUSDT.parquet").stat().st_mtime_ns
    fetch()
    assert (tmp_path / "BTCUSDT.parquet").stat().st_mtime_ns == before


def test_an_earlier_start_puts_bars_in_front(fetch: Any, bars: Bars) -> None:
    """The file grows to the front without touching what it has."""
    fetch(replace(HOURLY, start_ms=START_MS + 500 * HOUR_MS))
    report = fetch(replace(HOURLY, start_ms=START_MS + 100 * HOUR_MS))
    assert report.added == 400
    assert report.bars.digest == bars[100:].digest


def test_a_later_start_leaves_no_hole_behind_the_file(fetch: Any, bars: Bars) -> None:
    """Bars are appended from the file's end on, even where a later start is asked for."""
    fetch(replace(HOURLY, end_ms=START_MS + 300 * HOUR_MS))
    report = fetch(replace(HOURLY, start_ms=START_MS + 900 * HOUR_MS))
    assert report.bars.digest == bars.digest


def test_start_and_end_are_kept(fetch: Any, bars: Bars) -> None:
    """From the start on, up to and without the end."""
    report = fetch(replace(HOURLY, start_ms=START_MS + 10 * HOUR_MS, end_ms=START_MS + 20 * HOUR_MS))
    assert report.bars.digest == bars[10:20].digest


def test_a_start_before_the_listing_is_said(fetch: Any) -> None:
    """The history begins where it begins, and the user learns it."""
    report = fetch(replace(HOURLY, start_ms=START_MS), symbol="ETHUSDT")
    assert int(report.bars.timestamp[0]) == START_MS + 1_000 * HOUR_MS
    assert report.notes == ("the history begins on 2020-02-11 16:00 UTC, not on 2020-01-01",)


def test_bars_that_the_venue_gives_differently_are_reported_and_stay(
    fetch: Any, venue: FakeExchange, bars: Bars, tmp_path: Path
) -> None:
    """With --check; without it the past is not asked for at all."""
    fetch()
    close = bars.close.copy()
    close[7] = bars.low[7]
    venue.set_bars("BTCUSDT", replace(bars, close=close))
    assert fetch().differing == ()
    report = fetch(replace(HOURLY, check=True))
    assert report.added == 0
    assert len(report.differing) == 1
    assert report.differing[0].startswith("2020-01-01 07:00 UTC: close ")
    assert read_bars(tmp_path / "BTCUSDT.parquet").digest == bars.digest


def test_gaps_are_kept_counted_and_filled_only_when_the_venue_has_the_bars(
    fetch: Any, venue: FakeExchange, bars: Bars
) -> None:
    """Five bars missing are a gap of five; --check fills it once they are there."""
    keep = np.r_[0:1_200, 1_205:2_500]
    columns = {
        name: getattr(bars, name)[keep] for name in vars(bars) if isinstance(getattr(bars, name), np.ndarray)
    }
    venue.set_bars("BTCUSDT", replace(bars, **columns))
    report = fetch()
    assert (report.gaps.gaps, report.gaps.missing, len(report.bars)) == (1, 5, 2_495)
    venue.set_bars("BTCUSDT", bars)
    assert fetch().added == 0
    filled = fetch(replace(HOURLY, check=True))
    assert filled.added == 5
    assert filled.bars.digest == bars.digest


def test_without_funding_or_marks_they_are_not_asked_for(fetch: Any, venue: FakeExchange) -> None:
    """Their columns are empty, and the last price stands in for the mark."""
    report = fetch(funding=False, mark=False)
    assert set(kinds(venue)) == {"klines"}
    assert np.isnan(report.bars.funding_rate).all()
    np.testing.assert_array_equal(report.bars.mark_close, report.bars.close)


def test_a_file_of_another_timeframe_is_not_touched(fetch: Any, tmp_path: Path) -> None:
    """Bars of two lengths never end up in one file."""
    fetch()
    before = (tmp_path / "BTCUSDT.parquet").read_bytes()
    with pytest.raises(DataError, match="expected bars of 0 days 00:05:00, found 0 days 01:00:00"):
        fetch(FetchRequest(step_ms=300_000))
    assert (tmp_path / "BTCUSDT.parquet").read_bytes() == before


def test_a_time_without_bars_is_an_error_of_one_sentence(fetch: Any, tmp_path: Path) -> None:
    """And leaves nothing behind."""
    with pytest.raises(DataError, match="no closed bars of BTCUSDT in that time, expected 2 at least"):
        fetch(replace(HOURLY, start_ms=START_MS + 9_000 * HOUR_MS))
    assert list(tmp_path.iterdir()) == []


def test_unknown_symbol_and_timeframe_are_refused_at_once(venue: FakeExchange, retry: Retry) -> None:
    """Before any bar is asked for."""
    reader = open_venue(url=venue.url, retry=retry)
    with pytest.raises(ConfigError, match="no market 'NOUSDT'"):
        ExchangeSource(reader, "NOUSDT", "1h")
    with pytest.raises(ConfigError, match="timeframe '90m' is unknown"):
        ExchangeSource(reader, "BTCUSDT", "90m")
    assert kinds(venue) == []


def test_progress_counts_pieces_up_to_all_of_them(venue: FakeExchange, retry: Retry, tmp_path: Path) -> None:
    """From what was there to everything, one by one."""
    source = ExchangeSource(open_venue(url=venue.url, retry=retry), "BTCUSDT", "1h")
    seen: list[tuple[int, int]] = []
    fetch_symbol(source, HOURLY, tmp_path, on_progress=lambda done, total: seen.append((done, total)))
    total = seen[0][1]
    assert seen == [(done, total) for done in range(total + 1)]


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_faults_changes_nothing(
    venue: FakeExchange, tmp_path: Path, bars: Bars, seed: int
) -> None:
    """A third of all requests fails, in every way there is, at random: the same bars come out."""
    dice = random.Random(seed)
    faults = [status(500), status(429, 0.1), TRUNCATED, CUT, DISCONNECT, HTML, PARTIAL]
    for endpoint in ("/klines", "markPriceKlines", "fundingRate"):
        # An empty page is believed when it comes twice: that is the limit of what can be known.
        for fault in (EMPTY, *(dice.choice(faults) for _ in range(12))):
            venue.fail(endpoint, fault, skip=dice.randrange(3))
    patient = Retry(config=RetryConfig(attempts=30), sleep=lambda seconds: None)
    source = ExchangeSource(open_venue(url=venue.url, retry=patient), "BTCUSDT", "1h")
    assert fetch_symbol(source, HOURLY, tmp_path).bars.digest == bars.digest
    assert len([request for request in venue.requests if request.fault]) >= 12
