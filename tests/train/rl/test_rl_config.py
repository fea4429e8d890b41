"""PPO's settings: what cannot work is refused before anything runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from quantum_trader.envs.config import from_plain, to_plain
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.train.ppo_config import PPOConfig


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"total_steps": 0}, "total_steps: expected a whole number of at least 1, found 0"),
        ({"evaluations": 0}, "evaluations"),
        ({"patience": -1}, "patience"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"gamma": 1.5}, "gamma"),
        ({"smoothing": 0.0}, "smoothing"),
        ({"layers": (64, 0)}, "layers"),
        ({"num_envs": 1, "rollout_steps": 1}, "num_envs x rollout_steps"),
        ({"env": EnvConfig(actions="target")}, 'env.actions: expected "order", found target'),
        ({"env": EnvConfig(observe_account=False)}, "env.observe_account"),
    ],
)
def test_settings_out_of_range_are_named(change: dict[str, Any], named: str) -> None:
    """A setting that training cannot work with is a `ConfigError` with its name."""
    with pytest.raises(ConfigError, match=named):
        PPOConfig(**change)


def test_survives_json() -> None:
    """Written as plain values and read back strictly, the settings are the same."""
    config = PPOConfig(layers=(32,), env=EnvConfig(leverage=3.0))
    assert from_plain(PPOConfig, to_plain(config), where="test") == config


def test_settings_load_without_torch() -> None:
    """The settings are readable in a process that never imports torch."""
    code = "import sys; import quantum_trader.train.ppo_config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
