"""Requests and answers of the API, as pydantic models: they check what comes and document what goes."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from quantum_trader.envs.bars import Bar

SYMBOL_PATTERN = r"^[\w^$#@][\w^$#@=+&-]*(?:[./:][\w^$#@=+&-]+)*$"
"""Letters and digits of any script and what venues put between them, e.g. "BTC/USDT:USDT", "ES=F"."""
FIRST_MS = 100_000_000_000
"""1973: a smaller timestamp is most likely one in seconds."""
LAST_MS = 9_223_372_036_000
"""2262, where nanoseconds in 64 bits end; a larger one is most likely in microseconds."""

EXAMPLE_BAR: dict[str, Any] = {
    "timestamp": 1_735_689_600_000,
    "open": 93_576.0,
    "high": 94_509.4,
    "low": 93_489.0,
    "close": 94_401.1,
    "volume": 5_123.4,
    "funding_rate": 0.0001,
}

Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN, max_length=64, strict=True)]


def _whole(value: Any) -> Any:
    """1.7e12 is a whole number too, as many languages write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any) -> Any:
    """An integer too large for a float is infinite, as 1e999 is: the bar is then refused, not the request."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**1023:
        return math.inf if value > 0 else -math.inf
    return value


Milliseconds = Annotated[
    Annotated[int, Field(strict=True, ge=FIRST_MS, le=LAST_MS)],
    BeforeValidator(_whole, json_schema_input_type=Annotated[int, Field(ge=FIRST_MS, le=LAST_MS)]),
]
Number = Annotated[
    Annotated[float, Field(strict=True)] | None,
    BeforeValidator(_number, json_schema_input_type=float | None),
]
"""null stands for a number that the sender does not have."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="null")


class BarIn(_Strict):
    """One closed bar. A bar with a price that is missing, null or contradicts the others is answered HOLD."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_BAR]})

    timestamp: Annotated[
        Milliseconds, Field(description="OPEN of the bar, milliseconds since the epoch, UTC.")
    ]
    open: Annotated[Number, Field(description="First price, quote currency.")]
    high: Annotated[Number, Field(description="Highest price.")]
    low: Annotated[Number, Field(description="Lowest price.")]
    close: Annotated[Number, Field(description="Last price.")]
    volume: Annotated[Number, Field(description="Base units, at least 0.")]
    funding_rate: Annotated[
        Number,
        Field(description="Rate settled at the bar's open, fraction of notional; null where none settles."),
    ] = None

    def bar(self) -> Bar:
        """The bar, with NaN for what is null."""
        return Bar(
            timestamp=self.timestamp,
            open=_float(self.open),
            high=_float(self.high),
            low=_float(self.low),
            close=_float(self.close),
            volume=_float(self.volume),
            funding_rate=_float(self.funding_rate),
        )


class DecisionsRequest(_Strict):
    """One closed bar per symbol."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bars": {"BTCUSDT": EXAMPLE_BAR}}]})

    bars: Annotated[dict[Symbol, BarIn], Field(min_length=1)]


class WarmupRequest(_Strict):
    """Past bars per symbol, oldest first; bars that are known already are skipped."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bars": {"BTCUSDT": [EXAMPLE_BAR]}}]})

    bars: Annotated[dict[Symbol, Annotated[list[BarIn], Field(min_length=1)]], Field(min_length=1)]


class ReloadRequest(_Strict):
    """Which models to load; without a name those in use are read again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "2026-03"}, {}]})

    model: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            max_length=64,
            strict=True,
            description="Name of a folder below --models-root.",
        ),
    ] = None


class Probabilities(_Strict):
    """Probability of each class; they add up to 1."""

    HOLD: float
    BUY: float
    SELL: float


ActionName = Literal["HOLD", "BUY", "SELL"]


class VoteOut(_Strict):
    """One member's own opinion."""

    member: str
    action: ActionName
    probabilities: Probabilities


class QuantilesOut(_Strict):
    """Quantiles of the forward log return."""

    horizon_bars: int
    q10: float | None
    q50: float | None
    q90: float | None


class DecisionOut(_Strict):
    """The Arbiter's answer for one symbol."""

    symbol: str
    action: ActionName
    confidence: Annotated[
        float, Field(description="max(P(BUY), P(SELL)) / (P(BUY) + P(SELL)); 0 where no model answered.")
    ]
    hold_probability: float
    probabilities: Annotated[Probabilities, Field(description="Of the deciding source.")]
    source: Annotated[str, Field(description='Who decided, e.g. "tft+ppo+xgboost"; "none" where nobody did.')]
    reason: Annotated[str, Field(description="Why, in words.")]
    timestamp: Annotated[int | None, Field(description="Open of the bar decided on, milliseconds, UTC.")]
    close: float | None
    atr: Annotated[float | None, Field(description="ATR14 in price units; null in warm-up.")]
    warnings: list[str]
    votes: list[VoteOut]
    quantiles: Annotated[list[QuantilesOut] | None, Field(description="null without the TFT.")]
    warming_up: bool
    model_hash: str
    latency_ms: Annotated[float, Field(description="Of the pass through the models that it shared.")]
    journaled: Annotated[bool, Field(description="True once the decision is on disk.")]
    fault: Annotated[str, Field(description="Why the journal does not keep it; empty where it does.")]
    attention: Annotated[
        list[float | None] | None,
        Field(description="Weight of each of the 60 bars; only with ?explain=true."),
    ] = None
    importances: Annotated[
        dict[str, float | None] | None, Field(description="Weight of each feature; only with ?explain=true.")
    ] = None


class DecisionsResponse(_Strict):
    """A decision per symbol sent."""

    decisions: dict[str, DecisionOut]


class WarmupResponse(_Strict):
    """Bars now in each symbol's window; 60 make it ready."""

    bars_in_window: dict[str, int]


class ReloadResponse(_Strict):
    """The models now in use."""

    model: Annotated[str | None, Field(description="Name below --models-root; null for the first folder.")]
    model_hash: str
    previous_model_hash: str
    seconds: float


class HistoryResponse(_Strict):
    """Decisions of one symbol from the journal, newest first, with outcomes where they are known."""

    symbol: str
    decisions: list[dict[str, JsonValue]]


class StatusResponse(_Strict):
    """Alive, or ready."""

    status: str


class ErrorDetail(_Strict):
    """What went wrong."""

    code: Annotated[str, Field(description="Stable identifier for programs.")]
    message: Annotated[str, Field(description="One sentence for people.")]


class ErrorResponse(_Strict):
    """Every error has this form."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"error": {"code": "rate_limited", "message": "More than 100 requests a second."}}]
        }
    )

    error: ErrorDetail


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
