"""Records of what an agent looks at: they add up, are the same again, and fit what the agent said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.context import CONTEXT_SIZE, STATIC_SIZE
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.explain import ExplainConfig, explain_rows, thinned
from quantum_trader.evaluate.explanation import (
    Band,
    effective_number,
    explanation_json,
    write_explanations,
)
from quantum_trader.evaluate.report.svg import Plot, Size
from quantum_trader.evaluate.shuffling import places, shuffle_places
from quantum_trader.train.dataset import PooledDataset

from ..agents.tiny_tft import tiny_tft
from .explainable import OneNumber, rows, twin

FEW = ExplainConfig(rows=50, shuffled_rows=30, draws=50)


def test_weights_add_up_and_are_those_of_the_answers() -> None:
    """Means are means of what the agent's signals carry, shares sum to 1, bands enclose most rows."""
    agent, test = tiny_tft(), rows()
    found = explain_rows(agent, test, replace(FEW, rows=90))
    said = agent.signals(test.inputs(np.arange(90)))
    assert said.attention is not None
    assert said.importances is not None
    assert said.quantiles is not None
    assert found.attention is not None
    assert found.importances is not None
    assert found.static_importances is not None
    assert found.steps is not None
    assert found.joint is not None
    np.testing.assert_allclose(found.attention.mean, said.attention.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.importances.mean, said.importances.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.quantiles, said.quantiles.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.steps.sum(axis=1), 1.0, atol=1e-5)
    for share in (found.attention.mean, found.static_importances.mean, found.joint):
        assert share.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(found.joint.sum(axis=1), found.attention.mean, atol=1e-5)
    assert (found.attention.low <= found.attention.high).all()
    assert sum(found.action_rows) == found.rows == 90


def test_means_by_action_make_the_mean() -> None:
    """Weighted by their rows, the means of the actions give the mean over all."""
    found = explain_rows(tiny_tft(), rows(), FEW)
    assert found.attention is not None
    assert found.attention_by_action is not None
    parts = np.nan_to_num(found.attention_by_action) * np.array(found.action_rows)[:, None] / found.rows
    np.testing.assert_allclose(parts.sum(axis=0), found.attention.mean, atol=1e-6)


def test_the_same_again() -> None:
    """Two explanations with the same seed are equal to the last digit; another seed shuffles otherwise."""
    first, again = (explanation_json(explain_rows(tiny_tft(), rows(), FEW)) for _ in range(2))
    assert first == again
    other = explanation_json(explain_rows(tiny_tft(), rows(), replace(FEW, seed=1)))
    assert other["attention"] == first["attention"]
    assert other["shuffled"] != first["shuffled"]


def test_an_agent_gets_what_it_has() -> None:
    """The BiLSTM has attention and no selection; an agent that is no network has neither. Both can lose."""
    lstm, other = explain_rows(twin(), rows(), FEW), explain_rows(OneNumber(), rows(), FEW)
    assert lstm.attention is not None
    assert lstm.effective_bars is not None
    assert lstm.quantiles is not None
    for found in (lstm, other):
        assert found.importances is found.steps is found.joint is found.static_importances is None
        assert len(found.lost("feature")) == 14
    assert other.attention is other.effective_bars is other.quantiles is None


def test_shuffling_is_felt_where_the_agent_looks_and_nowhere_else() -> None:
    """An agent that reads one number of one bar loses by that feature, those bars and the window alone."""
    found = explain_rows(OneNumber(), rows(300), replace(FEW, shuffled_rows=100))
    felt = {item.name for item in found.shuffled if item.increase.estimate != 0.0}
    assert felt == {"volume_ratio", "-9 to 0", "window"}
    assert all(item.increase.above_zero for item in found.shuffled if item.name in felt)
    unread = next(item.increase for item in found.shuffled if item.name == "calendar")
    assert (unread.estimate, unread.low, unread.high) == (0.0, 0.0, 0.0)


def test_shuffling_leaves_the_inputs_alone() -> None:
    """The caller's arrays are as before, and a place covers its own numbers only."""
    inputs = rows().inputs(np.arange(20))
    before = inputs.windows.copy(), inputs.context.copy()
    shuffle_places(
        OneNumber(), inputs, np.ones(20, dtype=np.int8), seed=0, bootstrap=BootstrapConfig(draws=9)
    )
    np.testing.assert_array_equal(inputs.windows, before[0])
    np.testing.assert_array_equal(inputs.context, before[1])
    touched = dict.fromkeys(("feature", "static", "bars", "part"), 0)
    for place in places(inputs):
        empty = ModelInputs(windows=np.ones((1, 60, 14), np.float32), context=np.ones((1, CONTEXT_SIZE)))
        place.clear(empty, 0)
        touched[place.group] += int((empty.windows == 0).sum() + (empty.context == 0).sum())
    whole = 60 * 14 + CONTEXT_SIZE
    assert touched == {"feature": 60 * 14, "static": STATIC_SIZE, "bars": 60 * 14, "part": whole}


def test_a_constant_input_costs_no_pass() -> None:
    """A number that is the same in all rows cannot be shuffled: its loss is exactly zero."""
    test = rows()
    windows = test.windows(np.arange(90))
    windows[:, :, 3] = 0.5
    found = explain_rows(OneNumber(), PooledDataset.from_windows(windows, test.action), FEW)
    assert all(item.increase.estimate == 0.0 for item in found.shuffled)


def test_effective_numbers_by_example() -> None:
    """Equal weights count all of them, a single weight counts one, two halves two."""
    weights = np.array([[0.25] * 4, [1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(effective_number(weights), [4.0, 1.0, 2.0])


def test_bands_by_example() -> None:
    """Of 0 to 100 the mean is 50, and four fifths lie between 10 and 90."""
    band = Band.of(np.arange(101.0)[:, None])
    assert (band.mean[0], band.low[0], band.high[0]) == (50.0, 10.0, 90.0)


def test_thinning_keeps_both_ends() -> None:
    """Rows are evenly spaced, all of them where there are few."""
    np.testing.assert_array_equal(thinned(10, 4), [0, 3, 6, 9])
    np.testing.assert_array_equal(thinned(3, 100), [0, 1, 2])


def test_the_file_is_strict_json(tmp_path: Path) -> None:
    """One entry an agent, names beside numbers, null for what is not defined, and nothing left behind."""
    path = tmp_path / "explanations.json"
    write_explanations(path, [explain_rows(agent, rows(), FEW) for agent in (tiny_tft(), OneNumber())])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert set(found) == {"tft", "one_number"}
    assert found["one_number"]["attention"] is None
    tft = found["tft"]
    assert len(tft["steps"]) == 60
    assert len(tft["feature_names"]) == len(tft["importances"]["mean"]) == 14
    assert {"name", "group", "increase"} == set(tft["shuffled"][0])


def test_a_heat_map_draws_every_cell_once_in_its_shade() -> None:
    """Zero is left blank, the largest value is darkest, and each of the others lies in between."""
    plot = Plot(Size(width=100, height=100, left=0, right=0, top=0, bottom=0), (-0.5, 2.5), (-0.5, 1.5))
    plot.cells(np.array([[0.0, 0.1], [0.5, 1.0], [1.0, 0.0]]))
    drawn = dict(re.findall(r'class="heat (h\d)" d="([^"]+)"', plot.svg("heat")))
    assert {shade: path.count("M") for shade, path in drawn.items()} == {"h1": 1, "h4": 1, "h8": 2}
    assert drawn["h4"] == "M33.3 100.0H66.7V50.0H33.3z"
