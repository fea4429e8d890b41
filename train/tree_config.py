"""Settings of the learners on the summary table. Imports nothing heavy: the command line needs them."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class XGBoostConfig:
    """How the trees are grown. The defaults suit noisy labels: shallow trees, heavy leaves, subsampling."""

    rounds: int = 600
    """Most boosting rounds; early stopping usually ends sooner."""
    early_stopping: int = 40
    """Rounds without a better validation log-loss before boosting stops; more is slower and rarely better."""
    learning_rate: float = 0.05
    """Share of each tree that is added; less needs more rounds and overfits later."""
    max_depth: int = 5
    """Splits from root to leaf; deeper trees fit finer interactions, and noise."""
    min_leaf_share: float = 0.0005
    """Hessian weight a leaf needs, as a share of the training rows; more makes trees coarser."""
    subsample: float = 0.7
    """Share of rows each tree sees; less decorrelates the trees."""
    colsample: float = 0.5
    """Share of columns each tree sees; less decorrelates the trees."""
    reg_lambda: float = 10.0
    """L2 penalty on leaf values; more pulls every answer toward the prior."""
    max_bin: int = 128
    """Histogram bins per column; more is slower and finer."""
    n_jobs: int = 0
    """Threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.early_stopping < 1 or self.max_depth < 1:
            raise ConfigError("rounds, early_stopping and max_depth: expected whole numbers of at least 1.")
        if not (0 < self.subsample <= 1 and 0 < self.colsample <= 1 and 0 < self.learning_rate <= 1):
            raise ConfigError("subsample, colsample and learning_rate: expected numbers above 0, at most 1.")


@dataclass(frozen=True, kw_only=True)
class LogisticConfig:
    """How the regression is fitted."""

    penalty: float = 0.1
    """L2 penalty per training row on standardised coefficients; more pulls every answer toward the prior."""
    max_rows: int = 60_000
    """Training rows used, evenly spaced over time where there are more; more is slower."""
    max_iterations: int = 200
    """Steps of the solver; the fit is kept as it stands where they do not suffice."""

    def __post_init__(self) -> None:
        if not self.penalty > 0 or self.max_rows < 1 or self.max_iterations < 1:
            raise ConfigError("penalty, max_rows and max_iterations: expected numbers above 0.")
