"""From a verdict to `ReportData`: what the figures need, computed once."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_trader.envs.actions import Action
from quantum_trader.evaluate import signal_metrics
from quantum_trader.evaluate.explanation import Explanation
from quantum_trader.evaluate.judge import Entrant, Verdict
from quantum_trader.evaluate.report.charts import confidence_histogram
from quantum_trader.evaluate.report.data import (
    DetailGroup,
    EquityCurve,
    NamedCoverage,
    NamedReliability,
    ReportData,
    SignalCandles,
    SplitSummary,
)
from quantum_trader.train.dataset import PooledDataset

CANDLES = 120


def assemble(
    verdict: Verdict,
    test: PooledDataset,
    *,
    title: str,
    subtitle: str = "",
    splits: Sequence[SplitSummary] = (),
    data_notes: Sequence[str] = (),
    explanations: Sequence[Explanation] = (),
    details: Sequence[DetailGroup] = (),
) -> ReportData:
    """The report on what `judge` found on `test`; the other arguments are fields of `ReportData`."""
    rated = [entrant for entrant in verdict.entrants if _rated(entrant)]
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
        reliability=tuple(reliability(entrant, test) for entrant in rated),
        coverage=tuple(coverage(entrant, test) for entrant in rated),
        candles=candles(verdict),
        explanations=tuple(explanations),
        details=tuple(details),
    )


def split_summary(name: str, rows: PooledDataset) -> SplitSummary:
    """One line of the data table."""
    hold, buy, sell = signal_metrics.class_shares(rows.action)
    return SplitSummary(
        name=name,
        start_ms=int(rows.timestamps[0]),
        end_ms=int(rows.timestamps[-1]),
        rows=len(rows),
        shares=(float(hold), float(buy), float(sell)),
    )


def reliability(entrant: Entrant, test: PooledDataset) -> NamedReliability:
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


def coverage(entrant: Entrant, test: PooledDataset) -> NamedCoverage:
    """Direction accuracy against the share of rows answered."""
    assert entrant.probabilities is not None
    curve = signal_metrics.coverage_accuracy(test.action, entrant.probabilities)
    return NamedCoverage(name=entrant.name, curve=curve)


def candles(verdict: Verdict, bars: int = CANDLES) -> SignalCandles | None:
    """The last bars of the first symbol with the first learner's decisions; None without a learner."""
    learner = next((n for n, entrant in enumerate(verdict.entrants) if entrant.role == "learner"), None)
    if learner is None:
        return None
    place, actions = verdict.places[0], verdict.decisions[learner][0]
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


def _rated(entrant: Entrant) -> bool:
    return entrant.probabilities is not None and entrant.role == "learner"
