"""What the monitor reports; `quantum_trader.envs.config.to_plain` of a `MonitorReport` is its JSON."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.evaluate.bootstrap import Interval


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """BUY and SELL decisions of similar confidence whose barriers were met on one side."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean directional confidence of the bin."""
    accuracy: float
    """Share of them whose direction was right."""


@dataclass(frozen=True, kw_only=True)
class AgentFigures:
    """How one decider does on the decisions whose horizon has passed; NaN where nothing is known yet."""

    agent: str
    """"arbiter" or "xgboost" (the shadow)."""
    decisions: int
    """Decisions of the range, warm-up and refused bars left out."""
    resolved: int
    """Of these, decisions whose outcome is known."""
    shares: dict[str, float]
    """Share of each action by its name."""
    average_confidence: float
    """Mean directional confidence of BUY and SELL decisions."""
    trades: int
    """Closed trades that do not overlap: a signal counts if no counted trade of its symbol is open."""
    win_rate: Interval
    """Share of these trades with a profit after all costs; block bootstrap over time."""
    break_even: float
    """Win rate at which the trades' own mean win and loss cancel."""
    net_return: Interval
    """Mean net return of a trade, fraction of notional."""
    total_return: float
    """Sum of the trades' net returns, fraction of notional."""
    gross_return: float
    """The same before costs."""
    false_positive_rate: Interval
    """Share of resolved BUY and SELL decisions whose label is not their direction."""
    direction_accuracy: Interval
    """Among resolved BUY and SELL decisions with a BUY or SELL label: share with the same direction."""
    calibration_error: float
    """Expected calibration error of the directional confidence over `calibration`."""
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True, kw_only=True)
class Alert:
    """Something a person should look at."""

    name: str
    """Stable identifier: "all_hold", "drift", "win_rate", "latency", "stale", "journal", "fallback", ..."""
    level: str
    """"warning" or "critical"."""
    message: str
    """What was found, what was expected, and the remedy, in one or two sentences."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of the decisions in the range."""

    p50: float
    p99: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class LatestDecision:
    """The newest decision of a symbol."""

    symbol: str
    bar_ms: int
    decided_ms: int
    action: str
    confidence: float
    probabilities: tuple[float, float, float]
    source: str
    reason: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Attention and importances of the newest decision that has them."""

    symbol: str
    bar_ms: int
    attention: tuple[float, ...]
    """[60], oldest bar first."""
    importances: dict[str, float]
    """By feature name."""


@dataclass(frozen=True, kw_only=True)
class MonitorReport:
    """One look at the journal."""

    generated_ms: int
    since_ms: int | None
    """Start of the range looked at; None looks at everything."""
    until_ms: int | None
    symbols: tuple[str, ...]
    arbiter: AgentFigures
    shadow: AgentFigures | None
    """XGBoost deciding alone on the same bars; None where it was never asked."""
    difference: Interval | None
    """Mean net return a day, Arbiter less shadow, on the same days; None without a shadow."""
    latency: Latency
    confidence_histogram: tuple[int, ...]
    """Counts of BUY and SELL decisions in ten equal bins of confidence from 0.5 to 1."""
    by_source: dict[str, int]
    by_reason: dict[str, int]
    """Decisions by kind of reason: figures within the text are left out."""
    model_hashes: dict[str, int]
    """Decisions by model hash."""
    alerts: tuple[Alert, ...]
    latest: tuple[LatestDecision, ...]
    explanation: Explanation | None
