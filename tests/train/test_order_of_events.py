"""The TFT learns what a snapshot cannot see: the order of two events far from the newest bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xgboost

from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.envs.order_windows import OrderConfig, order_windows
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.tft import fit_tft


@pytest.mark.slow
def test_the_order_of_events_is_learnt(tmp_path: Path) -> None:
    """On windows it has not seen the TFT closes most of the way to the best possible accuracy and looks at
    the bars that hold the events, while trees on the newest bar stay at a third."""
    task = order_windows(OrderConfig(windows=27_000, spike=3.5))
    parts = [slice(None, 21_500), slice(21_500, 24_000), slice(24_000, None)]
    train, validation, test = (
        PooledDataset.from_windows(task.windows[part], task.action[part]) for part in parts
    )
    agent = fit_tft(
        train,
        validation,
        model=tft_preset("small"),
        training=NetworkTrainConfig(epochs=5, learning_rate=5e-4),
        folder=tmp_path / "tft",
        work=tmp_path,
        scaler=REFERENCE_SCALER,
        data_sha256="order",
    )
    signals = agent.signals(test.inputs(np.arange(len(test))))
    assert 0.83 < task.bayes_accuracy < 0.88
    assert (signals.probabilities.argmax(axis=1) == test.action).mean() > 0.7
    assert signals.attention is not None
    assert signals.attention[:, 19:50].sum(axis=1).mean() > 0.8
    trees = xgboost.XGBClassifier(n_estimators=50).fit(task.windows[parts[0], -1], train.action)
    assert (trees.predict(task.windows[parts[2], -1]) == test.action).mean() < 0.4
