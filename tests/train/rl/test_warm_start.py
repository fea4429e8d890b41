"""The warm start: an actor that imitates what the forecast alone would trade."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from quantum_trader.agents.policy_state import FIRST_MEDIAN
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.train.rl import warm_start as module
from quantum_trader.train.rl.warm_start import can_warm_start, round_trip, wanted, warm_start

from . import tiny_policy
from .tiny_policy import CONFIG, same


def test_rule_trades_what_is_worth_its_costs() -> None:
    """Beyond the cost it opens, below half of it it closes, in between it keeps what it has."""
    forecast = np.array([0.2, 0.2, 0.07, 0.07, 0.07, 0.04, -0.07, -0.2, -0.07, 0.0], dtype=np.float32)
    side = np.array([0, -1, 0, 1, -1, 1, 1, 1, -1, -1])
    cost = np.full(10, 0.1, dtype=np.float32)
    assert wanted(forecast, cost, side).tolist() == [2, 2, 1, 2, 1, 1, 1, 0, 0, 1]


def test_round_trip_is_in_percent() -> None:
    """Two fills, each with fee and slippage."""
    contract = FuturesContract(name="test", taker_fee=0.0005, slippage=0.0001)
    assert round_trip(contract) == pytest.approx(0.12)


@pytest.mark.parametrize(
    ("algorithm", "change", "possible"),
    [
        ("ppo", {}, True),
        ("a2c", {"features": "both"}, True),
        ("ppo", {"features": "encoder"}, False),
        ("ppo", {"env": replace(CONFIG.env, actions="order")}, False),
        ("dqn", {}, False),
        ("sac", {}, False),
        ("recurrent_ppo", {}, False),
    ],
)
def test_where_it_is_possible(algorithm: Any, change: dict[str, Any], possible: bool) -> None:
    """It takes a feedforward actor of targets that sees the forecasts."""
    assert can_warm_start(algorithm, replace(CONFIG, **change)) is possible


@pytest.mark.parametrize("features", ["outputs", "both"])
def test_actor_imitates_the_rule(monkeypatch: pytest.MonkeyPatch, features: Any) -> None:
    """After it the actor's most probable answers are mostly the rule's, at any position; the same seed gives
    the same weights, the standardisation stays, and the critic's value layer is untouched."""
    monkeypatch.setattr(module, "_STEPS", 150)
    monkeypatch.setattr(module, "_BATCH", 256)
    config, tft = replace(CONFIG, features=features), tiny_policy.tft()
    models = [tiny_policy.model("ppo", config)[0] for _ in range(2)]
    value = models[0].policy.value_net.weight.detach().clone()
    center = models[0].policy.features_extractor.state.center.clone()
    for model in models:
        warm_start(model, tiny_policy.train(features), tft, config)
    policy = models[0].policy
    assert same(dict(policy.state_dict()), dict(models[1].policy.state_dict()))
    assert torch.equal(policy.value_net.weight, value)
    assert torch.equal(policy.features_extractor.state.center, center)
    (item,) = tiny_policy.train(features)
    states = item.table[item.market.usable]
    rng = np.random.default_rng(1)
    side = rng.integers(-1, 2, len(states))
    column = FIRST_MEDIAN + (tft.embedding_size if features == "both" else 0)
    cost = np.full(len(states), round_trip(item.market.contract), dtype=np.float32)
    goal = wanted(states[:, column], cost, side)
    seen = {"embedding": states, "account": module._accounts(side, rng)}
    answer = models[0].predict(seen, deterministic=True)[0]
    assert np.mean(answer == goal) > 0.85
