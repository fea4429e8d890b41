"""`BenchmarkConfig`: which agents are compared on which tasks, and how. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from quantum_trader.agents.network_config import Preset
from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.run_config import ExperimentConfig, MarketConfig
from quantum_trader.evaluate.sweep.backends import BackendConfig
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig

LightAgent = Literal["xgboost", "logistic"]


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig(ExperimentConfig):
    """Agents, tasks, folds, seeds."""

    name: str = "benchmark"
    """Name of the benchmark: everything is written to OUT/NAME."""
    market: Annotated[MarketConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: MarketConfig(data="")
    )
    """Bars of your own; they become the task "data"."""
    suite: str | None = None
    """"standard", "quick", "planted" or "none"; by default "standard", and "none" where --data is given."""
    agents: tuple[str, ...] = ()
    """Agents to compare: ours by name, anybody's as module:Class, file.py:Class or entry point. Empty:
    arbiter, tft, bilstm, ppo, ensemble, xgboost, logistic, and every entry point that is installed."""
    walk: Annotated[WalkForwardConfig, tyro.conf.arg(name="")] = field(default_factory=WalkForwardConfig)
    """How the time line is cut into folds."""
    seeds: int = 1
    """Seeds of every agent; the leaderboard shows median and range, never the best."""
    preset: Preset = "small"
    """Size of TFT and BiLSTM: "paper" 2.6 M parameters each, "small" 0.65 M, "tiny" 0.03 and 0.01 M."""
    combinatorial: tuple[LightAgent, ...] = ()
    """Light agents to run through combinatorial purged cross-validation too, 45 fits each: the spread of what
    they might have earned, for the report's histogram, never the headline."""
    limit_s: float = 600.0
    """Seconds that an agent of somebody else may take on one fold before it counts as failed."""
    backend: Annotated[BackendConfig, tyro.conf.arg(name="")] = field(default_factory=BackendConfig)
    """Where jobs run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seeds < 1:
            raise ConfigError(f"seeds: expected at least 1, found {self.seeds}.")
        if not self.limit_s > 0:
            raise ConfigError(f"limit_s: expected seconds above 0, found {self.limit_s}.")
