"""The warm start: the rule it imitates, and that the actor does what the rule says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from quantum_trader.agents.policy_state import FIRST_MEDIAN, PolicyFeatures, state_size
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.train.rl.algorithms import build_algorithm
from quantum_trader.train.rl.config import RLConfig
from quantum_trader.train.rl.environment import training_env
from quantum_trader.train.rl.scale import fit_scale, set_scale
from quantum_trader.train.rl.table import EncodedMarket
from quantum_trader.train.rl.validation import policy_of, try_policy
from quantum_trader.train.rl.warm_start import can_warm_start, round_trip, wanted, warm_start

from ...agents.tiny_tft import tiny_tft

CONTRACT = FuturesContract(name="tiny", taker_fee=0.0005, slippage=0.0001)


@given(
    forecast=st.floats(-1.0, 1.0),
    cost=st.floats(0.01, 0.5),
    side=st.integers(-1, 1),
)
def test_the_rule_is_symmetric_and_pays_its_costs(forecast: float, cost: float, side: int) -> None:
    """A forecast beyond the cost opens in its direction; half of it keeps a position; the mirror image of
    forecast and position wants the mirror image."""

    def ask(value: float, held: int) -> int:
        return int(wanted(np.array([value]), np.array([cost]), np.array([held]))[0]) - 1

    answer = ask(forecast, side)
    if abs(forecast) > cost:
        assert answer == np.sign(forecast)
    elif side != 0 and forecast * side > cost / 2:
        assert answer == side
    else:
        assert answer == 0
    assert ask(-forecast, -side) == -answer


def test_round_trip_is_both_fills() -> None:
    """Fee and slippage are paid twice, in percent."""
    assert round_trip(CONTRACT) == pytest.approx(0.12)


def _encoded(features: PolicyFeatures) -> EncodedMarket:
    """A market whose table holds drawn numbers: forecasts of up to a few costs."""
    bars = synthetic_bars(SyntheticConfig(bars=900, seed=3, symbol="TINY"))
    market = Market.build(bars, CONTRACT)
    tft = tiny_tft()
    random = np.random.default_rng(5)
    table = random.normal(0.0, 0.1, (len(market), state_size(tft.model, features))).astype(np.float32)
    return EncodedMarket(market=market, table=table)


@pytest.mark.parametrize("features", ["outputs", "both"])
def test_the_actor_does_what_the_rule_says(features: PolicyFeatures) -> None:
    """After the warm start the most probable target is the rule's on nine of ten bars away from its edges,
    flat, long and short; without it, it is not."""
    item, tft = _encoded(features), tiny_tft()
    config = RLConfig(num_envs=2, rollout_steps=16, features=features)
    env = training_env([item], config)
    model = build_algorithm("ppo", env, config, item.market.bars.step_ms)
    set_scale(model.policy, *fit_scale([item]))
    column = FIRST_MEDIAN + (tft.embedding_size if features == "both" else 0)
    states = item.table[item.market.usable]
    cost = np.full(len(states), round_trip(CONTRACT), dtype=np.float32)
    clear = (np.abs(np.abs(states[:, column]) - cost) > 0.02) & (
        np.abs(np.abs(states[:, column]) - cost / 2) > 0.02
    )
    account = np.zeros((len(states), 11), dtype=np.float32)
    account[:, [4, 6, 8, 9]] = 1.0

    def agreement() -> float:
        shares = []
        for side in (-1, 0, 1):
            account[:, 0], account[:, 2] = side, side
            seen = {"embedding": torch.from_numpy(states), "account": torch.from_numpy(account)}
            with torch.no_grad():
                logits = model.policy.get_distribution(seen).distribution.logits
            goal = wanted(states[:, column], cost, np.full(len(states), side))
            shares.append(np.mean(logits.argmax(dim=1).numpy()[clear] == goal[clear]))
        return float(min(shares))

    assert agreement() < 0.7
    warm_start(model, [item], tft, config)
    assert agreement() > 0.9
    result = try_policy(policy_of(model, "ppo", config, [item.table]), [item], config.env)
    assert result.trades > 0


def test_only_where_there_is_something_to_imitate_with() -> None:
    """Policies of orders, of the embedding alone, or with other heads begin at random."""
    config = RLConfig()
    assert can_warm_start("ppo", config)
    assert can_warm_start("a2c", config)
    assert not can_warm_start("dqn", config)
    assert not can_warm_start("recurrent_ppo", config)
    assert not can_warm_start("ppo", replace(config, features="encoder"))
    assert not can_warm_start("ppo", replace(config, env=EnvConfig(actions="order")))
