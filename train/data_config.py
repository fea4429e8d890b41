"""Settings of labels, splits and weights. Imports nothing heavy: the command line needs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from quantum_trader.envs.context import HORIZONS
from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """How a row is labelled."""

    horizon_bars: int = 6
    """Bars a trade may last, the fill's bar included; raising it makes HOLD rarer and labels overlap more."""
    barrier_atr: float | None = None
    """Distance of both barriers from the fill in ATR(14) of the decision bar; raising it makes HOLD commoner.
    None: chosen on training rows so that HOLD's share is near `hold_share`."""
    hold_share: float = 0.40
    """Share of HOLD among training rows that `barrier_atr=None` aims at."""

    def __post_init__(self) -> None:
        if self.horizon_bars < 1:
            raise ConfigError(f"horizon_bars: expected at least 1, found {self.horizon_bars}.")
        if self.barrier_atr is not None and not self.barrier_atr > 0:
            raise ConfigError(f"barrier_atr: expected a number above 0, found {self.barrier_atr}.")
        if not 0 < self.hold_share < 1:
            raise ConfigError(f"hold_share: expected a share between 0 and 1, found {self.hold_share}.")

    @property
    def reach_bars(self) -> int:
        """Bars after the decision bar that a label or a forward return may look at."""
        return max(self.horizon_bars, *HORIZONS)


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Where training ends and where validation ends: by shares of the time line, or by UTC dates."""

    train_fraction: float = 0.6
    """Share of the pooled time line that is training; not used where `train_end` is given."""
    validation_fraction: float = 0.2
    """Share that is validation, the rest being test; not used where `validation_end` is given."""
    train_start: str | None = None
    """UTC date or moment of the first training bar; None starts at the first bar."""
    train_end: str | None = None
    """UTC date or moment at which validation begins, e.g. "2024-06-01"; later gives more training rows."""
    validation_end: str | None = None
    """UTC date or moment at which the test begins."""
    test_end: str | None = None
    """UTC date or moment at which the test ends; None goes to the last bar."""

    def __post_init__(self) -> None:
        if (self.train_end is None) != (self.validation_end is None):
            raise ConfigError("train_end and validation_end belong together: give both dates or neither.")
        shares = self.train_fraction, self.validation_fraction
        if not (min(shares) > 0 and sum(shares) < 1):
            raise ConfigError(
                "train_fraction and validation_fraction: expected shares above 0 that leave a rest for "
                f"the test, found {shares[0]} and {shares[1]}."
            )


@dataclass(frozen=True, kw_only=True)
class WeightConfig:
    """How training rows are weighed."""

    overlap: bool = True
    """Weigh a row by its label's average uniqueness: six labels of the same move then count less than six."""
    classes: Literal["none", "sqrt", "balanced"] = "none"
    """"balanced" gives HOLD, BUY and SELL equal total weight, "sqrt" goes half way; both bend probabilities
    away from the true shares, "none" leaves them honest."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How markets become labelled datasets."""

    labels: LabelConfig = field(default_factory=LabelConfig)
    """The labels."""
    splits: SplitConfig = field(default_factory=SplitConfig)
    """Where training, validation and test part."""
    weights: WeightConfig = field(default_factory=WeightConfig)
    """The sample weights."""
