"""`LiveConfig`: how an Arbiter behaves between a feed and a bot."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """Limits of live use; none of them plays a part in backtests."""

    max_delay_bars: float = 0.0
    """A bar that closed longer ago, in bars, joins the history but is answered HOLD; 0 decides on any bar,
    which replaying history needs."""
    open_tolerance_ms: int = 2_000
    """Milliseconds that a bar may arrive before the clock says it has closed; more forgives worse clocks."""
    stale_bars: float = 3.0
    """A symbol whose newest bar closed longer ago, in bars, is called stale by `health`."""
    kept_bars: int = 3_000
    """Bars kept of a symbol, at least 1,000; more cost memory (56 bytes a bar) and change no decision."""
    max_symbols: int = 20_000
    """Symbols that get a history; a bar of one more is HOLD, a warm-up or snapshot of more refused."""
    breaker_failures: int = 3
    """Failures in a row after which a member is left to rest; raising it waits for a failing model longer."""
    breaker_rest_s: float = 30.0
    """Seconds of the first rest; each further one is twice as long."""
    breaker_longest_rest_s: float = 600.0
    """Longest rest, seconds."""

    def __post_init__(self) -> None:
        if self.kept_bars < 1_000:
            raise ConfigError(f"kept_bars must be at least 1,000 for a full warm-up, found {self.kept_bars}.")
        if self.breaker_failures < 1 or self.max_symbols < 1:
            raise ConfigError("breaker_failures and max_symbols must be at least 1; raise them.")
        for name in ("max_delay_bars", "open_tolerance_ms", "breaker_rest_s", "breaker_longest_rest_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative, found {getattr(self, name)!r}.")
        if not self.stale_bars > 0:
            raise ConfigError(f"stale_bars must be above 0, found {self.stale_bars!r}.")
