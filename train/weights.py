"""Sample weights: overlapping labels count less, and classes may be balanced. All from training rows only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from quantum_trader.train.data_config import WeightConfig
from quantum_trader.train.labels import Labels

Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

_CLASSES = 3


def overlap_weights(end: NDArray[np.int64], valid: Mask) -> Floats32:
    """Average uniqueness of each label (Lopez de Prado 2018, ch. 4).

    The label of row t lives on bars t + 1 ... end[t]. A bar that k labels live on gives each of them 1 / k; a
    label's uniqueness is its mean share over the bars it lives on.

    Args:
        end: int64 [T], last bar of each label, of one market.
        valid: bool [T], the rows that take part (training rows only).

    Returns:
        float32 [T] in (0, 1] where `valid`, 0 elsewhere.
    """
    rows = np.flatnonzero(valid)
    last = end[rows]
    changes = np.zeros(len(end) + 2, dtype=np.int64)
    np.add.at(changes, rows + 1, 1)
    np.add.at(changes, last + 1, -1)
    living = np.cumsum(changes)[: len(end) + 1]
    shares = np.concatenate([[0.0], np.cumsum(1.0 / np.maximum(living, 1))])
    weights = np.zeros(len(end), dtype=np.float32)
    weights[rows] = (shares[last + 1] - shares[rows + 1]) / (last - rows)
    return weights


def class_weights(
    actions: NDArray[np.int8], kind: Literal["none", "sqrt", "balanced"]
) -> NDArray[np.float64]:
    """float64 [3]: the factor of each class, from the actions of training rows; 1 for a class they lack."""
    counts = np.bincount(actions, minlength=_CLASSES).astype(np.float64)
    balanced = np.where(counts > 0, counts.sum() / (_CLASSES * np.maximum(counts, 1.0)), 1.0)
    power = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    return np.asarray(balanced**power)


def sample_weights(labels: Sequence[Labels], train: Sequence[Mask], config: WeightConfig) -> list[Floats32]:
    """The weight of every row of every market, with mean 1 over all training rows.

    Args:
        labels: the labels of each market.
        train: bool [T] of each market, its training rows.
        config: which weights to multiply.

    Returns:
        float32 [T] of each market; 1 outside the training rows, where only evaluation looks.
    """
    actions = np.concatenate([item.action[mask] for item, mask in zip(labels, train, strict=True)])
    by_class = class_weights(actions, config.classes)
    raw = [
        by_class[item.action] * (overlap_weights(item.end, mask) if config.overlap else 1.0)
        for item, mask in zip(labels, train, strict=True)
    ]
    mean = np.mean(np.concatenate([weight[mask] for weight, mask in zip(raw, train, strict=True)]))
    return [
        np.where(mask, weight / mean, 1.0).astype(np.float32) for weight, mask in zip(raw, train, strict=True)
    ]
