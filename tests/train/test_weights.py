from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.market import Market
from quantum_trader.train.data_config import LabelConfig, WeightConfig
from quantum_trader.train.labels import triple_barrier
from quantum_trader.train.weights import class_weights, overlap_weights, sample_weights


def test_labels_that_do_not_overlap_weigh_one() -> None:
    """A label alone on its bars is entirely unique."""
    end = np.array([2, 1, 4, 3, 5])
    weights = overlap_weights(end, np.array([True, False, True, False, False]))
    assert weights.tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]


def test_uniqueness_is_the_mean_share_of_the_bars_lived_on() -> None:
    """Worked by hand: labels on bars 1-3, 2-3 and 3 share bar 2 by two and bar 3 by three."""
    end = np.array([3, 3, 3, 3])
    weights = overlap_weights(end, np.array([True, True, True, False]))
    # Bar 1: 1 label, bar 2: 2, bar 3: 3.
    first, second, third = (1 + 1 / 2 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 2, 1 / 3
    assert weights[:3] == pytest.approx([first, second, third])


def test_rows_that_take_no_part_do_not_crowd_others() -> None:
    """Only training rows share bars: a test row's label never lowers a training row's weight."""
    end = np.array([3, 3, 3, 3])
    assert overlap_weights(end, np.array([True, False, False, False]))[0] == 1.0


def test_balanced_classes_have_equal_total_weight() -> None:
    """With "balanced" the weights of each class sum to the same; "sqrt" is half way; "none" is 1."""
    actions = np.array([0] * 6 + [1] * 3 + [2] * 1, dtype=np.int8)
    balanced = class_weights(actions, "balanced")
    assert balanced * [6, 3, 1] == pytest.approx([10 / 3] * 3)
    assert class_weights(actions, "sqrt") == pytest.approx(np.sqrt(balanced))
    assert class_weights(actions, "none").tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("classes", ["none", "sqrt", "balanced"])
def test_training_weights_have_mean_one(two_markets: tuple[Market, Market], classes: str) -> None:
    """Over the training rows of all markets the weights average 1: learning rates keep their meaning."""
    labels = [triple_barrier(market, LabelConfig(barrier_atr=1.4)) for market in two_markets]
    train = [market.usable & item.valid for market, item in zip(two_markets, labels, strict=True)]
    weights = sample_weights(labels, train, WeightConfig(classes=classes))  # type: ignore[arg-type]
    pooled = np.concatenate([weight[mask] for weight, mask in zip(weights, train, strict=True)])
    assert pooled.mean() == pytest.approx(1.0, abs=1e-5)
    assert pooled.min() > 0
