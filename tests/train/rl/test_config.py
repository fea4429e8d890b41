"""Settings of a policy's training: what cannot work is refused before anything runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.train.rl.config import FineTuneConfig, OffPolicyConfig, RLConfig

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"total_steps": 0}, "total_steps: expected a whole number of at least 1, found 0"),
        ({"evaluations": 0}, "evaluations"),
        ({"patience": -1}, "patience"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"final_learning_rate": 1.5}, "final_learning_rate"),
        ({"horizon_hours": 0.0}, "horizon_hours"),
        ({"gamma": 1.5}, "gamma"),
        ({"smoothing": 0.0}, "smoothing"),
        ({"layers": (64, 0)}, "layers"),
        ({"critic_layers": (0,)}, "critic_layers"),
        ({"features": "all"}, "features: expected one of encoder, outputs, both, found all"),
        ({"num_envs": 1, "rollout_steps": 1}, "num_envs x rollout_steps"),
        ({"batch_size": 1}, "batch_size"),
        ({"env": EnvConfig(actions="continuous")}, "env.actions: .* found continuous with max_units 1"),
        ({"env": EnvConfig(max_units=2)}, "env.actions: .* found order with max_units 2"),
        ({"env": EnvConfig(observe_account=False)}, "env.observe_account"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, Any], named: str) -> None:
    """A setting that training cannot work with is a `ConfigError` with its name."""
    with pytest.raises(ConfigError, match=named):
        RLConfig(**change)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (OffPolicyConfig, {"buffer_size": 0}),
        (OffPolicyConfig, {"gradient_steps": 0}),
        (OffPolicyConfig, {"learning_starts": -1}),
        (OffPolicyConfig, {"exploration_share": 0.0}),
        (OffPolicyConfig, {"exploration_end": 1.5}),
        (FineTuneConfig, {"total_steps": -1}),
        (FineTuneConfig, {"shared_start": 0}),
        (FineTuneConfig, {"batch_size": 1}),
        (FineTuneConfig, {"learning_rate": 0.0}),
        (FineTuneConfig, {"encoder_rate": -0.1}),
    ],
)
def test_parts_out_of_range_are_named(kind: Any, change: dict[str, Any]) -> None:
    """So it is with the settings of off-policy algorithms and of the second phase."""
    with pytest.raises(ConfigError, match=next(iter(change))):
        kind(**change)


def test_survives_json() -> None:
    """Written as plain values and read back strictly, the settings are the same, nested ones included."""
    config = RLConfig(
        layers=(32,),
        gamma=0.5,
        off_policy=OffPolicyConfig(buffer_size=7),
        fine_tune=FineTuneConfig(total_steps=9),
        env=EnvConfig(leverage=3.0, cost_range=(0.5, 2.0)),
    )
    assert from_plain(RLConfig, to_plain(config), where="test") == config


@pytest.mark.parametrize(
    ("step_ms", "hours", "bars"),
    [(HOUR_MS, 10.0, 10), (HOUR_MS // 4, 10.0, 40), (4 * HOUR_MS, 10.0, 4), (60_000, 24.0, 1_000)],
    ids=["an hour", "a quarter", "held at 4 bars", "held at 1,000 bars"],
)
def test_discount_looks_as_far_ahead_in_time_whatever_the_bars(step_ms: int, hours: float, bars: int) -> None:
    """The discount is 1 - 1 / (bars in the horizon), between 4 and 1,000 bars; `gamma` replaces it."""
    assert RLConfig(horizon_hours=hours).discount(step_ms) == pytest.approx(1 - 1 / bars, abs=1e-12)
    assert RLConfig(horizon_hours=hours, gamma=0.3).discount(step_ms) == 0.3


def test_settings_load_without_training_libraries() -> None:
    """The settings are readable in a process that never imports stable-baselines3."""
    code = "import sys; import quantum_trader.train.rl.config; assert 'stable_baselines3' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
