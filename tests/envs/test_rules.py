"""Properties of the rules that no list of examples could cover."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs import rewards, rules
from quantum_trader.envs.presets import PRESETS

TIERS = rules.tier_table(PRESETS["binance-btc"], 16)
PRICES = st.floats(0.01, 1e5)
SIDES = st.sampled_from([1.0, -1.0])


@given(side=SIDES, entry=PRICES, notional=st.floats(10.0, 1e9), leverage=st.floats(1.01, 100.0))
@settings(max_examples=300, deadline=None)
def test_margin_balance_is_maintenance_margin_at_liquidation(
    side: float, entry: float, notional: float, leverage: float
) -> None:
    """At the liquidation price, margin + pnl = the maintenance margin of the bracket AT that price."""
    quantity = notional / entry
    margin = rules.initial_margin(quantity, entry, leverage)
    price = rules.liquidation_price(side, quantity, entry, margin, TIERS)
    if price == 0.0:
        assert side > 0  # the long's margin covers a fall to zero
        return
    backing = margin + rules.unrealised_pnl(side * quantity, entry, price)
    assert backing == pytest.approx(rules.maintenance_margin(quantity * price, TIERS), abs=1e-6 * notional)


@given(side=SIDES, entry=PRICES, leverage=st.floats(1.0, 100.0))
@settings(max_examples=200, deadline=None)
def test_bankruptcy_lies_beyond_liquidation(side: float, entry: float, leverage: float) -> None:
    """Bankruptcy is entry x (1 - side / leverage), and liquidation comes before it."""
    quantity = 100.0 / entry
    margin = rules.initial_margin(quantity, entry, leverage)
    bankrupt = rules.bankruptcy_price(side, quantity, entry, margin)
    assert bankrupt == pytest.approx(entry * (1.0 - side / leverage), abs=1e-9 * entry)
    liquidation = rules.liquidation_price(side, quantity, entry, margin, TIERS)
    assert side * (liquidation - bankrupt) >= -1e-9 * entry


JUMPING = rules.tier_table(PRESETS["okx-btc"], 16)


@given(side=SIDES, entry=PRICES, notional=st.floats(10.0, 2e8), leverage=st.floats(1.5, 40.0))
@settings(max_examples=150, deadline=None)
def test_first_price_short_of_margin_where_brackets_jump(
    side: float, entry: float, notional: float, leverage: float
) -> None:
    """Rates on the whole notional: margin suffices up to the liquidation price, and no further."""
    quantity = notional / entry
    margin = rules.initial_margin(quantity, entry, leverage)

    def spare(price: float) -> float:
        needed = rules.maintenance_margin(quantity * price, JUMPING)
        return (margin + rules.unrealised_pnl(side * quantity, entry, price) - needed) / notional

    if spare(entry) <= 0.0:
        return  # the venue would not have opened it: the leverage is above the bracket's cap
    price = rules.liquidation_price(side, quantity, entry, margin, JUMPING)
    assert spare(price * (1.0 - 1e-9 * side)) <= 0.0
    for way in np.linspace(0.0, 0.999999, 400):
        assert spare(entry + way * (price - entry)) >= -1e-12


def test_liquidation_on_the_entry_value() -> None:
    """Maintenance margin fixed at entry: entry x (1 - s/L + s mmr), whatever the price does since."""
    one = np.array([[0.0, 0.01, 0.0, 100.0, 1e9]])
    for side in (1.0, -1.0):
        price = rules.liquidation_price_on_entry(side, 2.0, 100.0, 20.0, one)
        assert price == pytest.approx(100.0 * (1.0 - side * 0.1 + side * 0.01), rel=1e-12)
    assert rules.liquidation_price_on_entry(1.0, 2.0, 100.0, 400.0, one) == 0.0


def test_an_order_costs_margin_and_fees() -> None:
    """50x on 1 at 10,000: 200 of margin, 7.50 to open, and 7.35 reserved for closing a long at bankruptcy."""
    assert rules.order_cost(1.0, 1.0, 10_000.0, 50.0, 0.00075, 0.0, False) == pytest.approx(207.5)
    assert rules.order_cost(1.0, 1.0, 10_000.0, 50.0, 0.00075, 0.0, True) == pytest.approx(214.85)
    assert rules.order_cost(-1.0, 1.0, 10_000.0, 50.0, 0.00075, 0.0, True) == pytest.approx(215.15)


def test_a_commission_is_paid_per_base_unit() -> None:
    """2.25 dollars a contract of 50 units: 3 contracts pay 6.75 at any price."""
    assert rules.fee(150.0, 5_000.0, 0.0, 2.25 / 50) == pytest.approx(6.75)
    assert rules.fee(150.0, 9_999.0, 0.0, 2.25 / 50) == pytest.approx(6.75)


def test_liquidation_price_without_tiers_is_the_textbook_one() -> None:
    """One bracket: entry x (1 - 1/L) / (1 - mmr) for a long, entry x (1 + 1/L) / (1 + mmr) for a short."""
    tier = np.array([[0.0, 0.005, 0.0, 100.0, 1e9]])
    for leverage in (2.0, 10.0, 50.0):
        margin = 100.0 / leverage
        assert rules.liquidation_price(1.0, 1.0, 100.0, margin, tier) == pytest.approx(
            100.0 * (1 - 1 / leverage) / 0.995, rel=1e-12
        )
        assert rules.liquidation_price(-1.0, 1.0, 100.0, margin, tier) == pytest.approx(
            100.0 * (1 + 1 / leverage) / 1.005, rel=1e-12
        )


@given(notional=st.floats(0.0, 2e9))
@settings(max_examples=200, deadline=None)
def test_maintenance_margin_is_continuous(notional: float) -> None:
    """No jump at the edge of a bracket: a cent more notional never needs more than a cent more margin."""
    step = rules.maintenance_margin(notional + 0.01, TIERS) - rules.maintenance_margin(notional, TIERS)
    assert -1e-6 <= step <= 0.01


def test_notional_is_capped_by_leverage() -> None:
    """BTC brackets: 50,000 at 125x, 600,000 at 100x, 100 million at 20x, nothing above 125x."""
    assert rules.notional_cap(125.0, TIERS) == 50_000.0
    assert rules.notional_cap(100.0, TIERS) == 600_000.0
    assert rules.notional_cap(20.0, TIERS) == 1e8
    assert rules.notional_cap(126.0, TIERS) == 0.0


@given(lots=st.integers(0, 10**7), step=st.sampled_from([1.0, 0.1, 0.01, 0.001, 0.0001, 0.005, 5.0, 0.3]))
@settings(max_examples=300, deadline=None)
def test_whole_lots_are_kept(lots: int, step: float) -> None:
    """A whole number of lots, up to float error, is not cut; rounding twice changes nothing."""
    quantity = lots * step
    rounded = rules.round_lot(quantity, step)
    assert rounded == pytest.approx(quantity, rel=1e-12)
    assert rules.round_lot(rounded, step) == rounded
    assert rules.round_lot(quantity + 0.5 * step, step) == pytest.approx(quantity, rel=1e-12)


@given(price=PRICES, slippage=st.floats(0.0, 0.01), tick=st.sampled_from([0.0, 0.01, 0.1, 0.5]))
@settings(max_examples=300, deadline=None)
def test_fills_are_never_better_than_the_price(price: float, slippage: float, tick: float) -> None:
    """A buyer pays at least the price, a seller gets at most the price, whatever the tick."""
    assert rules.fill_price(price, 1.0, slippage, tick) >= price
    assert rules.fill_price(price, -1.0, slippage, tick) <= price


def test_average_entry_weighs_by_quantity() -> None:
    """1 at 100 and 3 at 200 average to 175; the first fill is its own average."""
    assert rules.average_entry(1.0, 100.0, 3.0, 200.0) == 175.0
    assert rules.average_entry(0.0, 0.0, 3.0, 200.0) == 200.0


CALLS: list[tuple[Any, tuple[Any, ...]]] = [
    (rules.fee, (1.3, 27_123.45, 0.0005, 0.45)),
    (rules.fill_price, (27_123.4, -1.0, 0.00013, 0.1)),
    (rules.funding_payment, (-1.7, 27_123.45, 0.000123)),
    (rules.unrealised_pnl, (-1.7, 27_123.45, 26_000.1)),
    (rules.average_entry, (1.3, 27_123.45, 0.7, 26_000.1)),
    (rules.initial_margin, (1.3, 27_123.45, 7.0)),
    (rules.bankruptcy_price, (-1.0, 1.3, 27_123.45, 4_321.0)),
    (rules.tier_of, (7e5, TIERS)),
    (rules.maintenance_margin, (7.1e5, TIERS)),
    (rules.liquidation_price, (1.0, 31.7, 27_123.45, 123_456.0, TIERS)),
    (rules.liquidation_price, (-1.0, 31.7, 27_123.45, 123_456.0, TIERS)),
    (rules.liquidation_price_on_entry, (1.0, 31.7, 27_123.45, 123_456.0, TIERS)),
    (rules.order_cost, (-1.0, 1.3, 27_123.45, 7.0, 0.00055, 0.3, True)),
    (rules.notional_cap, (20.0, TIERS)),
    (rules.round_lot, (2.34559, 0.0001)),
    (rules.round_tick, (2.34559, 0.0001)),
    (rewards.log_equity, (10_000.0, 9_876.5, 10_000.0)),
    (rewards.profit, (10_000.0, 9_876.5)),
    (rewards.differential_sharpe, (0.013, 0.001, 0.0004)),
    (rewards.drawdown_penalised, (-0.013, 0.1, 0.11, 0.5)),
]


@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=lambda value: getattr(value, "__name__", ""))
def test_compiled_rules_equal_plain_python(function: Any, arguments: tuple[Any, ...]) -> None:
    """Every rule gives the same bits compiled and interpreted."""
    plain: Callable[..., float] = function.py_func
    assert function(*arguments) == plain(*arguments)


def test_differential_sharpe_is_the_derivative_of_the_sharpe_ratio() -> None:
    """A small weight on the newest return moves mean / deviation by weight x reward (Moody and Saffell)."""
    mean, square, newest, weight = 0.002, 0.0004, 0.011, 1e-7

    def sharpe(share: float) -> float:
        a = mean + share * (newest - mean)
        b = square + share * (newest**2 - square)
        return a / math.sqrt(b - a * a)

    slope = (sharpe(weight) - sharpe(-weight)) / (2 * weight)
    assert rewards.differential_sharpe(newest, mean, square) == pytest.approx(slope, rel=1e-5)


def test_ruin_has_a_finite_log() -> None:
    """An equity of zero counts as one millionth of the start."""
    assert rewards.log_equity(10_000.0, 0.0, 10_000.0) == pytest.approx(math.log(1e-6))
