from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tabular import TABULAR_NAMES, TABULAR_SIZE, by_feature, tabular
from quantum_trader.envs.context import CALENDAR_NAMES, CONTEXT_SIZE, STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.windows import WINDOW


@pytest.fixture(scope="module")
def inputs() -> ModelInputs:
    rng = np.random.default_rng(0)
    return ModelInputs(
        windows=rng.normal(size=(50, WINDOW, 14)).astype(np.float32),
        context=rng.normal(size=(50, CONTEXT_SIZE)).astype(np.float32),
    )


@pytest.mark.parametrize("feature", [0, 7, 13])
def test_columns_are_what_their_names_say(inputs: ModelInputs, feature: int) -> None:
    """Each statistic equals its definition, under the name of its feature."""
    table = dict(zip(TABULAR_NAMES, tabular(inputs).T, strict=True))
    name, series = FEATURE_NAMES[feature], inputs.windows[:, :, feature].astype(np.float64)
    expected = {
        "lag_0": series[:, -1],
        "lag_5": series[:, -6],
        "lag_23": series[:, -24],
        "mean_5": series[:, -5:].mean(axis=1),
        "mean_60": series.mean(axis=1),
        "std_20": series[:, -20:].std(axis=1),
        "slope_20": 20 * np.polyfit(np.arange(20), series[:, -20:].T, 1)[0],
        "min_60": series.min(axis=1),
        "max_60": series.max(axis=1),
    }
    for statistic, values in expected.items():
        assert table[f"{name}__{statistic}"] == pytest.approx(values, abs=1e-5), statistic


def test_context_is_there(inputs: ModelInputs) -> None:
    """The static numbers and the calendar of the next bar follow, so that the time of day is known."""
    table = tabular(inputs)
    names = (*STATIC_NAMES, *CALENDAR_NAMES)
    assert TABULAR_NAMES[-len(names) :] == names
    assert (table[:, -len(names) :] == inputs.context[:, : len(names)]).all()


def test_rows_do_not_depend_on_the_batch(inputs: ModelInputs) -> None:
    """A row alone equals itself in a batch, to the bit."""
    whole = tabular(inputs)
    for row in range(len(inputs)):
        part = slice(row, row + 1)
        alone = ModelInputs(windows=inputs.windows[part], context=inputs.context[part])
        assert (tabular(alone)[0] == whole[row]).all()


def test_more_rows_than_are_worked_on_at_once(inputs: ModelInputs) -> None:
    """A row in a batch of many chunks equals itself in a small one, to the bit, NaN included."""
    windows, context = np.tile(inputs.windows, (25, 1, 1)), np.tile(inputs.context, (25, 1))
    windows[:, 3, 5] = np.nan
    many = tabular(ModelInputs(windows=windows, context=context))
    few = tabular(ModelInputs(windows=windows[:50], context=context[:50]))
    np.testing.assert_array_equal(many, np.tile(few, (25, 1)))
    assert np.isnan(few).any()


def test_names_are_distinct_and_complete(inputs: ModelInputs) -> None:
    """There is one name per column and no name twice."""
    assert tabular(inputs).shape == (50, TABULAR_SIZE)
    assert len(set(TABULAR_NAMES)) == TABULAR_SIZE


def test_sums_by_feature() -> None:
    """Values are added up over each feature's own columns, without the context's."""
    values = np.array([2.0 if name.startswith("rsi_14__") else 0.0 for name in TABULAR_NAMES])
    values[-1] = 100.0
    shares = by_feature(values)
    assert shares[FEATURE_NAMES.index("rsi_14")] == 1.0
    assert shares.sum() == 1.0
    assert by_feature(np.zeros(TABULAR_SIZE)).sum() == 0.0
