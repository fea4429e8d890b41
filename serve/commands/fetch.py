"""`quantum-trader data fetch`: market history from an exchange or from the public archive, into files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from quantum_trader.envs.sources.chunks import SymbolSource
    from quantum_trader.envs.sources.fetch import FetchReport, FetchRequest
    from quantum_trader.envs.sources.retry import Retry


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Download closed bars with funding rates and mark prices: one parquet file per symbol.

    Run it again to go on where it was cut off, or to append what has happened since.
    """

    symbols: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Markets, e.g. BTCUSDT or BTC/USDT:USDT."""
    source: Literal["exchange", "archive"] = "exchange"
    """An exchange's API, or Binance's public archive of zip files: faster for long histories, but without the
    newest weeks, whose funding rates it does not have yet."""
    exchange: str = "binanceusdm"
    """Id of the exchange in ccxt, e.g. bybit or okx; for --source exchange."""
    timeframe: str = "1h"
    """Length of a bar: 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w."""
    start: str = ""
    """First day or moment, UTC, e.g. 2024-01-01; empty takes the file's first bar, or the listing of a market
    where the exchange tells it."""
    end: str = ""
    """First day or moment not wanted, UTC; empty goes up to the newest closed bar."""
    out: Path = Path("data")
    """Folder of the files."""
    funding: bool = True
    """Whether to fetch funding rates."""
    mark: bool = True
    """Whether to fetch mark prices; without them liquidation goes by the last price."""
    check: bool = False
    """Also ask for bars that the files have: those that differ are reported and stay, gaps are filled."""
    attempts: int = 6
    """Requests before giving up on an answer, with waits of 1, 2, 4, ... up to 60 s in between."""
    archive_url: str = ""
    """Another place that has the archive's files; empty takes https://data.binance.vision."""
    exchange_url: str = ""
    """Scheme and host to ask in place of the exchange's own, e.g. of a recording proxy."""

    def run(self) -> None:
        """Fetch every symbol, one block of lines each."""
        from quantum_trader.envs.errors import ConfigError, DataError
        from quantum_trader.envs.sources.fetch import fetch_symbol
        from quantum_trader.serve.commands.output import say
        from quantum_trader.train.progress import Progress

        if not self.symbols:
            raise ConfigError("name at least one symbol, e.g. `data fetch BTCUSDT`.")
        request = self._request()
        faults = []
        for source in self._sources():
            progress: list[Progress] = []

            def show(done: int, total: int, name: str = source.name, bar: list[Progress] = progress) -> None:
                if not bar:
                    bar.append(Progress(name, total=total, unit="pieces", start=done))
                bar[0].update(done)

            try:
                report = fetch_symbol(source, request, self.out, on_progress=show)
            except DataError as error:
                # One symbol without bars says nothing about the others.
                faults.append(str(error))
            else:
                say(describe(report))
            finally:
                for bar in progress:
                    bar.close()
        if faults:
            raise DataError(" ".join(faults))

    def _request(self) -> FetchRequest:
        from quantum_trader.envs.errors import ConfigError
        from quantum_trader.envs.sources.fetch import FetchRequest
        from quantum_trader.envs.sources.timeframes import timeframe_ms

        start, end = _moment(self.start, "--start"), _moment(self.end, "--end")
        if start is not None and end is not None and start >= end:
            raise ConfigError(f"--start {self.start} must lie before --end {self.end}.")
        return FetchRequest(
            step_ms=timeframe_ms(self.timeframe), start_ms=start, end_ms=end, check=self.check
        )

    def _sources(self) -> list[SymbolSource]:
        """One source per symbol; a name that is unknown is refused before anything is fetched."""
        from quantum_trader.envs.errors import ConfigError
        from quantum_trader.envs.sources.retry import Retry, RetryConfig

        if self.attempts < 1:
            raise ConfigError(f"attempts must be at least 1, found {self.attempts}.")
        retry = Retry(config=RetryConfig(attempts=self.attempts))
        sources = self._archive(retry) if self.source == "archive" else self._exchange(retry)
        names = [source.name for source in sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"two of the symbols would be written to {twice[0]}.parquet; name it once.")
        return sources

    def _archive(self, retry: Retry) -> list[SymbolSource]:
        from quantum_trader.envs.sources.archive import ArchiveSource
        from quantum_trader.envs.sources.archive_files import ARCHIVE_URL, ArchiveFiles

        files = ArchiveFiles(self.archive_url or ARCHIVE_URL, retry=retry)
        return [
            ArchiveSource(files, symbol, self.timeframe, funding=self.funding, mark=self.mark)
            for symbol in self.symbols
        ]

    def _exchange(self, retry: Retry) -> list[SymbolSource]:
        from quantum_trader.envs.sources.client import open_venue
        from quantum_trader.envs.sources.exchange import ExchangeSource

        venue = open_venue(self.exchange, url=self.exchange_url or None, retry=retry)
        return [
            ExchangeSource(venue, symbol, self.timeframe, funding=self.funding, mark=self.mark)
            for symbol in self.symbols
        ]


def describe(report: FetchReport) -> str:
    """The lines that tell the user what a fetch brought."""
    import pandas as pd

    bars, gaps = report.bars, report.gaps
    first, last = (pd.Timestamp(int(bars.timestamp[i]), unit="ms", tz="UTC") for i in (0, -1))
    added = f"{report.added:,} new" if report.added else "nothing new"
    missing = f"{gaps.gaps} gaps, {gaps.missing:,} bars missing" if gaps.gaps else "no gaps"
    lines = [
        f"{report.path}: {len(bars):,} bars, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, "
        f"{added}, {missing}"
    ]
    lines += [f"  {note}" for note in report.notes]
    if report.differing:
        lines.append(
            f"  {len(report.differing):,} bars of the file differ from the source's; the file keeps its own "
            "(delete it and fetch again to take the source's):"
        )
        lines += [f"    {difference}" for difference in report.differing[:5]]
    return "\n".join(lines)


def _moment(text: str, option: str) -> int | None:
    """Milliseconds since the epoch, None for an empty text."""
    import pandas as pd

    from quantum_trader.envs.bars import epoch_ms
    from quantum_trader.envs.errors import ConfigError

    if not text:
        return None
    try:
        return epoch_ms(pd.Timestamp(text))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{option}: expected a date such as 2024-01-01, found {text!r}.") from error
