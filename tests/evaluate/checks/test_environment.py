"""The environment's checks pass the product and fail environments that peek or fill in the same bar."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.checks.environment import (
    MakeEnv,
    in_backtest,
    in_environment,
    no_look_ahead,
    same_bar_fill,
)


class Watching(FuturesTradingEnv):
    """Tells faulty children the closes around the bar that the account stands at."""

    def close_of(self, shift: int) -> float:
        bars = self._market.bars
        return float(bars.close[min(self.bar + shift, len(bars) - 1)])

    bar = 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(**kwargs)
        self.bar = info["bar"]
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        self.bar = info["bar"]
        return observation, reward, terminated, truncated, info


class Foreseeing(Watching):
    """Shows the close of the bar ahead."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        observation["account"][0] = self.close_of(1)
        return observation, reward, terminated, truncated, info


class Prepaying(Watching):
    """Pays what the position will earn on the bar ahead."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = super().step(action)
        reward = info["position"] * (self.close_of(1) - self.close_of(0))
        return observation, reward, terminated, truncated, info


class Backdating(Watching):
    """Pays, on top, what the new position would have earned on the bar it was decided on."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        earned = info["position"] * (self.close_of(-1) - self.close_of(-2))
        return observation, reward + earned, terminated, truncated, info


class FillingAtTheClose(Watching):
    """Fills at the close of the decision bar and pays from there."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = super().step(action)
        info["entry_price"] = self.close_of(-1)
        reward = info["position"] * (self.close_of(0) - self.close_of(-1))
        return observation, reward, terminated, truncated, info


def within_the_bar(market: Market, actions: Any, config: EnvConfig) -> Record:
    """Fills at the open of the very bar whose close was decided on."""
    assert config.stop is not None
    earlier = replace(config, start=config.start - 1, stop=config.stop - 1)
    return run_actions(market, np.roll(actions, -1), earlier)


def test_own_environment_passes(market: Market) -> None:
    """Environment and backtest show and pay nothing of the future and nothing of the decision bar."""
    for found in (
        no_look_ahead(market),
        no_look_ahead(market, config=EnvConfig(leverage=10.0, stop_loss_atr=1.0, delay_bars=1)),
        same_bar_fill(market),
        same_bar_fill(market, in_backtest(), where="backtest"),
    ):
        assert found.passed is True, found.detail


@pytest.mark.parametrize(("make", "named"), [(Foreseeing, "account"), (Prepaying, "reward")])
def test_environments_that_peek_fail(make: MakeEnv, named: str, market: Market) -> None:
    """An observation or a reward that holds the bar ahead fails, and is named."""
    found = no_look_ahead(market, make)
    assert found.passed is False
    assert named in found.detail


@pytest.mark.parametrize(
    ("make", "named"), [(Backdating, "first profit depends"), (FillingAtTheClose, "next open")]
)
def test_environments_that_pay_the_decision_bar_fail(make: MakeEnv, named: str, market: Market) -> None:
    """Paying for the decision bar's own move, or filling at its close, fails."""
    found = same_bar_fill(market, in_environment(make))
    assert found.passed is False
    assert named in found.detail


def test_a_backtest_that_fills_in_the_same_bar_fails(market: Market) -> None:
    """Orders that fill at the open of the bar they were decided on fail."""
    found = same_bar_fill(market, in_backtest(within_the_bar), where="backtest")
    assert found.passed is False
    assert "next open" in found.detail


def test_orders_that_are_never_filled_fail(market: Market) -> None:
    """A backtest that does nothing has no fill to show, which is no proof of innocence."""

    def idle(market: Market, actions: Any, config: EnvConfig) -> Record:
        return run_actions(market, np.full(len(market), Action.HOLD), config)

    assert same_bar_fill(market, in_backtest(idle)).passed is False


def test_short_markets_are_not_asked(market: Market) -> None:
    """Without enough bars in a row there is no verdict."""
    short = Market.build(market.bars[:300], market.contract)
    assert no_look_ahead(short).passed is None
    assert same_bar_fill(short).passed is None
