"""The public archive's files (data/futures/um/...), zipped on request from `Bars`.

Klines and mark-price klines exist per month and per day, funding per month only. Files before
`header_from_ms` have no header line; from `microseconds_from_ms` on times are in microseconds, as the
venue's spot files are since 2025.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Bars

from .shapes import INTERVALS, kline, mark_kline, settlement_lag_ms, text

KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"

_PATH = re.compile(
    r"^/data/futures/um/(?P<period>monthly|daily)/(?P<kind>klines|markPriceKlines|fundingRate)/(?P<symbol>\w+)/"
    r"(?:(?P<interval>\w+)/)?(?P<name>(?P=symbol)-(?:fundingRate|\w+)-(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.zip)"
    r"(?P<checksum>\.CHECKSUM)?$"
)


@dataclass(kw_only=True)
class ArchiveSettings:
    """What is peculiar about the files."""

    header_from_ms: int = 1_640_995_200_000
    """Files of this moment on (2022-01-01) have a header line."""
    microseconds_from_ms: int | None = None
    """Files of this moment on have times in microseconds; None: never."""
    holes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Zip name -> [from, to) in milliseconds: rows that the file lacks."""
    absent: set[str] = field(default_factory=set)
    """Zip names that are not there."""


def archive_file(path: str, series: dict[str, Bars], now_ms: int, settings: ArchiveSettings) -> bytes | None:
    """Bytes of the file at `path`, None where there is none: not published yet, or no such symbol."""
    match = _PATH.match(path)
    if match is None or match["symbol"] not in series or match["name"] in settings.absent:
        return None
    bars = series[match["symbol"]]
    if match["kind"] != "fundingRate" and INTERVALS.get(match["interval"]) != bars.step_ms:
        return None
    if match["kind"] == "fundingRate" and match["period"] == "daily":
        return None
    start, end = _span(match["date"])
    if end > now_ms:
        return None
    hole = settings.holes.get(match["name"], (0, 0))
    lines = _lines(bars, match["kind"], start, end, hole, now_ms, settings)
    if not lines:
        return None
    content = _zipped(match["name"].replace(".zip", ".csv"), lines)
    if match["checksum"]:
        return f"{hashlib.sha256(content).hexdigest()}  {match['name']}\n".encode()
    return content


def _span(date: str) -> tuple[int, int]:
    first = pd.Timestamp(date, tz="UTC")
    after = first + (pd.DateOffset(months=1) if len(date) == 7 else pd.Timedelta(days=1))
    return int(first.value // 1_000_000), int(after.value // 1_000_000)


def _lines(
    bars: Bars, kind: str, start: int, end: int, hole: tuple[int, int], now_ms: int, settings: ArchiveSettings
) -> list[str]:
    stamps = bars.timestamp
    wanted = (stamps >= start) & (stamps < end) & ~((stamps >= hole[0]) & (stamps < hole[1]))
    if kind == "fundingRate":
        rows = np.flatnonzero(wanted & np.isfinite(bars.funding_rate))
        written = [_funding_line(bars, int(row)) for row in rows]
        return [FUNDING_HEADER, *written] if written else []
    rows = np.flatnonzero(wanted)
    shape = kline if kind == "klines" else mark_kline
    since = settings.microseconds_from_ms
    finer = since is not None and start >= since
    written = [_kline_line(shape(bars, int(row), now_ms), finer) for row in rows]
    header = [KLINE_HEADER] if start >= settings.header_from_ms else []
    return [*header, *written] if written else []


def _kline_line(fields: list[object], finer: bool) -> str:
    if finer:
        fields[0], fields[6] = int(str(fields[0])) * 1000, int(str(fields[6])) * 1000 + 999
    return ",".join(str(value) for value in fields)


def _funding_line(bars: Bars, row: int) -> str:
    stamp = int(bars.timestamp[row])
    return f"{stamp + settlement_lag_ms(stamp)},8,{text(float(bars.funding_rate[row]))}"


def _zipped(name: str, lines: list[str]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date: the same file has the same checksum however often it is made.
        archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), "\n".join(lines) + "\n")
    return memory.getvalue()
