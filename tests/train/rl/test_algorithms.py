"""Every algorithm by its name: built, learning, and its hyper-parameters where they belong."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.policy_network import StateEncoder
from quantum_trader.envs.errors import ConfigError
from quantum_trader.train.rl.algorithms import build_algorithm, falling
from quantum_trader.train.rl.config import ALGORITHMS, OFF_POLICY, Algorithm
from quantum_trader.train.rl.environment import training_env
from quantum_trader.train.rl.scale import fit_scale

from . import tiny_policy
from .tiny_policy import CONFIG, ROLLOUT

HOUR_MS = 3_600_000


def _build(algorithm: Any, step_ms: int = HOUR_MS, **changes: Any) -> Any:
    config = replace(CONFIG, **changes)
    return build_algorithm(algorithm, training_env(tiny_policy.train(), config, algorithm), config, step_ms)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_learns_a_few_rollouts(algorithm: Algorithm) -> None:
    """Each algorithm trains on the table; the weights move and stay finite, the standardisation stays."""
    model, env = tiny_policy.model(algorithm, CONFIG)
    center, scale = fit_scale(tiny_policy.train())
    before = {name: weight.clone() for name, weight in model.policy.named_parameters()}
    model.learn(2 * ROLLOUT)
    assert model.num_timesteps >= 2 * ROLLOUT
    moved = [not torch.equal(weight, before[name]) for name, weight in model.policy.named_parameters()]
    assert sum(moved) > len(moved) / 2
    assert all(torch.isfinite(weight).all() for weight in model.policy.parameters())
    encoders = [part for part in model.policy.modules() if isinstance(part, StateEncoder)]
    assert encoders
    for part in encoders:
        np.testing.assert_array_equal(part.center.numpy(), center)
        np.testing.assert_array_equal(part.scale.numpy(), scale)
    kind = {"sac": "continuous", "maskable_ppo": "order"}.get(algorithm, "target")
    assert env.accounts.config.actions == kind


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_hyper_parameters_arrive(algorithm: Algorithm) -> None:
    """Discount by horizon and bar length, seed, widths and schedules are those of the settings."""
    model = _build(algorithm, 2 * HOUR_MS, horizon_hours=40.0, final_learning_rate=0.25)
    assert model.gamma == pytest.approx(1 - 1 / 20)
    assert model.seed == CONFIG.seed
    assert model.lr_schedule(1.0) == CONFIG.learning_rate
    assert model.lr_schedule(0.0) == pytest.approx(CONFIG.learning_rate / 4)
    assert str(model.device) == "cpu"
    if algorithm in OFF_POLICY:
        settings = CONFIG.off_policy
        assert model.learning_starts == settings.learning_starts
        assert model.replay_buffer.buffer_size == settings.buffer_size // CONFIG.num_envs
        assert model.gradient_steps == settings.gradient_steps
    else:
        assert model.n_steps == (8 if algorithm == "a2c" else CONFIG.rollout_steps)
        assert (model.gae_lambda, model.ent_coef) == (CONFIG.gae_lambda, CONFIG.entropy_coef)
    if algorithm in ("ppo", "maskable_ppo", "recurrent_ppo"):
        assert (model.batch_size, model.n_epochs) == (CONFIG.batch_size, CONFIG.epochs)
    if algorithm in ("dqn", "qrdqn"):
        assert model.exploration_schedule(1.0) == 1.0
        assert model.exploration_schedule(0.0) == CONFIG.off_policy.exploration_end


def test_schedules_fall_linearly_and_never_below_zero() -> None:
    """From the start to its final share; beyond the end, where what is left is negative, it stays there."""
    half, to_zero, constant = falling(2.0, 0.5), falling(2.0, 0.0), falling(2.0, 1.0)
    assert [half(left) for left in (1.0, 0.5, 0.0, -0.1)] == pytest.approx([2.0, 1.5, 1.0, 1.0])
    assert [to_zero(left) for left in (1.0, 0.25, 0.0, -0.1)] == pytest.approx([2.0, 0.5, 0.0, 0.0])
    assert min(to_zero(-0.1), to_zero(-1e-9)) >= 0.0
    assert {constant(left) for left in (1.0, 0.3, -0.1)} == {2.0}


def test_clip_range_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    """PPO's clip range follows its own schedule."""
    model = _build("ppo", clip_range=0.4, final_clip_range=0.5)
    assert [model.clip_range(left) for left in (1.0, 0.0)] == pytest.approx([0.4, 0.2])


def test_unknown_name_is_refused() -> None:
    """A name that is none of the seven is a `ConfigError` with all of them."""
    with pytest.raises(ConfigError, match=r"expected one of ppo, a2c, dqn, .* found 'td3'"):
        _build("td3")


@pytest.mark.parametrize("algorithm", ["qrdqn", "maskable_ppo", "recurrent_ppo"])
def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    """Without sb3-contrib its algorithms say what to install."""
    load = importlib.import_module

    def missing(name: str, *rest: Any) -> Any:
        if name == "sb3_contrib":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return load(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r'pip install "quantum-trader\[contrib\]"'):
        _build(algorithm)
    assert _build("ppo") is not None
