"""History from the public archive of Binance's USDT-margined futures: zipped CSV files by month and day."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.sources.archive_files import ArchiveFiles, funding_rows, kline_rows
from quantum_trader.envs.sources.chunks import WIDTH, Chunk, Kind
from quantum_trader.envs.sources.timeframes import HOUR_MS, timeframe_ms

_DAY_MS = 86_400_000
_ROOT = "/data/futures/um"
_FOLDERS = {"bars": "klines", "mark": "markPriceKlines"}
_SYMBOL = re.compile(r"[A-Z0-9_]+")
_PUBLISHED_MS = 45 * _DAY_MS
"""By so long after its end a month's file has been published if there ever will be one."""
_FUNDING_MONTHS = 4
"""Newest months searched for a funding file, the current one included."""


@dataclass(frozen=True, kw_only=True)
class Month:
    """A calendar month, UTC."""

    start_ms: int
    end_ms: int

    @property
    def text(self) -> str:
        """E.g. "2024-03"."""
        return _date(self.start_ms, "%Y-%m")


class ArchiveSource:
    """One symbol's history in the archive; see `SymbolSource`.

    A month is read from its monthly file. Where that is missing (the current month) or incomplete, daily
    files fill it up. Funding is published per month only, some days after its end: the newest bars, whose
    funding is not there yet, are left out, as they would never get it later.

    Args:
        files: the archive.
        symbol: "BTCUSDT" or "BTC/USDT:USDT".
        timeframe: length of a bar, e.g. "1h".
        funding: whether to read funding rates.
        mark: whether to read mark prices.
        now_ms: this machine's clock.

    Raises:
        ConfigError: the symbol cannot be a file's name, or there is no such timeframe.
    """

    def __init__(
        self,
        files: ArchiveFiles,
        symbol: str,
        timeframe: str,
        *,
        funding: bool = True,
        mark: bool = True,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._files = files
        self._symbol = symbol.split(":")[0].replace("/", "")
        if not _SYMBOL.fullmatch(self._symbol):
            raise ConfigError(f'the archive has no symbol {symbol!r}; names look like "BTCUSDT".')
        self._timeframe = timeframe
        self._step_ms = timeframe_ms(timeframe)
        self._kinds: tuple[Kind, ...] = (
            "bars",
            *(("mark",) if mark else ()),
            *(("funding",) if funding else ()),
        )
        self._clock = now_ms

    @cached_property
    def _now_ms(self) -> int:
        """The clock when this symbol's turn came."""
        return self._clock()

    @property
    def name(self) -> str:
        """E.g. "BTCUSDT"."""
        return self._symbol

    @property
    def label(self) -> str:
        """The archive's address."""
        return self._files.url

    @property
    def identity(self) -> dict[str, str]:
        """Address, symbol and timeframe."""
        return {
            "source": "archive",
            "url": self._files.url,
            "symbol": self._symbol,
            "timeframe": self._timeframe,
        }

    @property
    def workers(self) -> int:
        """A few: files are small and the archive is a file server without a stated limit."""
        return 4

    def first_ms(self) -> int | None:
        """The archive does not say."""
        return None

    def end_ms(self) -> tuple[int, str]:
        """Where the newest month with a published funding file ends; now, where funding is not wanted."""
        now = self._now_ms // self._step_ms * self._step_ms
        if "funding" not in self._kinds:
            return now, ""
        months = list(_months(now - (_FUNDING_MONTHS - 1) * 30 * _DAY_MS, now + 1))
        for month in reversed(months):
            if self._files.exists(self._path("funding", month.text)):
                return min(month.end_ms, now), _left_out(month.end_ms) if month.end_ms < now else ""
        return months[0].start_ms, _left_out(months[0].start_ms)

    def chunks(self, kind: Kind, start_ms: int, end_ms: int) -> list[Chunk]:
        """Whole months, the first and last cut to the stretch."""
        if kind not in self._kinds:
            return []
        if kind == "funding":
            # Rates settle on whole hours; those inside a longer bar belong to the next one's open.
            start_ms -= max(self._step_ms - HOUR_MS, 0)
        return [
            Chunk(kind=kind, start_ms=max(month.start_ms, start_ms), end_ms=min(month.end_ms, end_ms))
            for month in _months(start_ms, end_ms)
        ]

    def read(self, chunk: Chunk, folder: Path) -> Floats:
        """The piece's rows; see `SymbolSource.read`."""
        month = next(_months(chunk.start_ms, chunk.end_ms))
        rows = self._file(chunk.kind, month.text, folder)
        if chunk.kind != "funding" and self._step_ms <= _DAY_MS:
            rows = self._completed(rows, chunk, month, folder)
        wanted = (rows[:, 0] >= chunk.start_ms) & (rows[:, 0] < chunk.end_ms)
        if chunk.kind != "funding":
            wanted &= rows[:, 0] + self._step_ms <= self._now_ms
        rows = rows[wanted]
        _, first = np.unique(rows[:, 0], return_index=True)
        return np.ascontiguousarray(rows[first])

    def _file(self, kind: Kind, date: str, folder: Path) -> Floats:
        """Rows of one file, none where the archive does not have it."""
        path = self._path(kind, date)
        content = self._files.zip(path, folder)
        if content is None:
            return np.empty((0, WIDTH[kind]))
        name = path.rsplit("/", 1)[-1]
        return funding_rows(content, name) if kind == "funding" else kline_rows(content, name, WIDTH[kind])

    def _path(self, kind: Kind, date: str) -> str:
        period = "monthly" if len(date) == len("2024-03") else "daily"
        if kind == "funding":
            return f"{_ROOT}/{period}/fundingRate/{self._symbol}/{self._symbol}-fundingRate-{date}.zip"
        name = f"{self._symbol}-{self._timeframe}-{date}.zip"
        return f"{_ROOT}/{period}/{_FOLDERS[kind]}/{self._symbol}/{self._timeframe}/{name}"

    def _completed(self, rows: Floats, chunk: Chunk, month: Month, folder: Path) -> Floats:
        """`rows` of a month, and those of its daily files for days that lack bars."""
        days = range(chunk.start_ms // _DAY_MS * _DAY_MS, min(chunk.end_ms, self._now_ms), _DAY_MS)
        asked = self._days_to_ask(rows, list(days), month, chunk.kind, folder)
        daily = [self._file(chunk.kind, _date(day, "%Y-%m-%d"), folder) for day in asked]
        return np.concatenate([rows, *daily])

    def _days_to_ask(
        self, rows: Floats, days: list[int], month: Month, kind: Kind, folder: Path
    ) -> list[int]:
        """Days whose file may hold what the month's file lacks.

        Before the first bar and after the last a symbol was mostly just not listed: there one day is tried,
        and the rest only if its file exists.
        """
        full = _DAY_MS // self._step_ms
        present = {day: int(((rows[:, 0] >= day) & (rows[:, 0] < day + _DAY_MS)).sum()) for day in days}
        lacking = [day for day in days if present[day] < full]
        if not len(rows):
            recent = self._now_ms - month.end_ms < _PUBLISHED_MS
            probes = [days[0], days[len(days) // 2], days[-1]]
            return lacking if recent or any(self._has_day(kind, day, folder) for day in probes) else []
        first, last = int(rows[0, 0]) // _DAY_MS * _DAY_MS, int(rows[-1, 0]) // _DAY_MS * _DAY_MS
        inside = [day for day in lacking if first <= day <= last]
        before = [day for day in lacking if day < first]
        after = [day for day in lacking if day > last]
        if before and not self._has_day(kind, before[-1], folder):
            before = []
        if after and not self._has_day(kind, after[0], folder):
            after = []
        return [*before, *inside, *after]

    def _has_day(self, kind: Kind, day: int, folder: Path) -> bool:
        return len(self._file(kind, _date(day, "%Y-%m-%d"), folder)) > 0


def _months(start_ms: int, end_ms: int) -> Iterator[Month]:
    """Calendar months (UTC) that [start_ms, end_ms) touches."""
    first = pd.Timestamp(start_ms, unit="ms").to_period("M")
    last = pd.Timestamp(end_ms - 1, unit="ms").to_period("M")
    for period in pd.period_range(first, last, freq="M"):
        start = int(period.start_time.value // 1_000_000)
        yield Month(start_ms=start, end_ms=int((period + 1).start_time.value // 1_000_000))


def _date(moment_ms: int, form: str) -> str:
    return pd.Timestamp(moment_ms, unit="ms").strftime(form)


def _left_out(from_ms: int) -> str:
    return (
        f"bars from {_date(from_ms, '%Y-%m-%d')} on are left out: the archive publishes their funding rates "
        "after the month's end (--no-funding takes them without, --source exchange has them now)"
    )
