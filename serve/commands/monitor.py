"""`quantum-trader monitor`: how a live Arbiter does, from its journal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from quantum_trader.envs.errors import ConfigError
from quantum_trader.serve.monitor.config import DEFAULTS, MonitorConfig

if TYPE_CHECKING:
    from quantum_trader.serve.journal.reader import JournalReader

ALERTED = 1
"""Exit code where an alert of the level asked for stands."""


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """Win rate, shares, calibration and alerts of a journal, beside the processes that write it."""

    journal: Annotated[Path, tyro.conf.Positional]
    """The journal's file, e.g. journal.db."""
    json: bool = False
    """Print JSON instead of text, one line a report; what is not known is null."""
    hours: float = 0.0
    """Only the bars of the last so many hours; 0 takes all."""
    symbols: tuple[str, ...] = ()
    """Only these symbols; none names all."""
    watch: float = 0.0
    """Look again every so many seconds until Ctrl-C; 0 looks once."""
    fail_on: Literal["never", "critical", "warning"] = "never"
    """Exit with code 1 where an alert of at least this level stands, for cron and the like."""
    limits: MonitorConfig = DEFAULTS
    """What is normal, and how sure an alert has to be."""

    def run(self) -> None:
        """Look once, or again and again.

        Raises:
            ConfigError: an option outside its range, or a symbol that the journal does not know.
            JournalError: the journal cannot be read.
            SystemExit: with code 1, as `fail_on` says.
        """
        from quantum_trader.serve.journal.reader import JournalReader

        self._check()
        with JournalReader(self.journal) as reader:
            unknown = sorted(set(self.symbols) - set(reader.symbols()))
            if unknown:
                known = ", ".join(reader.symbols()[:20]) or "none"
                raise ConfigError(f"--symbols: the journal has no {unknown[0]!r}; it has {known}.")
            if self.watch > 0:
                self._watch(reader)
            elif self._look(reader):
                raise SystemExit(ALERTED)

    def _watch(self, reader: JournalReader) -> None:
        """Until Ctrl-C, which is the way to end it and so no fault."""
        import time

        try:
            while True:
                self._look(reader)
                time.sleep(self.watch)
        except KeyboardInterrupt:
            return

    def _look(self, reader: JournalReader) -> bool:
        """Print one report; returns whether an alert stands that is to fail."""
        import json

        from quantum_trader.agents.clock import system_ms
        from quantum_trader.evaluate.records import to_json
        from quantum_trader.serve.commands.output import say
        from quantum_trader.serve.monitor.report import monitor
        from quantum_trader.serve.monitor.text import report_text

        now = system_ms()
        report = monitor(
            reader,
            self.limits,
            now_ms=now,
            since_ms=now - round(self.hours * 3_600_000) if self.hours > 0 else None,
            symbols=self.symbols or None,
        )
        if self.json:
            say(json.dumps(to_json(report), allow_nan=False))
        else:
            say(("\033[H\033[2J" if self._clears else "") + report_text(report))
        levels = {"never": (), "critical": ("critical",), "warning": ("critical", "warning")}[self.fail_on]
        return any(alert.level in levels for alert in report.alerts)

    @property
    def _clears(self) -> bool:
        """Whether each report takes the place of the last: only where a person watches a terminal."""
        import sys

        return self.watch > 0 and sys.stdout.isatty()

    def _check(self) -> None:
        for name in ("hours", "watch"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"--{name}: expected a number from 0, found {value}.")
        if self.watch > 0 and self.fail_on != "never":
            raise ConfigError("--fail-on is for a single look: leave --watch out.")
