"""From a verdict to `ReportData`: what the figures need, computed once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import signal_metrics
from quantum_trader.evaluate.entrant import Entrant
from quantum_trader.evaluate.explanation import Explanation
from quantum_trader.evaluate.judge import Verdict
from quantum_trader.evaluate.records import CheckResult, Trial
from quantum_trader.evaluate.report.band import EquityBand, equity_band
from quantum_trader.evaluate.report.charts import confidence_histogram
from quantum_trader.evaluate.report.data import (
    DetailGroup,
    EquityCurve,
    LabelledRows,
    NamedCoverage,
    NamedReliability,
    PathSharpes,
    ReportData,
    SignalCandles,
    SplitSummary,
)
from quantum_trader.evaluate.report.families import COLOURS, coloured, families
from quantum_trader.evaluate.report.rolling import RollingWinRate, rolling_win_rate

CANDLES = 500
"""Bars of the moving candles; the still picture shows the last of them."""


def assemble(
    verdict: Verdict,
    test: LabelledRows,
    *,
    title: str,
    subtitle: str = "",
    splits: Sequence[SplitSummary] = (),
    data_notes: Sequence[str] = (),
    explanations: Sequence[Explanation] = (),
    details: Sequence[DetailGroup] = (),
    checks: Sequence[CheckResult] = (),
    trials: Sequence[Trial] = (),
    paths: Sequence[PathSharpes] = (),
) -> ReportData:
    """The report on what `judge` found on `test`; the other arguments are fields of `ReportData`.

    Args:
        verdict: what was found.
        test: the N rows judged, of all folds, in the order of the entrants' arrays.
        title, subtitle, splits, data_notes, explanations, details, checks, trials, paths: as in `ReportData`.
    """
    rated = _rated(verdict)
    return ReportData(
        title=title,
        subtitle=subtitle,
        judgement=verdict.judgement,
        splits=tuple(splits),
        data_notes=tuple(data_notes),
        equity=tuple(
            EquityCurve(name=found.agent, timestamps=found.timestamps, equity=found.equity)
            for found in verdict.portfolios
        ),
        bands=bands(verdict),
        reliability=tuple(reliability(entrant, test) for entrant in rated),
        coverage=tuple(coverage(entrant, test) for entrant in rated),
        rolling=rolling(verdict),
        candles=candles(verdict),
        explanations=tuple(explanations),
        checks=tuple(checks),
        trials=tuple(trials),
        paths=tuple(paths),
        details=tuple(details),
    )


def split_summary(name: str, rows: LabelledRows) -> SplitSummary:
    """One line of the data table."""
    hold, buy, sell = signal_metrics.class_shares(rows.action)
    return SplitSummary(
        name=name,
        start_ms=int(rows.timestamps[0]),
        end_ms=int(rows.timestamps[-1]),
        rows=len(rows.action),
        shares=(float(hold), float(buy), float(sell)),
    )


def reliability(entrant: Entrant, test: LabelledRows) -> NamedReliability:
    """Stated and met directional confidence on the rows whose label is not HOLD."""
    assert entrant.probabilities is not None
    moved = test.action != Action.HOLD
    stated = entrant.probabilities[moved]
    confidence = signal_metrics.directional_confidence(stated)
    right = signal_metrics.direction(stated) == test.action[moved]
    return NamedReliability(
        name=entrant.name,
        curve=signal_metrics.reliability_curve(confidence, right),
        histogram=confidence_histogram(confidence),
    )


def coverage(entrant: Entrant, test: LabelledRows) -> NamedCoverage:
    """Direction accuracy against the share of rows answered."""
    assert entrant.probabilities is not None
    curve = signal_metrics.coverage_accuracy(test.action, entrant.probabilities)
    return NamedCoverage(name=entrant.name, curve=curve)


def bands(verdict: Verdict) -> tuple[EquityBand, ...]:
    """The band of the first learner: several would hide each other."""
    for entrant, found in zip(verdict.entrants, verdict.portfolios, strict=True):
        if entrant.role == "learner" and len(found.equity) > 1:
            config = verdict.judgement.bootstrap
            return (equity_band(found.agent, found.timestamps, found.equity, config),)
    return ()


def rolling(verdict: Verdict) -> tuple[RollingWinRate, ...]:
    """Win rates over time of the first seeds of the learners that have a colour."""
    wanted = {family.first.name for family in coloured(verdict.judgement)}
    config = verdict.judgement.bootstrap
    found = []
    for portfolio in verdict.portfolios:
        trades = portfolio.trades
        if portfolio.agent in wanted and len(trades):
            # A constant unit, whatever resolution the column happens to be stored in.
            closed = trades["exit_time"].dt.as_unit("ms").astype(np.int64).to_numpy()
            net = trades["net_pnl"].to_numpy(dtype=np.float64)
            found.append(rolling_win_rate(portfolio.agent, portfolio.timestamps, closed, net, config))
    return tuple(item for item in found if item is not None)


def candles(verdict: Verdict, bars: int = CANDLES) -> SignalCandles | None:
    """The last bars of the first symbol with the first learner's decisions; None without a learner."""
    learner = next((n for n, entrant in enumerate(verdict.entrants) if entrant.role == "learner"), None)
    if learner is None:
        return None
    # Of several folds the last one's ground is shown.
    symbol = verdict.places[0].symbol
    index = max(n for n, place in enumerate(verdict.places) if place.symbol == symbol)
    place, actions = verdict.places[index], verdict.decisions[learner][index]
    shown = place.market.bars[slice(max(len(actions) - bars, place.start), len(actions))]
    return SignalCandles(
        symbol=place.symbol,
        agent=verdict.entrants[learner].name,
        timestamps=shown.timestamp,
        open=shown.open,
        high=shown.high,
        low=shown.low,
        close=shown.close,
        actions=actions[len(actions) - len(shown) :],
    )


def _rated(verdict: Verdict) -> list[Entrant]:
    """First seeds of the learners with probabilities; more curves than colours could not be told apart."""
    rated = families(agent for agent in verdict.judgement.agents if agent.signal is not None)
    wanted = {family.first.name for family in rated[:COLOURS]}
    return [entrant for entrant in verdict.entrants if entrant.name in wanted]
