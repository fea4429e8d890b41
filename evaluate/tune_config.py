"""`TuneConfig`: what a search for better options varies, and between which bounds. Imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.windows import WINDOW
from quantum_trader.evaluate.run_config import RunConfig

TunedAgent = Literal["xgboost", "logistic", "tft", "bilstm", "ppo"]
Criterion = Literal["log_loss", "net_return", "sharpe", "direction_10"]
Bounds = tuple[float, float] | None

FORECAST_CRITERIA: tuple[Criterion, ...] = ("log_loss", "direction_10")
"""Those that look at probabilities, not at trades."""

NETWORKS = ("tft", "bilstm")
_HEARD_BY_THE_ARBITER = ("xgboost", "tft")


@dataclass(frozen=True, kw_only=True)
class TuneRanges:
    """Lower and upper end of what each trial draws; equal ends fix a value, None leaves the run's own.

    Only what matters for the agent and the criterion is drawn.
    """

    threshold: Bounds = (0.5, 0.65)
    """XGBoost, TFT: directional confidence from which on a signal is traded, the Arbiter's gate."""
    window: Bounds = (20, 60)
    """TFT, BiLSTM: newest bars of the 60 that the network looks at."""
    tree_rate: Bounds = (0.01, 0.3)
    """XGBoost: share of each tree that is added."""
    network_rate: Bounds = (3e-4, 3e-3)
    """TFT, BiLSTM: AdamW step size."""
    policy_rate: Bounds = (1e-4, 3e-3)
    """PPO: Adam step size at the beginning."""
    penalty: Bounds = (1e-3, 10.0)
    """Logistic regression, which has no step size: L2 penalty per training row."""
    barrier: Bounds = (0.8, 2.5)
    """Forecasters: distance of the label's barriers in ATR. It changes the question, not just the answer:
    trials then compare which question is answered best."""
    risk_aversion: Bounds = (0.1, 10.0)
    """PPO's reward: price of the squared return of a bar."""
    holding_penalty: Bounds = (0.0, 2e-5)
    """PPO's reward: taken off for a bar with a position, fraction of equity."""
    turnover_penalty: Bounds = (0.0, 5e-4)
    """PPO's reward: taken off for a bar in which the position changed, fraction of equity."""

    def __post_init__(self) -> None:
        for each in fields(self):
            bounds: Bounds = getattr(self, each.name)
            if bounds is None:
                continue
            low, high = bounds
            least = 0.0 if each.name not in _LOGARITHMIC else 5e-324
            if not (least <= low <= high < math.inf):
                zero = "above 0" if least else "of at least 0"
                raise ConfigError(
                    f"ranges.{each.name}: expected two ascending numbers {zero}, found {bounds}."
                )
        if self.window is not None and (self.window[0] < 1 or self.window[1] > WINDOW):
            raise ConfigError(f"ranges.window: expected bars from 1 to {WINDOW}, found {self.window}.")


_LOGARITHMIC = ("tree_rate", "network_rate", "policy_rate", "penalty", "barrier", "risk_aversion")


@dataclass(frozen=True, kw_only=True)
class TuneConfig(RunConfig):
    """A search: the run whose options are varied, and how."""

    name: str = "tune"
    """Name of the study: everything is written to OUT/NAME, and the same name goes on with it."""
    agent: TunedAgent = "xgboost"
    """Agent whose options are searched."""
    trials: int = 30
    """Trials of the whole study, those of earlier starts and of other processes included."""
    criterion: Criterion = "sharpe"
    """What a trial is worth on the validation rows that score it: the yearly Sharpe ratio or the net return
    of its trades, the accuracy of the tenth most confident directions, or "log_loss": as its skill, 1 -
    log-loss / log-loss of the training shares, since the log-loss itself of labels with wider barriers is
    another scale. PPO gives no forecasts and is searched by its trades."""
    score_share: float = 0.5
    """Share of validation, its end, that scores; early stopping and calibration look at the rest."""
    prune: bool = False
    """TFT, BiLSTM: give a trial up whose cross-entropy skill after an epoch is below the median of the trials
    so far (Optuna's MedianPruner)."""
    ranges: TuneRanges = field(default_factory=TuneRanges)
    """Between which bounds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trials < 1:
            raise ConfigError(f"trials: expected at least 1, found {self.trials}.")
        if not 0 < self.score_share < 1:
            raise ConfigError(f"score_share: expected a share between 0 and 1, found {self.score_share}.")
        if self.agent == "ppo" and self.criterion in FORECAST_CRITERIA:
            raise ConfigError(
                f"criterion: expected net_return or sharpe for ppo, which gives no forecasts, found "
                f"{self.criterion}."
            )
        if not self.dimensions:
            raise ConfigError(f"ranges: nothing is left to vary for {self.agent}: give one range at least.")

    @property
    def run_config(self) -> RunConfig:
        """The run that is varied: its agents are those that the tuned one needs."""
        plain = {each.name: getattr(self, each.name) for each in fields(RunConfig)}
        agents = ("tft", "ppo") if self.agent == "ppo" else (self.agent,)
        return RunConfig(**plain | {"agents": agents})

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What a trial draws, in the order it is drawn."""
        return tuple(_dimensions(self))

    @property
    def identity(self) -> dict[str, Any]:
        """What all processes and starts of one study have in common, as plain values."""
        left_out = ("name", "out", "trials")
        return {key: value for key, value in to_plain(self).items() if key not in left_out}


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One option of a run that is varied."""

    option: str
    """Path of the field in `RunConfig`, e.g. "xgboost.learning_rate"."""
    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    log: bool = False
    """Drawn evenly over the logarithm."""
    whole: bool = False
    """Whole numbers only."""

    def option_text(self, value: float) -> str:
        """The value as an option of the command line."""
        return f"--{self.option.replace('_', '-')} {value}"


def _dimensions(config: TuneConfig) -> list[Dimension]:
    agent, ranges = config.agent, config.ranges
    rates = {"xgboost": "tree_rate", "logistic": "penalty", "ppo": "policy_rate"}
    wanted: list[tuple[str, str]] = []
    if agent in _HEARD_BY_THE_ARBITER and config.criterion not in FORECAST_CRITERIA:
        wanted.append(("threshold", "arbiter.confidence_threshold"))
    if agent in NETWORKS:
        wanted.append(("window", "window_bars"))
    rate = {"logistic": "logistic.penalty", "ppo": "rl.learning_rate"}.get(agent, f"{agent}.learning_rate")
    wanted.append((rates.get(agent, "network_rate"), rate))
    if agent == "ppo":
        wanted += [(name, f"rl.{name}") for name in ("risk_aversion", "holding_penalty", "turnover_penalty")]
    else:
        wanted.append(("barrier", "labels.barrier_atr"))
    found = []
    for name, option in wanted:
        bounds: Bounds = getattr(ranges, name)
        if bounds is not None:
            low, high = bounds
            whole = name == "window"
            found.append(Dimension(option=option, low=low, high=high, log=name in _LOGARITHMIC, whole=whole))
    return found


def with_values(config: RunConfig, values: dict[str, Any]) -> RunConfig:
    """The run with other values of some options, by their paths.

    Raises:
        ConfigError: a value that its option refuses.
    """
    for option, value in values.items():
        config = _replaced(config, option.split("."), value)
    return config


def _replaced(config: Any, path: list[str], value: Any) -> Any:
    inner = value if len(path) == 1 else _replaced(getattr(config, path[0]), path[1:], value)
    return replace(config, **{path[0]: inner})
