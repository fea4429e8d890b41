"""Features see the past only, and the checkers that say so catch what does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.context import STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES, compute_table
from quantum_trader.envs.lookahead import (
    changed_by_perturbation,
    changed_by_truncation,
    leaking_columns,
    perturb_future,
)
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

BARS = synthetic_bars(SyntheticConfig(bars=800, seed=2))
MOMENTS = np.random.default_rng(1).choice(np.arange(250, 799), size=25, replace=False)


def everything(bars: Bars) -> NDArray[np.float64]:
    """The 14 features, the 6 static numbers and the ATR side by side."""
    table = compute_table(bars, preset("binance-btc"))
    return np.concatenate([table.features, table.static, table.atr[:, None]], axis=1)


def test_a_perturbed_future_leaves_the_past_alone() -> None:
    """All features and static numbers up to t are the same bits whatever happens after t."""
    assert not changed_by_perturbation(everything, BARS, MOMENTS, np.random.default_rng(0)).any()


def test_a_missing_future_leaves_the_past_alone() -> None:
    """All features and static numbers up to t are the same bits when the data end at t, at 25 random cuts."""
    assert not changed_by_truncation(everything, BARS, MOMENTS).any()


def test_no_column_is_called_leaking() -> None:
    """The public check finds nothing in the product's own features."""
    assert leaking_columns(everything, BARS, (*FEATURE_NAMES, *STATIC_NAMES, "atr")) == ()


def _daily_high(close: pd.Series) -> pd.Series:
    return close.groupby(np.arange(len(close)) // 24).transform("max")


LEAKS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "next bar": lambda close: close.shift(-1),
    "centred mean": lambda close: close.rolling(5, center=True).mean(),
    "global z-score": lambda close: (close - close.mean()) / close.std(),
    "global maximum": lambda close: close / close.max(),
    "backward fill": lambda close: close.where(np.arange(len(close)) % 7 == 0).bfill(),
    "whole day's high": _daily_high,
}
CLEAN: dict[str, Callable[[pd.Series], pd.Series]] = {
    "last bar": lambda close: close.shift(1),
    "trailing mean": lambda close: close.rolling(5).mean(),
    "expanding maximum": lambda close: close / close.cummax(),
    "forward fill": lambda close: close.where(np.arange(len(close)) % 7 == 0).ffill(),
}


@pytest.mark.parametrize("check", ["truncation", "perturbation"])
def test_each_check_flags_planted_leaks_and_nothing_else(check: str) -> None:
    """Six ways to look ahead are caught by either check alone; their causal twins are not."""
    rules = {**LEAKS, **CLEAN}

    def compute(bars: Bars) -> NDArray[np.float64]:
        close = pd.Series(bars.close)
        return np.stack([rule(close).to_numpy() for rule in rules.values()], axis=1)

    if check == "truncation":
        flagged = changed_by_truncation(compute, BARS, MOMENTS)
    else:
        flagged = changed_by_perturbation(compute, BARS, MOMENTS, np.random.default_rng(0))
    assert [name for name, leak in zip(rules, flagged, strict=True) if leak] == list(LEAKS)


def test_leaking_columns_are_named() -> None:
    """The answer holds the given names of the leaking columns, or their numbers."""

    def compute(bars: Bars) -> NDArray[np.float64]:
        return np.stack([bars.close, np.append(bars.close[1:], np.nan)], axis=1)

    assert leaking_columns(compute, BARS, ("now", "next")) == ("next",)
    assert leaking_columns(compute, BARS, cuts=2) == ("1",)


def test_a_perturbed_future_is_still_a_possible_market() -> None:
    """Rows up to t are untouched; later ones differ but keep high >= max(open, close) and low <= min."""
    bent = perturb_future(BARS, 400, np.random.default_rng(0))
    for name in ("open", "high", "low", "close", "volume", "funding_rate"):
        before, after = getattr(BARS, name), getattr(bent, name)
        np.testing.assert_array_equal(after[:401], before[:401])
    assert (bent.close[401:] != BARS.close[401:]).all()
    assert (bent.high >= np.maximum(bent.open, bent.close)).all()
    assert (bent.low <= np.minimum(bent.open, bent.close)).all()


def test_a_function_that_drops_rows_is_refused() -> None:
    """A column that is not one row per bar cannot be judged."""
    with pytest.raises(ValueError, match="one row per bar"):
        leaking_columns(lambda bars: bars.close[len(bars) // 2 :, None], BARS)
