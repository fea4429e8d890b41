from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.envs.bars import epoch_ms
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.train.data_config import LabelConfig
from quantum_trader.train.labels import triple_barrier
from quantum_trader.train.splits import (
    Cuts,
    SplitConfig,
    calendar_cuts,
    split_markets,
    split_rows,
    training_rows,
)


@settings(max_examples=40, deadline=None)
@given(
    train=st.floats(0.2, 0.7),
    validation=st.floats(0.1, 0.25),
    horizon=st.integers(1, 30),
    barrier=st.floats(0.3, 4.0),
)
def test_no_row_sees_the_next_split(
    two_markets: tuple[Market, Market], train: float, validation: float, horizon: int, barrier: float
) -> None:
    """In every market each split's labels end before the next split's first decision bar opens."""
    label_config = LabelConfig(horizon_bars=horizon, barrier_atr=barrier)
    labels = [triple_barrier(market, label_config) for market in two_markets]
    cuts = calendar_cuts(two_markets, SplitConfig(train_fraction=train, validation_fraction=validation))
    splits = split_markets(two_markets, labels, cuts)
    time = [market.bars.timestamp for market in two_markets]
    for earlier, later in (("train", "validation"), ("validation", "test")):
        seen = [t[i.reach][getattr(s, earlier)] for t, i, s in zip(time, labels, splits, strict=True)]
        first = [t[getattr(s, later)] for t, s in zip(time, splits, strict=True)]
        assert np.concatenate(seen).max() < np.concatenate(first).min()
    for item, split in zip(labels, splits, strict=True):
        assert (item.reach >= item.end).all()
        assert (split.train.astype(int) + split.validation + split.test).max() == 1


def test_purging_removes_exactly_the_rows_that_look_across(two_markets: tuple[Market, Market]) -> None:
    """Of the usable rows before a cut, those within reach of it are in no split, all others are."""
    market = two_markets[0]
    labels = triple_barrier(market, LabelConfig(barrier_atr=1.4))
    time = market.bars.timestamp
    cuts = Cuts(
        train_start=int(time[0]),
        train_end=int(time[500]),
        validation_end=int(time[700]),
        test_end=int(time[800]),
    )
    split = split_rows(market, labels, cuts)
    first = int(np.flatnonzero(market.usable)[0])
    # The farthest horizon is 12 bars: bar 487 looks at bar 499, the last before the cut.
    assert np.flatnonzero(split.train).tolist() == list(range(first, 488))
    assert np.flatnonzero(split.validation).tolist() == list(range(500, 688))
    assert np.flatnonzero(split.test).tolist() == list(range(700, 788))


def test_rows_to_fit_on_are_the_training_split(two_markets: tuple[Market, Market]) -> None:
    """What scaler and barrier are fitted on is known without labels and equals the purged training rows."""
    config = LabelConfig(barrier_atr=1.4)
    cuts = calendar_cuts(two_markets, SplitConfig())
    for market in two_markets:
        split = split_rows(market, triple_barrier(market, config), cuts)
        assert (training_rows(market, cuts, config) == split.train).all()


def test_all_markets_share_one_calendar(two_markets: tuple[Market, Market]) -> None:
    """Fractions become moments of the pooled time line, also where a market starts later."""
    cuts = calendar_cuts(two_markets, SplitConfig(train_fraction=0.5, validation_fraction=0.25))
    moments = np.unique(np.concatenate([market.bars.timestamp[market.usable] for market in two_markets]))
    assert cuts.train_end == moments[int(0.5 * len(moments))]
    assert cuts.validation_end == moments[int(0.75 * len(moments))]


def test_dates_are_utc_moments(two_markets: tuple[Market, Market]) -> None:
    """Dates set the cuts to the millisecond, without a time zone of the machine."""
    bars = two_markets[0].bars
    dates = [str(pd.Timestamp(int(bars.timestamp[row]), unit="ms")) for row in (300, 500, 700, 800)]
    config = SplitConfig(train_start=dates[0], train_end=dates[1], validation_end=dates[2], test_end=dates[3])
    cuts = calendar_cuts(two_markets, config)
    assert cuts == Cuts(
        train_start=int(bars.timestamp[300]),
        train_end=int(bars.timestamp[500]),
        validation_end=int(bars.timestamp[700]),
        test_end=int(bars.timestamp[800]),
    )
    assert epoch_ms(pd.Timestamp(dates[1], tz="UTC")) == cuts.train_end


def test_an_empty_split_is_named(two_markets: tuple[Market, Market]) -> None:
    """A split without rows is an error that names it."""
    labels = [triple_barrier(market, LabelConfig(barrier_atr=1.4)) for market in two_markets]
    end = int(two_markets[0].bars.timestamp[-1])
    cuts = Cuts(train_start=0, train_end=end - 1, validation_end=end, test_end=end + 1)
    with pytest.raises(TrainingError, match="validation split is empty"):
        split_markets(two_markets, labels, cuts)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train_fraction": 0.9, "validation_fraction": 0.2}, "leave a rest"),
        ({"train_end": "2024-01-01"}, "belong together"),
        ({"train_end": "2024-06-01", "validation_end": "2024-01-01"}, "follow one another"),
        ({"train_end": "soon", "validation_end": "2024-01-01"}, "UTC date"),
    ],
)
def test_impossible_splits_are_refused(
    two_markets: tuple[Market, Market], wrong: dict[str, Any], message: str
) -> None:
    """Fractions that leave no test, half a pair of dates, dates out of order: one sentence each."""
    with pytest.raises(ConfigError, match=message):
        calendar_cuts(two_markets, SplitConfig(**wrong))
