"""`WalkForwardConfig`. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class WalkForwardConfig:
    """How the time line is cut into folds."""

    folds: int = 8
    """Test slices; more follow the market closer and take longer."""
    kind: Literal["expanding", "rolling"] = "expanding"
    """"expanding" trains on everything before, "rolling" on the latest stretch: it forgets old markets."""
    first_train_fraction: float = 0.4
    """Share of the time line that trains the first fold, and with "rolling" every fold."""
    fold_validation_fraction: float = 0.1
    """Share of the time line before each test slice that is validation."""
    start: str | None = None
    """UTC date of the first bar used; None starts with the first."""
    end: str | None = None
    """UTC date at which the last fold ends; None goes to the last bar."""

    def __post_init__(self) -> None:
        if self.folds < 1:
            raise ConfigError(f"folds: expected at least 1, found {self.folds}.")
        shares = self.first_train_fraction, self.fold_validation_fraction
        if not (min(shares) > 0 and sum(shares) < 1):
            raise ConfigError(
                "first_train_fraction and fold_validation_fraction: expected shares above 0 that leave a "
                f"rest for the test, found {shares[0]} and {shares[1]}."
            )
