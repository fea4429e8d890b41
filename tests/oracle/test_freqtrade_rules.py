"""freqtrade's own formulas, asked about the positions that our accounts were in.

Each question is one call of `freqtrade.exchange`: the liquidation price as Binance and as OKX and Gate define
it, over the margin brackets of all Binance contracts that freqtrade ships, and the funding of a position held
from one moment to another. Nothing here touches a network: the exchange object never loads markets.

Two things that freqtrade does otherwise are not copied, and so are bridged here:

- its callers look the bracket up by the margin put up, where Binance's help page has the notional at the
  liquidation price; it is told that notional;
- it charges a position that was closed at the very moment of a settlement, and one opened at it too. Here the
  position carried into that moment pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quantum_trader.envs import EnvConfig, FuturesContract, MarginTier, Market, Record, run_actions

pytest.importorskip("freqtrade", exc_type=ImportError)

from freqtrade.enums import RunMode
from freqtrade.exchange import Exchange
from freqtrade.resolvers import ExchangeResolver

Floats = NDArray[np.float64]

PAIR = "TEST/USDT:USDT"
RELATIVE = 1e-9
BARS = 300
MONEY = 100_000.0
CLOSING_FEE = 0.0005


def offline_exchange(name: str, tmp_path: Path) -> Any:
    """freqtrade's exchange `name` for isolated futures, with one market that this test writes down."""
    config = {
        "dry_run": True,
        "runmode": RunMode.BACKTEST,
        "stake_currency": "USDT",
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "liquidation_buffer": 0.0,
        "datadir": tmp_path,
        "exchange": {"name": name, "key": "", "secret": "", "pair_whitelist": [PAIR]},
    }
    exchange = ExchangeResolver.load_exchange(config, validate=False)
    exchange._markets = {PAIR: {"symbol": PAIR, "inverse": False, "taker": CLOSING_FEE, "contractSize": 1.0}}
    return exchange


def their_tiers(contract: FuturesContract, amounts: Sequence[float]) -> list[dict[str, float]]:
    """Our brackets as freqtrade keeps them, with maintenance amounts that the caller worked out."""
    return [
        {
            "minNotional": tier.floor,
            "maxNotional": tier.cap,
            "maintenanceMarginRate": tier.mmr,
            "maxLeverage": tier.max_leverage,
            "maintAmt": amount,
        }
        for tier, amount in zip(contract.tiers, amounts, strict=True)
    ]


def contract_of(tiers: list[dict[str, Any]], name: str) -> FuturesContract:
    """Binance's brackets of one contract, without the costs that are not asked about."""
    ours = tuple(
        MarginTier(
            floor=tier["minNotional"],
            cap=tier["maxNotional"],
            mmr=tier["maintenanceMarginRate"],
            max_leverage=float(tier["maxLeverage"]),
        )
        for tier in tiers
    )
    return FuturesContract(name=name, tiers=ours)


def liquidation_prices(
    exchange: Any,
    rows: pd.DataFrame,
    leverage: float,
    notional: pd.Series | None = None,
    funding: Floats | float = 0.0,
) -> Floats:
    """float64 [n]: what freqtrade says for the rows of a history, all of which hold a position.

    Args:
        exchange: of `offline_exchange`.
        rows: n rows; their margin is not used, freqtrade is told notional / leverage.
        leverage: that of every entry.
        notional: [n], picks the bracket; by default that at the liquidation price.
        funding: paid so far, taken off the margin.
    """
    size = rows.position.abs()
    margin = size * rows.entry_price / leverage - funding
    notional = size * rows.liquidation_price if notional is None else notional
    return np.array(
        [
            exchange.get_liquidation_price(
                pair=PAIR,
                open_rate=row.entry_price,
                is_short=row.position < 0.0,
                amount=abs(row.position),
                stake_amount=chosen,
                leverage=leverage,
                wallet_balance=wallet,
            )
            for row, chosen, wallet in zip(rows.itertuples(), notional, margin, strict=True)
        ]
    )


def held(record: Record) -> pd.DataFrame:
    """The bars at whose close a position is held."""
    history = record.history()
    return history[history.position != 0.0]


def test_liquidation_prices_are_freqtrades_for_every_binance_contract(
    tmp_path: Path,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
) -> None:
    """A new position in any bracket, at any leverage, has freqtrade's price by the published amounts."""
    exchange = offline_exchange("binance", tmp_path)
    table = exchange.load_leverage_tiers()
    flat = make_market(make_frame(0, BARS, volatility=1e-4, gap=1e-5), FuturesContract(name="any"))
    draws = np.random.default_rng(0)
    ours, theirs, brackets = [], [], set()
    for name, tiers in table.items():
        contract = contract_of(tiers, name)
        exchange._leverage_tiers = {PAIR: [exchange.parse_leverage_tier(tier) for tier in tiers]}
        bracket = tiers[draws.integers(len(tiers))]
        leverage = draws.uniform(1.0, bracket["maxLeverage"])
        notional = draws.uniform(max(bracket["minNotional"], 1.0), bracket["maxNotional"])
        config = EnvConfig(
            window=1,
            actions="target",
            leverage=leverage,
            initial_balance=notional / leverage,
            equity_floor=0.0,
        )
        wanted = np.where(draws.random() < 0.5, 0.0, 2.0) * np.ones(BARS)
        record = run_actions(replace(flat, contract=contract), wanted, config, stop=5, flatten=False)
        rows = held(record)
        ours.append(rows.liquidation_price.to_numpy())
        theirs.append(liquidation_prices(exchange, rows, leverage))
        reached = np.abs(rows.position) * rows.liquidation_price
        brackets |= {int(np.searchsorted([t["minNotional"] for t in tiers], n, "right")) for n in reached}
    np.testing.assert_allclose(np.concatenate(ours), np.concatenate(theirs), rtol=RELATIVE, atol=1e-9)
    assert len(brackets) >= 8
    assert min(len(rows) for rows in ours) > 0


TIERED = FuturesContract(
    name="tiered",
    taker_fee=0.0002,
    slippage=0.0001,
    tiers=(
        MarginTier(floor=0.0, cap=250_000.0, mmr=0.004, max_leverage=125.0),
        MarginTier(floor=250_000.0, cap=500_000.0, mmr=0.01, max_leverage=50.0),
        MarginTier(floor=500_000.0, cap=1e9, mmr=0.025, max_leverage=20.0),
    ),
)
AMOUNTS = (
    0.0,
    1_500.0,  # 250,000 x (0.01 - 0.004)
    9_000.0,  # 1,500 + 500,000 x (0.025 - 0.01)
)


@pytest.mark.parametrize("seed", range(4))
def test_liquidation_prices_follow_every_change_of_a_position(
    seed: int,
    tmp_path: Path,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
) -> None:
    """Positions enlarged and partly closed, across brackets, keep the price that freqtrade computes."""
    exchange = offline_exchange("binance", tmp_path)
    exchange._leverage_tiers = {PAIR: their_tiers(TIERED, AMOUNTS)}
    rows = random_rows(TIERED, make_frame, make_market, make_actions, seed)
    np.testing.assert_allclose(
        rows.liquidation_price, liquidation_prices(exchange, rows, 10.0), rtol=RELATIVE
    )
    assert len(rows) > 500
    assert rows.units.nunique() == 8


@pytest.mark.parametrize("seed", range(4))
def test_funding_moves_the_liquidation_price(
    seed: int,
    tmp_path: Path,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
) -> None:
    """The price is freqtrade's for the margin less freqtrade's own funding since the entry."""
    exchange = offline_exchange("binance", tmp_path)
    exchange._leverage_tiers = {PAIR: their_tiers(TIERED, AMOUNTS)}
    market, combined = funded_market(seed, TIERED, make_frame, make_market)
    config = EnvConfig(window=1, actions="target", leverage=10.0, initial_balance=MONEY, equity_floor=0.0)
    record = run_actions(market, make_actions(seed, len(market), config), config, flatten=False)
    rows = held(record)
    # A position lasts until the next trade closes: its first bar is the first after the one before it.
    ended = np.searchsorted(np.r_[-1, record.trades().exit_bar], rows.bar, "right")
    entered = rows.groupby(ended).time.transform("min")
    paid = np.array(
        [
            -exchange.calculate_funding_fees(
                combined, abs(row.position), row.position < 0.0, start + pd.Timedelta(1, "ms"), row.time
            )
            for row, start in zip(rows.itertuples(), entered, strict=True)
        ]
    )
    theirs = liquidation_prices(exchange, rows, 10.0, funding=paid)
    np.testing.assert_allclose(rows.liquidation_price, theirs, rtol=RELATIVE)
    assert (paid > 0.0).sum() > 150 < (paid < 0.0).sum()


@pytest.mark.parametrize("name", ["okx", "gate"])
def test_liquidation_prices_on_okx_and_gate_are_freqtrades(
    name: str,
    tmp_path: Path,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
) -> None:
    """Rates on the whole notional with the taker fee added give freqtrade's price in every bracket."""
    exchange = offline_exchange(name, tmp_path)
    contract = replace(TIERED, tier_amounts=False, maintenance_fee=CLOSING_FEE)
    exchange._leverage_tiers = {PAIR: their_tiers(TIERED, AMOUNTS)}
    rows = random_rows(contract, make_frame, make_market, make_actions)
    # A short may reach a bracket in which it is past its price already; freqtrade has no price for that.
    reached = (rows.position.abs() * rows.liquidation_price).to_numpy()
    floors = np.array([tier.floor for tier in contract.tiers])
    at_floor = np.isclose(reached[:, None], floors, rtol=1e-9, atol=0.0).any(axis=1)
    assert (rows[at_floor].position < 0.0).all()
    rows, brackets = rows[~at_floor], np.searchsorted(floors, reached[~at_floor], "right") - 1
    np.testing.assert_allclose(
        rows.liquidation_price, liquidation_prices(exchange, rows, 10.0), rtol=RELATIVE
    )
    assert np.bincount(brackets).min() > 20


def test_liquidation_prices_on_bybit_are_freqtrades_but_for_the_amount(
    tmp_path: Path,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
) -> None:
    """Maintenance on the entry price gives freqtrade's price, which leaves out the bracket's amount."""
    exchange = offline_exchange("bybit", tmp_path)
    contract = replace(TIERED, maintenance_on="entry")
    exchange._leverage_tiers = {PAIR: their_tiers(contract, AMOUNTS)}
    rows = random_rows(contract, make_frame, make_market, make_actions)
    entered = rows.position.abs() * rows.entry_price
    floors = [tier.floor for tier in contract.tiers]
    bracket = np.searchsorted(floors, entered, "right") - 1
    theirs = liquidation_prices(exchange, rows, 10.0, notional=entered)
    amount = np.array(AMOUNTS)[bracket] / rows.position.abs()
    ours = rows.liquidation_price + np.sign(rows.position) * amount
    np.testing.assert_allclose(ours, theirs, rtol=RELATIVE)
    assert np.bincount(bracket).min() > 20


def random_rows(
    contract: FuturesContract,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
    seed: int = 1,
) -> pd.DataFrame:
    """The bars with a position of a random account at leverage 10, without funding, over all brackets."""
    market = make_market(make_frame(seed, 1_500), contract)
    config = EnvConfig(window=1, max_units=4, leverage=10.0, initial_balance=MONEY, equity_floor=0.0)
    return held(run_actions(market, make_actions(seed, len(market), config), config, flatten=False))


def funded_market(
    seed: int,
    contract: FuturesContract,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
) -> tuple[Market, pd.DataFrame]:
    """A market with a mark price of its own and settlements at random, and freqtrade's table of them."""
    frame, draws = make_frame(seed, 1_500), np.random.default_rng(seed)
    rates = np.where(draws.random(len(frame)) < 0.3, draws.normal(0.0, 1e-3, len(frame)), np.nan)
    drift = 1.0 + draws.normal(0.0, 1e-4, len(frame))
    marks = {f"mark_{name}": frame[name] * drift for name in ("open", "high", "low", "close")}
    market = make_market(frame.assign(funding_rate=rates, **marks), contract)
    dates = pd.to_datetime(market.bars.timestamp, unit="ms", utc=True)
    stamps = pd.DataFrame({"date": dates, "open": marks["mark_open"]})
    return market, Exchange.combine_funding_and_mark(stamps.assign(open=rates).dropna(), stamps)


@pytest.mark.parametrize("seed", range(4))
def test_funding_of_every_trade_is_freqtrades(
    seed: int,
    tmp_path: Path,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
    make_actions: Callable[..., Floats],
) -> None:
    """A trade pays what freqtrade computes from just after its entry until its exit."""
    exchange = offline_exchange("binance", tmp_path)
    market, combined = funded_market(seed, FuturesContract(name="funded"), make_frame, make_market)
    config = EnvConfig(window=1, actions="target", leverage=2.0, equity_floor=0.0)
    trades = run_actions(market, make_actions(seed, len(market), config), config, flatten=False).trades()
    theirs = [
        -exchange.calculate_funding_fees(
            combined,
            amount=trade.quantity,
            is_short=trade.side < 0,
            open_date=trade.entry_time + pd.Timedelta(1, "ms"),
            close_date=trade.exit_time,
        )
        for trade in trades.itertuples()
    ]
    assert set(trades.exit_reason) == {"order", "reverse"}
    np.testing.assert_allclose(trades.funding, theirs, rtol=RELATIVE, atol=1e-9)
    assert (trades.funding > 0.0).sum() > 50 < (trades.funding < 0.0).sum()
