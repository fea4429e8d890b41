from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t as student

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


@pytest.mark.parametrize(("rows", "level"), [(5, 0.95), (40, 0.95), (40, 0.8), (2_000, 0.95)])
def test_single_rows_are_cut_as_students_t_wants(rows: int, level: float) -> None:
    """With blocks of one row the tail is Student's of rows - 1 degrees, the variance's divisor corrected."""
    wanted = student.isf((1 - level) / 2, rows - 1) * np.sqrt(rows / (rows - 1))
    assert bootstrap.tail_share(rows, 1.0, level) == pytest.approx(norm.sf(wanted))


def test_fewer_blocks_are_cut_further_out() -> None:
    """The tail shrinks with the block, tends to the nominal one with the sample, and is always defined."""
    tails = [bootstrap.tail_share(1_000, block, 0.95) for block in (1.0, 10.0, 50.0, 200.0, 5_000.0)]
    assert np.all(np.diff(tails) < 0)
    assert bootstrap.tail_share(200_000, 24.0, 0.95) == pytest.approx(0.025, abs=2e-4)
    for rows in (1, 2, 3):
        for block in (0.5, 1.0, 3.0, 50.0):
            assert 0.0 <= bootstrap.tail_share(rows, block, 0.95) <= 0.025 + 1e-12


def test_few_blocks_cover_too() -> None:
    """Three weeks of hourly bars, labels of 24: 10 blocks cover 90 to 97 %, plain percentiles below 90 %."""
    covered, plain = [], []
    for seed in range(600):
        steps = np.random.default_rng(seed).normal(size=500 + 24)
        path = np.concatenate([[0.0], np.cumsum(steps)])
        up = (path[24 : 24 + 500] > path[:500]).astype(float)
        found = bootstrap.mean_interval(up, config=BootstrapConfig(block_bars=48, draws=400, seed=seed))
        covered.append(found.low <= 0.5 <= found.high)
        means = bootstrap.resampled_sums(up[:, None], block=48, draws=400, seed=seed)[:, 0] / 500
        low, high = np.quantile(means, [0.025, 0.975])
        plain.append(low <= 0.5 <= high)
    assert 0.90 <= np.mean(covered) <= 0.97
    assert np.mean(plain) < 0.90


def test_events_of_one_stretch_have_no_interval() -> None:
    """Forty events within two blocks of time say as much as two: no bounds; spread out they have some."""
    events, hits = np.zeros(600), np.zeros(600)
    events[100:140] = 1.0
    hits[100:120] = 1.0
    assert bootstrap.share_interval(hits, events, config=CONFIG).estimate == 0.5
    assert np.isnan(bootstrap.share_interval(hits, events, config=CONFIG).low)
    events[::20] = 1.0
    assert np.isfinite(bootstrap.share_interval(hits, events, config=CONFIG).low)
