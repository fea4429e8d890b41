"""What is logged of a training, against a count by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.logger import Logger

from quantum_trader.train.rl.config import Algorithm, RLConfig
from quantum_trader.train.rl.environment import training_env
from quantum_trader.train.rl.monitor import TrainingMonitor, Watch
from quantum_trader.train.rl.scalars import TrainingScalars, validation_scalars
from quantum_trader.train.rl.validation import ValidationResult

from . import tiny_policy
from .tiny_policy import CONFIG, ROLLOUT

RESULT = ValidationResult(
    log_return=0.5,
    utility=0.4,
    equity=1.5,
    drawdown=0.1,
    shares=(0.2, 0.5, 0.3),
    exposure=0.7,
    turnover=0.25,
    trades=12.0,
    win_rate=0.6,
    costs=0.01,
)
ENDS = ("equity", "fees", "slippage", "funding", "trades", "liquidations")
TRAINING = {f"training/{name}" for name in (*ENDS, "share_long", "share_short", "share_flat")}


def _config(**changes: Any) -> RLConfig:
    return replace(CONFIG, env=replace(CONFIG.env, episode_bars=12, **changes))


def test_equal_a_count_by_hand() -> None:
    """Shares of positions and means over the episodes that ended are those of the infos and of the positions
    held at every bar, the last one of an episode included; a second call counts anew."""
    env = training_env(tiny_policy.train(), _config())
    scalars, rng = TrainingScalars(env), np.random.default_rng(0)
    env.seed(1)
    env.reset()
    for _ in range(2):
        sides, ends = [], []
        for _ in range(30):
            env.step_async(rng.integers(0, 3, env.num_envs))
            _, _, dones, infos = env.step_wait()
            scalars.step({"dones": dones, "infos": infos})
            held = env.accounts.position
            for index in np.flatnonzero(dones):
                ends.append([infos[index]["final_info"][name] for name in ENDS])
                held[index] = infos[index]["final_info"]["position"]
            sides += np.sign(held).tolist()
        assert len(ends) in (8, 12)
        found = scalars.take()
        assert set(found) == TRAINING
        for side, name in ((-1, "short"), (0, "flat"), (1, "long")):
            assert found[f"training/share_{name}"] == pytest.approx(np.mean(np.array(sides) == side))
        means = dict(zip(ENDS, np.mean(ends, axis=0), strict=True))
        for name in ("trades", "liquidations"):
            assert found[f"training/{name}"] == pytest.approx(means[name])
        for name in ("equity", "fees", "slippage", "funding"):
            assert found[f"training/{name}"] == pytest.approx(means[name] / CONFIG.env.initial_balance)
        assert means["fees"] > 0
        assert means["trades"] > 1


def test_shares_sum_to_one_without_an_episode() -> None:
    """Before any episode ends there are shares only, and they sum to 1."""
    env = training_env(tiny_policy.train(), _config())
    scalars = TrainingScalars(env)
    env.reset()
    for _ in range(5):
        env.step_async(np.array([0, 1, 2, 2]))
        _, _, dones, infos = env.step_wait()
        scalars.step({"dones": dones, "infos": infos})
    found = scalars.take()
    assert found == {"training/share_short": 0.25, "training/share_flat": 0.25, "training/share_long": 0.5}


def test_liquidations_are_counted() -> None:
    """With a leverage that cannot last, liquidations show up."""
    env = training_env(tiny_policy.train(), _config(leverage=50.0, equity_floor=0.0))
    scalars = TrainingScalars(env)
    env.seed(1)
    env.reset()
    for _ in range(48):
        env.step_async(np.array([0, 2, 0, 2]))
        _, _, dones, infos = env.step_wait()
        scalars.step({"dones": dones, "infos": infos})
    assert scalars.take()["training/liquidations"] > 0


def test_counts_survive_a_checkpoint() -> None:
    """Captured and restored in the middle, the counts go on."""
    env = training_env(tiny_policy.train(), _config())
    whole, rng, cut = TrainingScalars(env), np.random.default_rng(0), TrainingScalars(env)
    env.reset()
    for step in range(30):
        env.step_async(rng.integers(0, 3, env.num_envs))
        _, _, dones, infos = env.step_wait()
        told = {"dones": dones, "infos": infos}
        if step == 17:
            saved = cut.capture()
            cut = TrainingScalars(env)
            cut.restore(saved)
        whole.step(told)
        cut.step(told)
    assert cut.take() == whole.take()


def test_validation_figures_by_name() -> None:
    """Every field of a result is a scalar of its own; the shares are three."""
    found = validation_scalars(RESULT)
    assert found["validation/share_hold"] == 0.2
    assert found["validation/share_buy"] == 0.5
    assert found["validation/share_sell"] == 0.3
    assert found["validation/drawdown"] == 0.1
    names = {"log_return", "utility", "equity", "drawdown", "exposure", "turnover", "trades", "win_rate"}
    assert {f"validation/{name}" for name in names | {"costs"}} < set(found)
    assert "validation/shares" not in found


class Dumped(Logger):
    """Keeps what is written, by step."""

    def __init__(self) -> None:
        super().__init__(None, [])
        self.written: list[tuple[int, dict[str, Any]]] = []

    def dump(self, step: int = 0) -> None:
        """Note and forget."""
        self.written.append((step, dict(self.name_to_value)))
        super().dump(step)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "sac"])
def test_every_evaluation_reaches_the_log(tmp_path: Path, algorithm: Algorithm) -> None:
    """Each evaluation's figures are written, at the step it was made at, however rarely the algorithm itself
    writes; the training's are beside them."""
    model, env = tiny_policy.model(algorithm, CONFIG)
    logger = Dumped()
    model.set_logger(logger)
    tried: list[int] = []

    def trial() -> ValidationResult:
        tried.append(model.num_timesteps)
        return RESULT._replace(log_return=float(len(tried)))

    watch = Watch(total_steps=4 * ROLLOUT, evaluations=4, smoothing=0.5, patience=0)
    monitor = TrainingMonitor(model, env, trial, watch, tmp_path / "model.pt", config_sha256="hash")
    model.learn(monitor.resume(), callback=monitor, reset_num_timesteps=False)
    name = "validation/log_return"
    seen = [(step, values[name]) for step, values in logger.written if name in values]
    assert seen == [(step, number + 1.0) for number, step in enumerate(tried)]
    assert len(tried) == 4
    last = next(values for _, values in reversed(logger.written) if name in values)
    assert set(last) > TRAINING
    assert sum(last[f"training/share_{side}"] for side in ("long", "short", "flat")) == pytest.approx(1.0)
