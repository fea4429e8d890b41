"""The folds of a walk-forward: where they lie, and what they cannot see."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import random_walk_bars
from quantum_trader.evaluate.sweep.folds import fold_splits
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.logistic import fit_logistic
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.splits import Cuts, calendar_cuts
from quantum_trader.train.tree_config import LogisticConfig

FOUR = WalkForwardConfig(folds=4)
LIGHT = LogisticConfig(max_rows=300, max_iterations=5)


@pytest.fixture(scope="module")
def markets() -> list[Market]:
    """Two walks, the second of which begins later and ends earlier."""
    first, second = (random_walk_bars(1_500, seed, symbol=f"WALK{seed}") for seed in (0, 1))
    return [Market.build(bars, preset("binance-btc")) for bars in (first, second[300:1_300])]


def moments_of(markets: list[Market]) -> np.ndarray:
    """int64: every moment at which some market has a usable row."""
    return np.unique(np.concatenate([market.bars.timestamp[market.usable] for market in markets]))


def cuts_of(markets: list[Market], config: WalkForwardConfig) -> list[Cuts]:
    return [calendar_cuts(markets, splits) for splits in fold_splits(markets, config)]


def counted(markets: list[Market], start: int, end: int) -> int:
    moments = moments_of(markets)
    return int(((moments >= start) & (moments < end)).sum())


def garbled(market: Market, since: int) -> Market:
    """The market with every price and volume from the moment `since` on replaced by something else."""
    rng = np.random.default_rng(9)
    bars = market.bars
    late = bars.timestamp >= since
    factor = np.where(late, rng.uniform(0.3, 3.0, len(bars)), 1.0)
    prices = {
        field.name: getattr(bars, field.name) * factor
        for field in fields(Bars)
        if field.name.endswith(("open", "high", "low", "close"))
    }
    return Market.build(replace(bars, volume=bars.volume * factor[::-1] ** late, **prices), market.contract)


@pytest.mark.parametrize("kind", ["expanding", "rolling"])
def test_test_slices_tile_the_time_line(markets: list[Market], kind: str) -> None:
    """The first begins after training and validation, each where the one before ended, up to the last bar."""
    config = replace(FOUR, kind=kind)  # type: ignore[arg-type]
    cuts, moments = cuts_of(markets, config), moments_of(markets)
    assert len(cuts) == 4
    assert cuts[0].validation_end == moments[int(0.4 * len(moments)) + int(0.1 * len(moments))]
    assert [late.validation_end for late in cuts[1:]] == [early.test_end for early in cuts[:-1]]
    assert cuts[-1].test_end == moments[-1] + markets[0].bars.step_ms
    sizes = [counted(markets, cut.validation_end, cut.test_end) for cut in cuts]
    assert max(sizes) - min(sizes) <= 1


def test_a_fold_learns_before_it_is_judged(markets: list[Market]) -> None:
    """Training, validation and test follow one another; the validation is always as long."""
    for cut in cuts_of(markets, FOUR):
        assert cut.train_start < cut.train_end < cut.validation_end < cut.test_end
        assert counted(markets, cut.train_end, cut.validation_end) == int(0.1 * len(moments_of(markets)))


def test_expanding_remembers_and_rolling_forgets(markets: list[Market]) -> None:
    """Expanding folds begin with the first bar; rolling ones train on equally many moments each."""
    first = moments_of(markets)[0]
    assert {cut.train_start for cut in cuts_of(markets, FOUR)} == {first}
    rolling = cuts_of(markets, replace(FOUR, kind="rolling"))
    assert {counted(markets, cut.train_start, cut.train_end) for cut in rolling} == {
        int(0.4 * len(moments_of(markets)))
    }
    starts = [cut.train_start for cut in rolling]
    assert starts == sorted(set(starts))
    assert starts[0] == first


def test_dates_bound_the_folds(markets: list[Market]) -> None:
    """Nothing before `start` is learnt from and nothing from `end` on is judged."""
    moments = moments_of(markets)
    start, end = (str(np.datetime64(int(moments[place]), "ms")) for place in (100, 900))
    cuts = cuts_of(markets, replace(FOUR, start=start, end=end))
    assert cuts[0].train_start == moments[100]
    assert cuts[-1].test_end == moments[899] + markets[0].bars.step_ms
    with pytest.raises(ConfigError, match="start: expected a UTC date"):
        fold_splits(markets, replace(FOUR, start="soon"))


@pytest.mark.parametrize("change", [{"folds": 1_000}, {"start": "2100-01-01"}, {"end": "1990-01-01"}])
def test_too_little_data_is_one_sentence(markets: list[Market], change: dict[str, object]) -> None:
    """More folds than moments, or dates that leave none: what was found and what helps."""
    with pytest.raises(
        TrainingError, match=r"usable moments are too few for \d+ folds: give longer data"
    ) as found:
        fold_splits(markets, replace(FOUR, **change))  # type: ignore[arg-type]
    assert "\n" not in str(found.value)


def test_no_label_reaches_into_the_next_part(markets: list[Market]) -> None:
    """Every row's label is known before the next part begins, in each fold and market."""
    for splits in fold_splits(markets, FOUR):
        fold = prepare(markets, DataConfig(splits=splits))
        ends = fold.cuts.train_end, fold.cuts.validation_end, fold.cuts.test_end
        for rows, end in zip((fold.train, fold.validation, fold.test), ends, strict=True):
            for index, market in enumerate(fold.markets):
                seen_until = rows.end[rows.market == index] + fold.labels.horizon_bars
                assert (market.bars.timestamp[seen_until] < end).all()


@pytest.fixture(scope="module")
def second_fold(markets: list[Market]) -> Prepared:
    return prepare(markets, DataConfig(splits=fold_splits(markets, FOUR)[1]))


def said(fold: Prepared, *, of: str) -> np.ndarray:
    agent = fit_logistic(fold.train, fold.validation, LIGHT, 0)
    rows = getattr(fold, of)
    return agent.signals(rows.inputs(np.arange(len(rows)))).probabilities


def test_what_comes_after_a_fold_cannot_be_seen_in_it(markets: list[Market], second_fold: Prepared) -> None:
    """With garbage after its test slice, scaler, barrier, rows and answers are the same to the bit."""
    splits = fold_splits(markets, FOUR)[1]
    later = [garbled(market, second_fold.cuts.test_end) for market in markets]
    other = prepare(later, DataConfig(splits=splits))
    assert other.scaler == second_fold.scaler
    assert other.labels == second_fold.labels
    for name in ("train", "validation", "test"):
        own, same = getattr(second_fold, name), getattr(other, name)
        for field in ("market", "end", "action", "returns", "weight"):
            np.testing.assert_array_equal(getattr(own, field), getattr(same, field))
        every = np.arange(len(own))
        np.testing.assert_array_equal(own.windows(every), same.windows(every))
    np.testing.assert_array_equal(said(second_fold, of="test"), said(other, of="test"))


def test_its_own_test_bars_decide_nothing_fitted(markets: list[Market], second_fold: Prepared) -> None:
    """With garbage from its test slice on, all that is fitted stays the same; only answers there change."""
    splits = fold_splits(markets, FOUR)[1]
    later = [garbled(market, second_fold.cuts.validation_end) for market in markets]
    other = prepare(later, DataConfig(splits=splits))
    assert other.scaler == second_fold.scaler
    assert other.labels == second_fold.labels
    np.testing.assert_array_equal(said(second_fold, of="validation"), said(other, of="validation"))
    assert not np.array_equal(said(second_fold, of="test"), said(other, of="test"))
