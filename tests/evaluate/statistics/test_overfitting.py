from __future__ import annotations

from math import comb

import ffn.core
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.statistics.overfitting import backtest_overfitting


def _noise(seed: int, bars: int, agents: int) -> np.ndarray:
    return 0.01 * np.random.default_rng(seed).normal(size=(bars, agents))


@pytest.mark.parametrize("agents", [4, 5])
def test_ffn_finds_the_same(agents: int) -> None:
    """Logits and probability are those of ffn's loop over combinations, where nothing ties."""
    returns = _noise(agents, 160, agents) + 0.001 * np.arange(agents)
    theirs = ffn.core.calc_prob_backtest_overfitting(pd.DataFrame(returns), n_blocks=8, full_output=True)
    ours = backtest_overfitting(returns, blocks=8)
    assert ours is not None
    np.testing.assert_allclose(np.sort(ours.logits), np.sort(theirs["logits"]), atol=1e-9)
    # ffn counts the middle of an odd number of agents as below the median, here it counts half.
    middle = np.mean(np.abs(theirs["logits"]) < 1e-9)
    assert ours.probability == pytest.approx(theirs["pbo"] - middle / 2)
    assert ours.blocks == 8
    assert len(ours.logits) == comb(8, 4)


@pytest.mark.parametrize("agents", [2, 5, 10])
def test_noise_is_a_coin_toss(agents: int) -> None:
    """Selecting among agents without skill is right half the time, for any number of agents."""
    found = [backtest_overfitting(_noise(seed, 640, agents), blocks=8) for seed in range(150)]
    shares = [each.probability for each in found if each is not None]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)


def test_a_truly_better_agent_is_found_again() -> None:
    """One agent that earns, among twenty that do not: the probability is near 0, so is that of a loss."""
    returns = _noise(0, 4_000, 21)
    returns[:, 7] += 0.0015
    found = backtest_overfitting(returns)
    assert found is not None
    assert found.probability < 0.02
    assert found.loss_probability < 0.05
    assert len(found.logits) == 12_870


def test_agents_that_fit_one_half_only_are_caught() -> None:
    """Each agent lives on its own block of time: the best of one half never earns on the other."""
    returns = _noise(1, 800, 16) - 0.002
    for agent in range(16):
        returns[50 * agent : 50 * agent + 50, agent] += 0.02
    found = backtest_overfitting(returns)
    assert found is not None
    assert found.probability > 0.95
    assert found.loss_probability > 0.95
    assert found.slope < 0


def test_equal_agents_tie_in_the_middle() -> None:
    """Agents that do the same rank in the middle whoever is selected: 1/2, logits of zero."""
    returns = np.tile(_noise(2, 320, 1), (1, 7))
    found = backtest_overfitting(returns, blocks=8)
    assert found is not None
    assert found.probability == 0.5
    np.testing.assert_allclose(found.logits, 0.0, atol=1e-12)


def test_agents_that_never_act_score_zero() -> None:
    """An agent without variance has Sharpe 0: best among losers, and no warning."""
    returns = _noise(3, 640, 4) - 0.01
    returns[:, 2] = 0.0
    found = backtest_overfitting(returns, blocks=8)
    assert found is not None
    assert found.probability == 0.0
    assert found.loss_probability == 0.0
    assert np.isnan(found.slope)
    constant = np.full((64, 3), 0.001)
    still = backtest_overfitting(constant, blocks=8)
    assert still is not None
    assert still.probability == 0.5


def test_too_little_is_not_judged() -> None:
    """One agent, or fewer than two bars a block: None."""
    assert backtest_overfitting(_noise(4, 100, 1), blocks=8) is None
    assert backtest_overfitting(_noise(4, 15, 3), blocks=8) is None
    assert backtest_overfitting(_noise(4, 16, 3), blocks=8) is not None
    for blocks in (7, 0):
        with pytest.raises(ConfigError, match="even number"):
            backtest_overfitting(_noise(4, 100, 3), blocks=blocks)


def test_out_of_sample_figures_by_hand() -> None:
    """Two blocks, two agents: each is selected on the block where it shines and loses on the other."""
    up, down = [0.01, 0.03, 0.02, 0.02], [-0.01, -0.03, -0.02, -0.02]
    returns = np.array([up + down, down + up]).T
    found = backtest_overfitting(returns, blocks=2)
    assert found is not None
    assert found.probability == 1.0
    assert found.loss_probability == 1.0
    # Rank 1 of 2: relative rank 1/3, odds 1/2.
    np.testing.assert_allclose(found.logits, np.log(0.5))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), agents=st.integers(2, 9), bars=st.integers(24, 200), twins=st.booleans())
def test_neither_order_nor_scale_of_the_agents_matters(
    seed: int, agents: int, bars: int, twins: bool
) -> None:
    """Columns may be permuted and each scaled by its own leverage, ties or not."""
    rng = np.random.default_rng(seed)
    returns = _noise(seed, bars, agents)
    if twins:
        returns[:, -1] = returns[:, 0]
    first = backtest_overfitting(returns, blocks=6)
    leverage = rng.choice([0.5, 1.0, 2.0, 4.0], size=agents)
    second = backtest_overfitting((returns * leverage)[:, rng.permutation(agents)], blocks=6)
    assert first is not None
    assert second is not None
    assert 0.0 <= first.probability <= 1.0
    np.testing.assert_allclose(first.logits, second.logits, atol=1e-9)
    assert first.probability == pytest.approx(second.probability)
    assert first.loss_probability == pytest.approx(second.loss_probability)
