"""Windows whose label is an order of events: balanced, hidden from single bars, of known difficulty."""

from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.order_windows import OrderConfig, order_windows


def test_no_single_bar_knows_the_label() -> None:
    """The mean of every bar is the same for BUY and SELL and HOLD, whose shares are equal."""
    task = order_windows(OrderConfig(windows=60_000, seed=1))
    assert np.bincount(task.action) / len(task.action) == pytest.approx([1 / 3] * 3, abs=0.01)
    newest = [task.windows[task.action == label, -1].mean(axis=0) for label in range(3)]
    assert np.abs(np.stack(newest)).max() < 0.03
    squares = [(task.windows[task.action == label, 19:50, 0] ** 2).mean() for label in range(3)]
    assert squares == pytest.approx([squares[0]] * 3, rel=0.02)


def test_the_order_is_the_label() -> None:
    """With spikes far above the noise, the earlier and the later spike name the class, and Bayes finds it."""
    task = order_windows(OrderConfig(windows=500, spike=30.0))
    for window, action in zip(task.windows, task.action, strict=True):
        bars = np.flatnonzero(np.abs(window[:, 0]) > 15.0)
        assert len(bars) == 2
        assert 19 <= bars[0] < bars[1] <= 49
        signs = tuple(np.sign(window[bars, 0]).tolist())
        assert action == {(1.0, -1.0): Action.BUY, (-1.0, 1.0): Action.SELL}.get(signs, Action.HOLD)
    assert task.bayes_accuracy == 1.0


def test_the_posterior_is_calibrated() -> None:
    """Where the posterior says p, the class comes true in a share p of the windows."""
    task = order_windows(OrderConfig(windows=60_000, seed=2))
    assert task.bayes.sum(axis=1) == pytest.approx(1.0)
    told, true = task.bayes.ravel(), np.eye(3)[task.action].ravel()
    for low in np.arange(0.0, 1.0, 0.2):
        inside = (told >= low) & (told < low + 0.2)
        assert true[inside].mean() == pytest.approx(told[inside].mean(), abs=0.01)


@pytest.mark.parametrize("changes", [{"windows": 0}, {"spike": 0.0}, {"nearest": 40}, {"farthest": 60}])
def test_impossible_tasks_are_refused(changes: dict[str, int]) -> None:
    """No windows, no spikes, or nowhere to put them: one sentence."""
    with pytest.raises(ConfigError, match="Expected"):
        OrderConfig(**changes)
