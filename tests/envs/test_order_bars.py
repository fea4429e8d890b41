"""The market that jumps the way the order of two earlier bars points."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import FEATURE_NAMES, WARMUP_BARS, compute_features
from quantum_trader.envs.load import bars_from_frame
from quantum_trader.envs.order_bars import OrderBarsConfig, order_bars
from quantum_trader.envs.synthetic import PlantedMarket

CONFIG = OrderBarsConfig(bars=60_000, seed=3)


@pytest.fixture(scope="module")
def market() -> PlantedMarket:
    """Enough cues to tell a coin from a rule."""
    return order_bars(CONFIG)


def wicks(market: PlantedMarket) -> tuple[np.ndarray, np.ndarray]:
    """bool [T]: bars of many times the usual volume that are all upper, or all lower wick beyond the body."""
    bars = market.bars
    top, bottom = np.maximum(bars.open, bars.close), np.minimum(bars.open, bars.close)
    loud = bars.volume > 2_000.0
    return loud & (bars.low == bottom) & (bars.high > top), loud & (bars.high == top) & (bars.low < bottom)


def test_bars_are_valid_and_repeatable() -> None:
    """They pass the checks for real data; the same seed gives the same bars, another seed others."""
    first, again, other = (order_bars(OrderBarsConfig(bars=2_000, seed=seed)) for seed in (1, 1, 2))
    bars = first.bars
    assert bars_from_frame(bars.to_frame(), symbol=bars.symbol).digest == bars.digest == again.bars.digest
    assert bars.digest != other.bars.digest
    np.testing.assert_array_equal(bars.open[1:], bars.close[:-1])


def test_the_order_of_two_wicks_is_the_side(market: PlantedMarket) -> None:
    """Before every cue lie one upper and one lower wick, within the stated bars; the lower last means +1."""
    upper, lower = wicks(market)
    cues = np.flatnonzero(market.cue)
    assert np.diff(cues).min() > CONFIG.farthest
    places = np.arange(CONFIG.nearest, CONFIG.farthest + 1)
    ups, downs = upper[cues[:, None] - places], lower[cues[:, None] - places]
    # The usual volume wavers: a bar in several thousand looks loud by itself, or not loud enough.
    plain = (ups.sum(axis=1) == 1) & (downs.sum(axis=1) == 1)
    assert plain.mean() > 0.99
    later = np.sign(ups.argmax(axis=1) - downs.argmax(axis=1))
    np.testing.assert_array_equal(market.cue[cues][plain], later[plain])


def test_the_oracle_is_right_as_often_as_stated(market: PlantedMarket) -> None:
    """The bar after a cue closes on the foretold side with the stated accuracy, and jumps far."""
    rows = np.flatnonzero(market.cue)
    move = np.log(market.bars.close[rows + 1] / market.bars.close[rows])
    right = np.mean(np.sign(move) == market.cue[rows])
    assert right == pytest.approx(market.bayes_accuracy, abs=4 * 0.5 / np.sqrt(len(rows)))
    assert np.abs(move).mean() == pytest.approx(CONFIG.jump * CONFIG.volatility, rel=0.1)


def test_the_newest_bar_knows_nothing_of_the_side(market: PlantedMarket) -> None:
    """No feature at the cue is correlated with the side, however much history it averages."""
    rows = np.flatnonzero(market.cue)
    rows = rows[rows > WARMUP_BARS + 200]
    features = compute_features(market.bars)[rows]
    moving = features.std(axis=0) > 0
    found = [np.corrcoef(column, market.cue[rows])[0, 1] for column in features.T[moving]]
    assert moving.sum() == len(FEATURE_NAMES) - 1  # no funding here
    assert np.abs(found).max() < 4 / np.sqrt(len(rows))


def test_a_jump_leaves_nothing_to_follow(market: PlantedMarket) -> None:
    """The five bars after a jump go neither its way nor against it."""
    rows = np.flatnonzero(market.cue)
    close = market.bars.close
    rows = rows[rows + 6 < len(close)]
    jump, after = np.log(close[rows + 1] / close[rows]), np.log(close[rows + 6] / close[rows + 1])
    assert abs(np.corrcoef(jump, after)[0, 1]) < 4 / np.sqrt(len(rows))


@pytest.mark.parametrize(
    "setting",
    [{"bars": 0}, {"accuracy": 1.5}, {"cue_probability": 0.0}, {"nearest": 22}, {"farthest": 60}],
)
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    """The message names the setting and what was found."""
    name, value = next(iter(setting.items()))
    with pytest.raises(ConfigError, match=rf"{name}.*found .*{value}"):
        OrderBarsConfig(**setting)  # type: ignore[arg-type]
