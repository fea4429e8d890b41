"""`MonitorConfig`: what the monitor takes for normal, and how sure it has to be before it speaks."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.bootstrap import DRAWS


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """Levels of intervals and limits of alerts. "Bars" are those of the journal, whatever their length.

    Raises:
        ConfigError: a number outside its range.
    """

    level: float = 0.95
    """Nominal coverage of the intervals shown; raising it widens them."""
    alert_level: float = 0.998
    """Nominal coverage of the intervals that alerts rest on; raising it makes false alarms rarer and true
    ones later."""
    draws: int = DRAWS
    """Resamples of an interval; more makes its bounds less random and the report slower."""
    seed: int = 0
    """Seed of the resampling: the same journal gives the same figures."""
    block_bars: int = 24
    """Mean block of the bootstrap, at least; trades that last longer lengthen it. Raising it allows for
    slower dependence and widens intervals of short journals."""
    step_ms: int = 0
    """Length of a bar, milliseconds; 0 takes the commonest distance between successive bars of a symbol."""
    full_pool: str = ""
    """Source of a decision that every member took part in, e.g. "tft+ppo+xgboost"; empty takes the source
    with the most members in the range looked at."""

    silence_chance: float = 1e-4
    """all_hold: chance that a healthy Arbiter is silent for as long as it was; lowering it waits longer."""
    hold_share: float = 0.5
    """all_hold: share of HOLD that is believed until the journal knows better; raise it where a high
    confidence threshold makes the Arbiter quiet on purpose."""
    quiet_bars: float = 6.0
    """all_hold: mean length of a quiet spell of the market that is believed until the journal knows better;
    raising it waits longer."""
    buy_share: tuple[float, float] = (0.25, 0.35)
    """shares: normal range of the share of BUY; widening it silences the alert."""
    sell_share: tuple[float, float] = (0.25, 0.35)
    """shares: normal range of the share of SELL."""
    hold_range: tuple[float, float] = (0.30, 0.50)
    """shares: normal range of the share of HOLD."""
    share_bars: int = 720
    """shares: newest bars looked at, a month of hours; raising it makes the alert surer and slower."""

    recent_bars: tuple[int, ...] = (6, 12, 24, 48)
    """drift, fallback, refused: newest bars looked at, several windows at once: short ones find a total
    failure soon, long ones a partial one."""
    latch_bars: int = 6
    """drift, fallback, refused: bars an alert stays after its cause, so that it does not flicker."""
    drift_share: float = 0.25
    """drift: share of decisions with inputs unlike the training data that is put up with."""
    fallback_share: float = 0.20
    """fallback: share of decisions without the full pool that is put up with."""
    refused_share: float = 0.20
    """refused: share of bars refused (duplicate, late, bad, ...) that is put up with."""

    fewest_trades: int = 30
    """win_rate, shadow: closed trades below which nothing is said."""
    fewest_directions: int = 100
    """calibration: BUY and SELL decisions with a met barrier below which no error is given or judged."""
    calibration_gap: float = 0.03
    """calibration: distance of mean confidence from accuracy that is put up with."""

    latency_ms: float = 30.0
    """latency: limit of the 99th percentile of calls for one symbol, milliseconds."""
    batch_latency_ms: float = 50.0
    """latency: the same for calls with several symbols."""
    latency_calls: int = 500
    """latency: newest calls looked at; raising it makes the alert surer and slower."""

    stale_bars: float = 3.0
    """stale: bars without a decision after which a symbol is missed; raising it forgives longer outages."""
    forgotten_bars: int = 168
    """stale: bars after which a symbol counts as given up rather than missed, unless all are."""
    unresolved_bars: int = 12
    """outcomes: bars after the end of its horizon in which an outcome has to be written; raising it forgives
    slower writing."""
    unresolved_share: float = 0.10
    """outcomes: share of decisions that old without an outcome that is put up with."""
    model_bars: int = 24
    """model_changed: newest bars in which a change of models is mentioned."""

    def __post_init__(self) -> None:
        for name in ("level", "alert_level", "silence_chance", "hold_share"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"{name} must lie between 0 and 1, found {getattr(self, name)!r}.")
        for name in ("drift_share", "fallback_share", "refused_share", "unresolved_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must be a share from 0 to 1, found {getattr(self, name)!r}.")
        for name in ("buy_share", "sell_share", "hold_range"):
            low, high = getattr(self, name)
            if not 0.0 <= low < high <= 1.0:
                raise ConfigError(f"{name} must be two ascending shares, found {(low, high)!r}.")
        for name in _AT_LEAST_ONE:
            if not getattr(self, name) >= 1:
                raise ConfigError(f"{name} must be at least 1, found {getattr(self, name)!r}.")
        if not self.recent_bars or min(self.recent_bars) < 1:
            raise ConfigError(f"recent_bars must name windows of at least 1 bar, found {self.recent_bars!r}.")
        for name in ("calibration_gap", "latency_ms", "batch_latency_ms", "step_ms", "seed"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must not be negative, found {getattr(self, name)!r}.")


_AT_LEAST_ONE = (
    "draws",
    "block_bars",
    "quiet_bars",
    "share_bars",
    "latch_bars",
    "fewest_trades",
    "fewest_directions",
    "latency_calls",
    "stale_bars",
    "forgotten_bars",
    "unresolved_bars",
    "model_bars",
)

DEFAULTS = MonitorConfig()
"""What is normal unless told otherwise."""
