"""`run_checks`: every check that can be asked of the data and folds of one run, in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.market import Market
from quantum_trader.evaluate.backtest import BacktestConfig
from quantum_trader.evaluate.checks.accounting import cash_flows, fee_free_hold, liquidation_at_margin
from quantum_trader.evaluate.checks.chance import Fit, label_shuffle, thinned
from quantum_trader.evaluate.checks.delay import delay_is_smooth
from quantum_trader.evaluate.checks.environment import in_backtest, no_look_ahead, same_bar_fill
from quantum_trader.evaluate.checks.features import INPUT_NAMES, features_causal, model_inputs
from quantum_trader.evaluate.checks.ledger import ledger_complete
from quantum_trader.evaluate.checks.repeat import deterministic
from quantum_trader.evaluate.checks.splits import (
    fitted_on_training,
    fold_times,
    folds_in_order,
    labels_purged,
)
from quantum_trader.evaluate.checks.streaming import streaming_equals_batch
from quantum_trader.evaluate.checks.symmetry import agent_mirrored, labels_mirrored
from quantum_trader.evaluate.checks.universe import Life, Stretch, survivorship
from quantum_trader.evaluate.records import CheckResult, Trial
from quantum_trader.evaluate.run_train import ask
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared

FEATURE_BARS = 3_000
"""Last bars of one symbol on which features are asked about."""
STREAM_BARS = 1_200
"""Last bars of one symbol that are streamed."""
MOST_ROWS = 6_000
"""Rows that agents are fitted on here, evenly spaced."""


def run_checks(
    prepared: Prepared,
    markets: Sequence[Market],
    *,
    trials: Sequence[Trial],
    keys: Iterable[str],
    seed: int = 0,
    config: DataConfig | None = None,
    folds: Sequence[Prepared] = (),
    fit: Fit = fit_logistic,
) -> tuple[CheckResult, ...]:
    """The mechanical checks of a run, in the order in which data flow.

    What steps through bars is asked of one symbol, the longest; splits, ledger and universe of everything.
    Agents are asked about by fitting a light one. `noise` and `planted` need no data and are not among them.

    Args:
        prepared: the run's datasets, or those of its last fold.
        markets: the markets they were made from.
        trials: lines of the trial ledger.
        keys: `Trial.key` of every artefact of the run.
        seed: of all that is drawn.
        config: what `prepared` was made with; None asks about the usual fitting with the run's own labels.
        folds: all folds of a walk-forward in their order; empty where there is one.
        fit: fits the light agent.
    """
    longest = max(markets, key=len)
    every = tuple(folds) or (prepared,)
    return (
        *_of_bars(longest, seed),
        *_of_accounts(longest, markets, seed),
        *_of_folds(every),
        fitted_on_training(markets, config or _usual(prepared), prepared.cuts, seed=seed),
        *_of_agents(prepared, longest, fit, seed),
        _survivorship(every, markets),
        ledger_complete(trials, keys),
    )


def _of_bars(market: Market, seed: int) -> tuple[CheckResult, ...]:
    bars = market.bars
    return (
        features_causal(bars[-FEATURE_BARS:], model_inputs(market.contract), INPUT_NAMES, seed=seed),
        streaming_equals_batch(bars[-STREAM_BARS:], market.contract),
    )


def _of_accounts(market: Market, markets: Sequence[Market], seed: int) -> tuple[CheckResult, ...]:
    contracts = {one.contract.name: one.contract for one in markets}.values()
    return (
        no_look_ahead(market, seed=seed),
        same_bar_fill(market, seed=seed),
        same_bar_fill(market, in_backtest(), where="backtest", seed=seed),
        cash_flows(market, seed=seed),
        fee_free_hold(market),
        _together([liquidation_at_margin(contract, seed=seed) for contract in contracts]),
    )


def _of_folds(folds: Sequence[Prepared]) -> tuple[CheckResult, ...]:
    return (
        _together([labels_purged(fold) for fold in folds]),
        folds_in_order([fold_times(fold) for fold in folds]),
    )


def _of_agents(prepared: Prepared, market: Market, fit: Fit, seed: int) -> tuple[CheckResult, ...]:
    train, validation = thinned(prepared.train, MOST_ROWS), thinned(prepared.validation, MOST_ROWS)
    stated: list[NDArray[np.float32]] = []

    def predict() -> NDArray[np.float32]:
        stated.append(ask(fit(train, validation), prepared.test))
        return stated[-1]

    repeated = deterministic(predict, f"predictions on {len(prepared.test)} test rows")
    actions = stated[0].argmax(axis=1).astype(np.int8)
    labels = prepared.labels
    return (
        label_shuffle(prepared, fit, seed=seed, most_rows=MOST_ROWS),
        labels_mirrored(market, labels),
        agent_mirrored(market, DataConfig(labels=labels), fit, most_rows=MOST_ROWS),
        delay_is_smooth(prepared.test, actions, _rules(prepared)),
        repeated,
    )


def _survivorship(folds: Sequence[Prepared], markets: Sequence[Market]) -> CheckResult:
    reach = folds[0].labels.reach_bars
    return survivorship(
        {market.symbol: _life(market, reach) for market in markets if market.usable[: -reach or None].any()},
        [Stretch(start=fold.cuts.validation_end, end=fold.cuts.test_end) for fold in folds],
        [{fold.markets[index].symbol for index in np.unique(fold.test.market)} for fold in folds],
    )


def _life(market: Market, reach_bars: int) -> Life:
    """From the first bar with a whole window to the last with a label."""
    rows = np.flatnonzero(market.usable[: len(market) - reach_bars])
    time = market.bars.timestamp
    return Life(first=int(time[rows[0]]), last=int(time[rows[-1]]))


def _usual(prepared: Prepared) -> DataConfig:
    """The run's labels with a barrier yet to be chosen, so that the choice is asked about too."""
    return DataConfig(labels=replace(prepared.labels, barrier_atr=None))


def _rules(prepared: Prepared) -> BacktestConfig:
    barrier = prepared.labels.barrier_atr
    assert barrier is not None  # prepare resolves it
    return BacktestConfig(barrier_atr=barrier, horizon_bars=prepared.labels.horizon_bars)


def _together(results: Sequence[CheckResult]) -> CheckResult:
    """The same check asked several times as one: the first that failed, or the first."""
    failed = [result for result in results if result.passed is False]
    first = (failed or list(results))[0]
    if len(results) == 1:
        return first
    return replace(first, detail=f"{len(failed)} of {len(results)} failed; {first.detail}")
