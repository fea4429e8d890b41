from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.agents.baselines import (
    AlwaysHold,
    BuyAndHold,
    CoinFlip,
    EmaCross,
    Momentum,
    PriorClass,
)
from quantum_trader.agents.signals import Agent, ModelInputs
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.market import Market, sample_market
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.windows import WINDOW, gather


@pytest.fixture(scope="module")
def market() -> Market:
    return sample_market()


@pytest.fixture(scope="module")
def ends(market: Market) -> np.ndarray:
    return np.flatnonzero(market.usable)[:2_000]


@pytest.fixture(scope="module")
def inputs(market: Market, ends: np.ndarray) -> ModelInputs:
    return ModelInputs(windows=gather(market.table, ends), context=market.context[ends])


def of_features(**values: float) -> ModelInputs:
    """One window, every bar of which has the given raw feature values, scaled by the reference scaler."""
    row = np.zeros(14, dtype=np.float32)
    for name, value in values.items():
        row[FEATURE_NAMES.index(name)] = value
    windows = REFERENCE_SCALER.transform(np.tile(row, (1, WINDOW, 1)))
    return ModelInputs(windows=windows, context=np.zeros((1, CONTEXT_SIZE), dtype=np.float32))


@pytest.mark.parametrize(
    "agent",
    [
        AlwaysHold(),
        BuyAndHold(),
        Momentum(),
        Momentum(bars=24),
        EmaCross(),
        PriorClass(shares=(0.4, 0.35, 0.25)),
        CoinFlip(buy_share=0.3, sell_share=0.2, seed=1),
    ],
    ids=lambda agent: agent.name,
)
def test_every_baseline_is_a_deterministic_agent(agent: Agent, inputs: ModelInputs) -> None:
    """Probabilities are float32 rows that sum to 1, the same each time and however rows are batched."""
    whole = agent.signals(inputs).probabilities
    assert whole.dtype == np.float32
    assert whole.shape == (len(inputs), 3)
    assert whole.sum(axis=1) == pytest.approx(np.ones(len(inputs)))
    assert (agent.signals(inputs).probabilities == whole).all()
    part = ModelInputs(windows=inputs.windows[7:9], context=inputs.context[7:9])
    assert (agent.signals(part).probabilities == whole[7:9]).all()


def test_constant_baselines(inputs: ModelInputs) -> None:
    """AlwaysHold never trades, BuyAndHold always says BUY, PriorClass repeats the training shares."""
    assert (AlwaysHold().signals(inputs).actions == Action.HOLD).all()
    assert (BuyAndHold().signals(inputs).actions == Action.BUY).all()
    prior = PriorClass.of(np.array([0, 0, 1, 2]))
    assert prior.shares == (0.5, 0.25, 0.25)
    assert prior.signals(inputs).probabilities[3].tolist() == [0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("value", "action"), [(0.001, Action.BUY), (-0.001, Action.SELL), (0.0, Action.HOLD)]
)
def test_momentum_follows_the_sign(value: float, action: Action) -> None:
    """A rise is BUY, a fall SELL, a bar that did not move HOLD."""
    assert Momentum().signals(of_features(log_return=value)).actions[0] == action
    assert Momentum(bars=60).signals(of_features(log_return=value)).actions[0] == action


def test_momentum_agrees_with_prices(market: Market, ends: np.ndarray, inputs: ModelInputs) -> None:
    """On real bars the action is the sign of close against the close 24 bars ago."""
    signed = np.sign(market.bars.close[ends] - market.bars.close[ends - 24])
    side = np.select([signed > 0, signed < 0], [Action.BUY, Action.SELL], Action.HOLD)
    agreed = Momentum(bars=24, scaler=market.scaler).signals(inputs).actions == side
    # Returns beyond the scaler's clip and float32 rounding near 0 may differ.
    assert agreed.mean() > 0.99


def test_ema_cross_follows_the_higher_average() -> None:
    """A smaller gap to the fast average means that it stands above the slow one: BUY."""
    above = of_features(ema_10_gap=0.001, ema_50_gap=0.004)
    below = of_features(ema_10_gap=-0.001, ema_50_gap=-0.004)
    assert EmaCross().signals(above).actions[0] == Action.BUY
    assert EmaCross().signals(below).actions[0] == Action.SELL


def test_coin_flips_have_their_shares(inputs: ModelInputs) -> None:
    """Over many rows BUY and SELL occur with the given shares."""
    actions = CoinFlip(buy_share=0.3, sell_share=0.1, seed=2).signals(inputs).actions
    shares = np.bincount(actions, minlength=3) / len(actions)
    assert shares == pytest.approx([0.6, 0.3, 0.1], abs=0.035)


def test_coin_flips_are_independent(inputs: ModelInputs) -> None:
    """One row's flip says nothing of the next row's, nor of another seed's."""
    first, second = (
        CoinFlip(buy_share=0.5, sell_share=0.5, seed=seed).signals(inputs).actions == Action.BUY
        for seed in (0, 1)
    )
    bound = 4 / np.sqrt(len(inputs))
    assert abs(np.corrcoef(first, second)[0, 1]) < bound
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < bound


def test_impossible_settings_are_refused() -> None:
    """Shares below 0 or above 1 together, and spans longer than the window, are errors."""
    with pytest.raises(ConfigError, match="buy_share and sell_share"):
        CoinFlip(buy_share=0.7, sell_share=0.6)
    with pytest.raises(ConfigError, match="expected 1 to 60"):
        Momentum(bars=61)
