from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantum_trader.envs.bars import Bars, epoch_ms
from quantum_trader.envs.errors import ConfigError, DataError
from quantum_trader.envs.load import read_bars
from quantum_trader.envs.sources.archive import ArchiveSource
from quantum_trader.envs.sources.archive_files import ArchiveFiles, kline_rows
from quantum_trader.envs.sources.errors import SourceError
from quantum_trader.envs.sources.fetch import FetchReport, FetchRequest, fetch_symbol
from quantum_trader.envs.sources.retry import Retry
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

from ...fake_exchange.archive import KLINE_HEADER, ArchiveSettings
from ...fake_exchange.faults import CORRUPT, CUT, DISCONNECT, status
from ...fake_exchange.server import FakeExchange
from .conftest import HOUR_MS, START_MS

MONTH_ENDS = [744, 744 + 696, 744 + 696 + 744]
"""Bars up to the end of January, February and March 2020."""


def at(text: str) -> int:
    return epoch_ms(pd.Timestamp(text))


@pytest.fixture(scope="module")
def spring() -> Bars:
    """Hourly bars from 2020-01-01 to the end of 2020-04-20."""
    return synthetic_bars(SyntheticConfig(bars=24 * 111, seed=3, symbol="BTCUSDT"))


@pytest.fixture
def archive(spring: Bars) -> Iterator[FakeExchange]:
    """On 2020-04-21 at noon: January to March are published, April has daily files up to the 20th."""
    with FakeExchange({"BTCUSDT": spring}, now_ms=at("2020-04-21 12:00")) as venue:
        yield venue


@pytest.fixture
def fetch(archive: FakeExchange, retry: Retry, tmp_path: Path) -> Any:
    """fetch(symbol="BTCUSDT", start=..., end=..., **options of ArchiveSource) -> FetchReport."""

    def run(
        symbol: str = "BTCUSDT", start: str = "2020-01-01", end: str = "", **options: bool
    ) -> FetchReport:
        files = ArchiveFiles(archive.url, retry=retry)
        source = ArchiveSource(files, symbol, "1h", now_ms=lambda: archive.now_ms, **options)
        request = FetchRequest(step_ms=HOUR_MS, start_ms=at(start), end_ms=at(end) if end else None)
        return fetch_symbol(source, request, tmp_path)

    return run


def asked(archive: FakeExchange) -> list[str]:
    """Names of the zip files that were sent, without those only looked for."""
    return [r.endpoint for r in archive.requests if r.endpoint.endswith(".zip") and r.status == 200]


def test_published_months_come_to_the_bit(fetch: Any, spring: Bars, tmp_path: Path) -> None:
    """Bars, funding and marks of whole months, files without header lines."""
    report = fetch(end="2020-04-01")
    assert report.bars.digest == spring[: MONTH_ENDS[2]].digest
    assert report.notes == ()
    assert [path.name for path in tmp_path.iterdir()] == ["BTCUSDT.parquet"]
    assert read_bars(tmp_path / "BTCUSDT.parquet").digest == report.bars.digest


def test_only_the_months_asked_for_are_downloaded(fetch: Any, archive: FakeExchange, spring: Bars) -> None:
    """From the middle of February to the middle of March: two months of each kind."""
    report = fetch(start="2020-02-10", end="2020-03-10")
    assert report.bars.digest == spring[40 * 24 : 69 * 24].digest
    assert sorted(asked(archive)) == sorted(
        [f"BTCUSDT-1h-2020-0{month}.zip" for month in (2, 2, 3, 3)]
        + [f"BTCUSDT-fundingRate-2020-0{month}.zip" for month in (2, 3)]
    )


def test_bars_whose_funding_is_not_published_are_left_out_and_said(fetch: Any, archive: FakeExchange) -> None:
    """April's funding file comes in May: bars without it would never get it later."""
    report = fetch()
    assert int(report.bars.timestamp[-1]) == at("2020-03-31 23:00")
    assert report.notes[-1].startswith("bars from 2020-04-01 on are left out: the archive publishes")
    assert not [name for name in asked(archive) if name.startswith("BTCUSDT-1h-2020-04")]


def test_the_current_month_is_made_of_daily_files(fetch: Any, archive: FakeExchange, spring: Bars) -> None:
    """Without funding, bars reach up to yesterday."""
    report = fetch(funding=False)
    assert int(report.bars.timestamp[-1]) == at("2020-04-20 23:00")
    np.testing.assert_array_equal(report.bars.close, spring.close)
    assert "BTCUSDT-1h-2020-04-20.zip" in asked(archive)


def test_a_later_run_appends_the_month_that_was_published_since(
    fetch: Any, archive: FakeExchange, spring: Bars
) -> None:
    """In May April's files are there; nothing of the months before is downloaded again."""
    fetch()
    archive.forget()
    archive.now_ms = at("2020-05-04")
    report = fetch()
    assert report.bars.digest == spring.digest
    assert all("2020-04" in name for name in asked(archive))


def test_an_incomplete_month_is_completed_by_its_days(
    fetch: Any, archive: FakeExchange, spring: Bars
) -> None:
    """Days that the monthly file lacks, in the middle and at its end, come from daily files."""
    archive.archive.holes["BTCUSDT-1h-2020-01.zip"] = (at("2020-01-09 05:00"), at("2020-01-11 02:00"))
    archive.archive.holes["BTCUSDT-1h-2020-02.zip"] = (at("2020-02-27"), at("2020-03-01"))
    report = fetch(end="2020-03-01")
    assert report.bars.digest == spring[: MONTH_ENDS[1]].digest
    days = {name for name in asked(archive) if len(name) == len("BTCUSDT-1h-2020-01-09.zip")}
    assert days == {
        f"BTCUSDT-1h-2020-{day}.zip" for day in ("01-09", "01-10", "01-11", "02-27", "02-28", "02-29")
    }


def test_a_missing_month_whose_days_exist_comes_from_them(
    fetch: Any, archive: FakeExchange, spring: Bars
) -> None:
    """Even long after its end."""
    archive.now_ms = at("2021-06-01")
    archive.archive.absent.add("BTCUSDT-1h-2020-02.zip")
    assert fetch(end="2020-04-01").bars.digest == spring[: MONTH_ENDS[2]].digest


def test_a_hole_in_both_kinds_of_files_stays_a_gap(fetch: Any, archive: FakeExchange) -> None:
    """It is counted, and nothing is invented."""
    hole = (at("2020-01-09 05:00"), at("2020-01-09 09:00"))
    for name in ("BTCUSDT-1h-2020-01.zip", "BTCUSDT-1h-2020-01-09.zip"):
        archive.archive.holes[name] = hole
    report = fetch(end="2020-02-01")
    assert (report.gaps.gaps, report.gaps.missing) == (1, 4)
    assert report.notes[0].startswith("1 funding settlement left out: no bar stands there")


def test_months_before_the_listing_cost_few_requests(fetch: Any, archive: FakeExchange) -> None:
    """A year too early: a handful of look-ups a month, not one for each day; the late start is said."""
    report = fetch(start="2019-01-01", end="2020-02-01", mark=False)
    assert "the history begins on 2020-01-01 00:00 UTC, not on 2019-01-01" in report.notes
    missing = [r for r in archive.requests if r.status == 404]
    assert len(missing) <= 12 * 5 + 4


def test_a_month_without_funding_in_the_middle_is_said(fetch: Any, archive: FakeExchange) -> None:
    """Its bars are there, and the user knows that an account would pay nothing then."""
    archive.archive.absent.add("BTCUSDT-fundingRate-2020-02.zip")
    report = fetch(end="2020-04-01")
    assert report.notes == ("no funding rates from 2020-01-31 to 2020-03-01",)


@pytest.mark.parametrize(
    "settings",
    [
        ArchiveSettings(header_from_ms=0),
        ArchiveSettings(microseconds_from_ms=at("2020-02-01")),
        ArchiveSettings(),
    ],
    ids=["headers", "microseconds", "plain"],
)
def test_headers_and_microseconds_are_understood(
    fetch: Any, archive: FakeExchange, spring: Bars, settings: ArchiveSettings
) -> None:
    """Files with and without a header line, in milliseconds and microseconds, even side by side."""
    archive.archive = settings
    assert fetch(end="2020-04-01").bars.digest == spring[: MONTH_ENDS[2]].digest


@pytest.mark.parametrize(
    "fault",
    [CORRUPT, CUT, DISCONNECT, status(503), status(429, 1)],
    ids=lambda fault: f"{fault.kind}{fault.status}",
)
def test_downloads_that_fail_are_repeated(
    fetch: Any, archive: FakeExchange, spring: Bars, fault: Any
) -> None:
    """A damaged or broken download is not believed, of whatever kind of file; the next one is."""
    for kind in ("/klines/", "markPriceKlines", "fundingRate"):
        archive.fail(kind, fault, times=2, skip=1)
    assert fetch(end="2020-03-01").bars.digest == spring[: MONTH_ENDS[1]].digest


def test_a_file_that_never_fits_its_checksum_is_refused(
    fetch: Any, archive: FakeExchange, tmp_path: Path
) -> None:
    """Its bars are not used, and the sentence names the file."""
    archive.fail("klines/BTCUSDT/1h/BTCUSDT-1h-2020-02.zip", CORRUPT, times=99)
    with pytest.raises(SourceError, match=r"BTCUSDT-1h-2020-02\.zip does not fit its SHA-256 checksum"):
        fetch(end="2020-04-01")
    assert not (tmp_path / "BTCUSDT.parquet").exists()


def test_work_that_was_cut_off_goes_on_where_it_stopped(
    fetch: Any, archive: FakeExchange, spring: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No zip file that was received is downloaded again, not even one day of an unfinished month."""
    monkeypatch.setattr(ArchiveSource, "workers", 1)
    archive.archive.absent.add("BTCUSDT-1h-2020-02.zip")
    archive.fail("BTCUSDT-1h-2020-02-20.zip", status(403))
    with pytest.raises(SourceError, match=r"refuses .*2020-02-20\.zip"):
        fetch(end="2020-04-01")
    first = asked(archive)
    assert "BTCUSDT-1h-2020-02-19.zip" in first
    archive.forget()
    assert fetch(end="2020-04-01").bars.digest == spring[: MONTH_ENDS[2]].digest
    # Bars and marks have files of the same name: each comes twice in all, once of each kind.
    both = first + asked(archive)
    assert all(both.count(name) == 1 for name in both if "fundingRate" in name)
    assert all(both.count(name) == 2 for name in both if "fundingRate" not in name)


def test_downloads_run_side_by_side_and_stop_at_the_first_error(
    fetch: Any, archive: FakeExchange, tmp_path: Path
) -> None:
    """What was received before the error is kept for the next run."""
    archive.fail("fundingRate-2020-01.zip", status(403), times=9)
    with pytest.raises(SourceError, match="refuses"):
        fetch(end="2020-04-01")
    assert not (tmp_path / "BTCUSDT.parquet").exists()
    assert list((tmp_path / ".BTCUSDT.fetch").glob("bars-*.npy"))


@pytest.mark.parametrize("symbol", ["BTC/USDT:USDT", "BTCUSDT"])
def test_both_forms_of_a_symbol_mean_the_same_file(fetch: Any, symbol: str) -> None:
    """ccxt's name and the venue's."""
    assert fetch(symbol, end="2020-02-01").path.name == "BTCUSDT.parquet"


def test_what_cannot_be_asked_is_refused(fetch: Any, retry: Retry) -> None:
    """Names that would leave the archive's folders, addresses that are none, unknown symbols."""
    with pytest.raises(ConfigError, match="names look like"):
        fetch("../../secret")
    with pytest.raises(ConfigError, match="expected an archive's URL"):
        ArchiveFiles("data.binance.vision", retry=retry)
    with pytest.raises(DataError, match="no closed bars of NOUSDT in that time"):
        fetch("NOUSDT", end="2020-02-01")


def zipped(name: str, text: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        file.writestr(name, text)
    return memory.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        zipped("x.txt", "1,2"),
        zipped("x.csv", "1577836800000,1,2\n"),
        zipped("x.csv", "h\na,b,c,d,e,f\n"),
    ],
    ids=["empty", "html", "no csv", "few columns", "words"],
)
def test_a_zip_file_of_something_else_is_refused(content: bytes) -> None:
    """One sentence that names the file."""
    with pytest.raises(SourceError, match=r"^x\.zip: expected a zip file with one CSV"):
        kline_rows(content, "x.zip", 6)


def test_rows_of_a_kline_file_are_read_exactly() -> None:
    """To the last digit, sorted by time, with a byte-order mark and a header."""
    lines = [
        "1577840400000,7.1,8,6,7.3,0.30000000000000004,1577843999999,0,0,0,0,0",
        "1577836800000,1,2,0.5,1,0,0",
    ]
    rows = kline_rows(zipped("a.csv", "\ufeff" + "\n".join([KLINE_HEADER, *lines]) + "\n\n"), "a.zip", 6)
    assert rows.tolist() == [
        [START_MS, 1.0, 2.0, 0.5, 1.0, 0.0],
        [START_MS + HOUR_MS, 7.1, 8.0, 6.0, 7.3, 0.30000000000000004],
    ]
    assert len(kline_rows(zipped("a.csv", KLINE_HEADER), "a.zip", 6)) == 0
