"""Whether intervals cover what they claim to, on walks whose truth is known in closed form.

Each case draws a quarter of hourly bars several hundred times over. The walks never have a drift, so that
the truth is known; labels look 24 bars ahead and overlap, and guesses persist, so that neighbouring hits are
alike. Blocks are as long as a judgement makes them: twice the label, at least 24 bars.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.signal import lfilter
from statsmodels.stats.proportion import proportion_confint

from quantum_trader.evaluate import bootstrap
from quantum_trader.evaluate.bootstrap import BootstrapConfig, Interval

SIMULATIONS = 400
BARS = 2_190
LABEL = 24
SYMBOLS = 5


def _block(label: int) -> float:
    return max(24.0, 2.0 * label)


def _moves(rng: np.random.Generator, label: int = LABEL) -> np.ndarray:
    """float64 [bars]: what a random walk does in the next `label` bars, in standard deviations."""
    path = np.concatenate([[0.0], np.cumsum(rng.normal(size=BARS + label))])
    return (path[label : BARS + label] - path[:BARS]) / np.sqrt(label)


def _persistent(rng: np.random.Generator, label: int = LABEL) -> np.ndarray:
    """float64 [bars]: a standard normal mood that lasts four labels."""
    keep = 1.0 - 1.0 / (4 * label)
    shocks = rng.normal(size=BARS) * np.sqrt(1.0 - keep**2)
    shocks[0] = rng.normal()
    return np.asarray(lfilter([1.0], [1.0, -keep], shocks))


def _hits(rng: np.random.Generator, label: int = LABEL) -> np.ndarray:
    return np.asarray((_persistent(rng, label) > 0) == (_moves(rng, label) > 0), dtype=np.float64)


def _generators(simulations: int = SIMULATIONS) -> Iterator[tuple[int, np.random.Generator]]:
    return ((seed, np.random.default_rng(seed)) for seed in range(simulations))


def _config(seed: int, label: int = LABEL, block: float | None = None) -> BootstrapConfig:
    return BootstrapConfig(block_bars=_block(label) if block is None else block, draws=400, seed=seed)


def _covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([found.low <= truth <= found.high for found in intervals]))


@pytest.mark.parametrize("label", [6, 24])
def test_accuracy_on_overlapping_labels_is_covered(label: int) -> None:
    """Accuracy without skill, labels of 6 and of 24 bars: 95 % intervals hold 1/2 in 90 to 97 % of cases."""
    found = [
        bootstrap.mean_interval(_hits(rng, label), config=_config(seed, label)) for seed, rng in _generators()
    ]
    assert 0.90 <= _covered(found, 0.5) <= 0.97


def test_intervals_of_independent_rows_are_far_too_narrow() -> None:
    """The planted mistake: on the same hits, Wilson's and the plain bootstrap's 95 % hold 1/2 below 70 %."""
    plain, wilson = [], []
    for seed, rng in _generators(60):
        hits = _hits(rng)
        plain.append(bootstrap.mean_interval(hits, config=_config(seed, block=1.0)))
        low, high = proportion_confint(hits.sum(), BARS, method="wilson")
        wilson.append(low <= 0.5 <= high)
    assert _covered(plain, 0.5) < 0.70
    assert np.mean(wilson) < 0.70


def test_the_accuracy_of_a_skilled_agent_is_covered() -> None:
    """An agent that sees a tenth of each move is right in 1/2 + arcsin(0.1) / pi of the rows that moved."""
    seen = 0.1
    truth = 0.5 + np.arcsin(seen) / np.pi
    found = []
    for seed, rng in _generators():
        move = _moves(rng)
        guess = seen * move + np.sqrt(1.0 - seen**2) * _persistent(rng)
        # Whether a row counts is decided by chance and lasts, as HOLD labels do.
        counts = _persistent(rng) > -0.3
        right = counts & ((guess > 0) == (move > 0))
        found.append(bootstrap.ratio_interval(right, counts, config=_config(seed)))
    assert 0.90 <= _covered(found, float(truth)) <= 0.97


def test_the_win_rate_of_overlapping_trades_is_covered() -> None:
    """Five symbols that share half their moves trade back to back for up to 24 bars: 1/2 is held."""
    found = []
    for seed, rng in _generators():
        bars, profits = _trades(rng)
        found.append(bootstrap.win_rate_interval(bars, profits, length=BARS, config=_config(seed)))
    assert 0.90 <= _covered(found, 0.5) <= 0.97


def test_the_sharpe_ratio_of_heavy_tailed_returns_is_covered() -> None:
    """Returns with tails of Student's t of 5 degrees: the interval holds the ratio they were drawn with."""
    truth = 0.02
    found = []
    for seed, rng in _generators():
        returns = truth + rng.standard_t(5, BARS) / np.sqrt(5 / 3)
        found.append(bootstrap.sharpe_interval(returns, config=_config(seed)))
    assert 0.90 <= _covered(found, truth) <= 0.97


def test_the_difference_of_paired_losses_is_covered() -> None:
    """Two forecasters of the same overlapping labels, equally good: zero lies within."""
    found = []
    for seed, rng in _generators():
        up = _moves(rng) > 0
        left, right = (
            -np.log(np.where(up, stated, 1.0 - stated))
            for stated in (0.5 + 0.1 * np.tanh(_persistent(rng)) for _ in range(2))
        )
        found.append(bootstrap.paired_difference(left, right, config=_config(seed)))
    assert 0.90 <= _covered(found, 0.0) <= 0.97


def _trades(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """int64 [M], float64 [M]: bar of each trade's entry and its profit without skill."""
    common = rng.normal(size=BARS + LABEL)
    bars, profits = [], []
    for _ in range(SYMBOLS):
        steps = (common + rng.normal(size=BARS + LABEL)) / np.sqrt(2)
        path = np.concatenate([[0.0], np.cumsum(steps)])
        holds = rng.integers(4, LABEL + 1, size=BARS // 4)
        waits = rng.geometric(1 / 12, size=len(holds))
        entries = np.cumsum(holds + waits) - holds
        inside = entries < BARS
        entered, left = entries[inside], entries[inside] + holds[inside]
        bars.append(entered)
        profits.append(path[left] - path[entered])
    return np.concatenate(bars), np.concatenate(profits)
