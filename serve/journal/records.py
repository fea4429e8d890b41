"""What the journal keeps: a bar, a decision, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from quantum_trader.agents.decision import Vote
from quantum_trader.envs.actions import Action


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """What XGBoost alone would have decided at the same bar."""

    action: Action
    """After XGBoost's own gate."""
    confidence: float
    """max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)), from 0.5 to 1."""
    probabilities: tuple[float, float, float]
    """HOLD, BUY, SELL."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One decision as the journal keeps it."""

    symbol: str
    bar_ms: int
    """Open of the bar decided on, milliseconds since the epoch, UTC."""
    decided_ms: int
    """When the decision was taken, milliseconds since the epoch, UTC."""
    action: Action
    confidence: float
    """Directional, 0.5 to 1; 0 where no model answered."""
    probabilities: tuple[float, float, float]
    """HOLD, BUY, SELL, of the deciding source."""
    source: str
    reason: str
    model_hash: str
    latency_ms: float
    close: float | None = None
    """Of the bar decided on, quote currency."""
    atr: float | None = None
    """ATR14 at that close, price units."""
    warming_up: bool = False
    warnings: tuple[str, ...] = ()
    shadow: Shadow | None = None
    """None where XGBoost is missing or was not asked."""
    votes: tuple[Vote, ...] = ()
    quantiles: tuple[tuple[float, float, float], ...] = ()
    """[H]: Q10, Q50, Q90 of the forward log return at the decision's horizons; empty without the TFT. Kept as
    float32, which is what models answer, like the two below."""
    attention: tuple[float, ...] = ()
    """[60], oldest bar first; empty without the TFT."""
    importances: tuple[float, ...] = ()
    """[14], in the order of `FEATURE_NAMES`; empty where the deciding model has none."""
    refused: bool = False
    """The bar was not taken into the history (malformed, repeated, out of order, open): no decision on it."""
    horizon_bars: int = 6
    """Bars after which the decision's labels end: what its outcome is about."""
    barrier_atr: float = 1.5
    """Distance of the outcome's barriers from the fill, in `atr`."""


@dataclass(frozen=True, kw_only=True)
class TradeResult:
    """What a trade on one decision alone comes to, by the environment's account rules."""

    exit_ms: int
    """Open of the bar in which it was closed, milliseconds since the epoch, UTC."""
    exit_reason: str
    """"take_profit", "stop_loss", "max_holding" or "liquidation"."""
    entry_price: float
    """Of the fill, slippage included."""
    exit_price: float
    gross_return: float
    """Profit before all costs, as a fraction of the notional at entry."""
    net_return: float
    """Profit after fees, slippage and funding, as a fraction of the notional at entry."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the bars after a decision showed. It depends on bars and contract, not on what was decided."""

    symbol: str
    bar_ms: int
    """Of the decision."""
    label: Action
    """The triple-barrier label: which barrier was met first; HOLD where none or both in one bar."""
    buy: TradeResult
    """What a BUY filled at the next open would have come to."""
    sell: TradeResult
    """What a SELL filled at the next open would have come to."""


@dataclass(frozen=True, kw_only=True)
class JournalRow:
    """A decision with its outcome, as readers get it."""

    id: int
    entry: Entry
    outcome: Outcome | None
    """None while the horizon has not passed, or where the bars after it were never seen."""


@dataclass(frozen=True, kw_only=True)
class JournalState:
    """How the journal itself does."""

    path: str
    decisions: int
    outcomes: int
    bars: int
    bytes: int
    """Size of the database and its write-ahead log on disk."""
    pending: int = 0
    """Entries accepted by this process and not on disk yet."""
    fault: str = ""
    """Why writing fails at the moment, in words; empty while it works."""
    extra: dict[str, float] = field(default_factory=dict)
