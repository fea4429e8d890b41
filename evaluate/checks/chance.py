"""Does a learner find something where there is nothing: in shuffled labels, in random walks?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, t as student

from quantum_trader.agents.signals import Agent, direction
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.market import Market
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate.backtest import BacktestConfig, grounds, pool, spread, trade
from quantum_trader.evaluate.bootstrap import BootstrapConfig, ratio_interval
from quantum_trader.evaluate.records import CheckResult
from quantum_trader.evaluate.run_train import ask
from quantum_trader.evaluate.signal_metrics import log_losses
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared, prepare

Floats = NDArray[np.float64]
Fit = Callable[[PooledDataset, PooledDataset], Agent]
"""Fits an agent on training rows, calibrates it on validation rows."""
Build = Callable[[Bars], Market]
"""Makes a market from bars."""

DEAR = 0.003
"""Fee a side, fraction of notional, of `noise` with costs: the some 80 trades of a walk then cost half of the
balance, five deviations of what their moves sum up to."""
_MOST_ROWS = 6_000


def label_shuffle(
    prepared: Prepared,
    fit: Fit = fit_logistic,
    *,
    shuffles: int = 5,
    seed: int = 0,
    most_rows: int = _MOST_ROWS,
    config: BootstrapConfig | None = None,
) -> CheckResult:
    """Whether agents fitted on permuted labels know nothing about the test rows.

    Labels, with their returns and weights, change places among the training rows and among the validation
    rows; the test rows keep theirs. Skill is 1 - log-loss / log-loss of always stating the agent's own mean:
    a calibrated agent may know the shares of the classes, which permuting leaves as they are.

    It fails where skill lies above zero both over test rows (block bootstrap of the mean over permutations)
    and over permutations (t interval, 99 %): the noise of one fit may point to the truth by luck, a little.

    Args:
        prepared: the datasets.
        fit: fits the agent to be checked.
        shuffles: permutations, at least 2.
        seed: of the permutations.
        most_rows: training, validation and test rows used, evenly spaced, where there are more.
        config: how the interval is drawn; None takes blocks of four times the label's reach.
    """
    rng = np.random.default_rng(seed)
    reach = prepared.labels.reach_bars
    config = config if config is not None else BootstrapConfig(block_bars=4.0 * reach, draws=500, seed=seed)
    train, validation, test = (
        thinned(rows, most_rows) for rows in (prepared.train, prepared.validation, prepared.test)
    )
    losses, references = [], []
    for _ in range(shuffles):
        stated = ask(fit(permuted(train, rng), permuted(validation, rng)), test)
        losses.append(log_losses(test.action, stated))
        references.append(log_losses(test.action, np.broadcast_to(stated.mean(axis=0), stated.shape)))
    own, reference = np.mean(losses, axis=0), np.mean(references, axis=0)
    _, places = np.unique(test.timestamps, return_inverse=True)
    found = ratio_interval(
        np.bincount(places, weights=own), np.bincount(places, weights=reference), config=config
    )
    skill, low, high = 1.0 - found.estimate, 1.0 - found.high, 1.0 - found.low
    each = 1.0 - np.mean(losses, axis=1) / np.mean(references, axis=1)
    least = float(each.mean() - student.ppf(0.99, shuffles - 1) * each.std(ddof=1) / np.sqrt(shuffles))
    return CheckResult(
        name="label_shuffle",
        question="Does an agent fitted on permuted labels know nothing?",
        passed=not (low > 0.0 and least > 0.0),
        detail=f"{shuffles} fits on {len(train)} permuted rows: skill {skill:+.2%} [{low:+.2%}, {high:+.2%}] "
        f"on {len(test)} test rows, single fits from {each.min():+.2%} to {each.max():+.2%}.",
    )


def permuted(rows: PooledDataset, rng: np.random.Generator) -> PooledDataset:
    """The same observations with the labels, returns and weights of other rows."""
    order = rng.permutation(len(rows))
    mixed = copy.copy(rows)
    mixed.action, mixed.returns, mixed.weight = rows.action[order], rows.returns[order], rows.weight[order]
    return mixed


def thinned(rows: PooledDataset, most: int) -> PooledDataset:
    """At most `most` rows, evenly spaced over time."""
    if len(rows) <= most:
        return rows
    return rows.subset(np.linspace(0, len(rows) - 1, most).astype(np.int64))


def plain_market(bars: Bars) -> Market:
    """A market of a contract without costs or funding."""
    return Market.build(bars, FuturesContract(name="free", taker_fee=0.0, slippage=0.0, has_funding=False))


def noise(
    fit: Fit = fit_logistic,
    seeds: Sequence[int] = range(20),
    *,
    build: Build = plain_market,
    bars: int = 2_000,
    fee: float = DEAR,
    level: float = 0.99,
    data: DataConfig | None = None,
) -> CheckResult:
    """Whether an agent profits on random walks no more often than a coin would, and never at a high cost.

    The agent takes the likelier direction on every test row, so that luck has enough trades to even out: a
    handful of trades may well pay their fees by luck. Without costs neither the number of walks with a profit
    (binomial) nor the mean log return (t interval over walks) may be more than chance explains.

    Args:
        fit: fits the agent to be checked.
        seeds: one random walk each, at least 2.
        build: makes a market from a walk's bars; it is traded for free and then at `fee`.
        bars: length of a walk; a fifth of it is the test.
        fee: of each fill with costs on, fraction of notional.
        level: chance that a coin keeps within each of the two bounds.
        data: labels and splits.
    """
    data = data if data is not None else DataConfig()
    free: list[float] = []
    dear: list[float] = []
    for seed in seeds:
        prepared = prepare([build(random_walk_bars(bars, seed))], data)
        sides = direction(ask(fit(prepared.train, prepared.validation), prepared.test))
        for found, rate in ((free, 0.0), (dear, fee)):
            found.append(_net_return(prepared, sides, rate))
    walks = len(free)
    allowed = int(binom.ppf(level, walks, 0.5))
    growth = np.log1p(free)
    sure = float(growth.mean() - student.ppf(level, walks - 1) * growth.std(ddof=1) / np.sqrt(walks))
    lucky, paid = int(np.sum(np.array(free) > 0.0)), int(np.sum(np.array(dear) > 0.0))
    return CheckResult(
        name="noise",
        question="Does an agent profit on random walks no more often than a coin, and never at high costs?",
        passed=lucky <= allowed and paid == 0 and not sure > 0.0,
        detail=f"{walks} walks: {lucky} end with a profit without costs, {allowed} allowed (mean return "
        f"{np.mean(free):+.1%}); at {fee:.2%} a side {paid}, none allowed (best {np.max(dear):+.1%}).",
    )


def _net_return(prepared: Prepared, actions: NDArray[np.int8], fee: float) -> float:
    """Return of the test's portfolio at a fee in place of the contract's."""
    barrier = prepared.labels.barrier_atr
    assert barrier is not None  # prepare resolves it
    rules = BacktestConfig(barrier_atr=barrier, horizon_bars=prepared.labels.horizon_bars)
    places = grounds(prepared.test, rules)
    costly = [
        replace(place, market=replace(place.market, contract=replace(place.market.contract, taker_fee=fee)))
        for place in places
    ]
    laid = spread(prepared.test, actions, places)
    environment = rules.environment("signal")
    results = [trade("noise", place, mine, environment) for place, mine in zip(costly, laid, strict=True)]
    equity = pool(results).equity
    return float(equity[-1] / equity[0] - 1.0)
