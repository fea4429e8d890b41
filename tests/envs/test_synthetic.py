"""Made-up markets."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.load import bars_from_frame
from quantum_trader.envs.synthetic import (
    PlantedConfig,
    SyntheticConfig,
    planted_bars,
    random_walk_bars,
    synthetic_bars,
)

MARKETS = {
    "synthetic": lambda seed: synthetic_bars(SyntheticConfig(bars=3_000, seed=seed)),
    "walk": lambda seed: random_walk_bars(3_000, seed),
    "planted": lambda seed: planted_bars(PlantedConfig(bars=3_000, seed=seed)).bars,
}


def returns(bars: Bars) -> np.ndarray:
    return np.diff(np.log(bars.close))


@pytest.mark.parametrize("market", MARKETS)
def test_bars_are_valid_and_repeatable(market: str) -> None:
    """They pass the checks for real data; the same seed gives the same bars, another seed others."""
    bars = MARKETS[market](1)
    assert len(bars) == 3_000
    assert bars_from_frame(bars.to_frame(), symbol=bars.symbol).digest == bars.digest
    assert bars.digest == MARKETS[market](1).digest
    assert bars.digest != MARKETS[market](2).digest
    np.testing.assert_array_equal(bars.open[1:], bars.close[:-1])


@pytest.mark.parametrize("market", ["synthetic", "walk"])
def test_the_past_says_nothing_about_direction(market: str) -> None:
    """Over 20 markets, mean return and autocorrelation of signs are zero within error."""
    lagged, means = [], []
    for seed in range(20):
        moves = returns(MARKETS[market](seed))
        lagged.append(np.mean(np.sign(moves[1:]) * np.sign(moves[:-1])))
        means.append(moves.mean() / moves.std() * np.sqrt(len(moves)))
    assert abs(np.mean(lagged)) < 4 / np.sqrt(20 * 3_000)
    assert abs(np.mean(means)) < 4 / np.sqrt(20)


def test_lifelike_bars_have_clusters_tails_and_funding() -> None:
    """Volatility persists, tails are heavier than normal, a rate settles every 8 hours and only then."""
    bars = synthetic_bars(SyntheticConfig(bars=20_000))
    size = np.abs(returns(bars))
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.15
    standard = returns(bars) / returns(bars).std()
    assert np.mean(standard**4) > 4.0
    np.testing.assert_array_equal(np.isfinite(bars.funding_rate), bars.timestamp % (8 * 3_600_000) == 0)


def test_a_walk_has_independent_normal_returns() -> None:
    """Deviation as asked, normal tails, no clusters."""
    moves = returns(random_walk_bars(20_000, 0, volatility=0.01))
    assert moves.std() == pytest.approx(0.01, rel=0.03)
    assert np.mean((moves / moves.std()) ** 4) == pytest.approx(3.0, abs=0.2)
    assert abs(np.corrcoef(np.abs(moves[1:]), np.abs(moves[:-1]))[0, 1]) < 0.03


@pytest.mark.parametrize(("accuracy", "drift"), [(0.85, 1.0), (0.5, 1.0), (1.0, 0.3), (0.7, 2.0)])
def test_the_oracle_is_right_as_often_as_stated(accuracy: float, drift: float) -> None:
    """Following the cue for `hold` bars wins with the stated Bayes accuracy, within error."""
    config = PlantedConfig(bars=60_000, seed=3, accuracy=accuracy, drift=drift)
    market = planted_bars(config)
    rows = np.flatnonzero(market.cue[: -config.hold])
    move = np.log(market.bars.close[rows + config.hold] / market.bars.close[rows])
    right = np.mean(np.sign(move) == market.cue[rows])
    assert right == pytest.approx(market.bayes_accuracy, abs=4 * 0.5 / np.sqrt(len(rows)))
    assert accuracy != 0.5 or market.bayes_accuracy == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (SyntheticConfig, {"bars": 0}),
        (SyntheticConfig, {"clustering": 1.0}),
        (SyntheticConfig, {"volatility": 0.0}),
        (PlantedConfig, {"accuracy": 1.5}),
        (PlantedConfig, {"hold": 0}),
        (PlantedConfig, {"cue_probability": 0.0}),
    ],
)
def test_impossible_settings_are_refused(kind: type, setting: dict[str, float]) -> None:
    """The message names the setting, the allowed range and what was found."""
    name, value = next(iter(setting.items()))
    with pytest.raises(ConfigError, match=f"^{name} .*found {value}"):
        kind(**setting)


def test_cues_are_where_the_volume_is() -> None:
    """Cue bars trade several times the usual volume, close at their extreme, and keep their distance."""
    config = PlantedConfig(bars=20_000, seed=1)
    market = planted_bars(config)
    bars, cue = market.bars, market.cue
    assert cue.dtype == np.int8
    assert set(np.unique(cue)) == {-1, 0, 1}
    assert np.diff(np.flatnonzero(cue)).min() > config.hold
    assert np.median(bars.volume[cue != 0]) > 4 * np.median(bars.volume[cue == 0])
    np.testing.assert_array_equal(bars.close[cue > 0], bars.high[cue > 0])
    np.testing.assert_array_equal(bars.close[cue < 0], bars.low[cue < 0])
    assert abs(np.mean(cue[cue != 0])) < 0.1


def test_without_the_cue_there_is_no_edge() -> None:
    """A cue bar's own return is of the usual size, and the move before it foretells no cue."""
    market = planted_bars(PlantedConfig(bars=60_000, seed=2))
    moves = np.diff(np.log(market.bars.close), prepend=np.log(market.bars.open[0]))
    rows = np.flatnonzero(market.cue)
    rows = rows[rows > 6]
    assert moves[rows].std() == pytest.approx(0.003, rel=0.05)
    before = np.log(market.bars.close[rows - 1] / market.bars.close[rows - 7])
    assert abs(np.corrcoef(before, market.cue[rows])[0, 1]) < 4 / np.sqrt(len(rows))
