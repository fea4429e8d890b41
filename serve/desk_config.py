"""Settings of the desk. Imports nothing heavy: the command line needs them."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DeskConfig:
    """How decisions and the journal go together."""

    commit_wait_s: float = 2.0
    """Seconds a decision waits for the disk; then it is answered as not journaled, and written later."""
    keep_days: float = 0.0
    """Days that decisions and bars are kept in the journal; 0 keeps everything."""

    def __post_init__(self) -> None:
        if not 0.0 < self.commit_wait_s < float("inf"):
            raise ConfigError(f"commit_wait_s: expected seconds above 0, found {self.commit_wait_s}.")
        if not 0.0 <= self.keep_days < float("inf"):
            raise ConfigError(f"keep_days: expected a number of days, or 0, found {self.keep_days}.")
