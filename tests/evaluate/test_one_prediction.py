"""One prediction explained: it fits what the agent said, on the table and live, as page and as text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import STATIC_SIZE, context_rows
from quantum_trader.envs.errors import DataError
from quantum_trader.envs.market import sample_market
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.windows import gather
from quantum_trader.evaluate.inside import look_inside
from quantum_trader.evaluate.one_prediction import explain_live, explain_one
from quantum_trader.evaluate.report.data import PriceWindow
from quantum_trader.evaluate.report.prediction import prediction_page, prediction_text

from ..agents.tiny_tft import tiny_tft
from .explainable import OneNumber, rows, twin
from .test_report import Page


def test_one_prediction_is_the_answer_of_the_agent() -> None:
    """Probabilities, quantiles and weights are those of the row, whatever stands beside it."""
    agent, inputs = tiny_tft(), rows().inputs(np.arange(9))
    said, found = agent.signals(inputs), explain_one(agent, inputs, 7, symbol="X", timestamp=5)
    inside = look_inside(agent, inputs)
    assert inside is not None
    assert inside.steps is not None
    assert said.quantiles is not None
    assert found.quantiles is not None
    np.testing.assert_allclose(found.probabilities, said.probabilities[7], atol=1e-5)
    np.testing.assert_allclose(found.quantiles, said.quantiles[7], atol=1e-6)
    np.testing.assert_allclose(found.attention, inside.attention[7], atol=1e-6)
    np.testing.assert_allclose(found.steps, inside.steps[7], atol=1e-6)
    assert (found.symbol, found.timestamp) == ("X", 5)
    assert found.confidence == pytest.approx(float(said.directional_confidence[7]), abs=1e-5)
    groups = [len(found.effects(group)) for group in ("feature", "static", "bars", "part")]
    assert groups == [14, 6, 6, 1]


def test_effects_have_sign_and_size() -> None:
    """With its number at the median `OneNumber` knows nothing: all it said is that number's effect."""
    inputs = rows().inputs(np.arange(20))
    for row in range(20):
        found = explain_one(OneNumber(), inputs, row)
        said = float(found.probabilities[Action.BUY] - found.probabilities[Action.SELL])
        effects = [*found.effects("feature"), *found.effects("bars"), *found.effects("part")]
        by_name = {item.name: item.direction for item in effects}
        assert by_name.pop("volume_ratio") == pytest.approx(said, abs=1e-6)
        assert by_name.pop("-9 to 0") == pytest.approx(said, abs=1e-6)
        assert set(by_name.values()) == {0.0}


def test_the_clock_is_turned_by_whole_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calendar's effect is measured against the 24 hours around: true calendars of those moments."""
    market, row, seen = sample_market(), 700, []
    agent = OneNumber()
    answer = agent.signals

    def spy(inputs: ModelInputs) -> Signals:
        seen.append(inputs.context)
        return answer(inputs)

    monkeypatch.setattr(agent, "signals", spy)
    moment, context = int(market.bars.timestamp[row]), market.context[[row]]
    explain_one(agent, ModelInputs(windows=gather(market.table, np.array([row])), context=context))
    moments = moment + 3_600_000 * np.arange(-12, 12)
    static = np.repeat(context[:, :STATIC_SIZE], 24, axis=0)
    np.testing.assert_allclose(seen[0][-24:], context_rows(static, moments, 3_600_000), atol=1e-5)


def test_a_live_answer_is_explained_from_its_history() -> None:
    """After bars were fed one by one, the newest is explained as on the whole table; too few are named."""
    agent, bars, market = tiny_tft(), sample_bars()[:420], sample_market()
    with pytest.raises(DataError, match="found 0"):
        explain_live(agent, "EURUSD")
    agent.add_to_history("EURUSD", bars)
    live = explain_live(agent, "EURUSD")
    ends = np.array([419])
    table = explain_one(
        agent, ModelInputs(windows=gather(market.table, ends), context=market.context[ends]), symbol="EURUSD"
    )
    assert live.timestamp == bars.timestamp[-1]
    np.testing.assert_array_equal(live.probabilities, table.probabilities)
    assert explain_live(agent, "EURUSD", agent.histories).probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_numbers_that_are_not_finite_are_refused() -> None:
    """NaN in an observation is one sentence, not an explanation of nothing."""
    inputs = rows().inputs(np.arange(2))
    inputs.windows[1, 5, 5] = np.nan
    explain_one(OneNumber(), inputs, 0)
    with pytest.raises(DataError, match="not finite"):
        explain_one(OneNumber(), inputs, 1)


def window() -> PriceWindow:
    """The 60 bars up to row 700 of the sample and 12 after it."""
    bars = sample_bars()[641:713]
    return PriceWindow(
        symbol="EURUSD",
        decision=59,
        timestamps=bars.timestamp,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
    )


@pytest.mark.parametrize("agent", [tiny_tft(), twin(), OneNumber()], ids=["tft", "bilstm", "one_number"])
@pytest.mark.parametrize("priced", [True, False])
def test_a_prediction_has_a_page_and_a_text(agent: TFTAgent | OneNumber, priced: bool) -> None:
    """Whatever the agent knows: a page without script, nothing fetched, and text with the same answer."""
    found = explain_one(agent, rows().inputs(np.arange(1)), symbol="<i>&", timestamp=1_735_689_600_000)
    text = prediction_page(found, window() if priced else None, "A note.")
    page = Page(text)
    assert "script" not in page.tags
    assert "<i>" not in text
    assert "url(" not in text
    assert page.tags.count("figure") >= 4
    assert not re.search(r"\bnan\b|\binf\b", text, flags=re.IGNORECASE)
    lines = prediction_text(found)
    assert found.action.name in lines.splitlines()[0]
    assert "volume_ratio" in lines
