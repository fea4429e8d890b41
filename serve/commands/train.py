"""`quantum-trader train`: fit one agent into a run's folder."""

from __future__ import annotations

from dataclasses import dataclass, replace

from quantum_trader.evaluate.run_config import AgentName, RunConfig


def _fit(config: RunConfig, agents: tuple[AgentName, ...]) -> None:
    from quantum_trader.evaluate.experiment import train_agents
    from quantum_trader.serve.commands.output import say

    train_agents(replace(config, agents=agents), say)
    say(f"model: {config.folder / 'models' / agents[-1]}")


@dataclass(frozen=True, kw_only=True)
class TrainTFT(RunConfig):
    """Fit the Temporal Fusion Transformer and write OUT/NAME/models/tft; goes on where it was cut off."""

    def run(self) -> None:
        """Fit it."""
        _fit(self, ("tft",))


@dataclass(frozen=True, kw_only=True)
class TrainPPO(RunConfig):
    """Fit PPO on the encoder of the run's TFT, which is fitted first where it is missing."""

    def run(self) -> None:
        """Fit it."""
        _fit(self, ("tft", "ppo"))


@dataclass(frozen=True, kw_only=True)
class TrainXGBoost(RunConfig):
    """Fit the gradient-boosted trees and write OUT/NAME/models/xgboost."""

    def run(self) -> None:
        """Fit them."""
        _fit(self, ("xgboost",))
