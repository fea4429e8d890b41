"""Settings of the live loop. Imports nothing heavy: the command line needs them."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How the live loop polls; none of it changes what is decided on bars that arrive in time."""

    warmup_bars: int = 1_100
    """Closed bars that a new symbol's history starts with; with fewer, slow indicators are not settled."""
    max_delay_bars: float = 0.2
    """A bar that closed longer ago, in bars, is answered HOLD; raising it trades on older prices."""
    settle_s: float = 2.0
    """Seconds after its close at which a bar is first asked for; venues finish it a moment late."""
    retry_s: float = 2.0
    """Seconds before a bar that is not there yet is asked for again; doubled each time."""
    longest_retry_s: float = 300.0
    """Longest wait between two attempts for a symbol that fails."""
    together_s: float = 5.0
    """Seconds a round waits for the slowest symbol before the others are decided without it."""
    page_bars: int = 2_000
    """Bars asked for at once when many are missing."""
    bars: int = 0
    """Ends after this many bars have been decided on for every symbol that answers; 0 goes on for ever."""

    def __post_init__(self) -> None:
        if self.warmup_bars < 1 or self.page_bars < 1 or self.bars < 0:
            raise ConfigError("warmup_bars and page_bars must be at least 1, and bars at least 0.")
        for name in ("settle_s", "retry_s", "longest_retry_s", "together_s", "max_delay_bars"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} must be a number of at least 0, found {getattr(self, name)!r}.")
