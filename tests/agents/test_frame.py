"""Whole frames and single bars give the same decisions, to the bit, from real networks and trees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.arbiter_settings import ArbiterSettings, GateSettings
from quantum_trader.agents.decision import Decision
from quantum_trader.agents.frame import FRAME_COLUMNS
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.windows import gather

from .fakes import FakeAgent, FakeTFT
from .tiny_tft import tiny_tft

SYMBOL = "BTCUSDT"


def arbiter() -> Arbiter:
    gate = GateSettings(hold_threshold=0.4, confidence_threshold=0.5)
    return Arbiter(
        tft=tiny_tft(),
        ppo=None,
        fallback=FakeAgent(),
        settings=ArbiterSettings(pool=("tft",), primary=gate, tft_alone=gate, latency_budget_ms=0.0),
        scaler=REFERENCE_SCALER,
        clock=lambda: 4_000_000_000_000,
    )


def series(count: int = 330) -> Bars:
    return replace(synthetic_bars(SyntheticConfig(bars=count, volatility=0.004, seed=5)), symbol=SYMBOL)


def row(decision: Decision) -> tuple[Any, ...]:
    """A decision as `decide_frame` writes it; NaN as None, so that rows compare."""
    q10, q50, q90 = (None,) * 3 if decision.quantiles is None else decision.quantiles[0].tolist()
    return (
        *(decision.action.name, decision.confidence, *decision.probabilities),
        *(decision.source, decision.reason, decision.atr, q10, q50, q90),
    )


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return list(plain.itertuples(index=False, name=None))


def streamed(bars: Bars) -> list[tuple[Any, ...]]:
    one = arbiter()
    return [row(one.decide(SYMBOL, bars.bar(index))) for index in range(len(bars))]


def test_a_frame_is_decided_as_its_bars_one_by_one() -> None:
    """Every row, from the first of the warm-up to the last: the same action, numbers and words."""
    bars = series()
    frame = arbiter().decide_frame(bars.to_frame(), SYMBOL)
    assert list(frame.columns) == list(FRAME_COLUMNS)
    assert rows(frame) == streamed(bars)
    assert set(frame["action"]) == {"BUY", "SELL", "HOLD"}
    assert set(frame["source"][:59]) == {"none"}


def test_a_frame_is_decided_as_a_backtest_decides() -> None:
    """On bars whose windows are past their warm-up a backtest's decisions are those of the frame."""
    bars, one = series(), arbiter()
    market = Market.build(bars, guess_preset(SYMBOL), REFERENCE_SCALER)
    ends = np.flatnonzero(market.usable)
    judged = one.decide_inputs(ModelInputs(windows=gather(market.table, ends), context=market.context[ends]))
    frame = one.decide_frame(bars.to_frame(), SYMBOL)
    chosen = frame.iloc[ends]
    np.testing.assert_array_equal(chosen[["p_hold", "p_buy", "p_sell"]], judged.signals.probabilities)
    assert tuple(chosen["reason"]) == judged.reason


def test_later_rows_change_nothing() -> None:
    """A frame cut short is decided like the first rows of the whole one: no row sees a later bar."""
    frame = series().to_frame()
    whole = rows(arbiter().decide_frame(frame, SYMBOL))
    for count in (1, 59, 60, 199, 260, 329):
        assert rows(arbiter().decide_frame(frame[:count], SYMBOL)) == whole[:count]


def test_a_long_gap_and_bad_rows_are_treated_as_in_a_stream() -> None:
    """Gaps start the window anew; NaN, duplicate and out-of-order rows are HOLD and leave no trace."""
    bars = series()
    timestamp = bars.timestamp.copy()
    timestamp[120:] += 10 * bars.step_ms
    frame = replace(bars, timestamp=timestamp).to_frame()
    frame.loc[200, "close"] = np.nan
    frame = pd.concat([frame[:250], frame[249:250], frame[100:101], frame[250:]], ignore_index=True)
    one = arbiter()
    answers = [row(one.decide(SYMBOL, record)) for record in frame.to_dict("records")]
    decided = one.decide_frame(frame, SYMBOL)
    assert rows(decided)[:200] + rows(decided)[201:250] == answers[:200] + answers[201:250]
    assert list(decided["reason"]) == [answer[6] for answer in answers]
    assert rows(decided[decided["source"] != "none"]) == [a for a in answers if a[5] != "none"]
    assert decided["reason"][200].startswith("bad bar")
    assert list(decided["reason"][250:252]) == ["duplicate bar", "out-of-order bar"]


def test_times_may_come_in_any_usual_form() -> None:
    """A timestamp or date column, milliseconds, text, naive UTC or an index: the same decisions."""
    frame = series(80).to_frame()
    naive = frame["timestamp"].dt.tz_localize(None)
    milliseconds = naive.astype("datetime64[ns]").astype("int64") // 1_000_000
    expected = rows(arbiter().decide_frame(frame, SYMBOL))
    forms = [
        frame.rename(columns={"timestamp": "date"}),
        frame.assign(timestamp=naive),
        frame.assign(timestamp=milliseconds),
        frame.assign(timestamp=naive.astype(str)),
        frame.set_index("timestamp"),
        frame.set_index(naive).drop(columns="timestamp"),
        frame.assign(timestamp=frame["timestamp"].dt.tz_convert("America/New_York")),
        frame.assign(timestamp=naive.astype("datetime64[s]")),
        frame.assign(timestamp=milliseconds.astype(float)),
        frame.assign(timestamp=milliseconds.astype(object)),
        frame.assign(timestamp=milliseconds.astype("category")),
        frame.assign(timestamp=[str(moment).removesuffix(" 00:00:00") for moment in naive]),
        frame.assign(timestamp=pd.Series([moment.to_pydatetime() for moment in naive], dtype=object)),
    ]
    for form in forms:
        decided = arbiter().decide_frame(form, SYMBOL)
        assert rows(decided) == expected
        assert decided.index.equals(form.index)


def test_the_histories_are_left_alone() -> None:
    """Deciding a frame neither reads nor changes what was streamed, and keeps no symbol."""
    one = arbiter()
    one.decide_frame(series(80).to_frame(), SYMBOL)
    assert len(one.histories) == 0


def test_an_open_last_bar_is_not_decided_on() -> None:
    """A frame whose newest bar has not closed is decided up to the one before it."""
    bars = series(80)
    one = arbiter()
    one.clock = lambda: int(bars.timestamp[-1]) + bars.step_ms // 2
    frame = one.decide_frame(bars.to_frame(), SYMBOL)
    assert frame["reason"].iloc[-1] == "bar still open"
    assert frame["source"].iloc[-2] == "tft"


@pytest.mark.parametrize(("drop", "words"), [("close", "lacks 'close'"), ("timestamp", "no times")])
def test_a_missing_column_is_one_sentence(drop: str, words: str) -> None:
    """What a frame must hold is named when it is not there."""
    with pytest.raises(DataError, match=words):
        arbiter().decide_frame(series(80).to_frame().drop(columns=drop), SYMBOL)


def test_an_empty_frame_gives_an_empty_answer() -> None:
    """No bars, no decisions, no error."""
    assert len(arbiter().decide_frame(series(80).to_frame()[:0], SYMBOL)) == 0


def test_a_live_bot_may_ask_about_the_newest_rows_only() -> None:
    """The last rows are decided as in the whole frame, the others are HOLD without a model being asked."""
    bars = series()
    whole = arbiter().decide_frame(bars.to_frame(), SYMBOL)
    newest = arbiter().decide_frame(bars.to_frame(), SYMBOL, last=2)
    assert rows(newest)[-2:] == rows(whole)[-2:]
    assert set(newest["reason"][59:-2]) == {"not asked"}
    assert set(newest["action"][:-2]) == {"HOLD"}
    assert set(arbiter().decide_frame(bars.to_frame(), SYMBOL, last=0)["source"]) == {"none"}


@pytest.mark.parametrize("form", ["number", "nullable", "moment", "text"])
def test_a_row_whose_time_cannot_be_read_is_held(form: str) -> None:
    """One unreadable time costs one row, as in a stream; the others are decided as if it were not there."""
    frame = series(80).to_frame()
    milliseconds = frame["timestamp"].astype("datetime64[ms, UTC]").astype("int64")
    readable = frame.index != 70
    columns = {
        "number": milliseconds.astype(float).where(readable),
        "nullable": milliseconds.astype("Int64").where(readable),
        "moment": frame["timestamp"].where(readable),
        "text": frame["timestamp"].astype(str).where(readable, "yesterday"),
    }
    decided = arbiter().decide_frame(frame.assign(timestamp=columns[form]), SYMBOL)
    assert decided["reason"][70].startswith("bad bar: its time cannot be read")
    assert rows(decided[readable]) == rows(arbiter().decide_frame(frame[readable], SYMBOL))


def test_a_column_twice_is_one_sentence() -> None:
    """Joined frames may hold a name twice; which one is meant cannot be guessed."""
    frame = series(80).to_frame()
    with pytest.raises(DataError, match="2 columns 'close'"):
        arbiter().decide_frame(pd.concat([frame, frame[["close"]]], axis=1), SYMBOL)


@pytest.mark.parametrize("fallback", [FakeAgent(), FakeAgent(error=RuntimeError("boom"))])
def test_rows_that_the_tft_does_not_decide_are_those_of_a_stream(fallback: FakeAgent) -> None:
    """Where XGBoost or nobody decides there are no quantiles, and confidence without a decision is 0."""
    bars, nan = series(64), float("nan")
    one, other = arbiter(), arbiter()
    for each in (one, other):
        each.tft = FakeTFT((nan, nan, nan))  # type: ignore[assignment]
        each.fallback = fallback
    stream = [row(one.decide(SYMBOL, bars.bar(index))) for index in range(len(bars))]
    decided = other.decide_frame(bars.to_frame(), SYMBOL)
    assert decided["q50"].isna().all()
    shown = list(FRAME_COLUMNS).index("reason")  # a stream leaves a failing member to rest and says so
    assert [r[:shown] + r[shown + 1 :] for r in rows(decided)] == [r[:shown] + r[shown + 1 :] for r in stream]
