"""Settings of the journal. Imports nothing heavy: the command line needs them."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class JournalConfig:
    """How the journal writes."""

    max_pending: int = 20_000
    """Decisions kept in memory while the disk cannot be written; raising it takes more memory."""
    max_pending_bars: int = 2_000_000
    """Bars kept in memory while they wait to be written."""
    busy_s: float = 10.0
    """Seconds another program may hold the journal before that is reported as a fault."""

    def __post_init__(self) -> None:
        for name in ("max_pending", "max_pending_bars"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, found {getattr(self, name)}.")
        if not 0.0 < self.busy_s < float("inf"):
            raise ConfigError(f"busy_s: expected seconds above 0, found {self.busy_s}.")
