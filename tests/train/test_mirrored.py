"""A dataset and its mirror image: labels and returns turn round with the prices, which rows by the seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.envs.actions import Action
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.market import Market
from quantum_trader.envs.mirror import Mirror
from quantum_trader.envs.presets import preset
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.mirrored import MirroredRows, turn_half
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.tft import fit_tft


@pytest.fixture(scope="module")
def rising() -> Prepared:
    """Datasets of a market that rises by half a deviation an hour."""
    bars = synthetic_bars(SyntheticConfig(bars=2_000, volatility=0.004))
    growth = np.exp(0.002 * np.arange(len(bars)))
    rising = {name: getattr(bars, name) * growth for name in ("open", "high", "low", "close")}
    bars = replace(bars, **rising)
    return prepare([Market.build(bars, preset("binance-btc"))], DataConfig())


def test_upper_rows_are_the_lower_ones_turned_round(rising: Prepared) -> None:
    """Row N + i is row i with BUY and SELL swapped, returns negated and price features mirrored."""
    dataset = rising.train
    source, rows = MirroredRows(dataset, Mirror(rising.scaler)), np.arange(0, 200, dtype=np.int64)
    plain, turned = source.batch(rows), source.batch(rows + len(dataset))
    np.testing.assert_array_equal(plain.windows, dataset.batch(rows).windows)
    swapped = {Action.HOLD: Action.HOLD, Action.BUY: Action.SELL, Action.SELL: Action.BUY}
    assert [swapped[Action(label)] for label in plain.action] == [Action(label) for label in turned.action]
    np.testing.assert_array_equal(turned.returns, -plain.returns)
    np.testing.assert_array_equal(turned.weight, plain.weight)
    volume = FEATURE_NAMES.index("volume_ratio")
    np.testing.assert_array_equal(turned.windows[..., volume], plain.windows[..., volume])
    rises = FEATURE_NAMES.index("log_return")
    assert np.corrcoef(turned.windows[..., rises].ravel(), plain.windows[..., rises].ravel())[0, 1] < -0.99


def test_half_of_the_rows_turn_by_seed_and_epoch() -> None:
    """Half turn, another half in another epoch or with another seed, whatever rows stand beside them."""
    rows = np.arange(4_000, dtype=np.int64)
    turned = turn_half(rows, 4_000, seed=3, epoch=1) >= 4_000
    part = turn_half(rows[1_000:1_100], 4_000, seed=3, epoch=1) >= 4_000
    assert 0.47 < turned.mean() < 0.53
    np.testing.assert_array_equal(part, turned[1_000:1_100])
    for seed, epoch in ((3, 2), (4, 1)):
        other = turn_half(rows, 4_000, seed=seed, epoch=epoch) >= 4_000
        assert 0.45 < (other == turned).mean() < 0.55


def test_a_mirrored_drift_teaches_nothing(rising: Prepared, tmp_path: Path) -> None:
    """On a market that only rose, a TFT learns to buy whatever it sees; with the mirror image it does not."""
    leanings = {mirror: _leaning(rising, tmp_path / str(mirror), mirror=mirror) for mirror in (True, False)}
    assert leanings[False] > 0.4
    assert leanings[True] < leanings[False] / 2


def _leaning(data: Prepared, folder: Path, *, mirror: bool) -> float:
    """How far P(BUY) and P(SELL) differ on average over windows and their mirror images, from 0 to 1."""
    agent = fit_tft(
        data.train,
        data.validation,
        model=tft_preset("tiny"),
        training=NetworkTrainConfig(
            epochs=2, batch_size=16, learning_rate=3e-3, ema_decay=0.9, mirror=mirror
        ),
        folder=folder / "tft",
        work=folder,
        scaler=data.scaler,
        data_sha256=data.data_sha256,
    )
    inputs, image = data.validation.inputs(np.arange(0, len(data.validation), 5)), Mirror(data.scaler)
    turned = ModelInputs(windows=image.windows(inputs.windows), context=image.context(inputs.context))
    means = sum(agent.signals(side).probabilities.mean(axis=0) for side in (inputs, turned))
    return float(abs(means[Action.BUY] - means[Action.SELL]) / (means[Action.BUY] + means[Action.SELL]))
