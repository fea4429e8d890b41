"""Do labels and agents treat a rise and a fall alike? The mirrored market, prices c / p, answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import Agent
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.mirror import mirrored_market
from quantum_trader.evaluate.checks.chance import Fit, thinned
from quantum_trader.evaluate.records import CheckResult
from quantum_trader.evaluate.run_train import ask
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import Labels, triple_barrier
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import prepare

Label = Callable[[Market, LabelConfig], Labels]

CLEAR = 0.15
"""A row counts if barriers this much nearer and farther give the same label. Barriers at 1 + w and 1 - w are
each other's reciprocals only up to w squared, and the mirrored ATR is the same only up to such terms."""
AGREEMENT = 0.999
"""Share of the clear rows whose label must be the opposite one."""
MEAN_TOLERANCE = 0.02
"""Largest difference between an agent's mean P(BUY) and the mirrored agent's mean P(SELL)."""
CORRELATION = 0.9
"""Least correlation of an agent's P(BUY) - P(SELL) with the mirrored agent's P(SELL) - P(BUY)."""

_OPPOSITE = np.array([Action.HOLD, Action.SELL, Action.BUY])
_LABELS, _AGENT = "labels_mirrored", "agent_mirrored"


def labels_mirrored(market: Market, config: LabelConfig, label: Label = triple_barrier) -> CheckResult:
    """Whether BUY and SELL change places in the mirrored market, row by row.

    Args:
        market: a whole market.
        config: with a number in `barrier_atr`.
        label: labels the rows.
    """
    question = "Do BUY and SELL labels change places where prices are mirrored?"
    other = mirrored_market(market)
    both = _clear(market, config, label) & _clear(other, config, label)
    first, second = label(market, config).action[both], label(other, config).action[both]
    if not both.any():
        return CheckResult(
            name=_LABELS, question=question, passed=None, detail=f"{market.symbol} has no clear label."
        )
    agreement = float(np.mean(_OPPOSITE[first] == second))
    shares, swapped = _shares(first), _shares(second)[_OPPOSITE]
    return CheckResult(
        name=_LABELS,
        question=question,
        passed=agreement >= AGREEMENT,
        detail=f"{market.symbol}: {agreement:.2%} of {len(first)} clear labels turn into their opposite, "
        f"{AGREEMENT:.1%} needed; BUY was {shares[Action.BUY]:.1%} and is {swapped[Action.BUY]:.1%} as SELL.",
    )


def agent_mirrored(
    market: Market, data: DataConfig | None = None, fit: Fit = fit_logistic, *, most_rows: int = 6_000
) -> CheckResult:
    """Whether an agent fitted on the mirrored market says BUY where that of the market says SELL.

    Args:
        market: a whole market.
        data: labels and splits.
        fit: fits the agents.
        most_rows: training and validation rows used, evenly spaced, where there are more.
    """
    data = data if data is not None else DataConfig()
    question = "Does an agent fitted on mirrored prices say BUY where it said SELL?"
    margins, shares = [], []
    for one in (market, mirrored_market(market)):
        try:
            prepared = prepare([one], data)
        except TrainingError as error:
            return CheckResult(
                name=_AGENT, question=question, passed=None, detail=f"{market.symbol}: {error}"
            )
        agent = fit(thinned(prepared.train, most_rows), thinned(prepared.validation, most_rows))
        stated = _by_bar(agent, prepared.test, len(market))
        margins.append(stated[:, Action.BUY] - stated[:, Action.SELL])
        shares.append(np.nanmean(stated, axis=0))
    known = np.isfinite(margins[0]) & np.isfinite(margins[1])
    together = _correlation(margins[0][known], -margins[1][known])
    apart = float(np.abs(shares[0] - shares[1][_OPPOSITE]).max())
    return CheckResult(
        name=_AGENT,
        question=question,
        passed=together >= CORRELATION and apart <= MEAN_TOLERANCE,
        detail=f"{market.symbol}: correlation {together:.3f} on {np.count_nonzero(known)} test rows, "
        f"{CORRELATION} needed; mean probabilities differ by {apart:.2%}, {MEAN_TOLERANCE:.0%} allowed.",
    )


def _clear(market: Market, config: LabelConfig, label: Label) -> NDArray[np.bool_]:
    """bool [T]: usable rows whose label does not hang on a small part of the barrier's width."""
    assert config.barrier_atr is not None  # labelling refuses it before
    usual, nearer, farther = (
        label(market, replace(config, barrier_atr=config.barrier_atr * factor))
        for factor in (1.0, 1.0 - CLEAR, 1.0 + CLEAR)
    )
    same = (usual.action == nearer.action) & (usual.action == farther.action)
    return np.asarray(market.usable & usual.valid & same)


def _by_bar(agent: Agent, rows: PooledDataset, bars: int) -> NDArray[np.float64]:
    """float64 [bars, 3]: probabilities by decision bar, NaN where no row stands."""
    stated = np.full((bars, 3), np.nan)
    stated[rows.end] = ask(agent, rows)
    return stated


def _shares(actions: NDArray[np.int8]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(actions, minlength=3) / len(actions))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Pearson's; 0 where one of them is constant."""
    if first.std() == 0.0 or second.std() == 0.0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
