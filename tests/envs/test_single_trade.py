from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import run_actions
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.single_trade import SingleTrade, single_trade
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

BTC = preset("binance-btc")
RULES = EnvConfig(take_profit_atr=1.5, stop_loss_atr=1.5, max_holding_bars=6)


def alone(market: Market, row: int, side: Action, config: EnvConfig, bars: int) -> SingleTrade | None:
    """The trade on the decision at `row`, with so many bars after it."""
    return single_trade(
        market.bars[row + 1 : row + 1 + bars],
        side,
        close=float(market.bars.close[row]),
        atr=float(market.atr[row]),
        contract=market.contract,
        config=config,
    )


def by_backtest(market: Market, row: int, side: Action, config: EnvConfig) -> dict[str, object]:
    """The only trade of a backtest whose only order is that one."""
    actions = np.zeros(len(market))
    actions[row] = side
    trades = run_actions(market, actions, config).trades()
    assert len(trades) == 1
    found: dict[str, object] = trades.iloc[0].to_dict()
    return found


def fields_of(trade: SingleTrade, row: int) -> dict[str, object]:
    same = ("quantity", "entry_price", "exit_price", "gross_pnl", "fees", "slippage", "funding")
    return {
        **{name: getattr(trade, name) for name in (*same, "liquidation_cost", "net_pnl", "exit_reason")},
        "side": trade.side,
        "entry_bar": row + 1 + trade.entry_bar,
        "exit_bar": row + 1 + trade.exit_bar,
        "return_on_notional": trade.net_return,
    }


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 500),
    row=st.integers(270, 330),
    side=st.sampled_from([Action.BUY, Action.SELL]),
    barrier=st.floats(0.2, 6.0),
    horizon=st.integers(1, 24),
    name=st.sampled_from(["binance-btc", "bybit-alt", "okx-eth", "fx-eurusd"]),
)
def test_it_is_the_trade_of_a_backtest_to_the_bit(
    seed: int, row: int, side: Action, barrier: float, horizon: int, name: str
) -> None:
    """Every figure equals that of `run_actions` with this one order, with funding, whatever the rules."""
    bars = synthetic_bars(SyntheticConfig(bars=400, seed=seed, symbol="ONE"))
    market = Market.build(bars, preset(name))
    config = replace(RULES, take_profit_atr=barrier, stop_loss_atr=barrier, max_holding_bars=horizon)
    trade = alone(market, row, side, config, horizon + 1)
    assert trade is not None
    expected = by_backtest(market, row, side, config)
    assert fields_of(trade, row) == {key: expected[key] for key in fields_of(trade, row)}


def test_marks_of_their_own_are_respected() -> None:
    """Funding is paid on the mark and liquidation goes by it, as in a backtest with leverage."""
    bars = synthetic_bars(SyntheticConfig(bars=400, seed=3, symbol="ONE"))
    lower = {
        f"mark_{name}": getattr(bars, f"mark_{name}") * 0.97 for name in ("open", "high", "low", "close")
    }
    market = Market.build(replace(bars, **lower), BTC)
    config = EnvConfig(leverage=20.0, max_holding_bars=24)
    for row in range(270, 330):
        trade = alone(market, row, Action.BUY, config, 25)
        assert trade is not None
        expected = by_backtest(market, row, Action.BUY, config)
        assert fields_of(trade, row) == {key: expected[key] for key in fields_of(trade, row)}


def test_a_trade_that_is_still_open_has_no_result() -> None:
    """Bars that end before the exit give None, as do no bars at all; further bars change nothing."""
    market = Market.build(synthetic_bars(SyntheticConfig(bars=400, seed=1)), BTC)
    config = replace(RULES, take_profit_atr=50.0, stop_loss_atr=50.0)
    assert alone(market, 300, Action.BUY, config, 0) is None
    assert alone(market, 300, Action.BUY, config, 6) is None
    trade = alone(market, 300, Action.BUY, config, 7)
    assert trade is not None
    assert (trade.exit_reason, trade.entry_bar, trade.exit_bar) == ("max_holding", 0, 6)
    assert trade == alone(market, 300, Action.BUY, config, 40)


def test_an_order_that_no_venue_takes_has_no_result() -> None:
    """A balance below one lot opens nothing."""
    market = Market.build(synthetic_bars(SyntheticConfig(bars=400, seed=1)), replace(BTC, lot_size=1_000.0))
    assert alone(market, 300, Action.SELL, RULES, 20) is None


def test_returns_are_fractions_of_the_notional_at_entry() -> None:
    """Up 10 % from 100 with a fee of 1 %: gross 0.10; net 0.10 - 0.01 - 0.011, the second fee on 110."""
    flat = np.full(3, 100.0)
    contract = FuturesContract(name="plain", taker_fee=0.01, slippage=0.0)
    bars = Bars(
        symbol="ONE",
        step_ms=3_600_000,
        timestamp=np.arange(3, dtype=np.int64) * 3_600_000,
        open=np.array([100.0, 100.0, 110.0]),
        high=np.array([100.0, 110.0, 110.0]),
        low=flat,
        close=np.array([100.0, 110.0, 110.0]),
        volume=flat,
        funding_rate=np.full(3, np.nan),
        mark_open=np.array([100.0, 100.0, 110.0]),
        mark_high=np.array([100.0, 110.0, 110.0]),
        mark_low=flat,
        mark_close=np.array([100.0, 110.0, 110.0]),
    )
    config = EnvConfig(max_holding_bars=2)
    trade = single_trade(bars, Action.BUY, close=100.0, atr=1.0, contract=contract, config=config)
    assert trade is not None
    assert trade.gross_return == pytest.approx(0.10)
    assert trade.net_return == pytest.approx(0.10 - 0.01 - 0.011)


def test_what_is_no_single_order_is_refused() -> None:
    """HOLD is no side, and targets, delays or random costs are no single order."""
    market = Market.build(synthetic_bars(SyntheticConfig(bars=400, seed=1)), BTC)
    with pytest.raises(ConfigError, match="BUY or SELL"):
        alone(market, 300, Action.HOLD, RULES, 7)
    for config in (EnvConfig(actions="target"), EnvConfig(delay_bars=1), EnvConfig(cost_range=(1.0, 2.0))):
        with pytest.raises(ConfigError, match="single trade needs"):
            alone(market, 300, Action.BUY, config, 7)
