from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.train.combinatorial import (
    CombinatorialConfig,
    clear,
    combinations,
    combinatorial_rows,
    group_bounds,
    inside,
    market_rows,
    paths,
    stretches,
    validation_group,
)
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.labels import triple_barrier
from quantum_trader.train.prepared import prepare_rows

Rows = NDArray[np.int64]
SHAPES = [(10, 2), (6, 2), (6, 3), (7, 4), (5, 3)]


def _bars(count: int, label: int) -> tuple[Rows, Rows]:
    """Opens 1 apart, and what labels that reach `label` bars ahead look at; the last ones pass the end."""
    time = np.arange(count, dtype=np.int64)
    return time, time + label


def _config(shape: tuple[int, int], embargo: int = 0) -> CombinatorialConfig:
    return CombinatorialConfig(groups=shape[0], test_groups=shape[1], embargo_bars=embargo)


@pytest.mark.parametrize("shape", SHAPES)
def test_combinations_and_paths_are_those_of_skfolio(shape: tuple[int, int]) -> None:
    """Test groups, number of splits and of paths, and the path of each answer agree with a second library."""
    from skfolio.model_selection import CombinatorialPurgedCV

    peer, config = CombinatorialPurgedCV(n_folds=shape[0], n_test_folds=shape[1]), _config(shape)
    every, taken = combinations(config), paths(config)
    np.testing.assert_array_equal(np.array(every), peer.test_set_index)
    assert (len(every), len(taken), config.paths) == (peer.n_splits, peer.n_test_paths, peer.n_test_paths)
    np.testing.assert_array_equal(taken.T, peer.recombined_paths)
    path_of = [[int(np.flatnonzero(taken[:, g] == n)[0]) for g in test] for n, test in enumerate(every)]
    np.testing.assert_array_equal(path_of, peer.get_path_ids())


@pytest.mark.parametrize("shape", SHAPES)
def test_every_answer_is_used_on_exactly_one_path(shape: tuple[int, int]) -> None:
    """Each test group of each combination is on one path, and a path takes tested groups only."""
    config = _config(shape)
    used = [(int(n), group) for row in paths(config) for group, n in enumerate(row)]
    assert len(set(used)) == len(used)
    assert set(used) == {(n, group) for n, test in enumerate(combinations(config)) for group in test}


def test_two_of_ten_groups_make_45_fits_and_9_paths() -> None:
    """The defaults are those of the book: 45 combinations, 9 paths."""
    config = CombinatorialConfig()
    assert len(combinations(config)) == 45
    assert paths(config).shape == (9, 10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("label", "embargo"), [(0, 0), (1, 0), (5, 0), (5, 7)])
def test_rows_are_those_of_skfolio(shape: tuple[int, int], label: int, embargo: int) -> None:
    """On a regular grid the rows clear of the test are skfolio's training rows, with a purge of one label.

    skfolio tests the last rows of a group too, whose labels look into the bars after it, and drops a label's
    length of training rows behind it instead: our embargo is then its purge and its embargo together.
    """
    from skfolio.model_selection import CombinatorialPurgedCV

    groups, test_groups = shape
    time, seen_until = _bars(groups * 24 + 3, label)
    bounds = np.append(np.arange(groups) * 24, len(time))
    config = _config(shape, label + embargo)
    peer = CombinatorialPurgedCV(
        n_folds=groups, n_test_folds=test_groups, purged_size=label, embargo_size=embargo
    )
    for test, (train, tests) in zip(combinations(config), peer.split(time[:, None]), strict=True):
        runs = stretches(test, bounds)
        kept = clear(time, seen_until, runs, config.embargo_bars)
        np.testing.assert_array_equal(np.flatnonzero(kept), train)
        mine = combinatorial_rows(time, seen_until, bounds, test, config)
        theirs = np.concatenate(tests)
        ends = np.array([next(end for start, end in runs if start <= row < end) for row in theirs])
        np.testing.assert_array_equal(np.flatnonzero(mine.test), theirs[theirs + label < ends])
        assert set(np.flatnonzero(mine.train | mine.validation)) <= set(train)


def test_what_is_purged_can_be_read_off() -> None:
    """Six groups of ten bars, labels of two, an embargo of three: every row that is left, by number."""
    time, seen_until = _bars(60, 2)
    config = _config((6, 2), 3)
    rows = combinatorial_rows(time, seen_until, np.arange(0, 61, 10), (1, 2), config)
    assert np.flatnonzero(rows.test).tolist() == list(range(10, 28))
    assert np.flatnonzero(rows.validation).tolist() == list(range(50, 58))
    assert np.flatnonzero(rows.train).tolist() == [*range(0, 8), *range(33, 48)]
    rows = combinatorial_rows(time, seen_until, np.arange(0, 61, 10), (1, 5), config)
    assert np.flatnonzero(rows.test).tolist() == [*range(10, 18), *range(50, 58)]
    assert np.flatnonzero(rows.validation).tolist() == list(range(30, 38))
    assert np.flatnonzero(rows.train).tolist() == [*range(0, 8), *range(23, 28), *range(43, 48)]


@pytest.mark.parametrize(
    ("test", "expected"), [((0, 1), 5), ((4, 5), 2), ((0, 5), 3), ((1, 4), 5), ((2, 5), 0), ((3, 5), 1)]
)
def test_validation_stands_away_from_the_test(test: tuple[int, ...], expected: int) -> None:
    """The last of the groups with the fewest tested neighbours validates."""
    assert validation_group(test, 6) == expected


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Rows, Rows, Rows, CombinatorialConfig]:
    """Bars with gaps, labels of uneven length, uneven groups."""
    groups = draw(st.integers(4, 7))
    config = CombinatorialConfig(
        groups=groups,
        test_groups=draw(st.integers(1, groups - 2)),
        embargo_bars=draw(st.integers(0, 40)),
    )
    rng = np.random.default_rng(draw(st.integers(0, 1_000)))
    count = draw(st.integers(60, 200))
    time = np.cumsum(rng.choice([1, 1, 1, 2, 30], count)).astype(np.int64)
    reach = np.minimum(np.arange(count) + rng.integers(0, draw(st.integers(1, 12)), count), count - 1)
    cuts = np.sort(rng.choice(np.arange(1, count), groups - 1, replace=False))
    bounds = np.array([time[0], *time[cuts], time[-1] + 1], dtype=np.int64)
    return time, time[reach], bounds, config


@settings(max_examples=60, deadline=None)
@given(case=_cases())
def test_nothing_fitted_looks_at_the_test(case: tuple[Rows, Rows, Rows, CombinatorialConfig]) -> None:
    """No training or validation row's span meets a test row's; the two keep apart; the embargo is kept."""
    time, seen_until, bounds, config = case
    for test in combinations(config):
        rows = combinatorial_rows(time, seen_until, bounds, test, config)
        assert (rows.train.astype(int) + rows.validation + rows.test).max() <= 1
        fitted = rows.train | rows.validation
        for left, right in ((fitted, rows.test), (rows.train, rows.validation)):
            begins, ends = time[left][:, None], seen_until[left][:, None]
            assert not ((begins <= seen_until[right]) & (time[right] <= ends)).any()
        for _, end in stretches(test, bounds):
            after = np.flatnonzero(time >= end)
            assert not fitted[after[: config.embargo_bars]].any()


@settings(max_examples=40, deadline=None)
@given(case=_cases())
def test_every_row_is_tested_equally_often(case: tuple[Rows, Rows, Rows, CombinatorialConfig]) -> None:
    """Before purging each row is a test row of C(groups - 1, test_groups - 1) combinations, after it of at
    most as many."""
    time, seen_until, bounds, config = case
    whole, purged = np.zeros(len(time), dtype=int), np.zeros(len(time), dtype=int)
    for test in combinations(config):
        whole += inside(time, time, stretches(test, bounds))
        purged += combinatorial_rows(time, seen_until, bounds, test, config).test
    assert (whole == comb(config.groups - 1, config.test_groups - 1)).all()
    assert (purged <= whole).all()


def test_groups_hold_equally_many_moments(two_markets: tuple[Market, Market]) -> None:
    """All groups but the last hold the same number of moments with a usable row, pooled over the markets."""
    config = _config((7, 2))
    bounds = group_bounds(two_markets, config)
    moments = np.unique(np.concatenate([market.bars.timestamp[market.usable] for market in two_markets]))
    counts, _ = np.histogram(moments, bounds)
    assert set(counts[:-1]) == {len(moments) // 7}
    assert counts.sum() == len(moments)
    assert bounds[-1] == two_markets[0].bars.timestamp[-1] + two_markets[0].bars.step_ms


def test_the_embargo_counts_bars_not_hours() -> None:
    """A weekend after the test does not use up the embargo."""
    time = np.concatenate([np.arange(20), 1_000 + np.arange(40)]).astype(np.int64)
    kept = clear(time, time, [(10, 20)], 5)
    assert np.flatnonzero(kept).tolist() == [*range(10), *range(25, 60)]


def test_rows_before_labels_are_the_rows_with_labels(two_markets: tuple[Market, Market]) -> None:
    """A market's rows, known without labels, are purged by what its labels then look at."""
    config, labels = _config((5, 2), 50), LabelConfig(barrier_atr=1.5)
    bounds = group_bounds(two_markets, config)
    for market in two_markets:
        found = triple_barrier(market, labels)
        time = market.bars.timestamp
        for test in combinations(config):
            early = market_rows(market, bounds, test, config, reach_bars=labels.reach_bars)
            late = combinatorial_rows(time, time[found.reach], bounds, test, config)
            for name in ("train", "validation", "test"):
                known = getattr(late, name) & market.usable & found.valid
                np.testing.assert_array_equal(getattr(early, name) & found.valid, known)


def test_nothing_fitted_depends_on_tested_bars(two_markets: tuple[Market, Market]) -> None:
    """Other prices in the tested last groups leave scaler, barrier, weights and training rows alone."""
    config = _config((5, 2), 50)
    bounds = group_bounds(two_markets, config)
    test = (3, 4)

    def made(markets: list[Market]) -> tuple[object, ...]:
        rows = [
            market_rows(market, bounds, test, config, reach_bars=LabelConfig().reach_bars)
            for market in markets
        ]
        found = prepare_rows(markets, rows, DataConfig())
        train = found.train
        return (
            found.scaler,
            found.labels,
            train.weight.tolist(),
            train.action.tolist(),
            train.timestamps.tolist(),
            found.validation.action.tolist(),
        )

    assert made(list(two_markets)) == made([_other_prices(market, int(bounds[3])) for market in two_markets])


def _other_prices(market: Market, moment: int) -> Market:
    bars = market.bars
    factor = np.where(bars.timestamp >= moment, np.random.default_rng(5).uniform(0.2, 5.0, len(bars)), 1.0)
    names = ("open", "high", "low", "close", "mark_open", "mark_high", "mark_low", "mark_close")
    changed = replace(bars, **{name: getattr(bars, name) * factor for name in names})
    return Market.build(changed, market.contract)


def test_an_empty_split_is_an_error(two_markets: tuple[Market, Market]) -> None:
    """An embargo longer than the groups leaves nothing to train on, and says so."""
    config = CombinatorialConfig(groups=5, embargo_bars=800)
    bounds = group_bounds(two_markets, config)
    rows = [market_rows(market, bounds, (0, 1), config, reach_bars=12) for market in two_markets]
    with pytest.raises(TrainingError, match="train split is empty"):
        prepare_rows(two_markets, rows, DataConfig())


def test_impossible_settings_are_errors() -> None:
    """Too many test groups, a negative embargo, too short data and arrays that do not fit are refused."""
    with pytest.raises(ConfigError, match="test_groups"):
        CombinatorialConfig(groups=5, test_groups=4)
    with pytest.raises(ConfigError, match="embargo_bars"):
        CombinatorialConfig(embargo_bars=-1)
    with pytest.raises(TrainingError, match="10 groups"):
        group_bounds([], CombinatorialConfig())
    time, seen_until = _bars(60, 2)
    with pytest.raises(ConfigError, match="bounds"):
        combinatorial_rows(time, seen_until, np.arange(3), (0, 1), _config((5, 2)))
    with pytest.raises(ConfigError, match="different groups"):
        combinatorial_rows(time, seen_until, np.arange(6), (1, 1), _config((5, 2)))
