"""Settings of PPO training."""

from __future__ import annotations

from dataclasses import dataclass, field

from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """PPO (Schulman et al. 2017) on the table of TFT encoder outputs."""

    total_steps: int = 1_000_000
    """Environment steps to train for; more takes longer and fits the training slice closer."""
    num_envs: int = 64
    """Accounts stepped together; more is faster per step and makes each update's batch larger."""
    rollout_steps: int = 128
    """Steps of each account between updates; longer rollouts see the reward of longer trades."""
    batch_size: int = 2048
    """Rows per gradient step; larger is faster and less noisy."""
    epochs: int = 4
    """Passes over each rollout; more squeezes it harder and drifts further from the old policy."""
    learning_rate: float = 3e-4
    """Adam step size, falling linearly to zero over the training."""
    gamma: float = 0.97
    """Discount per bar; 0.97 looks about 33 bars ahead."""
    gae_lambda: float = 0.95
    """Advantage smoothing (Schulman et al. 2016); lower trusts the value function more."""
    clip_range: float = 0.2
    """Largest change of an action's probability ratio per update."""
    entropy_coef: float = 0.003
    """Bonus for undecided policies; raising it delays freezing into one action."""
    reward_scale: float = 100.0
    """Multiplies the reward: hourly log returns are of the order of 0.001, too small for the value loss."""
    account_hidden: int = 16
    """Width of the layer that reads the account."""
    layers: tuple[int, ...] = (64, 64)
    """Hidden layers of actor and critic."""
    evaluations: int = 20
    """How often the policy is tried on the validation slice during training."""
    smoothing: float = 0.5
    """Weight of the newest validation result in the running mean by which the best policy is chosen."""
    patience: int = 8
    """Evaluations without a better running mean before training stops early; 0 never stops."""
    seed: int = 0
    """Seed of network, environments and sampling."""
    num_threads: int = 1
    """Threads of torch during training; two are slower than one on a busy machine."""
    env: EnvConfig = field(
        default_factory=lambda: EnvConfig(random_start=True, episode_bars=336, observe_account=True)
    )
    """The environment trained in; by default episodes of two weeks of hourly bars from random starts."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "num_envs", "rollout_steps", "epochs", "account_hidden", "evaluations"):
            _require(getattr(self, name) >= 1, name, "a whole number of at least 1", getattr(self, name))
        for name in ("patience", "num_threads"):
            _require(getattr(self, name) >= 0, name, "a whole number of at least 0", getattr(self, name))
        for name in ("learning_rate", "clip_range", "reward_scale"):
            _require(getattr(self, name) > 0, name, "a number above 0", getattr(self, name))
        for name in ("gamma", "gae_lambda"):
            _require(0 <= getattr(self, name) <= 1, name, "a number in [0, 1]", getattr(self, name))
        _require(0 < self.smoothing <= 1, "smoothing", "a number in (0, 1]", self.smoothing)
        _require(min(self.layers, default=1) >= 1, "layers", "whole numbers of at least 1", self.layers)
        rows = self.num_envs * self.rollout_steps
        _require(rows >= 2, "num_envs x rollout_steps", "at least 2 rows", rows)
        _require(self.batch_size >= 2, "batch_size", "a whole number of at least 2", self.batch_size)
        # The policy answers HOLD, BUY or SELL and sees its account; other environments need another network.
        _require(self.env.actions == "order", "env.actions", '"order"', self.env.actions)
        _require(self.env.observe_account, "env.observe_account", "True", self.env.observe_account)


def _require(condition: bool, name: str, expected: str, found: object) -> None:
    if not condition:
        raise ConfigError(f"PPOConfig: {name}: expected {expected}, found {found}.")
