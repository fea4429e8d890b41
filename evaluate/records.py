"""What judging agents comes to: plain records that become metrics.json and feed the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quantum_trader.envs.config import to_plain
from quantum_trader.envs.files import write_json
from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval

Role = Literal["learner", "baseline"]
Kind = Literal["signal", "position"]
ConfidenceMeasure = Literal["directional", "three-class"]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What trading cost, as fractions of the initial balance; costs are positive."""

    fees: float
    """Fees of all fills, the clearance fees of liquidations among them."""
    slippage: float
    """Adverse slippage and half spread of all fills."""
    funding: float
    """Funding paid; negative where more was received than paid."""
    liquidation: float
    """Margin that liquidations took beyond the loss and the clearance fee."""

    @property
    def total(self) -> float:
        """All of them together."""
        return self.fees + self.slippage + self.funding + self.liquidation


@dataclass(frozen=True, kw_only=True)
class TradingMetrics:
    """How an account, or the equal-weight portfolio of one account a symbol, fared after all costs.

    Ratios are annualised from the length of a bar. Undefined measures are NaN.
    """

    bars: int
    """Bars the account was stepped through."""
    total_return: float
    """Final over initial equity, minus one."""
    cagr: float
    """Compound growth a year."""
    volatility: float
    """Standard deviation of returns, yearly."""
    sharpe: float
    """Mean over standard deviation of returns, yearly."""
    sortino: float
    """Mean over downside deviation of returns, yearly."""
    calmar: float
    """CAGR over maximum drawdown."""
    max_drawdown: float
    """Largest loss since a peak, fraction of the peak."""
    max_drawdown_bars: int
    """Longest stretch below a former peak."""
    trades: int
    """Closed trades."""
    win_rate: float
    """Share of closed trades with a profit after all costs."""
    break_even_win_rate: float
    """Win rate at which the average win and loss cancel."""
    profit_factor: float
    """Sum of wins over sum of losses."""
    expectancy: float
    """Mean net profit of a trade as a fraction of its notional."""
    turnover: float
    """Notional traded over mean equity, summed over the period."""
    exposure: float
    """Share of bars with an open position."""
    liquidations: int
    """Positions the venue closed."""
    costs: Costs
    """What trading cost."""


@dataclass(frozen=True, kw_only=True)
class SignalMetrics:
    """How good an agent's probabilities are, on labelled test rows of all symbols together."""

    rows: int
    """Labelled test rows with a prediction."""
    accuracy: float
    """Share of rows whose most probable action is the label."""
    balanced_accuracy: float
    """Mean recall of the three classes."""
    matthews_correlation: float
    """Multiclass Matthews correlation."""
    macro_f1: float
    """Unweighted mean F1."""
    log_loss: float
    """Mean negative log probability of the label, nats."""
    log_loss_skill: Interval
    """1 - log-loss over that of the training shares."""
    brier: float
    """Multiclass Brier score."""
    brier_skill: float
    """1 - Brier score over that of the training shares."""
    calibration_error: float
    """ECE of the most probable action."""
    directional_calibration_error: float
    """ECE of the directional confidence, on rows whose label is not HOLD."""
    rank_ic: float
    """Spearman correlation of P(BUY) - P(SELL) with the forward return at the label's horizon."""
    direction_accuracy: Interval
    """On rows whose label is not HOLD."""
    direction_accuracy_10: Interval
    """On the tenth of them with the highest directional confidence."""
    direction_accuracy_1: Interval
    """On the hundredth of them with the highest directional confidence."""
    margin_accuracy_10: float
    """On the tenth of them with the largest |P(BUY) - P(SELL)|."""
    margin_accuracy_1: float
    """On the hundredth of them with the largest |P(BUY) - P(SELL)|."""
    signal_shares: tuple[float, float, float]
    """Share of HOLD, BUY, SELL among the most probable actions."""
    label_shares: tuple[float, float, float]
    """Share of HOLD, BUY, SELL among the labels."""
    confusion: tuple[tuple[int, int, int], ...]
    """Rows are labels, columns most probable actions."""
    quantile_coverage: tuple[float, ...] | None
    """Share of forward returns within Q10..Q90 at each horizon, nominally 0.8."""


@dataclass(frozen=True, kw_only=True)
class CoinFlips:
    """What chance does with the agent's own turnover: its decisions traded at random other moments."""

    draws: int
    """Random moves traded."""
    return_percentile: float
    """Share of them with a lower net return than the agent, ties counting half."""
    win_rate_percentile: float
    """Share of them with a lower win rate, ties counting half."""
    return_quantiles: tuple[float, float, float]
    """5th, 50th and 95th percentile of their net returns."""
    mean_trades: float
    """Trades they closed on average: close to the agent's when the match is good."""


@dataclass(frozen=True, kw_only=True)
class ConfidenceRow:
    """What a gate at one confidence threshold would have done."""

    measure: ConfidenceMeasure
    """Directional: max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)); three-class: max(P(BUY), P(SELL))."""
    threshold: float
    """Smallest confidence that trades."""
    hold_threshold: float
    """P(HOLD) from which on the gate answers HOLD; 1 ignores it."""
    chosen: bool
    """Whether this is the threshold chosen on validation."""
    coverage: float
    """Share of bars answered with BUY or SELL."""
    trades: int
    """Closed trades."""
    win_rate: Interval
    """Share of them with a profit after all costs."""
    break_even_win_rate: float
    """Win rate at which the average win and loss cancel."""
    total_return: float
    """Net return of the equal-weight portfolio."""


@dataclass(frozen=True, kw_only=True)
class SymbolMetrics:
    """One agent on one symbol."""

    symbol: str
    """The venue's name of the instrument."""
    trading: TradingMetrics
    """How its account fared."""


@dataclass(frozen=True, kw_only=True)
class AgentJudgement:
    """Everything found out about one agent on the test rows."""

    name: str
    """Identifier of the agent."""
    role: Role
    """A baseline is there to be beaten."""
    kind: Kind
    """Signal agents leave by barrier or time; position agents decide with the account in view."""
    decision_shares: tuple[float, float, float]
    """Share of HOLD, BUY, SELL among its decisions, after any gate, on bars where one could be taken."""
    trading: TradingMetrics
    """The equal-weight portfolio over all symbols."""
    total_return: Interval
    """Its net return."""
    sharpe: Interval
    """Its yearly Sharpe ratio."""
    win_rate: Interval
    """Over all closed trades."""
    excess_over_hold: Interval | None
    """Mean log return a year above buy-and-hold, resampled in pairs; None for buy-and-hold itself."""
    coin_flips: CoinFlips | None
    """None where the agent never acts or was not compared."""
    symbols: tuple[SymbolMetrics, ...]
    """One entry a symbol."""
    signal: SignalMetrics | None
    """None where the agent gives no probabilities."""
    confidence: tuple[ConfidenceRow, ...]
    """Empty where the agent gives no probabilities."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Every agent on the same test rows with the same costs."""

    agents: tuple[AgentJudgement, ...]
    """In the order they were given."""
    symbols: tuple[str, ...]
    """Symbols traded."""
    step_ms: int
    """Length of a bar in milliseconds."""
    start_ms: int
    """Open of the first bar traded, UTC."""
    end_ms: int
    """Open of the last bar traded, UTC."""
    buy_and_hold: str | None
    """Name of the agent the others' excess return is measured against; None where it was not judged."""
    prior: tuple[float, float, float]
    """Shares of HOLD, BUY, SELL among the training labels."""
    horizon_bars: int
    """Bars ahead of the forward return that `rank_ic` uses."""
    bootstrap: BootstrapConfig
    """How the intervals were drawn."""

    def agent(self, name: str) -> AgentJudgement | None:
        """The agent called `name`, if it was judged."""
        return next((agent for agent in self.agents if agent.name == name), None)


def to_json(value: Any) -> Any:
    """A record as plain JSON values; NaN and infinity, which JSON lacks, become null."""
    return _without_nan(to_plain(value))


def write_metrics(path: Path, judgement: Judgement) -> None:
    """Write metrics.json, whole or not at all."""
    write_json(path, to_json(judgement))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value
