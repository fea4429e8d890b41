"""Combinatorial purged cross-validation of the light models: how far a result scatters over many paths.

Never the headline figure. Most combinations train on bars that follow the ones they are tested on, which
nobody could have done, and what is fitted on the future may know of it in ways that purging does not undo.
The paths answer one question only: from the same data and model, how far apart do results lie by the luck of
what was trained on? Walk-forward folds say what an agent would have earned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from quantum_trader.agents.logistic import LogisticAgent
from quantum_trader.agents.xgboost_agent import XGBoostAgent
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.market import Market
from quantum_trader.evaluate import trading_metrics as metrics
from quantum_trader.evaluate.backtest import (
    Actions,
    BacktestConfig,
    BacktestResult,
    Ground,
    Portfolio,
    grounds,
    pool,
    spread,
    trade,
)
from quantum_trader.evaluate.confidence import Gate
from quantum_trader.evaluate.run_stages import Say
from quantum_trader.evaluate.run_train import ask
from quantum_trader.train.combinatorial import (
    CombinatorialConfig,
    Milliseconds,
    combinations,
    group_bounds,
    market_rows,
    paths,
)
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Datasets, prepare_rows
from quantum_trader.train.tree_config import LogisticConfig, XGBoostConfig
from quantum_trader.train.xgboost import fit_xgboost

LightAgent = Literal["xgboost", "logistic"]


@dataclass(frozen=True, kw_only=True)
class CombinatorialResult:
    """What one agent earned on every path; sequences have one entry a path. For the distribution only.

    `quantum_trader.evaluate.records.to_json` makes it plain JSON.
    """

    agent: str
    """Name of the agent."""
    config: CombinatorialConfig
    """How the time line was cut and combined."""
    seed: int
    """Seed of every fit."""
    symbols: tuple[str, ...]
    """Symbols traded."""
    bounds: tuple[int, ...]
    """Moments that part the groups, milliseconds since the epoch, UTC."""
    fits: int
    """Combinations, each fitted once."""
    bars: tuple[int, ...]
    """Bars of the portfolio."""
    sharpes: tuple[float, ...]
    """Yearly Sharpe ratio of the portfolio, after all costs; NaN where it never traded."""
    returns: tuple[float, ...]
    """Net return of the portfolio over the whole path."""
    drawdowns: tuple[float, ...]
    """Its largest loss since a peak."""
    trades: tuple[int, ...]
    """Closed trades."""


def run_combinatorial(
    markets: Sequence[Market],
    data: DataConfig,
    *,
    agent: LightAgent,
    settings: XGBoostConfig | LogisticConfig | None = None,
    config: CombinatorialConfig | None = None,
    seed: int = 0,
    backtest: BacktestConfig | None = None,
    say: Say | None = None,
) -> CombinatorialResult:
    """Fit a light model on every combination, trade its test groups, and join these into paths.

    Scaler, label barrier, sample weights, model, temperature and hold threshold come from the training and
    validation rows of the combination alone. A group is traded flat to flat: what is open at its last bar is
    closed there, and the next group of the path begins with the balance that the account ended with.

    Args:
        markets: one or several markets; their scalers play no part.
        data: labels and weights; its splits play no part.
        agent: which model.
        settings: of that model; None takes its defaults.
        config: how the time line is cut; None takes two of ten groups, which is 45 fits.
        seed: of every fit.
        backtest: how decisions become trades; barrier and horizon are those of each combination's labels.
        say: told of every combination.

    Raises:
        ConfigError: settings of another model.
        TrainingError: too few rows for so many groups and so long an embargo.
    """
    config = config if config is not None else CombinatorialConfig()
    backtest = backtest if backtest is not None else BacktestConfig()
    fit = _fitter(agent, settings, seed)
    bounds = group_bounds(markets, config)
    every = combinations(config)
    cells: dict[tuple[int, int], list[BacktestResult]] = {}
    for number, test in enumerate(every):
        reach = data.labels.reach_bars
        rows = [market_rows(market, bounds, test, config, reach_bars=reach) for market in markets]
        prepared = prepare_rows(markets, rows, data)
        actions = _decide(fit(prepared), prepared.test)
        rules = _rules(backtest, prepared)
        for group in test:
            cells[number, group] = trade_group(agent, prepared.test, actions, bounds, group, rules)
        if say is not None:
            groups = ", ".join(str(group) for group in test)
            say(f"{agent}: combination {number + 1} of {len(every)} done, tested on groups {groups}")
    walks = [
        pool([result for group, number in enumerate(path) for result in cells[int(number), group]])
        for path in paths(config)
    ]
    return _result(walks, agent=agent, config=config, seed=seed, bounds=bounds, market=markets[0])


def trade_group(
    agent: str,
    test: PooledDataset,
    actions: Actions,
    bounds: Milliseconds,
    group: int,
    rules: BacktestConfig,
) -> list[BacktestResult]:
    """Trade one group by itself, flat at its start and at its end.

    Args:
        agent: who trades.
        test: N test rows of all groups of the combination.
        actions: int8 [N], `Action` values.
        bounds: int64 [groups + 1], see `quantum_trader.train.combinatorial.group_bounds`.
        group: which group.
        rules: how decisions become trades.

    Returns:
        One account a market that has test rows in the group, over all its bars from the first of them to the
        end of the group, so that every combination trades the same bars.
    """
    start, end = int(bounds[group]), int(bounds[group + 1])
    mine = (test.timestamps >= start) & (test.timestamps < end)
    if not mine.any():
        return []
    rows = test.subset(mine)
    cut = [_to_end(place, rows.markets[place.index], end) for place in grounds(rows, rules)]
    # A market whose first row is the group's last bar has no bar left to be filled on.
    places = [place for place in cut if len(place.market) - place.start > 1]
    return [
        trade(agent, place, laid, place.rules.environment("signal"))
        for place, laid in zip(places, spread(rows, actions[mine], places), strict=True)
    ]


def _to_end(place: Ground, market: Market, end: int) -> Ground:
    """The ground from its own start to the last bar that opens before `end`."""
    stop = int(np.searchsorted(market.bars.timestamp, end, side="left"))
    asked = np.zeros(stop - place.cut, dtype=np.bool_)
    kept = min(len(asked), len(place.asked))
    asked[:kept] = place.asked[:kept]
    return replace(place, market=market.rows(place.cut, stop), asked=asked)


def _decide(model: XGBoostAgent | LogisticAgent, rows: PooledDataset) -> Actions:
    """int8 [N]: what the model does when it is judged alone, HOLD from its own threshold on."""
    return Gate(hold_threshold=model.hold_threshold).decide(ask(model, rows))


def _rules(backtest: BacktestConfig, prepared: Datasets) -> BacktestConfig:
    labels = prepared.labels
    assert labels.barrier_atr is not None
    return replace(backtest, barrier_atr=labels.barrier_atr, horizon_bars=labels.horizon_bars)


def _fitter(
    agent: LightAgent, settings: XGBoostConfig | LogisticConfig | None, seed: int
) -> Callable[[Datasets], XGBoostAgent | LogisticAgent]:
    if agent == "xgboost" and (settings is None or isinstance(settings, XGBoostConfig)):
        trees = settings
        return lambda rows: fit_xgboost(rows.train, rows.validation, trees, seed)
    if agent == "logistic" and (settings is None or isinstance(settings, LogisticConfig)):
        regression = settings
        return lambda rows: fit_logistic(rows.train, rows.validation, regression, seed)
    raise ConfigError(
        'Expected agent "xgboost" with XGBoostConfig or "logistic" with LogisticConfig, '
        f"found {agent!r} with {type(settings).__name__}."
    )


def _result(
    walks: Sequence[Portfolio],
    *,
    agent: str,
    config: CombinatorialConfig,
    seed: int,
    bounds: Milliseconds,
    market: Market,
) -> CombinatorialResult:
    yearly = metrics.bars_per_year(market.bars.step_ms, market.contract.session)
    steps = [metrics.returns(walk.equity) for walk in walks]
    return CombinatorialResult(
        agent=agent,
        config=config,
        seed=seed,
        symbols=tuple(account.symbol for account in walks[0].results),
        bounds=tuple(int(moment) for moment in bounds),
        fits=len(combinations(config)),
        bars=tuple(len(step) for step in steps),
        sharpes=tuple(metrics.annualised_ratio(metrics.sharpe(step), yearly) for step in steps),
        returns=tuple(metrics.total_return(walk.equity) for walk in walks),
        drawdowns=tuple(metrics.max_drawdown(walk.equity) for walk in walks),
        trades=tuple(len(walk.trades) for walk in walks),
    )
