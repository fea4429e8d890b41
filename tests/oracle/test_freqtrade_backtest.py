"""freqtrade's backtester runs the same trades; its liquidations, fees, funding and profits have to be ours.

It is told when to enter, with how much and at which leverage, and when an order leaves: each trade is one
position with a margin of its own. Liquidations are its own doing, judged by the range of the bar; the last
price is the mark here. Where the two differ, the test says by how much:

- freqtrade leaves what remains of the margin after a liquidation to the trader, less a fee. Here, as on the
  venues, it is gone;
- freqtrade fills a liquidation at its price even where the bar opened past it, unless the whole bar lies
  beyond. Here it fills at the open, and nowhere beyond the bankruptcy price;
- freqtrade charges a trade for a settlement at the moment it is opened. Here the position carried into that
  moment pays;
- freqtrade's liquidation price does not move with funding: funding is compared at low leverage, liquidations
  without funding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from freqtrade.optimize.backtesting import Backtesting
from freqtrade.resolvers import ExchangeResolver

Floats = NDArray[np.float64]

PAIR = "TEST/USDT:USDT"
BARS = 3_000
BALANCE = 100_000.0
SHARE = 0.1  # of the leverage: a liquidation costs a tenth of the account
ROUNDING = 2e-8  # freqtrade rounds prices to the tick, here 1e-8, and profits to eight decimals
CONTRACT = FuturesContract(
    name="perp",
    taker_fee=0.0005,
    slippage=0.0,
    lot_size=0.001,
    tiers=(MarginTier(floor=0.0, cap=1e9, mmr=0.01, max_leverage=50.0),),
)


@pytest.fixture
def backtesting(tmp_path: Path) -> Iterator[Backtesting]:
    """A backtester whose exchange has one market, written down here, and no network."""
    config = {
        "dry_run": True,
        "runmode": RunMode.OTHER,
        "stake_currency": "USDT",
        "stake_amount": 100.0,
        "dry_run_wallet": 100.0 * BALANCE,
        "max_open_trades": 1,
        "fee": CONTRACT.taker_fee,
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "liquidation_buffer": 0.0,
        "timeframe": "1h",
        "strategy": "Scripted",
        "strategy_path": str(Path(__file__).parent / "strategies"),
        "pairlists": [{"method": "StaticPairList"}],
        "datadir": tmp_path,
        "user_data_dir": tmp_path,
        "dataformat_ohlcv": "feather",
        "entry_pricing": {"price_side": "same", "use_order_book": False},
        "exit_pricing": {"price_side": "same", "use_order_book": False},
        "exchange": {
            "name": "binance",
            "key": "",
            "secret": "",
            "pair_whitelist": [PAIR],
            "pair_blacklist": [],
        },
    }
    exchange = ExchangeResolver.load_exchange(config, validate=False)
    exchange._markets = {PAIR: _market()}
    exchange._leverage_tiers = {
        PAIR: [
            {
                "minNotional": tier.floor,
                "maxNotional": tier.cap,
                "maintenanceMarginRate": tier.mmr,
                "maxLeverage": tier.max_leverage,
                "maintAmt": 0.0,
            }
            for tier in CONTRACT.tiers
        ]
    }
    made = Backtesting(config, exchange)
    made._set_strategy(made.strategylist[0])
    made.funding_fee_timeframe_secs = 3_600
    yield made
    Backtesting.cleanup()


def _market() -> dict[str, Any]:
    return {
        "id": "TESTUSDT",
        "symbol": PAIR,
        "base": "TEST",
        "quote": "USDT",
        "settle": "USDT",
        "type": "swap",
        "active": True,
        "spot": False,
        "margin": False,
        "swap": True,
        "future": False,
        "contract": True,
        "linear": True,
        "inverse": False,
        "contractSize": 1.0,
        "taker": CONTRACT.taker_fee,
        "maker": CONTRACT.taker_fee,
        "precision": {"amount": CONTRACT.lot_size, "price": 1e-8},
        "limits": {name: {"min": None, "max": None} for name in ("amount", "price", "cost", "leverage")},
        "info": {},
    }


def their_trades(
    backtesting: Backtesting, market: Market, record: Record, leverage: float, rates: Floats
) -> pd.DataFrame:
    """freqtrade's closed trades, oldest first."""
    bars, ours = market.bars, record.trades()
    dates = pd.to_datetime(bars.timestamp, unit="ms", utc=True)
    candles = pd.DataFrame({"date": dates})
    for name in ("open", "high", "low", "close", "volume"):
        candles[name] = getattr(bars, name)
    for side, name in ((1, "long"), (-1, "short")):
        mine = ours[ours.side == side]
        candles[f"enter_{name}"] = _before(mine.entry_bar)
        candles[f"exit_{name}"] = _before(mine.exit_bar[mine.exit_reason != "liquidation"])
    marks = candles[["date", "open"]]
    backtesting.futures_data = {
        PAIR: Exchange.combine_funding_and_mark(marks.assign(open=rates).dropna(), marks)
    }
    strategy = backtesting.strategylist[0]
    strategy.asked_leverage = leverage
    # A little more than the margin, because freqtrade cuts to whole lots.
    margin = ours.quantity * ours.entry_price / leverage * (1.0 + 1e-10)
    strategy.stakes = dict(zip(dates[ours.entry_bar], margin, strict=True))
    result = backtesting.backtest({PAIR: candles}, dates[0].to_pydatetime(), dates[-1].to_pydatetime())
    return result["results"]


def _before(bars: pd.Series) -> Floats:
    """float64 [BARS]: 1 on the candle before each of `bars`, where freqtrade looks for the signal."""
    signal = np.zeros(BARS)
    signal[bars.to_numpy() - 1] = 1.0
    return signal


def played(
    seed: int, frame: pd.DataFrame, make_market: Callable[..., Market], leverage: float
) -> tuple[Market, Record]:
    """Random positions of one size, long, short and flat, all closed before the end."""
    market = make_market(frame, CONTRACT)
    draws = np.random.default_rng(seed)
    wanted = draws.choice([-SHARE, 0.0, SHARE], BARS)
    kept = draws.random(BARS) < 0.8
    actions = wanted[np.maximum.accumulate(np.where(kept, 0, np.arange(BARS)))]
    actions[:2], actions[-4:] = 0.0, 0.0
    config = EnvConfig(
        window=1, actions="continuous", leverage=leverage, initial_balance=BALANCE, equity_floor=0.0
    )
    return market, run_actions(market, actions, config, flatten=False)


def assert_same_trades(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Bars, sides, sizes and entries; the exits are left to the caller."""
    assert list(theirs.open_date) == list(ours.entry_time)
    assert list(theirs.close_date) == list(ours.exit_time)
    assert list(theirs.is_short) == list(ours.side < 0)
    np.testing.assert_allclose(theirs.amount, ours.quantity, rtol=1e-12)
    np.testing.assert_allclose(theirs.open_rate, ours.entry_price, rtol=1e-12)
    assert list(theirs.exit_reason == "liquidation") == list(ours.exit_reason == "liquidation")


@pytest.mark.parametrize("seed", range(2))
def test_fees_funding_and_profits_are_freqtrades(
    seed: int,
    backtesting: Backtesting,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
) -> None:
    """Every trade has freqtrade's prices, fees, funding and profit, but for a settlement at its entry."""
    frame = make_frame(seed, BARS, volatility=0.004)
    draws = np.random.default_rng(seed)
    rates = np.where(np.arange(BARS) % 4 == 0, draws.normal(0.0, 1e-3, BARS), np.nan)
    market, record = played(seed, frame.assign(funding_rate=rates), make_market, leverage=3.0)
    ours = record.trades()
    theirs = their_trades(backtesting, market, record, 3.0, rates)
    assert_same_trades(ours, theirs)
    at_entry = (
        np.nan_to_num(rates[ours.entry_bar]) * market.bars.open[ours.entry_bar] * ours.quantity * ours.side
    )
    np.testing.assert_allclose(theirs.close_rate, ours.exit_price, rtol=1e-12)
    np.testing.assert_allclose(-theirs.funding_fees, ours.funding + at_entry, rtol=1e-9, atol=ROUNDING)
    np.testing.assert_allclose(theirs.profit_abs, ours.net_pnl - at_entry, rtol=1e-9, atol=ROUNDING)
    assert record.equity[-1] == pytest.approx(BALANCE + (theirs.profit_abs + at_entry).sum(), abs=1e-5)
    assert len(ours) > 150
    assert np.count_nonzero(at_entry) > 30 < np.count_nonzero(ours.funding)


@pytest.mark.parametrize("leverage", [10.0, 20.0, 40.0])
def test_liquidations_are_freqtrades(
    leverage: float,
    backtesting: Backtesting,
    make_frame: Callable[..., pd.DataFrame],
    make_market: Callable[..., Market],
) -> None:
    """The same trades are liquidated in the same bar; prices and profits differ by the stated rules alone."""
    nowhere = np.full(BARS, np.nan)
    frame = make_frame(7, BARS, volatility=0.15 / leverage, gap=0.3 / leverage)
    market, record = played(7, frame, make_market, leverage)
    ours = record.trades()
    theirs = their_trades(backtesting, market, record, leverage, nowhere)
    assert_same_trades(ours, theirs)
    taken, gap, beyond = _liquidated(ours, market, leverage)
    same = ~gap
    np.testing.assert_allclose(theirs.close_rate[same], ours.exit_price[same], rtol=1e-9)
    entry, side, quantity = ours.entry_price, ours.side, ours.quantity
    opened = pd.Series(market.bars.open[ours.exit_bar])
    bankruptcy, level = entry * (1.0 - side / leverage), _level(ours, leverage)
    floored = side * np.maximum(side * opened, side * bankruptcy)
    np.testing.assert_allclose(ours.exit_price[gap], floored[gap], rtol=1e-9)
    np.testing.assert_allclose(theirs.close_rate[beyond], opened[beyond], rtol=1e-9)
    np.testing.assert_allclose(theirs.close_rate[gap & ~beyond], level[gap & ~beyond], rtol=1e-9)
    left = quantity * entry / leverage + side * quantity * (theirs.close_rate - entry)
    kept = (left - CONTRACT.taker_fee * quantity * theirs.close_rate).where(taken, 0.0)
    np.testing.assert_allclose(theirs.profit_abs - kept, ours.net_pnl, rtol=1e-9, atol=1e-6)
    assert record.equity[-1] == pytest.approx(BALANCE + (theirs.profit_abs - kept).sum(), abs=1e-6)
    assert taken.sum() > 60 < (~taken).sum()
    assert (gap & beyond).sum() > 5 < (gap & ~beyond).sum()


def _level(ours: pd.DataFrame, leverage: float) -> pd.Series:
    """Liquidation prices of the trades: without funding, and with one bracket, no more than this."""
    return ours.entry_price * (1.0 - ours.side / leverage) / (1.0 - ours.side * CONTRACT.tiers[0].mmr)


def _liquidated(
    ours: pd.DataFrame, market: Market, leverage: float
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """The trades that were liquidated; those by an open past the price; those in a bar wholly past it."""
    bars, level, long = market.bars, _level(ours, leverage), ours.side > 0
    best = np.where(long, bars.high[ours.exit_bar], bars.low[ours.exit_bar])
    taken = ours.exit_reason == "liquidation"
    gap = taken & (ours.bars_held > 0) & (ours.side * (bars.open[ours.exit_bar] - level) <= 0.0)
    return taken, gap, gap & (ours.side * (best - level) < 0.0)
