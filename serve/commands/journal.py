"""`quantum-trader journal`: look at, export and shorten a journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

File = Annotated[Path, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class Info:
    """Print what a journal holds; works while it is being written."""

    journal: File
    """The journal's file."""
    check: bool = False
    """Read every page and look for damage, which takes a while with a large file."""

    def run(self) -> None:
        """Print one line a figure."""
        from quantum_trader.serve.commands.output import say
        from quantum_trader.serve.journal.reader import JournalReader

        with JournalReader(self.journal) as reader:
            if self.check:
                reader.check()
            state, symbols = reader.state(), reader.symbols()
        extra = {name: f"{value:,.0f}" for name, value in state.extra.items()}
        figures = {
            "decisions": f"{state.decisions:,}",
            "outcomes": f"{state.outcomes:,} ({extra['waiting']} to come, {extra['void']} void)",
            "bars": f"{state.bars:,} of {len(symbols):,} symbols",
            "size": f"{state.bytes / 2**20:,.1f} MiB",
            "repeated": f"{extra['repeated_decisions']} decisions, {extra['repeated_bars']} bars",
            "differing": f"{extra['differing_decisions']} decisions, {extra['differing_bars']} bars",
        }
        say(f"{self.journal}{': sound' if self.check else ''}")
        for name, figure in figures.items():
            say(f"  {name:<10}{figure}")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a journal's decisions, outcomes and bars as parquet; works while it is being written."""

    journal: File
    """The journal's file."""
    out: Annotated[Path, tyro.conf.Positional]
    """Folder for decisions.parquet and bars.parquet."""
    symbols: str = ""
    """Symbols separated by commas; empty takes all."""
    since: str = ""
    """First bar open, UTC, e.g. "2025-01-03 12:00"; empty starts at the oldest."""
    until: str = ""
    """End, itself excluded; empty goes on to the newest."""

    def run(self) -> None:
        """Write both files."""
        from quantum_trader.serve.commands.output import say
        from quantum_trader.serve.journal.parquet import export
        from quantum_trader.serve.journal.reader import JournalReader, Selection

        chosen = Selection(
            since_ms=_moment("--since", self.since),
            until_ms=_moment("--until", self.until),
            symbols=tuple(name.strip() for name in self.symbols.split(",") if name.strip()) or None,
        )
        with JournalReader(self.journal) as reader:
            written = export(reader, self.out, chosen)
        say(f"{written.decisions}: {written.decision_rows:,} decisions")
        say(f"{written.bars}: {written.bar_rows:,} bars")


@dataclass(frozen=True, kw_only=True)
class Prune:
    """Delete old decisions and bars; decisions without an outcome stay, and what a restart warms up with."""

    journal: File
    """The journal's file."""
    keep_days: float = 365.0
    """Days that are kept, counted back from now."""

    def run(self) -> None:
        """Delete and say how much."""
        import time

        from quantum_trader.serve.commands.output import say
        from quantum_trader.serve.journal.retention import prune

        gone = prune(self.journal, keep_days=self.keep_days, now_ms=time.time_ns() // 1_000_000)
        say(f"{self.journal}: deleted {gone.decisions:,} decisions and {gone.bars:,} bars")


def _moment(option: str, text: str) -> int | None:
    import pandas as pd

    from quantum_trader.envs.bars import epoch_ms
    from quantum_trader.envs.errors import ConfigError

    if not text:
        return None
    try:
        return epoch_ms(pd.Timestamp(text))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f'{option}: expected a moment such as "2025-01-03 12:00", found {text!r}.'
        ) from error
