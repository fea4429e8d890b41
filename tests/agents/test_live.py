from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.envs.windows import gather

from .fakes import bar, bars


class Recorder(LiveAgent):
    """Answers BUY with 0.5 and keeps what it was asked."""

    scaler = REFERENCE_SCALER
    calibration = None

    def __init__(self, probabilities: tuple[float, float, float] = (0.2, 0.5, 0.3)) -> None:
        self.asked: list[ModelInputs] = []
        self.row = np.array(probabilities, dtype=np.float32)

    def signals(self, inputs: ModelInputs) -> Signals:
        self.asked.append(inputs)
        return Signals(probabilities=np.tile(self.row, (len(inputs), 1)))


def test_hold_until_sixty_bars() -> None:
    """59 predictions on a new symbol are HOLD for insufficient history; the 60th is the model's."""
    agent = Recorder()
    answers = [agent.predict("NEW", item) for item in bars(60)]
    assert all(a.action is Action.HOLD and a.meta.reason == "insufficient history" for a in answers[:59])
    assert answers[59].action is Action.BUY
    assert answers[59].confidence == pytest.approx(0.625)
    assert answers[59].meta.hold_probability == pytest.approx(0.2)
    assert len(agent.asked) == 1


def test_live_windows_equal_the_batch_table_to_the_bit() -> None:
    """What a model sees live, after any history, is what it saw in training."""
    series = sample_bars()[:700]
    market = Market.build(series, guess_preset(series.symbol))
    agent = Recorder()
    for index in range(len(series)):
        agent.add_to_history(series.symbol, series.bar(index))
        if index in (300, 450, 699):
            live = agent.histories.inputs([series.symbol], REFERENCE_SCALER)
            np.testing.assert_array_equal(live.windows, gather(market.table, np.array([index])))
            np.testing.assert_array_equal(live.context[0], market.context[index])


def test_many_symbols_are_one_call() -> None:
    """A batch asks the model once, in the order of the ready symbols, and answers in the order given."""
    agent = Recorder()
    for name in ("A", "B"):
        agent.add_to_history(name, bars(59))
    answers = agent.batch_predict({"A": bar(59), "NEW": bar(59), "B": bar(59)})
    assert list(answers) == ["A", "NEW", "B"]
    assert [answers[name].action for name in answers] == [Action.BUY, Action.HOLD, Action.BUY]
    assert [len(inputs) for inputs in agent.asked] == [2]


@pytest.mark.parametrize("form", ["mapping", "series", "frame", "indexed frame"])
def test_bars_may_come_as_mappings_or_rows(form: str) -> None:
    """A bot's own bar types give the same history as `Bar`."""
    frame = pd.DataFrame([vars(item) for item in bars(60)])
    plain, other = Recorder(), Recorder()
    plain.add_to_history("A", bars(60))
    if form == "mapping":
        other.add_to_history("A", frame.to_dict("records"))
    elif form == "series":
        for _, row in frame.iterrows():
            other.add_to_history("A", row)
    elif form == "frame":
        other.add_to_history("A", frame)
    else:
        moments = pd.to_datetime(frame["timestamp"], unit="ms", utc=True)
        other.add_to_history("A", frame.drop(columns="timestamp").set_index(moments))
    np.testing.assert_array_equal(plain.histories["A"].window(), other.histories["A"].window())


def test_nan_from_the_model_is_hold() -> None:
    """A model that answers NaN is not believed."""
    agent = Recorder((np.nan, np.nan, np.nan))
    agent.add_to_history("A", bars(59))
    answer = agent.predict("A", bar(59))
    assert answer.action is Action.HOLD
    assert "not a number" in answer.meta.reason


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"close": -1.0}, "positive number"),
        ({"high": 1.0}, "contradict"),
        ({"volume": float("nan")}, "volume"),
        ({"close": "abc"}, "cannot be read"),
    ],
)
def test_a_bad_bar_is_one_sentence(change: dict[str, object], fragment: str) -> None:
    """A bar that cannot be is refused with the symbol and the fault named."""
    with pytest.raises(DataError, match=rf"^A: .*{fragment}"):
        Recorder().predict("A", vars(bar(0)) | change)


def test_a_bar_without_a_column_is_one_sentence() -> None:
    """A missing field is named."""
    row = vars(bar(0)).copy()
    del row["volume"]
    with pytest.raises(DataError, match="A: the bar lacks 'volume'"):
        Recorder().predict("A", row)


def test_warming_up_is_told() -> None:
    """Sixty bars suffice for an answer, not for the slow indicators: the answer says so."""
    agent = Recorder()
    agent.add_to_history("A", bars(59))
    assert agent.predict("A", bar(59)).meta.warming_up
    agent.add_to_history("A", bars(300, start=60))
    assert not agent.predict("A", bar(360)).meta.warming_up


def test_bars_that_are_given_newest_first_are_refused_whole() -> None:
    """A warm-up in the wrong order would lose all its bars but one; in the right order it then works."""
    agent = Recorder()
    past = bars(80)
    for wrong in (past[::-1], pd.DataFrame([vars(item) for item in past]).sample(frac=1.0, random_state=1)):
        with pytest.raises(DataError, match=r"A: bar \d+ opens before the one ahead of it; give the oldest"):
            agent.add_to_history("A", wrong)
    assert agent.add_to_history("A", past) == 60
    # What is known already may come again.
    assert agent.add_to_history("A", bars(90)) == 60


def test_frames_of_arrow_types_are_read() -> None:
    """A pyarrow index of times, nullable numbers."""
    table = pd.DataFrame([vars(item) for item in bars(60)])
    times = pd.to_datetime(table.pop("timestamp"), unit="ms", utc=True)
    arrow = pd.ArrowDtype(pa.timestamp("ns", tz="UTC"))
    table = table.convert_dtypes(dtype_backend="pyarrow").set_index(pd.Index(times.astype(arrow)))
    assert Recorder().add_to_history("A", table) == 60
