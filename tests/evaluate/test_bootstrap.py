from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.evaluate import bootstrap
from quantum_trader.evaluate.bootstrap import BootstrapConfig

CONFIG = BootstrapConfig(block_bars=12, draws=400, seed=1)


def test_blocks_fill_the_sample_with_geometric_lengths() -> None:
    """Every resample has as many rows as the data, in blocks of the wanted mean length."""
    starts, lengths = bootstrap.stationary_blocks(5_000, 20.0, 200, seed=0)
    assert np.all(lengths.sum(axis=1) == 5_000)
    assert starts.min() >= 0
    assert starts.max() < 5_000
    # The last block of each resample is cut, so the mean falls a little short of 20.
    assert lengths[lengths > 0].mean() == pytest.approx(20, rel=0.03)


def test_sums_from_prefixes_are_the_sums_of_the_rows() -> None:
    """Prefix sums give what adding up the resampled rows gives, draw for draw."""
    data = np.random.default_rng(0).normal(size=(97, 2))
    quick = bootstrap.resampled_sums(data, block=7, draws=50, seed=3)
    slow: list[np.ndarray] = []
    bootstrap.interval(lambda rows: slow.append(rows.sum(axis=0)) or 0.0, data, block=7, seed=3, draws=50)
    np.testing.assert_allclose(quick, np.stack(slow[:50]), atol=1e-9)


def test_same_seed_same_interval() -> None:
    """An interval is a function of data and seed."""
    data = np.random.default_rng(1).normal(size=300)
    first = bootstrap.mean_interval(data, config=CONFIG)
    assert first == bootstrap.mean_interval(data, config=CONFIG)
    assert first != bootstrap.mean_interval(data, config=BootstrapConfig(block_bars=12, draws=400, seed=2))


def test_general_and_quick_path_agree() -> None:
    """The interval of a mean is the same whether computed from rows or from sums."""
    data = np.random.default_rng(2).normal(size=200)
    quick = bootstrap.mean_interval(data, config=CONFIG)
    general = bootstrap.interval(
        lambda rows: float(rows.mean()), data, block=12, seed=1, draws=400, level=0.95
    )
    assert quick.low == pytest.approx(general.low)
    assert quick.high == pytest.approx(general.high)


def test_paired_difference_is_narrower_than_its_parts() -> None:
    """What two agents share cancels: the paired interval is far narrower than either one's own."""
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 1, 1_000)
    left, right = shared + 0.05 + rng.normal(0, 0.1, 1_000), shared
    paired = bootstrap.paired_difference(left, right, config=CONFIG)
    alone = bootstrap.mean_interval(left, config=CONFIG)
    assert paired.above_zero
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)


def test_win_rate_interval_contains_the_rate_and_knows_its_limits() -> None:
    """The win rate is the share of winners; one trade or none has no interval worth stating."""
    bars = np.arange(0, 600, 3)
    net = np.where(np.arange(200) % 5 < 3, 1.0, -1.0)
    found = bootstrap.win_rate_interval(bars, net, length=600, config=CONFIG)
    assert found.estimate == pytest.approx(0.6)
    assert found.low < 0.6 < found.high
    few = bootstrap.win_rate_interval(bars[:5], net[:5], length=600, config=CONFIG)
    assert few.estimate == pytest.approx(0.6)
    assert np.isnan(few.low)
    none = bootstrap.win_rate_interval(bars[:0], net[:0], length=600, config=CONFIG)
    assert np.isnan(none.estimate)
    assert np.isnan(none.low)
    assert np.isnan(bootstrap.mean_interval(np.zeros(0), config=CONFIG).low)


def test_sharpe_and_return_intervals_contain_their_estimates() -> None:
    """Sharpe and total return lie within their intervals; a constant series has no Sharpe ratio."""
    returns = np.random.default_rng(4).normal(0.001, 0.01, 800)
    sharpe = bootstrap.sharpe_interval(returns, config=CONFIG)
    assert sharpe.estimate == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert sharpe.low < sharpe.estimate < sharpe.high
    total = bootstrap.total_return_interval(np.log1p(returns), config=CONFIG)
    assert total.estimate == pytest.approx(np.prod(1 + returns) - 1)
    assert np.isnan(bootstrap.sharpe_interval(np.zeros(100), config=CONFIG).estimate)


def test_nominal_95_covers_about_95_on_overlapping_labels() -> None:
    """Labels that overlap by 6 bars: the block interval covers the truth 90-97 %, an iid one far less."""
    covered_blocks = covered_iid = 0
    trials, bars, horizon = 200, 1_500, 6
    for trial in range(trials):
        steps = np.random.default_rng(trial).normal(size=bars + horizon)
        path = np.concatenate([[0.0], np.cumsum(steps)])
        up = (path[horizon : horizon + bars] > path[:bars]).astype(float)  # P(up) = 1/2 by symmetry
        blocks = BootstrapConfig(block_bars=4 * horizon, draws=300, seed=trial)
        single = BootstrapConfig(block_bars=1, draws=300, seed=trial)
        wide = bootstrap.mean_interval(up, config=blocks)
        narrow = bootstrap.mean_interval(up, config=single)
        covered_blocks += wide.low <= 0.5 <= wide.high
        covered_iid += narrow.low <= 0.5 <= narrow.high
    assert 0.90 <= covered_blocks / trials <= 0.97
    assert covered_iid / trials < 0.75
