"""THE property of a checkpoint: a training cut off and started again ends as if it never had been cut off."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.policy_agent import WEIGHTS
from quantum_trader.train.progress import Progress
from quantum_trader.train.rl import fine_tune, fit as fit_module, warm_start
from quantum_trader.train.rl.config import ALGORITHMS, Algorithm, FineTuneConfig, RLConfig
from quantum_trader.train.rl.validation import ValidationResult, try_policy

from . import tiny_policy
from .conftest import Fit
from .tiny_policy import CONFIG, ROLLOUT, same


class Curve:
    """Stands for `try_policy`: notes the results, and is a Ctrl-C in the evaluations after `stops`.

    Each result is said to be better than the one before, so that the last policy is the one that is kept.
    """

    def __init__(self, patch: pytest.MonkeyPatch, module: Any, stops: tuple[int, ...] = ()) -> None:
        self.results: list[ValidationResult] = []
        self._stops = list(stops)
        patch.setattr(module, "try_policy", self)

    def __call__(self, *arguments: Any) -> ValidationResult:
        if self._stops and len(self.results) == self._stops[0]:
            del self._stops[0]
            raise KeyboardInterrupt
        self.results.append(try_policy(*arguments)._replace(utility=float(len(self.results))))
        return self.results[-1]


def _end(folder: Path, name: str) -> dict[str, Any]:
    """The last checkpoint, without the times that episodes took; readable without running code."""
    saved = torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True)["state"]
    assert isinstance(saved, dict)
    for episode in saved["training"]["episodes"]:
        del episode["t"]
    return saved


def _disturb(seed: int) -> None:
    """Another process begins with other random numbers."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _check(
    patch: pytest.MonkeyPatch,
    fit: Fit,
    tmp_path: Path,
    config: RLConfig,
    algorithm: Algorithm,
    *,
    module: Any = fit_module,
    stops: tuple[int, ...] = (2, 5),
) -> None:
    """Train with and without cuts, and assert that everything comes out equal."""
    results = []
    for name, cuts in (("whole", ()), ("cut", stops)):
        curve = Curve(patch, module, cuts)
        for number in range(len(cuts)):
            _disturb(number)
            with pytest.raises(KeyboardInterrupt):
                fit(tmp_path / name, config, algorithm)
            assert not (tmp_path / name / "models").exists()
        results.append((fit(tmp_path / name, config, algorithm).metrics, curve.results))
    (whole_metrics, whole_curve), (cut_metrics, cut_curve) = results
    assert cut_metrics == whole_metrics
    assert cut_curve == whole_curve
    assert len({result.log_return for result in whole_curve}) > 1
    ends = [_end(tmp_path / name, algorithm) for name in ("cut", "whole")]
    assert same(ends[0]["training"]["modules"]["policy"], ends[1]["training"]["modules"]["policy"])
    assert same(ends[0], ends[1])
    for file in (WEIGHTS, "encoder/weights.safetensors") if algorithm != "recurrent_ppo" else ():
        cut, whole = (tmp_path / name / "models" / "policy" / file for name in ("cut", "whole"))
        assert cut.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_cut_off_training_ends_like_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, tmp_path: Path, algorithm: Algorithm
) -> None:
    """Cut off twice, an algorithm ends with the same weights to the bit, the same metrics and validation
    curve, and the same accounts, optimisers, replay buffer and random numbers."""
    # Faster than sensible, so that every evaluation has a result of its own.
    config = replace(CONFIG, learning_rate=1e-2)
    _check(monkeypatch, fit, tmp_path, config, algorithm)


@pytest.mark.parametrize("actions", ["order", "target"])
def test_drawn_conditions_go_on_too(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, tmp_path: Path, actions: Any
) -> None:
    """Costs, leverages and lengths drawn for each episode, and delayed orders, continue across a cut."""
    env = replace(
        CONFIG.env,
        actions=actions,
        cost_range=(0.5, 2.0),
        leverage_range=(1.0, 5.0),
        random_length=True,
        delay_bars=2,
        reward="differential_sharpe",
    )
    config = replace(CONFIG, env=env, learning_rate=1e-2, risk_aversion=0.0)
    _check(monkeypatch, fit, tmp_path, config, "ppo")


def test_second_phase_goes_on_too(
    monkeypatch: pytest.MonkeyPatch, fit: Fit, encoder: Path, tmp_path: Path
) -> None:
    """Cut off in its second phase, before and after its first step, a training ends as the whole one."""
    phase = FineTuneConfig(
        total_steps=40,
        num_envs=4,
        shared_start=2,
        rollout_steps=2,
        batch_size=8,
        epochs=1,
        learning_rate=1e-2,
    )
    config = replace(tiny_policy.short(1), fine_tune=phase)
    _check(monkeypatch, fit, tmp_path, config, "ppo", module=fine_tune, stops=(0, 3))
    former = (encoder / "weights.safetensors").read_bytes()
    assert (tmp_path / "cut/models/policy/encoder/weights.safetensors").read_bytes() != former
    assert not (tmp_path / "cut/checkpoints/ppo-fine-tuned.pt").exists()


def test_warm_started_training_goes_on_too(monkeypatch: pytest.MonkeyPatch, fit: Fit, tmp_path: Path) -> None:
    """A training that began with imitation, cut off at its very first trial and later, ends the same."""
    monkeypatch.setattr(warm_start, "_STEPS", 5)
    monkeypatch.setattr(warm_start, "_BATCH", 64)
    config = replace(CONFIG, warm_start=True, learning_rate=1e-2, final_entropy_coef=0.1)
    _check(monkeypatch, fit, tmp_path, config, "ppo", stops=(0, 3))


def test_progress_starts_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fit: Fit, tmp_path: Path
) -> None:
    """Continued, the progress shows the steps already done, and ends at all of them."""
    begun: list[int] = []

    class Watched(Progress):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            begun.append(options["start"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(fit_module, "Progress", Watched)
    Curve(monkeypatch, fit_module, (3,))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path)
    fit(tmp_path)
    assert begun == [0, 3 * ROLLOUT]
    assert "ppo: 768/768 steps" in capsys.readouterr().err
