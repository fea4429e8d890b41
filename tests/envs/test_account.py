"""One step by hand: each test writes its prices down and does the arithmetic in comments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.market import Market

MakeMarket = Callable[..., Market]
HOLD, BUY, SELL = 0, 1, 2
ONE_BAR = EnvConfig(window=1)
COSTLY = FuturesContract(
    name="costly",
    taker_fee=0.001,
    slippage=0.01,
    liquidation_fee=0.002,
    tiers=(MarginTier(floor=0.0, cap=1e12, mmr=0.01, max_leverage=100.0),),
)
NO_COSTS = replace(COSTLY, taker_fee=0.0, slippage=0.0, liquidation_fee=0.0)


def trade(
    market: Market,
    *actions: int | float,
    flatten: bool = False,
    config: EnvConfig = ONE_BAR,
    **changes: object,
) -> Record:
    """Run `actions` from bar 0 on, then HOLD (the wanted position again in the other modes)."""
    config = replace(config, **changes)  # type: ignore[arg-type]
    rest = HOLD if config.actions == "order" else actions[-1]
    padded = [*actions, *[rest] * (len(market) - len(actions))]
    return run_actions(market, np.array(padded), config, flatten=flatten)


def test_a_buy_fills_at_the_next_open_with_slippage_and_fee(make_market: MakeMarket) -> None:
    """The price is the next open, worse by 1 %; the fee is 0.1 % of the notional."""
    market = make_market([100, 110, 120], open=[100, 100, 110], contract=COSTLY)
    record = trade(market, BUY, initial_balance=1_000.0)
    # wanted 1000 / 100 = 10, but 10 x 101 needs 1,010 + 1.01 fee: cut to 1000 / (101 x 1.001)
    quantity = 1_000 / (101 * 1.001)
    assert record.position.tolist() == pytest.approx([0, quantity, quantity])
    fee = quantity * 101 * 0.001
    assert record.fees == pytest.approx(fee)
    assert record.slippage == pytest.approx(quantity * 1.0)
    assert record.equity.tolist() == pytest.approx(
        [1_000, 1_000 - fee + quantity * (110 - 101), 1_000 - fee + quantity * (120 - 101)]
    )


def test_the_size_is_that_of_the_decision_where_money_allows(make_market: MakeMarket) -> None:
    """One of two units at leverage 2: 1,000 / 100 = 10 at the decision, though the open is 104."""
    market = make_market([100, 104, 104], open=[100, 104, 104], contract=NO_COSTS)
    assert trade(market, BUY, initial_balance=1_000.0, leverage=2.0, max_units=2).position[1] == 10.0


def test_orders_move_one_unit(make_market: MakeMarket) -> None:
    """SELL from flat opens a short, BUY covers it, a second BUY opens a long, a third is clipped."""
    market = make_market([100.0] * 6, contract=NO_COSTS)
    record = trade(market, SELL, BUY, BUY, BUY, HOLD)
    assert record.units.tolist() == [0, -1, 0, 1, 1, 1]


def test_targets_reverse_in_one_bar(make_market: MakeMarket) -> None:
    """From long to short at one open: two legs of costs, and the trade says it was reversed."""
    market = make_market([100.0] * 4, contract=COSTLY)
    record = trade(market, 2, 0, 0, actions="target")
    assert record.units.tolist() == [0, 1, -1, -1]
    assert record.trades().exit_reason.tolist() == ["reverse"]


def test_units_close_in_equal_parts(make_market: MakeMarket) -> None:
    """Selling one of two units halves the position, the margin and the costs that lie on it."""
    market = make_market([100.0] * 5, contract=COSTLY)
    record = trade(market, BUY, BUY, SELL, max_units=2, leverage=2.0)
    assert record.position[3] == pytest.approx(record.position[2] / 2)
    history = record.history()
    assert history.margin[3] == pytest.approx(history.margin[2] / 2)
    closed = record.trades().iloc[0]
    opening = history.fees[2] / 2
    assert closed.fees == pytest.approx(opening + closed.quantity * closed.exit_price * 0.001)


def test_hold_never_rebalances(make_market: MakeMarket) -> None:
    """A position keeps its quantity while prices double; so does an unchanged continuous action."""
    market = make_market([100, 100, 150, 200], contract=NO_COSTS)
    assert len(set(trade(market, BUY).position[1:])) == 1
    assert len(set(trade(market, 0.5, actions="continuous").position[1:])) == 1


def test_a_changed_continuous_action_resizes_the_position(make_market: MakeMarket) -> None:
    """The quantity is share x leverage x equity / close of the decision."""
    market = make_market([100, 100, 100, 100, 100], contract=NO_COSTS)
    record = trade(market, 0.5, -0.25, 0.0, 0.0, actions="continuous", leverage=4.0, initial_balance=1_000.0)
    assert record.position.tolist() == pytest.approx([0, 20, -10, 0, 0])


def test_delay_waits_for_later_opens(make_market: MakeMarket) -> None:
    """With a delay of d bars the fill is at open t+1+d, sized at the decision."""
    market = make_market([100, 110, 121, 133.1, 146.41], contract=NO_COSTS)
    for delay in (0, 1, 2):
        record = trade(market, BUY, delay_bars=delay, leverage=0.5)
        assert np.flatnonzero(record.position)[0] == 1 + delay
        assert record.position[-1] == pytest.approx(0.5 * 10_000 / 100)
        assert record.history().entry_price.iloc[-1] == market.bars.open[1 + delay]


def test_the_position_carried_into_a_settlement_pays(make_market: MakeMarket) -> None:
    """Opened at the stamp: nothing; held at it or closed at it: 50 x 100 x 0.01 = 50, long to short."""
    market = make_market([100.0] * 5, funding={1: 0.01, 2: np.nan, 3: 0.01, 4: -0.02}, contract=NO_COSTS)
    # half the leverage leaves the order uncut: 0.5 x 10,000 / 100 = 50
    held = trade(market, BUY, leverage=0.5).equity.tolist()
    assert held == pytest.approx([10_000, 10_000, 10_000, 9_950, 10_050])
    short = trade(market, SELL, leverage=0.5).equity.tolist()
    assert short == pytest.approx([10_000, 10_000, 10_000, 10_050, 9_950])
    closed = trade(market, BUY, HOLD, SELL, leverage=0.5).equity.tolist()
    assert closed == pytest.approx([10_000, 10_000, 10_000, 9_950, 9_950])


def test_funding_moves_the_liquidation_price(make_market: MakeMarket) -> None:
    """Funding comes out of the isolated margin, so a long that pays is liquidated earlier."""
    market = make_market([100.0] * 4, funding={2: 0.01}, contract=NO_COSTS)
    history = trade(market, BUY, leverage=10.0).history()
    assert history.liquidation_price[2] > history.liquidation_price[1]
    assert history.margin[1] - history.margin[2] == pytest.approx(history.funding[2])


def test_no_funding_without_a_contract_that_has_it(make_market: MakeMarket) -> None:
    """`has_funding=False` ignores rates in the data."""
    market = make_market([100.0] * 4, funding={2: 0.01}, contract=replace(NO_COSTS, has_funding=False))
    assert trade(market, BUY).funding == 0.0


def liquidated(record: Record) -> pd.Series:
    trades = record.trades()
    assert trades.exit_reason.tolist() == ["liquidation"]
    return trades.iloc[0]


def test_liquidation_inside_the_bar(make_market: MakeMarket) -> None:
    """10x long at 100, mmr 1 %: liquidation at 90 / 0.99 = 90.91; a low of 90.5 takes the margin."""
    market = make_market(
        [100, 100, 99], low=[100, 100, 90.5], contract=replace(NO_COSTS, liquidation_fee=0.002)
    )
    record = trade(market, BUY, leverage=10.0, initial_balance=1_000.0, max_units=2)
    # one unit: 5 x 1,000 / 100 = 50 contracts, margin 500, free balance 500
    row = liquidated(record)
    assert row.exit_price == pytest.approx(90 / 0.99)
    assert record.equity[-1] == pytest.approx(500.0)
    # of the margin 500 the loss is 50 x 9.0909 = 454.55 and the clearance fee 50 x 90.909 x 0.002 = 9.09
    assert row.fees == pytest.approx(50 * 90 / 0.99 * 0.002)
    assert row.liquidation_cost == pytest.approx(500 - 50 * (100 - 90 / 0.99) - row.fees)
    assert row.net_pnl == pytest.approx(-500.0)


@pytest.mark.parametrize(("opening", "fill"), [(90.5, 90.5), (90.0, 90.0), (80.0, 90.0)])
def test_gap_rule(make_market: MakeMarket, opening: float, fill: float) -> None:
    """Past liquidation (90.91) the open is the fill, past bankruptcy (90) that; the loss is the margin."""
    market = make_market([100, 100, 95], open=[100, 100, opening], contract=NO_COSTS)
    record = trade(market, BUY, leverage=10.0, max_units=2)
    assert liquidated(record).exit_price == pytest.approx(fill)
    assert record.equity[-1] == pytest.approx(5_000.0)


def test_a_gap_past_liquidation_comes_before_the_order(make_market: MakeMarket) -> None:
    """A SELL due at an open past liquidation saves nothing and opens no short."""
    market = make_market([100, 100, 95, 95], open=[100, 100, 90.2, 95], contract=NO_COSTS)
    record = trade(market, BUY, SELL, leverage=10.0, max_units=2)
    liquidated(record)
    assert record.units.tolist() == [0, 1, 0, 0]


def test_liquidation_looks_at_the_mark(make_market: MakeMarket) -> None:
    """A wick of the last price that the mark did not follow liquidates nobody; a mark that did liquidates."""
    prices = {"close": [100, 100, 99], "low": [100, 100, 80]}
    calm = make_market(**prices, mark_low=[100, 100, 95], contract=NO_COSTS)
    assert trade(calm, BUY, leverage=10.0, max_units=2).liquidations == 0
    wild = make_market([100, 100, 99], mark_low=[100, 100, 80], contract=NO_COSTS)
    assert trade(wild, BUY, leverage=10.0, max_units=2).liquidations == 1


def test_stop_loss_fills_at_its_level(make_market: MakeMarket) -> None:
    """ATR 2, stop 1.5 ATR below the fill of 101 at 98, sold 1 % worse; the low reached 96."""
    market = make_market(
        [100, 100, 98], low=[100, 100, 96], atr=2.0, contract=replace(NO_COSTS, slippage=0.01)
    )
    record = trade(market, BUY, stop_loss_atr=1.5, leverage=0.5)
    row = record.trades().iloc[0]
    assert (row.exit_reason, row.entry_price) == ("stop_loss", 101.0)
    assert row.exit_price == pytest.approx(98 * 0.99)


def test_a_gap_through_the_stop_fills_at_the_open(make_market: MakeMarket) -> None:
    """Stop at 97, open at 94: filled at 94."""
    market = make_market([100, 100, 95], open=[100, 100, 94], atr=2.0, contract=NO_COSTS)
    row = trade(market, BUY, stop_loss_atr=1.5).trades().iloc[0]
    assert (row.exit_reason, row.exit_price) == ("stop_loss", 94.0)


def test_a_stop_at_the_open_replaces_the_order(make_market: MakeMarket) -> None:
    """An open past the stop closes the position as a stop, and the SELL due there opens no short."""
    market = make_market([100, 100, 95, 95], open=[100, 100, 94, 95], atr=2.0, contract=NO_COSTS)
    record = trade(market, 2, 0, 1, actions="target", stop_loss_atr=1.5)
    assert record.trades().exit_reason.tolist() == ["stop_loss"]
    assert record.units.tolist() == [0, 1, 0, 0]


def test_no_fill_loses_more_than_the_margin(make_market: MakeMarket) -> None:
    """A sale 3 % worse than the open would be beyond bankruptcy: the margin and the fee are lost."""
    dear = replace(NO_COSTS, slippage=0.03, taker_fee=0.001)
    market = make_market([100, 103, 97, 97], open=[100, 100, 103, 95], low=[100, 100, 97, 95], contract=dear)
    record = trade(market, BUY, HOLD, SELL, leverage=10.0, max_units=2)
    # entry 103, margin 10.3 a contract, bankrupt at 92.7; the open of 95 would fill at 92.15
    row = record.trades().iloc[0]
    assert row.exit_price == pytest.approx(92.7)
    fees = 0.001 * (103 + 92.7) * row.quantity
    assert record.equity[-1] == pytest.approx(10_000 - 10.3 * row.quantity - fees)


def test_stop_comes_before_target(make_market: MakeMarket) -> None:
    """A bar that touches both 97 and 103 is taken to have touched the stop first."""
    market = make_market(
        [100, 100, 100], high=[100, 100, 104], low=[100, 100, 96], atr=2.0, contract=NO_COSTS
    )
    row = trade(market, BUY, stop_loss_atr=1.5, take_profit_atr=1.5).trades().iloc[0]
    assert (row.exit_reason, row.exit_price) == ("stop_loss", 97.0)


def test_take_profit_of_a_short(make_market: MakeMarket) -> None:
    """Entry 100, target 3 ATR below at 94, reached by the low of 93."""
    market = make_market([100, 100, 95], low=[100, 100, 93], atr=2.0, contract=NO_COSTS)
    row = trade(market, SELL, take_profit_atr=3.0).trades().iloc[0]
    assert (row.exit_reason, row.exit_price, row.side) == ("take_profit", 94.0, -1)


def test_the_nearer_of_liquidation_and_stop_comes_first(make_market: MakeMarket) -> None:
    """Liquidation at 90.91: a stop at 95 saves the account, a stop at 88 comes too late."""
    market = make_market([100, 100, 99], low=[100, 100, 85], atr=1.0, contract=NO_COSTS)
    near = trade(market, BUY, leverage=10.0, stop_loss_atr=5.0)
    assert near.trades().exit_reason.tolist() == ["stop_loss"]
    far = trade(market, BUY, leverage=10.0, stop_loss_atr=12.0)
    assert far.trades().exit_reason.tolist() == ["liquidation"]


def test_max_holding_closes_at_the_open(make_market: MakeMarket) -> None:
    """Filled at the open of bar 1, closed at that of bar 3; the order due then is dropped."""
    market = make_market([100, 101, 102, 103, 104], contract=NO_COSTS)
    record = trade(market, BUY, HOLD, BUY, HOLD, max_holding_bars=2)
    row = record.trades().iloc[0]
    assert (row.exit_reason, row.exit_bar, row.bars_held, row.exit_price) == ("max_holding", 3, 2, 102.0)
    assert record.units.tolist() == [0, 1, 1, 0, 0]


def test_orders_below_the_minimum_are_not_placed(make_market: MakeMarket) -> None:
    """An account too small for the smallest order buys nothing; closing is always possible."""
    contract = replace(NO_COSTS, min_notional=900.0)
    market = make_market([100, 100, 80, 80, 80, 80], contract=contract)
    record = trade(market, BUY, HOLD, SELL, BUY, initial_balance=1_000.0)
    assert record.units.tolist() == [0, 1, 1, 0, 0, 0]


def test_quantities_are_whole_lots(make_market: MakeMarket) -> None:
    """1,000 / 30 = 33.3 becomes 33 lots of 1."""
    market = make_market([30.0] * 3, contract=replace(NO_COSTS, lot_size=1.0))
    assert trade(market, BUY, initial_balance=1_000.0).position[1] == 33.0


def test_growth_stops_at_the_bracket_of_the_leverage(make_market: MakeMarket) -> None:
    """Where 10x is allowed up to 50,000 only, an account of 10,000 holds no more than 50,000."""
    tiers = (
        MarginTier(floor=0.0, cap=50_000.0, mmr=0.01, max_leverage=10.0),
        MarginTier(floor=50_000.0, cap=1e9, mmr=0.05, max_leverage=5.0),
    )
    market = make_market([100, 100, 150, 150, 150, 150], contract=replace(NO_COSTS, tiers=tiers))
    record = trade(market, BUY, HOLD, SELL, BUY, leverage=10.0, initial_balance=4_000.0)
    assert record.position[1] == 400.0
    assert record.position[4] * 150 == pytest.approx(50_000.0)


def test_long_gaps_are_crossed_flat(make_market: MakeMarket) -> None:
    """The position is closed at the last close before the gap and may be opened again after it."""
    market = make_market([100, 101, 102, 200, 201, 202], breaks=[3], contract=NO_COSTS)
    record = trade(market, BUY, HOLD, BUY, BUY)
    assert record.units.tolist() == [0, 1, 0, 0, 1, 1]
    assert record.trades().exit_reason.tolist() == ["end"]
    assert record.equity[3] == record.equity[2]


def test_a_delayed_order_does_not_wait_for_the_end_of_a_gap(make_market: MakeMarket) -> None:
    """What was decided before a long gap and not filled before it is gone."""
    market = make_market([100, 101, 102, 200, 201, 202], breaks=[3], contract=NO_COSTS)
    record = trade(market, HOLD, BUY, HOLD, HOLD, HOLD, delay_bars=1)
    assert record.units.tolist() == [0] * 6


def test_flatten_pays_for_closing(make_market: MakeMarket) -> None:
    """With `flatten` the last close ends the position at a cost."""
    market = make_market([100.0] * 3, contract=COSTLY)
    kept, closed = trade(market, BUY, flatten=False), trade(market, BUY, flatten=True)
    quantity = kept.position[-1]
    assert closed.position[-1] == 0.0
    assert kept.equity[-1] - closed.equity[-1] == pytest.approx(quantity * 1.0 + quantity * 99.0 * 0.001)


def test_buy_and_hold_without_costs_is_the_price_ratio(make_market: MakeMarket) -> None:
    """At leverage 1 and no cost, equity / initial = close / first close, to the last digits."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 500)))
    record = trade(make_market(close, contract=NO_COSTS), BUY)
    assert record.equity / 10_000 == pytest.approx(close / close[0], rel=1e-13)


def test_ruin_ends_trading(make_market: MakeMarket) -> None:
    """Below the equity floor the account trades no more, and the record says when."""
    market = make_market([100, 100, 50, 50, 50, 50], contract=NO_COSTS)
    record = trade(market, BUY, BUY, BUY, BUY, leverage=10.0)
    assert record.equity[-1] == 0.0
    assert record.ruined
    assert record.bars_done == 3
    assert math.isinf(record.log_returns[1])


def test_a_real_mark_settles_funding_and_values_the_position(make_market: MakeMarket) -> None:
    """Funding goes by the mark at the stamp, unrealised profit by the mark at the close."""
    market = make_market(
        [100.0] * 4,
        high=[104.0] * 4,
        low=[96.0] * 4,
        mark_open=[100, 100, 102, 100],
        mark_close=[100, 103, 99, 100],
        funding={2: 0.01},
        contract=NO_COSTS,
    )
    record = trade(market, BUY, initial_balance=1_000.0)
    # 10 units; funding 10 x 102 x 1 %; then 10 x (mark - 100)
    assert record.funding == pytest.approx(10.2)
    assert record.equity.tolist() == pytest.approx([1_000, 1_030, 1_000 - 10.2 - 10, 1_000 - 10.2])


def test_commission_is_paid_per_contract(make_market: MakeMarket) -> None:
    """Three contracts of 5 units at 0.62 each cost 1.86 to open and 1.86 to close, at any price."""
    contract = replace(NO_COSTS, commission=0.62, contract_size=5.0, lot_size=5.0)
    market = make_market([100, 100, 200, 200], contract=contract)
    record = trade(market, BUY, SELL, initial_balance=1_600.0)
    assert record.position[1] == 15.0
    assert record.fees == pytest.approx(2 * 3 * 0.62)


def test_bybit_liquidates_at_the_entry_formula(make_market: MakeMarket) -> None:
    """10x at 1 % of the entry value: liquidated at 100 x (1 - 1/10 + 1 %) = 91, and not at 91.1."""
    contract = replace(NO_COSTS, maintenance_on="entry")
    for low, count in ((91.1, 0), (91.0, 1)):
        market = make_market([100, 100, 95, 95], low=[100, 100, low, 95], contract=contract)
        record = trade(market, BUY, leverage=10.0)
        assert record.history().liquidation_price[1] == pytest.approx(91.0)
        assert record.liquidations == count


def test_bybit_reserves_the_fee_of_closing(make_market: MakeMarket) -> None:
    """1,000 at 10x: margin, fee and the fee at bankruptcy together take the balance, no more."""
    contract = replace(NO_COSTS, taker_fee=0.001, reserve_closing_fee=True)
    record = trade(make_market([100.0] * 3, contract=contract), BUY, leverage=10.0, initial_balance=1_000.0)
    assert record.position[1] == pytest.approx(1_000 / (10.0 + 0.1 + 0.09))


def test_okx_takes_the_rate_on_the_whole_notional(make_market: MakeMarket) -> None:
    """A short is liquidated where it enters the next bracket, whose rate it cannot bear."""
    tiers = (
        MarginTier(floor=0.0, cap=42_000.0, mmr=0.01, max_leverage=100.0),
        MarginTier(floor=42_000.0, cap=1e9, mmr=0.2, max_leverage=100.0),
    )
    contract = replace(NO_COSTS, tiers=tiers, tier_amounts=False, maintenance_fee=0.0005)
    record = trade(make_market([100.0] * 3, contract=contract), SELL, leverage=4.0)
    # 400 short: at 105 the notional reaches 42,000, and 10,000 - 2,000 < 42,000 x 0.2005
    assert record.history().liquidation_price[1] == pytest.approx(105.0)


def test_every_fill_is_listed(make_market: MakeMarket) -> None:
    """A reversal is two fills at one open, a liquidation is one; fees, pnl and positions add up."""
    market = make_market([100, 100, 100, 120, 120], contract=replace(COSTLY, slippage=0.0))
    record = trade(market, 2, 0, 0, 0, actions="target", leverage=5.0, initial_balance=1_000.0)
    fills = record.fills()
    assert fills.reason.tolist() == ["open", "reverse", "open", "liquidation"]
    assert fills.side.tolist() == [1, -1, -1, 1]
    assert fills.bar.tolist() == [1, 2, 2, 3]
    assert fills.fee.sum() == pytest.approx(record.fees)
    moved = (fills.side * fills.quantity).cumsum()
    assert moved.tolist() == pytest.approx(fills.position.tolist(), abs=1e-9)
    spent = fills.fee.sum() + record.liquidation_costs
    assert record.equity[-1] == pytest.approx(1_000 + fills.pnl.sum() - spent)
