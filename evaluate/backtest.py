"""Every agent traded through the environment's own rules, with the same costs, one account a symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.actions import Action
from quantum_trader.envs.backtest_kernel import Record, run_actions
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW
from quantum_trader.evaluate import trading_metrics as metrics
from quantum_trader.evaluate.records import Costs, Kind, TradingMetrics
from quantum_trader.train.dataset import PooledDataset

Actions = NDArray[np.int8]
Floats = NDArray[np.float64]
Milliseconds = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class BacktestConfig:
    """How decisions become trades; the same for every agent."""

    barrier_atr: float = 1.5
    """Distance of a signal agent's take-profit and stop-loss from its entry, in ATR: that of the labels."""
    horizon_bars: int = 6
    """Bars after which a signal agent's position is closed: the labels' horizon."""
    leverage: float = 1.0
    """Notional of a position as a multiple of equity; raising it scales profit, loss and costs alike."""
    initial_balance: float = 10_000.0
    """Quote currency each symbol's account starts with."""
    cost_multiplier: float = 1.0
    """Factor on fees and slippage, for asking how an edge survives dearer trading."""
    delay_bars: int = 0
    """Bars an order waits beyond the next open, for asking what slowness costs."""

    def environment(self, kind: Kind) -> EnvConfig:
        """The rules for one kind of agent: only signal agents are taken out by barrier or time."""
        if kind not in ("signal", "position"):
            raise ConfigError(f'kind: expected "signal" or "position", found {kind!r}.')
        exits = kind == "signal"
        return EnvConfig(
            leverage=self.leverage,
            initial_balance=self.initial_balance,
            cost_multiplier=self.cost_multiplier,
            delay_bars=self.delay_bars,
            take_profit_atr=self.barrier_atr if exits else 0.0,
            stop_loss_atr=self.barrier_atr if exits else 0.0,
            max_holding_bars=self.horizon_bars if exits else 0,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """The stretch of one symbol's bars that agents are traded on.

    Attributes:
        index: which market of the dataset it is.
        market: the market cut to the stretch, with the bars of the first window before it.
        cut: bar of the whole market that is row 0 of `market`.
        start: row of `market` at whose close the first decision may be taken.
        asked: bool [bars of `market`], the bars that are rows of the dataset.
        rules: how decisions become trades here: barriers differ from fold to fold.
        fold: number of the fold that the dataset belongs to.
    """

    index: int
    market: Market
    cut: int
    start: int
    asked: NDArray[np.bool_]
    rules: BacktestConfig
    fold: int = 0

    @property
    def symbol(self) -> str:
        """The venue's name of the instrument."""
        return self.market.symbol


@dataclass(frozen=True, kw_only=True, eq=False)
class BacktestResult:
    """One agent on one symbol.

    Attributes:
        agent, symbol: who traded what.
        timestamps: int64 [n], bar opens, milliseconds since the epoch, UTC.
        equity: float64 [n], quote currency at each close; the first is the initial balance.
        positions: float64 [n], signed base units at each close.
        trades: one row a closed trade, see `quantum_trader.envs.records.trades_frame`.
        costs: fractions of the initial balance.
        liquidations: positions the venue closed.
    """

    agent: str
    symbol: str
    timestamps: Milliseconds
    equity: Floats
    positions: Floats
    trades: pd.DataFrame
    costs: Costs
    liquidations: int

    @property
    def returns(self) -> Floats:
        """float64 [n - 1]: simple return of each bar."""
        return metrics.returns(self.equity)


@dataclass(frozen=True, kw_only=True, eq=False)
class Portfolio:
    """One agent's accounts on all symbols, equally weighted and never rebalanced.

    Attributes:
        agent: who traded.
        timestamps: int64 [n], every bar open at which one of the accounts has a value.
        equity: float64 [n], mean of the accounts in multiples of their initial balance.
        results: one entry a symbol.
    """

    agent: str
    timestamps: Milliseconds
    equity: Floats
    results: tuple[BacktestResult, ...]

    @property
    def trades(self) -> pd.DataFrame:
        """Closed trades of all symbols."""
        return pd.concat([result.trades for result in self.results], ignore_index=True)


def grounds(test: PooledDataset, config: BacktestConfig, fold: int = 0) -> tuple[Ground, ...]:
    """The stretch of each market from its first test row until the last row's trade is over.

    Markets without a test row are left out.
    """
    found = []
    for index, market in enumerate(test.markets):
        ends = test.end[test.market == index]
        if len(ends) == 0:
            continue
        first, last = int(ends.min()), int(ends.max())
        cut, stop = max(first - WINDOW + 1, 0), min(last + config.horizon_bars + 1, len(market))
        asked = np.zeros(stop - cut, dtype=np.bool_)
        asked[ends - cut] = True
        found.append(
            Ground(
                index=index,
                market=market.rows(cut, stop),
                cut=cut,
                start=first - cut,
                asked=asked,
                rules=config,
                fold=fold,
            )
        )
    return tuple(found)


def spread(test: PooledDataset, actions: Actions, places: Sequence[Ground]) -> list[Actions]:
    """Decisions of the dataset's rows as one action per bar of each ground; HOLD where no row stands.

    Args:
        test: N rows.
        actions: int8 [N], `Action` values.
        places: G grounds of `test`.

    Returns:
        G arrays, int8 [bars of the ground].
    """
    laid = []
    for place in places:
        mine = test.market == place.index
        per_bar = np.full(len(place.market), Action.HOLD, dtype=np.int8)
        per_bar[test.end[mine] - place.cut] = actions[mine]
        laid.append(per_bar)
    return laid


def trade(agent: str, place: Ground, actions: Actions, config: EnvConfig) -> BacktestResult:
    """Trade one action per bar of a ground; what is open at its end is closed there."""
    record = run_actions(place.market, actions, config, start=place.start)
    trades = record.trades()
    trades[["entry_bar", "exit_bar"]] += place.cut
    return BacktestResult(
        agent=agent,
        symbol=place.symbol,
        timestamps=record.timestamp,
        equity=record.equity,
        positions=record.position,
        trades=trades,
        costs=_costs(record),
        liquidations=record.liquidations,
    )


def trade_all(agent: str, places: Sequence[Ground], actions: Sequence[Actions], kind: Kind) -> Portfolio:
    """Trade one agent on every ground by the ground's rules and pool its accounts."""
    return pool(
        [
            trade(agent, place, mine, place.rules.environment(kind))
            for place, mine in zip(places, actions, strict=True)
        ]
    )


def pool(results: Sequence[BacktestResult]) -> Portfolio:
    """The equal-weight portfolio: an account counts with its initial balance before it starts to trade, and
    with its last value after it ended. Several results of one symbol, one a fold, are one account."""
    symbols = dict.fromkeys(result.symbol for result in results)
    accounts = [chain([result for result in results if result.symbol == symbol]) for symbol in symbols]
    moments = np.unique(np.concatenate([account.timestamps for account in accounts]))
    total = np.zeros(len(moments))
    for account in accounts:
        latest = np.searchsorted(account.timestamps, moments, side="right") - 1
        total += account.equity[np.maximum(latest, 0)] / account.equity[0]
    return Portfolio(
        agent=accounts[0].agent,
        timestamps=moments,
        equity=total / len(accounts),
        results=tuple(accounts),
    )


_MONEY = ("quantity", "gross_pnl", "fees", "slippage", "funding", "liquidation_cost", "net_pnl")
"""Columns of a trade that grow with the account."""


def chain(results: Sequence[BacktestResult]) -> BacktestResult:
    """One symbol's folds, each traded with a fresh balance, as the account that goes on from one to the next.

    Args:
        results: in the order of time.
    """
    if len(results) == 1:
        return results[0]
    grown = np.cumprod([1.0, *(result.equity[-1] / result.equity[0] for result in results[:-1])])
    parts = list(zip(results, grown, strict=True))
    return replace(
        results[0],
        timestamps=np.concatenate([result.timestamps for result in results]),
        equity=np.concatenate([result.equity * factor for result, factor in parts]),
        positions=np.concatenate([result.positions * factor for result, factor in parts]),
        trades=pd.concat([_scaled(result.trades, factor) for result, factor in parts], ignore_index=True),
        costs=_summed([result.costs for result in results], grown),
        liquidations=sum(result.liquidations for result in results),
    )


def _scaled(trades: pd.DataFrame, factor: float) -> pd.DataFrame:
    return trades.assign(**{name: trades[name] * factor for name in _MONEY})


def trading_metrics(results: Sequence[BacktestResult], equity: Floats, yearly_bars: float) -> TradingMetrics:
    """Every trading measure of one account or of a portfolio.

    Args:
        results: the account, or those pooled.
        equity: float64 [n], the account's or the portfolio's curve.
        yearly_bars: see `quantum_trader.evaluate.trading_metrics.bars_per_year`.
    """
    bars = metrics.returns(equity)
    trades = pd.concat([result.trades for result in results], ignore_index=True)
    net = trades["net_pnl"].to_numpy(dtype=np.float64)
    notional = trades["quantity"] * (trades["entry_price"] + trades["exit_price"])
    start = sum(float(result.equity[0]) for result in results)
    return TradingMetrics(
        bars=len(bars),
        total_return=metrics.total_return(equity),
        cagr=metrics.cagr(equity, yearly_bars),
        volatility=metrics.annualised_ratio(metrics.volatility(bars), yearly_bars),
        sharpe=metrics.annualised_ratio(metrics.sharpe(bars), yearly_bars),
        sortino=metrics.annualised_ratio(metrics.sortino(bars), yearly_bars),
        calmar=metrics.calmar(equity, yearly_bars),
        max_drawdown=metrics.max_drawdown(equity),
        max_drawdown_bars=metrics.max_drawdown_bars(equity),
        trades=len(net),
        win_rate=metrics.win_rate(net),
        break_even_win_rate=metrics.break_even_win_rate(net),
        profit_factor=metrics.profit_factor(net),
        expectancy=metrics.expectancy(trades["return_on_notional"].to_numpy(dtype=np.float64)),
        turnover=metrics.turnover(notional.to_numpy(dtype=np.float64) / start, equity / equity[0]),
        exposure=metrics.exposure(np.concatenate([result.positions for result in results])),
        liquidations=sum(result.liquidations for result in results),
        costs=_mean_costs([result.costs for result in results]),
    )


def _costs(record: Record) -> Costs:
    balance = record.initial_balance
    return Costs(
        fees=record.fees / balance,
        slippage=record.slippage / balance,
        funding=record.funding / balance,
        liquidation=record.liquidation_costs / balance,
    )


def _mean_costs(costs: Sequence[Costs]) -> Costs:
    return _summed(costs, np.full(len(costs), 1.0 / len(costs)))


def _summed(costs: Sequence[Costs], weights: Floats) -> Costs:
    """Costs added up, each times its weight."""
    return Costs(
        fees=float(sum(weight * item.fees for item, weight in zip(costs, weights, strict=True))),
        slippage=float(sum(weight * item.slippage for item, weight in zip(costs, weights, strict=True))),
        funding=float(sum(weight * item.funding for item, weight in zip(costs, weights, strict=True))),
        liquidation=float(
            sum(weight * item.liquidation for item, weight in zip(costs, weights, strict=True))
        ),
    )
