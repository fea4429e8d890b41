"""`features_causal` passes the product's features and fails six ways to look ahead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.checks.features import INPUT_NAMES, features_causal, model_inputs

Rule = Callable[[pd.Series], pd.Series]

LEAKS: dict[str, Rule] = {
    "shift(-1)": lambda close: close.shift(-1),
    "centred rolling mean": lambda close: close.rolling(5, center=True).mean(),
    "global z-score": lambda close: (close - close.mean()) / close.std(),
    "global maximum": lambda close: close / close.max(),
    "bfill": lambda close: close.where(np.arange(len(close)) % 7 == 0).bfill(),
    "the day's high": lambda close: close.groupby(np.arange(len(close)) // 24).transform("max"),
}
CLEAN: dict[str, Rule] = {
    "shift(1)": lambda close: close.shift(1),
    "trailing mean": lambda close: close.rolling(5).mean(),
    "expanding z-score": lambda close: (close - close.expanding().mean()) / close.expanding().std(),
    "ffill": lambda close: close.where(np.arange(len(close)) % 7 == 0).ffill(),
}


def column(rule: Rule) -> Callable[[Bars], NDArray[np.float64]]:
    return lambda bars: rule(pd.Series(bars.close)).to_numpy()[:, None]


def test_own_features_pass(market: Market) -> None:
    """The 14 features, and all that models see, do not change by a bit."""
    assert features_causal(market.bars).passed is True
    everything = features_causal(market.bars, model_inputs(market.contract), INPUT_NAMES)
    assert everything.passed is True, everything.detail


@pytest.mark.parametrize("name", LEAKS)
def test_planted_leaks_fail(name: str, market: Market) -> None:
    """A feature that looks ahead fails, and is named."""
    found = features_causal(market.bars, column(LEAKS[name]), [name])
    assert found.passed is False
    assert name in found.detail


@pytest.mark.parametrize("name", CLEAN)
def test_causal_twins_pass(name: str, market: Market) -> None:
    """The same rules turned to the past pass."""
    assert features_causal(market.bars, column(CLEAN[name]), [name]).passed is True


def test_short_series_are_not_asked(market: Market) -> None:
    """Too few bars give no verdict."""
    assert features_causal(market.bars[:300]).passed is None
