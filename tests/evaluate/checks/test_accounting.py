"""The books are checked against sums made here; one coin too many or too few fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs import rules
from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.layout import FILL, records
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import PRESETS, preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.evaluate.checks.accounting import cash_flows, fee_free_hold, liquidation_at_margin
from quantum_trader.evaluate.checks.environment import Trade


def bars_changed(market: Market, **columns: Any) -> Market:
    """Other bars under the same features."""
    return replace(market, bars=replace(market.bars, **columns))


def funding_the_wrong_way(market: Market, actions: Any, config: EnvConfig) -> Record:
    """Who should pay receives."""
    return run_actions(bars_changed(market, funding_rate=-market.bars.funding_rate), actions, config)


def funding_forgotten(market: Market, actions: Any, config: EnvConfig) -> Record:
    """Nobody pays."""
    return run_actions(bars_changed(market, funding_rate=market.bars.funding_rate * np.nan), actions, config)


def marked_at_the_high(market: Market, actions: Any, config: EnvConfig) -> Record:
    """Positions are valued at the bar's best price."""
    return run_actions(bars_changed(market, mark_close=market.bars.mark_high), actions, config)


def fee_not_booked(market: Market, actions: Any, config: EnvConfig) -> Record:
    """One fee of all is taken but not told."""
    record = run_actions(market, actions, config)
    executed = record.executed.copy()
    records(executed, FILL)["fee"][5] = 0.0
    return replace(record, executed=executed)


def a_fill_lost(market: Market, actions: Any, config: EnvConfig) -> Record:
    """One execution of all is missing."""
    record = run_actions(market, actions, config)
    return replace(record, executed=np.delete(record.executed, 7, axis=0))


def hidden_fee(market: Market, actions: Any, config: EnvConfig) -> Record:
    """A millionth of each fill is taken."""
    return run_actions(replace(market, contract=replace(market.contract, taker_fee=1e-6)), actions, config)


def a_bar_late(market: Market, actions: Any, config: EnvConfig) -> Record:
    """Orders wait for a bar."""
    return run_actions(market, actions, replace(config, delay_bars=1))


@pytest.mark.parametrize("leverage", [1.0, 2.0, 20.0])
def test_own_books_balance(leverage: float, market: Market) -> None:
    """At every close equity is the sum of all cash flows, until ruin."""
    found = cash_flows(market, config=EnvConfig(leverage=leverage, stop_loss_atr=4.0))
    assert found.passed is True, found.detail


def test_own_books_balance_through_liquidations() -> None:
    """Margin that is lost to the venue is accounted for."""
    wild = Market.build(synthetic_bars(SyntheticConfig(bars=1_000, volatility=0.03)), preset("binance-btc"))
    config = EnvConfig(leverage=15.0, equity_floor=0.0)
    orders = np.random.default_rng(0).integers(0, 3, len(wild))
    assert run_actions(wild, orders, config).liquidations > 0
    found = cash_flows(wild, config=config)
    assert found.passed is True, found.detail


@pytest.mark.parametrize(
    "trade", [funding_the_wrong_way, funding_forgotten, marked_at_the_high, fee_not_booked, a_fill_lost]
)
def test_wrong_books_fail(trade: Trade, market: Market) -> None:
    """A fee, a fill, a settlement or a mark that is not what it should be fails."""
    assert cash_flows(market, trade).passed is False


def test_holding_for_free_is_buy_and_hold(market: Market) -> None:
    """The equity follows the price exactly; a hidden fee or a late order does not."""
    assert fee_free_hold(market).passed is True
    assert fee_free_hold(market, hidden_fee).passed is False
    assert fee_free_hold(market, a_bar_late).passed is False
    assert fee_free_hold(Market.build(market.bars[:400], market.contract)).passed is None


@pytest.mark.parametrize("name", PRESETS)
def test_own_liquidation_prices_meet_the_margin(name: str) -> None:
    """For every venue's brackets the margin left meets the maintenance margin at the liquidation price."""
    found = liquidation_at_margin(preset(name))
    assert found.passed is True, found.detail


def without_amounts(side: float, quantity: float, entry: float, margin: float, tiers: Any) -> float:
    """Takes the maintenance rate of the bracket on the whole notional."""
    plain = tiers.copy()
    plain[:, rules.CUM] = 0.0
    return float(rules.liquidation_price(side, quantity, entry, margin, plain))


def of_the_entrys_bracket(side: float, quantity: float, entry: float, margin: float, tiers: Any) -> float:
    """Stays in the bracket of the entry, wherever the price goes."""
    row = rules.tier_of(quantity * entry, tiers)
    one = tiers[row : row + 1].copy()
    one[0, rules.FLOOR] = 0.0
    return float(rules.liquidation_price(side, quantity, entry, margin, one))


def at_bankruptcy(side: float, quantity: float, entry: float, margin: float, tiers: Any) -> float:
    """Forgets the maintenance margin."""
    return max(float(rules.bankruptcy_price(side, quantity, entry, margin)), 0.0)


def wrong_side(side: float, quantity: float, entry: float, margin: float, tiers: Any) -> float:
    """Takes a long for a short."""
    return float(rules.liquidation_price(-side, quantity, entry, margin, tiers))


@pytest.mark.parametrize("rule", [without_amounts, of_the_entrys_bracket, at_bankruptcy, wrong_side])
def test_wrong_liquidation_prices_fail(rule: Callable[..., float]) -> None:
    """A rule that forgets amounts, brackets, the maintenance margin or the side fails."""
    assert liquidation_at_margin(preset("binance-btc"), rule).passed is False
