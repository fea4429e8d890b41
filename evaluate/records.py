"""What judging agents comes to: plain records that become metrics.json and feed the report."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from quantum_trader.envs.files import write_json
from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval

Role = Literal["learner", "baseline"]
Kind = Literal["signal", "position"]
Split = Literal["validation", "test"]
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
    share: float | None = None
    """Share of the rows, the most confident, that the threshold was set to let through afterwards; None where
    it was fixed before."""


@dataclass(frozen=True, kw_only=True)
class SymbolMetrics:
    """One agent on one symbol."""

    symbol: str
    """The venue's name of the instrument."""
    trading: TradingMetrics
    """How its account fared."""


@dataclass(frozen=True, kw_only=True)
class FoldFigures:
    """One agent on one fold of a walk-forward; a run with one test slice has one fold."""

    fold: int
    """Number of the fold, from 0."""
    start_ms: int
    """Open of the first bar traded, UTC."""
    end_ms: int
    """Open of the last bar traded, UTC."""
    total_return: float
    """Net return of the portfolio over the fold."""
    sharpe: float
    """Its yearly Sharpe ratio."""
    max_drawdown: float
    """Its largest loss since a peak within the fold."""
    trades: int
    """Closed trades."""
    win_rate: float
    """Share of them with a profit after all costs."""
    log_loss: float | None
    """Mean negative log probability of the label; None where the agent gives no probabilities."""
    log_loss_skill: float | None
    """1 - log-loss over that of the fold's training shares."""
    direction_accuracy: float | None
    """On the fold's rows whose label is not HOLD."""
    confusion: tuple[tuple[int, int, int], ...] | None
    """Rows are labels, columns most probable actions."""


@dataclass(frozen=True, kw_only=True)
class SensitivityRow:
    """The same decisions traded at other costs, or later."""

    cost_multiplier: float
    """Factor on fees and slippage."""
    delay_bars: int
    """Bars that an order waits beyond the next open."""
    total_return: Interval
    """Net return of the portfolio."""
    sharpe: float
    """Its yearly Sharpe ratio."""
    trades: int
    """Closed trades."""
    win_rate: float
    """Share of them with a profit after all costs."""
    break_even_win_rate: float
    """Win rate at which the average win and loss cancel."""


Trend = Literal["falling", "sideways", "rising"]
Volatility = Literal["calm", "usual", "wild"]


@dataclass(frozen=True, kw_only=True)
class RegimeRow:
    """One agent in one kind of market, as it was known when it decided."""

    trend: Trend
    """What the price had done before."""
    volatility: Volatility
    """How much it had moved."""
    share: float
    """Share of the bars traded."""
    log_return: Interval
    """Sum of the portfolio's log returns over these bars."""
    trades: int
    """Trades entered on them."""
    win_rate: float
    """Share of those with a profit after all costs; NaN without trades."""
    direction_accuracy: float | None
    """On rows whose label is not HOLD; None without probabilities."""


@dataclass(frozen=True, kw_only=True)
class SharpeTest:
    """How likely it is that a Sharpe ratio is not luck (Bailey & Lopez de Prado 2012, 2014)."""

    probabilistic: float
    """Probability that the true Sharpe ratio is above zero, given skewness and kurtosis of the returns."""
    deflated: float
    """The same above the best that as many trials without skill would be expected to show."""
    trials: int
    """Configurations tried on these data, from the ledger."""
    expected_maximum: float
    """Yearly Sharpe ratio that the best of the trials would show by luck."""
    years_needed: float = float("nan")
    """Years of such bars after which the Sharpe ratio would be above zero with 95 % (minimum track record);
    NaN: it is not above zero."""


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two agents on the same rows and bars."""

    left: str
    """Name of one agent."""
    right: str
    """Name of the other."""
    log_loss_difference: Interval | None
    """Mean log-loss of `left` minus that of `right`, resampled in pairs; below zero, `left` is better."""
    log_loss_p: float | None
    """Two-sided p-value of the Diebold-Mariano test with HAC errors."""
    log_loss_p_adjusted: float | None = None
    """The same, adjusted for the number of pairs (Holm 1979): all pairs below a level hold together."""
    return_difference: Interval
    """Yearly mean log return of `left` minus that of `right`."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All agents against each other."""

    spa_benchmark: str
    """What the superior predictive ability was tested against."""
    spa_p: float
    """p-value that no agent's mean return exceeds the benchmark's (Hansen 2005); NaN: not tested."""
    overfitting: float
    """Probability of backtest overfitting (CSCV): how often the agent that is best on one half of the time is
    below the median on the other; NaN: not enough agents or bars."""
    overfitting_blocks: int
    """Blocks of time that were combined for it."""
    pairs: tuple[PairedTest, ...]
    """Learners against each other and against the baselines to beat."""


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
    folds: tuple[FoldFigures, ...] = ()
    """One entry a fold."""
    sensitivity: tuple[SensitivityRow, ...] = ()
    """Costs x 1, 2, 3 and delays of 0, 1, 2 bars; empty for agents that never act."""
    regimes: tuple[RegimeRow, ...] = ()
    """Trend x volatility; empty for agents that never act."""
    sharpe_test: SharpeTest | None = None
    """None where the equity never moves."""


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
    comparison: Comparison | None = None
    """The agents against each other; None where there are fewer than two."""

    def agent(self, name: str) -> AgentJudgement | None:
        """The agent called `name`, if it was judged."""
        return next((agent for agent in self.agents if agent.name == name), None)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One mechanical check: a question about leaks, accounting or luck, and its answer."""

    name: str
    """Identifier, e.g. "features_causal"."""
    question: str
    """What was asked, one sentence."""
    passed: bool | None
    """None where it could not be asked of these data."""
    detail: str
    """What was found, one sentence with the figures."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One line of the ledger: one configuration, trained once on one stretch of time."""

    time: str
    """When it was written, ISO 8601, UTC."""
    trial: str
    """Hash of the configuration without dates and seed: what counts as one trial."""
    key: str
    """Hash of everything that decided the result: configuration, data, seed, dates."""
    agent: str
    """Name of the agent."""
    seed: int
    """Seed of its training."""
    data: str
    """Hash of the bars."""
    split: Split
    """On which rows the figures were taken."""
    start_ms: int
    """Open of the first bar of these rows, UTC."""
    end_ms: int
    """Open of the last bar of these rows, UTC."""
    bars: int
    """Bars traded."""
    mean_log_return: float
    """Mean log return of a bar, net, of the equal-weight portfolio."""
    sharpe: float
    """Sharpe ratio of a bar (not yearly); NaN where the equity never moves."""
    log_loss: float | None
    """Mean negative log probability of the label; None without probabilities."""
    returns: str
    """File with the returns of every bar, relative to the ledger's folder; empty where none was kept."""
    version: str
    """Version of quantum-trader, with the commit where it is known."""


def finite(value: float | None) -> float | None:
    """The number, or None where there is none that JSON could carry."""
    return None if value is None or not math.isfinite(value) else float(value)


def to_json(value: Any) -> Any:
    """A record as plain JSON values: dataclasses, mappings, tuples, arrays, enums by their names.

    NaN and infinity, which JSON lacks, become null.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, enum.Enum):  # before int, which `Action` is too
        return value.name
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return to_json(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key.name if isinstance(key, enum.Enum) else str(key): to_json(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def write_metrics(path: Path, judgement: Judgement) -> None:
    """Write metrics.json, whole or not at all."""
    write_json(path, to_json(judgement))
