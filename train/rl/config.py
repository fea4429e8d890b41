"""Settings of reinforcement learning on the TFT encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError

Algorithm = Literal["ppo", "a2c", "dqn", "sac", "maskable_ppo", "recurrent_ppo", "qrdqn"]
"""By name; the last three come with the extra "contrib" (sb3-contrib)."""

ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
OFF_POLICY = ("dqn", "sac", "qrdqn")

_HOUR_MS = 3_600_000
_FEWEST_BARS, _MOST_BARS = 4.0, 1_000.0


def can_export(algorithm: Algorithm) -> bool:
    """Whether the policy is a function of what it is shown; a recurrent one carries a memory besides."""
    return algorithm != "recurrent_ppo"


@dataclass(frozen=True, kw_only=True)
class OffPolicyConfig:
    """What DQN, QR-DQN and SAC have besides."""

    buffer_size: int = 200_000
    """Transitions kept; more remembers longer and takes more memory and larger checkpoints."""
    learning_starts: int = 10_000
    """Transitions collected at random before learning begins."""
    batch_size: int = 1024
    """Transitions per gradient step."""
    gradient_steps: int = 1
    """Gradient steps after each step of all accounts; more learns faster per step and takes longer."""
    target_update_interval: int = 2_000
    """DQN, QR-DQN: environment steps between two copies into the target network."""
    exploration_share: float = 0.3
    """DQN, QR-DQN: share of the training over which random actions fall to `exploration_end`."""
    exploration_end: float = 0.05
    """DQN, QR-DQN: share of random actions from then on."""

    def __post_init__(self) -> None:
        for name in ("buffer_size", "batch_size", "gradient_steps", "target_update_interval"):
            _require(getattr(self, name) >= 1, name, "a whole number of at least 1", getattr(self, name))
        _require(self.learning_starts >= 0, "learning_starts", "at least 0", self.learning_starts)
        for name in ("exploration_share", "exploration_end"):
            _require(0 < getattr(self, name) <= 1, name, "a number in (0, 1]", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig:
    """Second phase: the policy and the TFT encoder together, end to end (PPO only)."""

    total_steps: int = 0
    """Environment steps of the second phase; 0 leaves it out. A step costs as much as 200 of the first."""
    learning_rate: float = 1e-4
    """Adam step size of the policy in this phase, falling to zero."""
    encoder_rate: float = 0.1
    """The encoder's step size as a share of the policy's: what it knows is easily lost."""
    num_envs: int = 64
    """Accounts stepped together."""
    shared_start: int = 16
    """Accounts that begin on the same bars; windows seen by several are encoded once."""
    rollout_steps: int = 64
    """Steps of each account between updates."""
    batch_size: int = 1024
    """Rows per gradient step."""
    epochs: int = 2
    """Passes over each rollout."""

    def __post_init__(self) -> None:
        _require(self.total_steps >= 0, "total_steps", "a whole number of at least 0", self.total_steps)
        for name in ("num_envs", "shared_start", "rollout_steps", "epochs"):
            _require(getattr(self, name) >= 1, name, "a whole number of at least 1", getattr(self, name))
        _require(self.batch_size >= 2, "batch_size", "a whole number of at least 2", self.batch_size)
        _require(self.learning_rate > 0, "learning_rate", "a number above 0", self.learning_rate)
        _require(self.encoder_rate >= 0, "encoder_rate", "a number of at least 0", self.encoder_rate)


@dataclass(frozen=True, kw_only=True)
class RLConfig:
    """Training of a policy on the table of TFT encoder outputs, by whichever algorithm."""

    total_steps: int = 1_500_000
    """Environment steps to train for; more takes longer and fits the training slice closer."""
    num_envs: int = 256
    """Accounts stepped together; more is faster per step and makes each update's batch larger."""
    features: PolicyFeatures = "outputs"
    """What the policy sees of the market: the TFT's embedding ("encoder"), what its heads make of it
    ("outputs"), or "both". The fewer numbers, the less noise can be learnt by heart."""
    mirror: bool = True
    """Train and validate on every market's mirror image too, so that no drift of those years is learnt."""
    warm_start: bool = True
    """PPO, A2C with targets that see the outputs: begin with what the TFT's forecast alone would trade."""
    rollout_steps: int = 64
    """PPO: steps of each account between updates; longer rollouts see the reward of longer trades."""
    batch_size: int = 2048
    """PPO: rows per gradient step; larger is faster and less noisy."""
    epochs: int = 4
    """PPO: passes over each rollout; more squeezes it harder and drifts further from the old policy."""
    learning_rate: float = 1e-3
    """Adam step size at the beginning."""
    final_learning_rate: float = 0.0
    """Share of `learning_rate` left at the end of a linear fall; 1 keeps it constant."""
    horizon_hours: float = 10.0
    """How far ahead rewards count: the discount is 1 - 1 / (bars in this time), from 4 to 1,000 bars."""
    gamma: float | None = None
    """Discount per bar instead of the one that `horizon_hours` gives."""
    gae_lambda: float = 0.95
    """Advantage smoothing (Schulman et al. 2016); lower trusts the value function more."""
    clip_range: float = 0.2
    """PPO: largest change of an action's probability ratio per update, at the beginning."""
    final_clip_range: float = 1.0
    """Share of `clip_range` left at the end of a linear fall; 1 keeps it constant."""
    entropy_coef: float = 0.02
    """Bonus for undecided policies; raising it delays freezing into one action."""
    final_entropy_coef: float = 1.0
    """Share of `entropy_coef` left at the end of a linear fall; 1 keeps it constant."""
    risk_aversion: float = 1.0
    """Half of it, times the squared reward of a bar, is taken off each reward, and off the validation result
    by which the policy is chosen: a position without an edge then costs something. 0 is indifferent."""
    holding_penalty: float = 0.0
    """Taken off the reward of each bar that ends with a position, as a fraction of equity."""
    turnover_penalty: float = 0.0
    """Taken off the reward of each bar in which the position changed, as a fraction of equity."""
    reward_scale: float = 100.0
    """Multiplies the reward: hourly log returns are of the order of 0.001, too small for the value loss."""
    account_hidden: int = 16
    """Width of the layer that reads the account."""
    layers: tuple[int, ...] = (8,)
    """Hidden layers of the actor; wider ones learn the training slice by heart."""
    critic_layers: tuple[int, ...] = (64, 64)
    """Hidden layers of the critic."""
    off_policy: OffPolicyConfig = field(default_factory=OffPolicyConfig)
    """What DQN, QR-DQN and SAC have besides."""
    fine_tune: FineTuneConfig = field(default_factory=FineTuneConfig)
    """Second phase, end to end."""
    evaluations: int = 20
    """How often the policy is tried on the validation slice during training."""
    smoothing: float = 0.3
    """Weight of the newest validation result in the running mean by which the best policy is chosen."""
    stay_out: bool = True
    """Keep a policy without trades where no policy tried had a mean utility above 0, what that earns."""
    patience: int = 8
    """Evaluations without a better running mean before training stops early; 0 never stops."""
    seed: int = 0
    """Seed of network, environments and sampling."""
    num_threads: int = 1
    """Threads of torch during training; two are slower than one on a busy machine."""
    env: EnvConfig = field(
        default_factory=lambda: EnvConfig(
            actions="target", random_start=True, episode_bars=336, observe_account=True
        )
    )
    """The environment trained in; by default episodes of two weeks of hourly bars from random starts. Its
    `cost_range` draws another cost level for each episode."""

    def __post_init__(self) -> None:
        for name in ("total_steps", "num_envs", "rollout_steps", "epochs", "account_hidden", "evaluations"):
            _require(getattr(self, name) >= 1, name, "a whole number of at least 1", getattr(self, name))
        for name in ("patience", "num_threads"):
            _require(getattr(self, name) >= 0, name, "a whole number of at least 0", getattr(self, name))
        for name in ("learning_rate", "clip_range", "reward_scale", "horizon_hours"):
            _require(getattr(self, name) > 0, name, "a number above 0", getattr(self, name))
        for name in ("risk_aversion", "holding_penalty", "turnover_penalty"):
            _require(getattr(self, name) >= 0, name, "a number of at least 0", getattr(self, name))
        for name in ("final_learning_rate", "final_clip_range", "final_entropy_coef", "gae_lambda"):
            _require(0 <= getattr(self, name) <= 1, name, "a number in [0, 1]", getattr(self, name))
        in_logs = self.env.reward in ("log_equity", "drawdown_penalised")
        found = f"{self.risk_aversion:g} with env.reward {self.env.reward}"
        _require(
            in_logs or self.risk_aversion == 0, "risk_aversion", "0 for rewards that are no log return", found
        )
        if self.gamma is not None:
            _require(0 <= self.gamma <= 1, "gamma", "a number in [0, 1]", self.gamma)
        _require(0 < self.smoothing <= 1, "smoothing", "a number in (0, 1]", self.smoothing)
        for name in ("layers", "critic_layers"):
            widths = getattr(self, name)
            _require(min(widths, default=1) >= 1, name, "whole numbers of at least 1", widths)
        kinds = get_args(PolicyFeatures)
        _require(self.features in kinds, "features", f"one of {', '.join(kinds)}", self.features)
        rows = self.num_envs * self.rollout_steps
        _require(rows >= 2, "num_envs x rollout_steps", "at least 2 rows", rows)
        _require(self.batch_size >= 2, "batch_size", "a whole number of at least 2", self.batch_size)
        # A policy answers with one of three orders or positions; it sees its account.
        known = self.env.actions in ("order", "target") and self.env.max_units == 1
        found = f"{self.env.actions} with max_units {self.env.max_units}"
        expected = '"order" or "target" with max_units 1 (SAC makes them continuous by itself)'
        _require(known, "env.actions", expected, found)
        _require(self.env.observe_account, "env.observe_account", "True", self.env.observe_account)

    def discount(self, step_ms: int) -> float:
        """Discount per bar for bars of `step_ms` milliseconds."""
        if self.gamma is not None:
            return self.gamma
        bars = self.horizon_hours * _HOUR_MS / step_ms
        return 1.0 - 1.0 / min(max(bars, _FEWEST_BARS), _MOST_BARS)


def _require(condition: bool, name: str, expected: str, found: object) -> None:
    if not condition:
        raise ConfigError(f"RLConfig: {name}: expected {expected}, found {found}.")
