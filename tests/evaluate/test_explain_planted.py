"""Explanations of small networks whose task is known: do they point at what was planted?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.tft import TFTAgent, tft_preset
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CONTEXT_SIZE, STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.evaluate.explain import ExplainConfig, explain_rows
from quantum_trader.evaluate.explanation import Explanation
from quantum_trader.evaluate.one_prediction import explain_one
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.tft import fit_tft

FEATURE, STATIC = 5, 2
BARS = slice(22, 28)
STRETCH = 2
"""The stretch of ten bars that `BARS` lie in, from 0."""
CUE = 1.5
"""Deviations by which the cue moves the planted numbers."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A network that learnt a planted task, and the rows it has not seen."""

    agent: TFTAgent
    test: PooledDataset
    found: Explanation


def fitted(windows: np.ndarray, context: np.ndarray, action: np.ndarray, epochs: int, work: Path) -> Planted:
    """Fit on all but 600 rows, watch 150 of them, explain the rest."""
    cut = len(action) - 600
    parts = [
        PooledDataset.from_windows(windows[rows], action[rows], context=context[rows])
        for rows in (slice(None, cut), slice(cut, cut + 150), slice(cut + 150, None))
    ]
    agent = fit_tft(
        parts[0],
        parts[1],
        model=tft_preset("tiny"),
        training=NetworkTrainConfig(
            epochs=epochs,
            learning_rate=3e-3,
            batch_size=32,
            ema_decay=0.95,
            precision="fp32",
            quantile_weight=0.0,
            seed=1,
        ),
        folder=work / "tft",
        work=work,
        scaler=REFERENCE_SCALER,
        data_sha256="planted",
    )
    # The rows are independent: neighbours may be shuffled too.
    found = explain_rows(agent, parts[2], ExplainConfig(spacing=1, shuffled_rows=200))
    return Planted(agent=agent, test=parts[2], found=found)


def noise(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows and context of white noise, and labels BUY or SELL by the toss of a coin."""
    random = np.random.default_rng(0)
    windows = random.standard_normal((rows, 60, len(FEATURE_NAMES))).astype(np.float32)
    context = random.standard_normal((rows, CONTEXT_SIZE)).astype(np.float32)
    return windows, context, random.choice([Action.BUY, Action.SELL], rows).astype(np.int8)


@pytest.fixture(scope="module")
def in_window(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The label is the sign of one feature's mean over six bars."""
    windows, context, action = noise(2_200)
    way = np.where(action == Action.BUY, CUE, -CUE).astype(np.float32)
    windows[:, BARS, FEATURE] += way[:, None]
    return fitted(windows, context, action, epochs=4, work=tmp_path_factory.mktemp("window"))


@pytest.fixture(scope="module")
def in_static(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The label is, nearly always, the sign of one static number."""
    windows, context, action = noise(1_600)
    context[:, STATIC] += np.where(action == Action.BUY, CUE, -CUE).astype(np.float32)
    return fitted(windows, context, action, epochs=3, work=tmp_path_factory.mktemp("static"))


def increases(found: Explanation, group: str) -> np.ndarray:
    """Loss by shuffling of each place of a group."""
    return np.array([item.increase.estimate for item in found.shuffled if item.group == group])


@pytest.mark.xdist_group("explained_window")
def test_attention_points_at_the_planted_bars(in_window: Planted) -> None:
    """Six of sixty bars hold the cue and get several times their tenth of the attention."""
    attention = in_window.found.attention
    assert attention is not None
    assert attention.mean[BARS].sum() > 2.5 * 6 / 60
    assert BARS.start - 1 <= attention.mean.argmax() <= BARS.stop


@pytest.mark.xdist_group("explained_window")
def test_selection_points_at_the_planted_feature(in_window: Planted) -> None:
    """The planted feature weighs most; with attention, its planted bars hold many times their even share."""
    importances, joint = in_window.found.importances, in_window.found.joint
    assert importances is not None
    assert joint is not None
    assert importances.mean.argmax() == FEATURE
    assert importances.mean[FEATURE] > 2 / len(FEATURE_NAMES)
    assert joint[BARS, FEATURE].sum() > 5 * 6 / joint.size


@pytest.mark.xdist_group("explained_window")
def test_shuffling_finds_the_planted_feature_and_no_other(in_window: Planted) -> None:
    """Without the planted feature the log-loss explodes; without any other it hardly moves."""
    losses = increases(in_window.found, "feature")
    assert losses.argmax() == FEATURE
    assert losses[FEATURE] > 2.0
    assert np.abs(np.delete(losses, FEATURE)).max() < 0.05 * losses[FEATURE]
    planted = in_window.found.lost("feature")[FEATURE]
    assert planted.name == FEATURE_NAMES[FEATURE]
    assert planted.increase.above_zero
    assert np.abs(increases(in_window.found, "static")).max() < 0.05 * losses[FEATURE]


@pytest.mark.xdist_group("explained_window")
def test_shuffling_finds_the_planted_bars_and_no_others(in_window: Planted) -> None:
    """The stretch of ten bars that holds the cue is all that matters, and the window the only part."""
    losses = increases(in_window.found, "bars")
    assert losses.argmax() == STRETCH
    assert np.abs(np.delete(losses, STRETCH)).max() < 0.05 * losses[STRETCH]
    window, *others = increases(in_window.found, "part")
    assert window > 2.0
    assert np.abs(others).max() < 0.05 * window


@pytest.mark.xdist_group("explained_window")
def test_one_prediction_hangs_on_the_planted_cue(in_window: Planted) -> None:
    """On most rows the planted feature and its bars add most, nearly always in the label's direction."""
    rows = np.arange(40)
    inputs, hits, ways = in_window.test.inputs(rows), 0, 0
    for row in rows:
        found = explain_one(in_window.agent, inputs, int(row))
        features = np.array([item.direction for item in found.effects("feature")])
        bars = np.array([item.direction for item in found.effects("bars")])
        hits += int(np.abs(features).argmax() == FEATURE and np.abs(bars).argmax() == STRETCH)
        ways += int((features[FEATURE] > 0) == (in_window.test.action[row] == Action.BUY))
    assert hits >= 30
    assert ways >= 35


def test_shuffling_finds_the_planted_static_number(in_static: Planted) -> None:
    """Static selection weights need not show it, which is why nothing is asserted of them; shuffling does."""
    found = in_static.found
    losses = increases(found, "static")
    assert STATIC_NAMES[losses.argmax()] == STATIC_NAMES[STATIC]
    assert losses[STATIC] > 0.5
    assert np.abs(np.delete(losses, STATIC)).max() < 0.1 * losses[STATIC]
    assert np.abs(increases(found, "feature")).max() < 0.1 * losses[STATIC]
    window, static, calendar = increases(found, "part")
    assert static > 0.5
    assert max(abs(window), abs(calendar)) < 0.1 * static
