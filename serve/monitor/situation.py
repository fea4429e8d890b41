"""`Situation`: everything the alerts look at, each part computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from quantum_trader.serve.monitor import figures
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.monitor.figures import Decider
from quantum_trader.serve.monitor.moments import Moments, moments_of
from quantum_trader.serve.monitor.table import Table


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A range of the journal at a time."""

    table: Table
    """Every decision of the range, refused bars among them."""
    config: MonitorConfig
    now_ms: int
    """The time it is, milliseconds since the epoch, UTC."""
    step_ms: int = 0
    """Length of a bar, milliseconds; 0 while nothing says so."""
    newest_ms: Mapping[str, int] = field(default_factory=dict)
    """When the newest decision on a fresh bar was taken, by symbol, wherever it lies in the journal; empty
    where the range ends before now, so that nobody can be missed."""
    fault: str = ""
    """Why the journal cannot be written at the moment; empty while it can."""

    @cached_property
    def counted(self) -> Table:
        """The decisions proper."""
        return self.table.counted

    @cached_property
    def moments(self) -> Moments:
        """The range as bins of time."""
        return moments_of(self.counted, self.config)

    @cached_property
    def arbiter(self) -> Decider:
        """The Arbiter."""
        return figures.arbiter(self.counted)

    @cached_property
    def shadow(self) -> Decider | None:
        """XGBoost in its shadow."""
        return figures.shadow(self.counted)
