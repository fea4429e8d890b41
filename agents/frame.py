"""`decide_frame`: the Arbiter for bots that pass whole frames of bars instead of one bar at a time."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.agents.arrival import untimely
from quantum_trader.agents.bar_store import COLUMNS, bars_of
from quantum_trader.agents.history import INSUFFICIENT_HISTORY, time_column
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.actions import Action
from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.context import context_rows
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.features import compute_table
from quantum_trader.envs.live_bar import as_bar
from quantum_trader.envs.windows import MAX_GAP_BARS, WINDOW, find_breaks, gather

if TYPE_CHECKING:
    from quantum_trader.agents.arbiter import Arbiter

Indices = NDArray[np.int64]

FRAME_COLUMNS = (
    *("action", "confidence", "p_hold", "p_buy", "p_sell", "source", "reason"),
    *("atr", "q10", "q50", "q90"),
)
NOT_ASKED = "not asked"
UNREADABLE_TIME = "bad bar: its time cannot be read; send milliseconds or a date."
_ROWS = 128
"""Rows of a pass: live calls of the same Arbiter come in between two of them."""


def decide_frame(
    arbiter: Arbiter, frame: pd.DataFrame, symbol: str = "", *, last: int | None = None
) -> pd.DataFrame:
    """Decide at the close of every bar of a frame, without touching any history.

    Each row sees the rows before it and itself, nothing later. The decisions are those of `Arbiter.decide`
    fed the same bars one by one from the first row on, to the bit, as long as the frame holds no more than
    4,000 bars, and beyond that to the last digit of float32: averages remember where they started. A bot
    that passes a moving frame should make it long: 1,000 bars agree with any longer history to about one
    part in a million.

    Args:
        arbiter: whose models and settings.
        frame: one row a bar, oldest first: timestamp or date (the bar's OPEN, UTC) or a datetime index, open,
            high, low, close, volume, and optionally funding_rate.
        symbol: names the contract; empty takes the one that suits an unknown name.
        last: ask the models about the newest so many rows only, as a live bot wants it; the others are HOLD,
            "not asked". None asks about all.

    Returns:
        A frame with the same index: action ("BUY", "SELL", "HOLD"), confidence, p_hold, p_buy, p_sell,
        source, reason, atr (price units, NaN in warm-up), and q10, q50, q90 of the next bar's log return (NaN
        where the TFT did not decide). A row that cannot be decided on is HOLD with the reason.

    Raises:
        DataError: a column is missing.
    """
    values = _columns(frame)
    accepted, reasons = _sift(arbiter, values, symbol)
    answer = _empty(len(frame), reasons)
    if len(accepted):
        bars = bars_of(values[accepted], symbol, arbiter.histories.step_ms)
        _decide(arbiter, bars, accepted, answer, len(frame) - (len(frame) if last is None else last))
    return pd.DataFrame(answer, index=frame.index, columns=list(FRAME_COLUMNS))


def _decide(
    arbiter: Arbiter, bars: Bars, places: Indices, answer: dict[str, NDArray[Any]], first: int
) -> None:
    """Fill in the rows `places`, int64 [T], of the answer from T bars; ask from row `first` of it on."""
    contract = arbiter.histories.contract(bars.symbol)
    computed = compute_table(bars, contract)
    answer["atr"][places] = computed.atr
    table = arbiter.scaler.transform(computed.features)
    context = context_rows(computed.static, bars.timestamp, bars.step_ms)
    ends = _full_windows(find_breaks(bars, contract, MAX_GAP_BARS))
    answer["reason"][places[ends]] = NOT_ASKED
    ends = ends[places[ends] >= first]
    for start in range(0, len(ends), _ROWS):
        chosen = ends[start : start + _ROWS]
        decisions = arbiter.decide_inputs(ModelInputs(windows=gather(table, chosen), context=context[chosen]))
        signals, rows = decisions.signals, places[chosen]
        answered = np.array([source != "none" for source in decisions.source])
        by_tft = np.array([source not in ("none", "xgboost") for source in decisions.source])
        answer["action"][rows] = [Action(int(action)).name for action in decisions.actions]
        answer["confidence"][rows] = np.where(answered, signals.directional_confidence, 0.0)
        answer["source"][rows] = decisions.source
        answer["reason"][rows] = decisions.reason
        for action, name in ((Action.HOLD, "p_hold"), (Action.BUY, "p_buy"), (Action.SELL, "p_sell")):
            answer[name][rows] = signals.probabilities[:, action]
        if signals.quantiles is not None:
            for column, name in enumerate(("q10", "q50", "q90")):
                answer[name][rows] = np.where(by_tft, signals.quantiles[:, 0, column], np.nan)


def _full_windows(breaks: NDArray[np.bool_]) -> Indices:
    """int64 [W]: bars that end a window which spans no over-long gap."""
    index = np.arange(len(breaks), dtype=np.int64)
    started = np.maximum.accumulate(np.where(breaks, index, 0))
    return np.flatnonzero(index - started + 1 >= WINDOW)


def _empty(count: int, reasons: list[str]) -> dict[str, NDArray[Any]]:
    """An answer of HOLD everywhere."""
    answer: dict[str, NDArray[Any]] = {name: np.full(count, np.nan) for name in FRAME_COLUMNS}
    answer["confidence"], answer["p_hold"] = np.zeros(count), np.ones(count)
    answer["p_buy"], answer["p_sell"] = np.zeros(count), np.zeros(count)
    answer["action"] = np.full(count, Action.HOLD.name, dtype=object)
    answer["source"] = np.full(count, "none", dtype=object)
    answer["reason"] = np.array([reason or INSUFFICIENT_HISTORY for reason in reasons], dtype=object)
    return answer


def _sift(arbiter: Arbiter, values: NDArray[np.float64], symbol: str) -> tuple[Indices, list[str]]:
    """Rows that a history would take in, and why not of each other row; "" for those it would."""
    now_ms, step_ms = arbiter.clock(), arbiter.histories.step_ms
    accepted: list[int] = []
    reasons: list[str] = []
    newest: int | None = None
    for row, record in enumerate(values.tolist()):
        if not math.isfinite(record[0]):
            reasons.append(UNREADABLE_TIME)
            continue
        try:
            bar = as_bar(_bar(record), symbol=symbol)
        except DataError as error:
            reasons.append(f"bad bar: {error}")
            continue
        reason = untimely(bar, now_ms=now_ms, step_ms=step_ms, config=arbiter.live)
        if not reason and newest is not None and bar.timestamp <= newest:
            reason = "duplicate bar" if bar.timestamp == newest else "out-of-order bar"
        reasons.append(reason)
        if not reason:
            accepted.append(row)
            newest = bar.timestamp
    return np.array(accepted, dtype=np.int64), reasons


def _bar(record: list[float]) -> Bar:
    timestamp, open_, high, low, close, volume, funding = record
    return Bar(
        timestamp=int(timestamp),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        funding_rate=funding,
    )


def _columns(frame: pd.DataFrame) -> NDArray[np.float64]:
    """float64 [T, 7] in the order of `COLUMNS`; what cannot be read is NaN."""
    missing = [name for name in COLUMNS[1:-1] if name not in frame]
    if missing:
        raise DataError(
            f"The frame lacks {missing[0]!r}; expected timestamp or date, open, high, low, close, volume."
        )
    values = np.full((len(frame), len(COLUMNS)), np.nan)
    values[:, 0] = _timestamps(frame)
    for at, name in enumerate(COLUMNS[1:], start=1):
        if name in frame:
            values[:, at] = _numbers(_column(frame, name))
    return values


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    found = frame[name]
    if isinstance(found, pd.DataFrame):
        raise DataError(f"The frame has {found.shape[1]} columns {name!r}; keep one.")
    return found


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _timestamps(frame: pd.DataFrame) -> NDArray[np.float64]:
    """float64 [T]: bar opens, whole milliseconds since the epoch; NaN where they cannot be read.

    As in a stream numbers are milliseconds, and anything else is what pandas reads as a moment.
    """
    named = time_column(frame)
    if named is None:
        return _milliseconds(frame.index.to_series())
    column = _column(frame, named)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _milliseconds(column)
    if pd.api.types.is_numeric_dtype(column):
        return np.trunc(_numbers(column))
    number = np.array([isinstance(value, Real) for value in column], dtype=np.bool_)
    moments = np.trunc(_numbers(column.where(number)))
    moments[~number] = _milliseconds(
        # pandas guesses one format from the first row else, and refuses the others.
        pd.to_datetime(column[~number], utc=True, errors="coerce", format="mixed")
    )
    return moments


def _milliseconds(moments: pd.Series[Any]) -> NDArray[np.float64]:
    """float64 [T] since the epoch of moments, which are UTC where they have no zone; NaN for NaT."""
    aware = pd.to_datetime(moments, utc=True)
    whole = aware.astype("datetime64[ms, UTC]").astype(np.int64).to_numpy(dtype=np.float64)
    return np.where(aware.isna().to_numpy(), np.nan, whole)
