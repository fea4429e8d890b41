"""The Arbiter's numbers: fitted on validation rows, kept beside the models they were fitted for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """How a source's probabilities are read, and when they become BUY or SELL."""

    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Added to the log-probabilities of HOLD, BUY, SELL before anything else; see `train.arbiter`."""
    hold_threshold: float = 0.4
    """P(HOLD) from which on the answer is HOLD; lowering it makes the source quieter."""
    confidence_threshold: float = 0.5
    """Directional confidence below which the answer is HOLD; 0.5 lets every direction through."""
    rule: str = "not fitted"
    """In words, how `confidence_threshold` came about."""


@dataclass(frozen=True, kw_only=True)
class ArbiterSettings:
    """How members are combined, gated and doubted."""

    pool: tuple[str, ...] = ("tft", "ppo")
    """Members that are pooled, and that `primary` was fitted for: "tft", "ppo", "xgboost"."""
    trees_share: float = 0.0
    """Exponent of XGBoost's probabilities in the forecast, the TFT's being 1 less that; 0 leaves it out."""
    forecast_weight: float = 1.0
    """Exponent of the forecast, TFT and XGBoost together, in the pool; 0 silences it."""
    ppo_weight: float = 0.0
    """Exponent of the PPO policy's probabilities in the pool; 0 silences it."""
    primary: GateSettings = GateSettings()
    """Gate of the pooled probabilities."""
    tft_alone: GateSettings = GateSettings()
    """Gate of the TFT where another member of the pool is missing or fails."""
    fallback: GateSettings = GateSettings()
    """Gate of XGBoost when it has to answer alone."""
    barrier_atr: float = 1.5
    """Distance of the labels' barriers from the entry, in ATR: what the probabilities are about."""
    horizon_bars: int = 6
    """Bars after which the labels end."""
    latency_budget_ms: float = 250.0
    """Milliseconds the TFT and PPO have for one call before XGBoost answers, which has at least a second
    before the answer is HOLD; 0 waits for ever."""
    clipped_share_limit: float = 0.25
    """Share of a window's values at the scaler's clip bounds above which it is out of distribution."""

    def with_confidence_threshold(self, threshold: float) -> ArbiterSettings:
        """The same settings with a fixed confidence threshold for every source.

        Raises:
            ConfigError: the threshold is no number from 0 to 1.
        """
        if not 0.0 <= threshold <= 1.0:
            raise ConfigError(f"confidence_threshold: expected a number from 0 to 1, found {threshold}.")

        def fixed(gate: GateSettings) -> GateSettings:
            return replace(gate, confidence_threshold=threshold, rule="fixed by the user")

        return replace(
            self,
            primary=fixed(self.primary),
            tft_alone=fixed(self.tft_alone),
            fallback=fixed(self.fallback),
        )
