"""`ReportData`: everything the report shows, as plain records and arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate.explanation import Explanation
from quantum_trader.evaluate.records import CheckResult, Judgement, Trial
from quantum_trader.evaluate.report.band import EquityBand
from quantum_trader.evaluate.report.rolling import RollingWinRate
from quantum_trader.evaluate.signal_metrics import CoverageCurve, ReliabilityCurve

Floats = NDArray[np.float64]
Array = NDArray[Any]


class LabelledRows(Protocol):
    """Judged rows of one or several folds, in the order of the entrants' arrays."""

    @property
    def action(self) -> NDArray[np.int8]:
        """int8 [N], the label of each row (`Action` values)."""

    @property
    def timestamps(self) -> NDArray[np.int64]:
        """int64 [N], open of each decision bar, milliseconds since the epoch, UTC."""


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """One line of the data table."""

    name: str
    """"train", "validation" or "test"."""
    start_ms: int
    """Open of the first decision bar, UTC."""
    end_ms: int
    """Open of the last decision bar, UTC."""
    rows: int
    """Usable, labelled rows of all symbols after purging."""
    shares: tuple[float, float, float]
    """Shares of HOLD, BUY, SELL among the labels."""


@dataclass(frozen=True, kw_only=True)
class EquityCurve:
    """Equity of one agent's portfolio.

    Attributes:
        name: the agent.
        timestamps: int64 [n], milliseconds since the epoch, UTC.
        equity: float64 [n], in multiples of the initial balance.
    """

    name: str
    timestamps: Array
    equity: Floats


@dataclass(frozen=True, kw_only=True)
class NamedReliability:
    """Reliability of one agent's directional confidence."""

    name: str
    curve: ReliabilityCurve
    histogram: Floats
    """float64 [50]: share of rows in equal steps of confidence from 0.5 to 1."""


@dataclass(frozen=True, kw_only=True)
class NamedCoverage:
    """Coverage against direction accuracy of one agent."""

    name: str
    curve: CoverageCurve


@dataclass(frozen=True, kw_only=True)
class SignalCandles:
    """A stretch of bars with one agent's signals on it.

    Attributes:
        symbol, agent: what is shown.
        timestamps: int64 [n], bar opens, milliseconds since the epoch, UTC.
        open, high, low, close: float64 [n].
        actions: int8 [n], `Action` decided at the close of each bar.
    """

    symbol: str
    agent: str
    timestamps: Array
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    actions: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class PathSharpes:
    """Sharpe ratios of one agent over the paths of combinatorial purged cross-validation.

    Attributes:
        agent: who was fitted and traded.
        sharpes: float64 [P], yearly Sharpe ratio of each path; NaN where its equity never moves.
    """

    agent: str
    sharpes: Floats


@dataclass(frozen=True, kw_only=True)
class PriceWindow:
    """The bars that an agent saw when it decided, and those that came after.

    Attributes:
        symbol: what is shown.
        decision: position of the bar decided on.
        timestamps: int64 [n], bar opens, milliseconds since the epoch, UTC.
        open, high, low, close: float64 [n].
    """

    symbol: str
    decision: int
    timestamps: Array
    open: Floats
    high: Floats
    low: Floats
    close: Floats


@dataclass(frozen=True, kw_only=True)
class DetailGroup:
    """A titled list of name and value, e.g. versions or durations."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """The whole report; empty tuples and None leave their section out."""

    title: str
    """Heading of the page."""
    subtitle: str = ""
    """One line below it, e.g. when and from what the report was made."""
    judgement: Judgement
    """What was measured."""
    splits: tuple[SplitSummary, ...] = ()
    """Rows of the data table."""
    data_notes: tuple[str, ...] = ()
    """Sentences below the data table, e.g. gaps, barrier width, costs."""
    equity: tuple[EquityCurve, ...] = ()
    """One curve an agent."""
    bands: tuple[EquityBand, ...] = ()
    """Intervals around some of the curves."""
    reliability: tuple[NamedReliability, ...] = ()
    """One curve an agent with probabilities."""
    coverage: tuple[NamedCoverage, ...] = ()
    """One curve an agent with probabilities."""
    rolling: tuple[RollingWinRate, ...] = ()
    """Win rates over time, one entry an agent."""
    candles: SignalCandles | None = None
    """The stretch of bars shown with signals."""
    explanations: tuple[Explanation, ...] = ()
    """What the networks look at and what they would miss."""
    checks: tuple[CheckResult, ...] = ()
    """The mechanical checks of the model card."""
    trials: tuple[Trial, ...] = ()
    """Lines of the ledger: what was tried on these data."""
    paths: tuple[PathSharpes, ...] = ()
    """Sharpe ratios over combinatorial paths, one entry an agent."""
    details: tuple[DetailGroup, ...] = ()
    """Run details at the end of the page."""
