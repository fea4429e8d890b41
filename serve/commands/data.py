"""`quantum-trader data`: look at, check, convert and make market data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from quantum_trader.envs.bars import Bars

Source = Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Print what a data source holds: bars, range, gaps, funding."""

    data: Source = "sample"
    """"sample", a parquet or CSV file, or a folder of them."""
    symbols: str = ""
    """Symbols to read from a folder, separated by commas; empty reads all."""

    def run(self) -> None:
        """Print one block per symbol."""
        from quantum_trader.evaluate.run_data import load_bars

        for bars in load_bars(self.data, self.symbols):
            print(_description(bars))


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Read data and say whether it is sound; the first fault ends with a sentence and exit code 2."""

    data: Source
    """A parquet or CSV file, or a folder of them."""
    symbols: str = ""
    """Symbols to read from a folder, separated by commas; empty reads all."""

    def run(self) -> None:
        """Print one line per sound symbol."""
        from quantum_trader.evaluate.run_data import load_bars

        for bars in load_bars(self.data, self.symbols):
            print(f"{bars.symbol}: {len(bars):,} bars, sound")


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Read one file and write it as parquet or CSV, validated and in this software's columns."""

    data: Source
    """A parquet or CSV file."""
    output: Annotated[Path, tyro.conf.Positional]
    """The file to write; its suffix, .parquet or .csv, names the format."""
    symbol: str = ""
    """Name of the instrument; empty takes the input's file name."""

    def run(self) -> None:
        """Write the file."""
        from quantum_trader.envs.load import read_bars

        _write(read_bars(Path(self.data), symbol=self.symbol or None), self.output)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Write the embedded real series (EURUSD, 1 h, 2017) to a file."""

    output: Annotated[Path, tyro.conf.Positional]
    """The file to write; its suffix, .parquet or .csv, names the format."""

    def run(self) -> None:
        """Write the file."""
        from quantum_trader.envs.sample import sample_bars

        _write(sample_bars(), self.output)


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """Write a synthetic hourly series to a file."""

    output: Annotated[Path, tyro.conf.Positional]
    """The file to write; its suffix, .parquet or .csv, names the format."""
    kind: Literal["regimes", "random-walk", "planted", "planted-easy", "planted-hard", "order"] = "regimes"
    """Regimes with jumps and funding; a random walk without any edge; or cues that foretell the next bars."""
    bars: int = 10_000
    """Number of bars."""
    seed: int = 0
    """Seed; the same seed writes the same file."""

    def run(self) -> None:
        """Write the file."""
        from quantum_trader.evaluate.run_data import synthetic_source

        _write(synthetic_source(self.kind, self.bars, self.seed), self.output)


def _write(bars: Bars, output: Path) -> None:
    from quantum_trader.envs.load import write_bars

    write_bars(bars, output)
    print(f"{output}: {len(bars):,} bars of {bars.symbol}")


def _description(bars: Bars) -> str:
    import numpy as np
    import pandas as pd

    from quantum_trader.envs.presets import guess_preset
    from quantum_trader.envs.windows import gap_report

    contract = guess_preset(bars.symbol)
    gaps = gap_report(bars, contract)
    first, last = (pd.Timestamp(bars.timestamp[i], unit="ms", tz="UTC") for i in (0, -1))
    funding = int(np.isfinite(bars.funding_rate).sum())
    lines = [
        f"{bars.symbol}",
        f"  bars      {len(bars):,} of {pd.Timedelta(bars.step_ms, unit='ms')}",
        f"  range     {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC",
        f"  close     {bars.close.min():g} to {bars.close.max():g}",
        f"  gaps      {gaps.gaps} ({gaps.missing} bars missing, longest {gaps.longest}, "
        f"{gaps.breaks} too long for a window), {gaps.pauses} pauses of the session",
        f"  funding   {f'{funding:,} settlements' if funding else 'none'}",
        f"  contract  {contract.name}: taker {contract.taker_fee:.4%}, slippage {contract.slippage:.4%}",
        f"  sha256    {bars.digest}",
    ]
    return "\n".join(lines)
