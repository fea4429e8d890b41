"""Does the money add up? Cash flows, buy-and-hold for free, liquidation prices against their definition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.layout import ACCOUNT, FILL, records
from quantum_trader.envs.market import Market
from quantum_trader.envs.rules import (
    TierTable,
    liquidation_price,
    liquidation_price_on_entry,
    tier_table,
)
from quantum_trader.evaluate.checks.environment import Trade
from quantum_trader.evaluate.checks.stretches import FIRST_DECISION, rebuilt, unbroken
from quantum_trader.evaluate.records import CheckResult

Floats = NDArray[np.float64]
LiquidationPrice = Callable[[float, float, float, float, TierTable], float]
"""side, quantity, entry, margin, brackets -> mark price of the liquidation, 0 where there is none."""

MONEY_TOLERANCE = 1e-9
"""Largest difference, as a share of the equity, or of the initial balance where that is larger."""
HELD_BARS = 500
"""Bars that buy-and-hold is compared on."""


def cash_flows(
    market: Market,
    trade: Trade = run_actions,
    config: EnvConfig | None = None,
    *,
    bars: int = 3_000,
    seed: int = 0,
) -> CheckResult:
    """Whether at every close equity is what went in, plus every cash flow, plus what the position is worth.

    Random orders are traded. Cash flows are added up from the fills (price, quantity, fee) and from funding
    computed anew (position carried into the bar x mark at its open x rate), not from the account's own
    totals; only margin forfeited in liquidations is the account's word.

    Args:
        market: its last `bars` bars are traded.
        trade: trades them.
        config: the rules; None takes a leverage of 2.
        bars: number of bars.
        seed: of the orders.
    """
    piece = market.rows(max(len(market) - bars, 0), len(market))
    config = config if config is not None else EnvConfig(leverage=2.0)
    actions = np.random.default_rng(seed).integers(0, 3, len(piece)).astype(np.int8)
    record = trade(piece, actions, config)
    # A ruined account trades no more, and what it held is marked no more.
    equity = record.equity[: record.bars_done]
    expected = _equity_from_flows(piece, record)[: record.bars_done]
    size = np.maximum(equity, record.initial_balance)  # of a ruined account rounding is all that is left
    worst = float(np.max(np.abs(equity - expected) / size))
    return CheckResult(
        name="cash_flows",
        question="Is the change of equity the sum of all cash flows?",
        passed=worst <= MONEY_TOLERANCE,
        detail=f"{market.symbol}, {len(record.executed)} fills in {len(equity)} bars: largest "
        f"difference {worst:.1e} of the equity, {MONEY_TOLERANCE:.0e} allowed.",
    )


def _equity_from_flows(market: Market, record: Record) -> Floats:
    """float64 [n]: initial balance + cash of all fills so far - funding + value of the position."""
    bars, span = market.bars, slice(record.first, record.first + len(record))
    fills = records(record.executed, FILL)
    rows = fills["row"].astype(np.int64) - record.first
    cash = -fills["side"] * fills["quantity"] * fills["price"] - fills["fee"]
    flows = np.bincount(rows, weights=cash, minlength=len(record)).astype(np.float64)
    carried = np.concatenate([[0.0], record.position[:-1]])
    flows = flows - carried * bars.mark_open[span] * np.nan_to_num(bars.funding_rate[span])
    forfeited = records(record.rows, ACCOUNT)["liquidation_costs"]
    worth = record.position * bars.mark_close[span]
    return np.asarray(record.initial_balance + np.cumsum(flows) - forfeited + worth)


def fee_free_hold(market: Market, trade: Trade = run_actions) -> CheckResult:
    """Whether holding without a fee is buy-and-hold: initial balance + quantity x (close - first open).

    The quantity is what the balance buys at the decision's close, or at the open if that is dearer. There is
    no cost, funding or rounding, and no over-long gap on the way.

    Args:
        market: its last bars are used.
        trade: trades them.
    """
    question = "Does holding without fees earn exactly what the price does?"
    needed = FIRST_DECISION + HELD_BARS
    piece = unbroken(market, needed)
    if piece is None:
        detail = f"{market.symbol} has no {needed} bars in a row without an over-long gap."
        return CheckResult(name="fee_free_hold", question=question, passed=None, detail=detail)
    free = replace(
        rebuilt(piece, {"funding_rate": np.full(len(piece), np.nan)}), contract=_free(piece.contract)
    )
    actions = np.full(len(free), Action.HOLD, dtype=np.int8)
    actions[FIRST_DECISION] = Action.BUY
    record = trade(free, actions, EnvConfig(start=FIRST_DECISION))
    close, opened = free.bars.mark_close[record.first :], free.bars.open[record.first + 1]
    quantity = record.initial_balance / max(float(free.bars.close[record.first]), float(opened))
    expected = record.initial_balance + quantity * (close - opened)
    # The last bar closes the position at the last price, not at the mark.
    expected[-1] = record.initial_balance + quantity * (free.bars.close[-1] - opened)
    expected[0] = record.initial_balance
    worst = float(np.max(np.abs(record.equity / expected - 1.0)))
    return CheckResult(
        name="fee_free_hold",
        question=question,
        passed=worst <= 1e-12,
        detail=f"{market.symbol}, {HELD_BARS} bars held: largest difference {worst:.1e} of the equity.",
    )


def _free(contract: FuturesContract) -> FuturesContract:
    return replace(
        contract,
        taker_fee=0.0,
        commission=0.0,
        slippage=0.0,
        tick_size=0.0,
        lot_size=0.0,
        min_notional=0.0,
        reserve_closing_fee=False,
    )


def liquidation_at_margin(
    contract: FuturesContract, price: LiquidationPrice | None = None, *, draws: int = 300, seed: int = 0
) -> CheckResult:
    """Whether the liquidation price is where what is left of the margin meets the maintenance margin.

    Closed form, one bracket (Binance FAQ b3c689c1): (margin + amount - side Q entry) / (Q (rate - side)).
    Over brackets it has no single form, so its definition is asked: just on the safe side of the price
    margin + profit is above the maintenance margin, just beyond it is not. The maintenance margin is added up
    bracket by bracket here, or taken at the highest bracket's rate where the contract says so.

    Args:
        contract: brackets.
        price: the rule to be checked; None takes the product's for this contract.
        draws: random positions, long and short.
        seed: of the draws.
    """
    table = tier_table(contract)
    on_entry = contract.maintenance_on == "entry"
    rule = price if price is not None else (liquidation_price_on_entry if on_entry else liquidation_price)
    rng = np.random.default_rng(seed)
    largest = min(contract.tiers[-1].floor * 2 + 1e5, contract.tiers[-1].cap)
    wrong = 0
    for _ in range(draws):
        side = float(rng.choice([-1.0, 1.0]))
        entry, notional = float(np.exp(rng.uniform(-5, 11))), float(np.exp(rng.uniform(5, np.log(largest))))
        quantity = notional / entry
        # Between just enough and twice the notional.
        least = _maintenance(notional, contract)
        margin = least + float(rng.uniform(0.001, 1.0)) * notional
        found = rule(side, quantity, entry, margin, table)
        wrong += not _is_threshold(found, side, quantity, entry, margin, contract)
    return CheckResult(
        name="liquidation_at_margin",
        question="Is the liquidation price where the margin left meets the maintenance margin?",
        passed=not wrong,
        detail=f"{contract.name}, {len(contract.tiers)} brackets: {wrong} of {draws} random positions wrong.",
    )


def _is_threshold(
    found: float, side: float, quantity: float, entry: float, margin: float, contract: FuturesContract
) -> bool:
    def above(price: float) -> float:
        at = entry if contract.maintenance_on == "entry" else price
        return margin + side * quantity * (price - entry) - _maintenance(quantity * at, contract)

    rounding = 1e-9 * max(quantity * entry, margin)
    if found <= 0.0:  # a long whose margin outlasts every price
        return side > 0 and above(entry * 1e-9) >= -rounding
    nudge = 1e-7 * found
    return above(found + side * nudge) > -rounding and above(found - side * nudge) < rounding


def _maintenance(notional: float, contract: FuturesContract) -> float:
    """Maintenance margin, added up bracket by bracket."""
    tiers = contract.tiers
    fee = contract.maintenance_fee * notional
    if not contract.tier_amounts:
        rate = max(tier.mmr for tier in tiers if notional >= tier.floor)
        return rate * notional + fee
    last = len(tiers) - 1
    parts = (
        tier.mmr * max((notional if number == last else min(notional, tier.cap)) - tier.floor, 0.0)
        for number, tier in enumerate(tiers)
    )
    return sum(parts) + fee
