"""Settings of the learners on the summary table. Imports nothing heavy: the command line needs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from quantum_trader.envs.errors import ConfigError

MemberName = Literal["xgboost", "lightgbm", "catboost"]


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
class LightGBMConfig:
    """How LightGBM, a member of the ensemble, is grown: leaf by leaf, where XGBoost grows level by level."""

    rounds: int = 600
    """Most boosting rounds; early stopping usually ends sooner."""
    early_stopping: int = 40
    """Rounds without a better validation log-loss before boosting stops; more is slower and rarely better."""
    learning_rate: float = 0.05
    """Share of each tree that is added; less needs more rounds and overfits later."""
    max_depth: int = 6
    """Splits from root to the deepest leaf; deeper trees fit finer interactions, and noise."""
    leaves: int = 16
    """Most leaves of a tree, 2 to the power of `max_depth` at most; more fit finer, and noise."""
    min_leaf_share: float = 0.002
    """Rows a leaf needs, as a share of the training rows; more makes trees coarser."""
    subsample: float = 0.7
    """Share of rows each tree sees; less decorrelates the trees."""
    colsample: float = 0.5
    """Share of columns each tree sees; less decorrelates the trees."""
    reg_lambda: float = 10.0
    """L2 penalty on leaf values; more pulls every answer toward the prior."""
    max_bin: int = 127
    """Histogram bins per column; more is slower and finer."""
    n_jobs: int = 0
    """Threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        _check_boosting(self)
        if self.leaves < 2 or not 0 <= self.min_leaf_share < 0.5:
            raise ConfigError("leaves and min_leaf_share: expected at least 2, and a share from 0 to 0.5.")


@dataclass(frozen=True, kw_only=True)
class CatBoostConfig:
    """How CatBoost, a member of the ensemble, is grown: symmetric trees, one question per level.

    Such trees fit less each than XGBoost's and take longer on many columns: hence fewer rounds, larger steps.
    """

    rounds: int = 400
    """Most boosting rounds; early stopping usually ends sooner."""
    early_stopping: int = 40
    """Rounds without a better validation log-loss before boosting stops; more is slower and rarely better."""
    learning_rate: float = 0.08
    """Share of each tree that is added; less needs more rounds and overfits later."""
    max_depth: int = 5
    """Questions of a tree, 16 at most; each doubles its leaves. Deeper trees fit finer, and noise."""
    subsample: float = 0.7
    """Share of rows each tree sees; less decorrelates the trees."""
    colsample: float = 0.5
    """Share of columns each level of a tree sees; less decorrelates the trees and is faster."""
    reg_lambda: float = 10.0
    """L2 penalty on leaf values; more pulls every answer toward the prior."""
    max_bin: int = 64
    """Borders per column; more is slower and finer."""
    n_jobs: int = 0
    """Threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        _check_boosting(self)
        if self.max_depth > 16:
            raise ConfigError(f"max_depth: CatBoost grows 16 levels at most, found {self.max_depth}.")


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """Which libraries' trees are averaged, and how each is grown."""

    members: tuple[MemberName, ...] = ("xgboost", "lightgbm", "catboost")
    """The members, each once; LightGBM and CatBoost need the extra "trees"."""
    xgboost: XGBoostConfig = field(default_factory=XGBoostConfig)
    """Its XGBoost, independent of the agent of that name."""
    lightgbm: LightGBMConfig = field(default_factory=LightGBMConfig)
    """Its LightGBM."""
    catboost: CatBoostConfig = field(default_factory=CatBoostConfig)
    """Its CatBoost."""

    def __post_init__(self) -> None:
        known = ("xgboost", "lightgbm", "catboost")
        if not self.members or len(set(self.members)) < len(self.members) or set(self.members) - set(known):
            raise ConfigError(
                f"members: expected at least one of {', '.join(known)}, none twice, "
                f"found {', '.join(self.members) or 'none'}."
            )


def _check_boosting(config: LightGBMConfig | CatBoostConfig) -> None:
    """The rules of `XGBoostConfig`, for the fields of the same names."""
    if config.rounds < 1 or config.early_stopping < 1 or config.max_depth < 1:
        raise ConfigError("rounds, early_stopping and max_depth: expected whole numbers of at least 1.")
    shares = config.subsample, config.colsample, config.learning_rate
    if not all(0 < share <= 1 for share in shares):
        raise ConfigError("subsample, colsample and learning_rate: expected numbers above 0, at most 1.")
    if config.max_bin < 2 or not config.reg_lambda >= 0 or config.n_jobs < 0:
        raise ConfigError("max_bin, reg_lambda and n_jobs: expected at least 2, 0 and 0.")


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
