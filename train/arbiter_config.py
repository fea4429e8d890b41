"""Settings of the fit of the Arbiter."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ArbiterConfig:
    """How hold threshold and confidence gate are chosen on validation rows."""

    hold_share: float = 0.40
    """Share of rows that the hold threshold alone answers with HOLD; raising it makes the Arbiter quieter."""
    minimum_direction_share: float = 0.42
    """Smallest share of rows in which BUY, and SELL, is the likelier direction; 0 leaves the odds alone."""
    confidence_threshold: float | None = None
    """Directional confidence below which the answer is HOLD; None ("auto") chooses it on validation rows: the
    one with the highest net profit per trade among those whose interval lies above zero, else 0.5."""
    trees_share: float = 0.5
    """Weight of XGBoost in what it and the TFT forecast together, from 0 to 1; 0 leaves it the fallback.
    Equal by default: weights fitted on one half of validation did worse than that on the other."""
    minimum_coverage: float = 0.10
    """Smallest share of rows that an automatic gate may leave tradable: it can never become all-HOLD."""
    candidates: int = 8
    """Thresholds tried, evenly spread over the logarithm of coverage."""
    level: float = 0.90
    """Level of the two-sided interval of the profit per trade that must lie above zero."""
    draws: int = 1000
    """Bootstrap draws of the interval."""
    latency_budget_ms: float = 250.0
    """Milliseconds TFT and PPO have for one live call before XGBoost answers; 0 waits for ever."""
    clipped_share_limit: float = 0.25
    """Share of a window's values at the scaler's clip bounds above which it is out of distribution."""
    seed: int = 0
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if not 0 < self.hold_share < 1:
            raise ConfigError(f"hold_share: expected a share between 0 and 1, found {self.hold_share}.")
        if not 0 <= self.minimum_direction_share < 0.5:
            found = self.minimum_direction_share
            raise ConfigError(f"minimum_direction_share: expected a share below 0.5, found {found}.")
        threshold = self.confidence_threshold
        if threshold is not None and not 0 <= threshold <= 1:
            raise ConfigError(f"confidence_threshold: expected a number from 0 to 1, found {threshold}.")
        if not 0 <= self.trees_share <= 1:
            raise ConfigError(f"trees_share: expected a share from 0 to 1, found {self.trees_share}.")
        if not 0 < self.minimum_coverage < 1:
            found = self.minimum_coverage
            raise ConfigError(f"minimum_coverage: expected a share between 0 and 1, found {found}.")
