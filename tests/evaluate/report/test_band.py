from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.evaluate import bootstrap, trading_metrics
from quantum_trader.evaluate.bootstrap import BootstrapConfig
from quantum_trader.evaluate.report.band import equity_band, resampled_paths

CONFIG = BootstrapConfig(draws=400, block_bars=12.0)


def curve(bars: int = 1_000, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(mean, 0.01, bars - 1)
    return np.exp(np.concatenate([[0.0], np.cumsum(drawn)]))


def test_the_band_ends_as_the_interval_of_the_total_return() -> None:
    """At its last point it is the interval that the table prints, draw for draw."""
    equity = curve()
    band = equity_band("a", np.arange(1_000), equity, CONFIG)
    table = bootstrap.total_return_interval(trading_metrics.log_returns(equity), config=CONFIG)
    assert band.low[-1] - 1 == pytest.approx(table.low)
    assert band.high[-1] - 1 == pytest.approx(table.high)


def test_the_band_starts_at_one_and_holds_the_curve() -> None:
    """Nothing is uncertain before the first bar; later the curve lies inside, and the band widens."""
    equity = curve(seed=3)
    times = 1_000 + 60 * np.arange(1_000)
    band = equity_band("a", times, equity, CONFIG, points=50)
    assert len(band.timestamps) == 50
    assert (band.timestamps[0], band.timestamps[-1]) == (times[0], times[-1])
    assert band.low[0] == band.high[0] == 1.0
    mine = equity[np.searchsorted(times, band.timestamps)]
    assert np.all(band.low[1:] < mine[1:])
    assert np.all(mine[1:] < band.high[1:])
    width = np.log(band.high / band.low)
    assert width[40] > width[10] > width[2]


def test_paths_are_prefix_sums_of_one_resample() -> None:
    """A path's last point is the resample's sum; of a constant series every point is known."""
    values = np.random.default_rng(1).normal(size=300)
    at = np.array([0, 1, 17, 299, 300])
    paths = resampled_paths(values, at, CONFIG)
    whole = bootstrap.resampled_sums(values[:, None], block=12.0, draws=400, seed=0)[:, 0]
    np.testing.assert_allclose(paths[:, -1], whole)
    assert np.abs(paths[:, 1, None] - values).min(axis=1).max() < 1e-9
    assert np.all(paths[:, 0] == 0)
    np.testing.assert_allclose(resampled_paths(np.ones(300), at, CONFIG), np.tile(at, (400, 1)))


def test_the_band_covers_what_was_planted() -> None:
    """Of sixty independent curves about 95 % have the true growth inside their band at half time."""
    inside = 0
    for seed in range(60):
        band = equity_band("a", np.arange(400), curve(400, seed, 0.002), BootstrapConfig(draws=200), points=3)
        inside += band.low[1] < np.exp(0.002 * band.timestamps[1]) < band.high[1]
    assert inside >= 51


@pytest.mark.parametrize("bars", [2, 3, 10])
def test_short_curves_have_a_band_too(bars: int) -> None:
    """A handful of bars gives as many points, none of them undefined."""
    band = equity_band("a", np.arange(bars), curve(bars), CONFIG)
    assert len(band.timestamps) == bars
    assert np.isfinite(band.low).all()
    assert np.isfinite(band.high).all()
