"""What an operator sets about the service; the defaults suit one bot on the same machine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """Address, files and limits of the service. Secrets are not part of it (see `access.read_keys`)."""

    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback an API key must be set."""
    port: int = 8000
    """Port to listen on; 0 takes a free one, which is printed."""
    journal: str = ""
    """SQLite file that keeps bars, decisions and outcomes; empty keeps nothing."""
    models_root: str = ""
    """Folder whose sub-folders POST /v1/models/reload may name; empty allows the first folder only."""
    api_key_file: str = ""
    """File with one API key a line (several while keys are changed over); see also QUANTUM_TRADER_API_KEY."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names by which the service is reached, where it stands on loopback without a key."""
    max_symbols: int = 1_000
    """Most symbols in one request; raising it lets one request take longer."""
    max_warmup_bars: int = 20_000
    """Most warm-up bars in one request, over all its symbols."""
    max_body_kb: int = 4_096
    """Most kilobytes of a request's body; a bar takes about 0.12."""
    rate_limit: float = 100.0
    """Requests a second that one client (by key, without one by address) may send for long; 0 is no limit."""
    rate_burst: int = 1_000
    """Requests that one client may send at once before `rate_limit` holds it back."""
    workers: int = 2
    """Rounds under way at once: one thinks while another waits for the disk. More make rounds smaller, which
    costs more than it gains unless the disk is very slow."""
    round_symbols: int = 100
    """Most symbols decided in one round: waiting requests share rounds up to this, larger ones are split."""
    max_waiting_bars: int = 5_000
    """Bars that may wait for a decision; a request beyond that is answered 503 at once."""
    max_connections: int = 512
    """Connections held open at once; one more is answered 503 and closed."""
    head_timeout_s: float = 10.0
    """Seconds a client has to send a request's head; a slower one is cut off."""
    body_timeout_s: float = 20.0
    """Seconds a client has to send a request's body, and to take the answer; a slower one is cut off."""
    answer_timeout_s: float = 30.0
    """Seconds a request may take to be answered before it is answered 503."""
    keep_alive_s: int = 30
    """Seconds an idle connection stays open."""
    shutdown_s: float = 20.0
    """Seconds that requests under way have to finish at SIGTERM or Ctrl-C."""
    monitor_cache_s: float = 5.0
    """Seconds for which a monitor report is answered again without reading the journal."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged to stderr; "info" has one line a request."""

    def __post_init__(self) -> None:
        """Refuse numbers with which no request could be served.

        Raises:
            ConfigError: a limit is not positive, or the port is none.
        """
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"port: expected a number from 0 to 65535, found {self.port}.")
        may_be_zero = {"port", "rate_limit", "monitor_cache_s"}
        for field in fields(ServiceConfig):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                continue
            least = 0 if field.name in may_be_zero else 1e-9
            if not value >= least or value == float("inf"):
                wanted = "a number >= 0" if field.name in may_be_zero else "a number > 0"
                raise ConfigError(f"{field.name}: expected {wanted}, found {value}.")
        if self.max_waiting_bars < self.max_symbols:
            raise ConfigError(
                f"max_waiting_bars ({self.max_waiting_bars}) is less than max_symbols ({self.max_symbols}): "
                "the largest allowed request could never be taken; raise the first or lower the second."
            )

    @property
    def max_body_bytes(self) -> int:
        """`max_body_kb` in bytes."""
        return self.max_body_kb * 1024
