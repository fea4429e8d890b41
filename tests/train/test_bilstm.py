"""Fitting the BiLSTM: it learns, one seed gives one result, and what was cut off goes on exactly."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.envs.actions import Action
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.files import file_sha256
from quantum_trader.envs.synthetic import PlantedMarket
from quantum_trader.train.bilstm import fit_bilstm
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport
from quantum_trader.train.prepared import Prepared

MODEL = replace(bilstm_preset("tiny"), dropout=0.1)
TRAINING = NetworkTrainConfig(
    epochs=3,
    batch_size=32,
    max_samples=320,
    max_validation_samples=100,
    precision="fp32",
    device="cpu",
    checkpoint_every=4,
    seed=5,
)
WEIGHTS = Path("models") / "bilstm" / "weights.safetensors"


def _fit(
    data: Prepared, folder: Path, training: NetworkTrainConfig = TRAINING, stop_after: int = 0
) -> BiLSTMAgent:
    """Fit into `folder`; with `stop_after` Ctrl-C is pressed after that epoch."""

    def press(report: EpochReport) -> None:
        if report.epoch == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    return fit_bilstm(
        data.train,
        data.validation,
        model=MODEL,
        training=training,
        folder=folder / "models" / "bilstm",
        work=folder,
        scaler=data.scaler,
        data_sha256=data.data_sha256,
        on_epoch=press,
    )


@pytest.fixture(scope="module")
def fitted(prepared_planted: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp("whole")
    _fit(prepared_planted, folder)
    return folder


def test_the_planted_cue_is_learnt(
    planted: PlantedMarket, prepared_planted: Prepared, tmp_path: Path
) -> None:
    """On cue bars of the test slice, direction accuracy covers 0.7 of the way from a coin to the best
    possible."""
    training = NetworkTrainConfig(epochs=3, learning_rate=5e-3)
    data = prepared_planted
    agent = fit_bilstm(
        data.train,
        data.validation,
        model=bilstm_preset("tiny"),
        training=training,
        folder=tmp_path / "bilstm",
        work=tmp_path,
        scaler=data.scaler,
        data_sha256=data.data_sha256,
    )
    cued = data.test.subset(
        np.flatnonzero((planted.cue[data.test.end] != 0) & (data.test.action != Action.HOLD))
    )
    direction = agent.signals(cued.inputs(np.arange(len(cued)))).direction
    accuracy = float((direction == cued.action).mean())
    assert len(cued) > 100
    assert accuracy - 0.5 > 0.7 * (planted.bayes_accuracy - 0.5)
    assert agent.provenance.metrics["validation_skill"] > 0.05


def test_one_seed_one_result(prepared_planted: Prepared, fitted: Path, tmp_path: Path) -> None:
    """The same seed gives the same weights to the bit; another seed does not."""
    _fit(prepared_planted, tmp_path / "again")
    _fit(prepared_planted, tmp_path / "other", replace(TRAINING, seed=6))
    assert file_sha256(tmp_path / "again" / WEIGHTS) == file_sha256(fitted / WEIGHTS)
    assert file_sha256(tmp_path / "other" / WEIGHTS) != file_sha256(fitted / WEIGHTS)


def test_resumed_training_ends_at_the_same_numbers(
    prepared_planted: Prepared, fitted: Path, tmp_path: Path
) -> None:
    """Stopped by Ctrl-C after an epoch, training goes on from its own checkpoint to the very same weights."""
    with pytest.raises(KeyboardInterrupt):
        _fit(prepared_planted, tmp_path, stop_after=1)
    assert not (tmp_path / "models").exists()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["bilstm.pt"]
    _fit(prepared_planted, tmp_path)
    assert file_sha256(tmp_path / WEIGHTS) == file_sha256(fitted / WEIGHTS)


def test_folder_holds_what_was_measured(prepared_planted: Prepared, fitted: Path) -> None:
    """The model folder loads, is calibrated on validation, and its figures are in its provenance; the log
    lies in a folder of its own."""
    agent = BiLSTMAgent.load(fitted / "models" / "bilstm")
    assert agent.calibration is not None
    assert agent.report is not None
    assert agent.provenance.metrics["epochs"] == 3.0
    assert 0.3 < agent.provenance.metrics["validation_quantile_coverage"] < 1.0
    signals = agent.signals(prepared_planted.validation.inputs(np.arange(10)))
    assert np.isfinite(signals.probabilities).all()
    assert [path.name for path in (fitted / "tensorboard").iterdir()] == ["bilstm"]
    assert list((fitted / "tensorboard" / "bilstm").glob("events.*"))


def test_a_checkpoint_of_another_config_is_refused(prepared_planted: Prepared, fitted: Path) -> None:
    """A checkpoint of other settings is refused by name, with a remedy."""
    with pytest.raises(TrainingError, match=r"bilstm\.pt belongs to another configuration or other data"):
        _fit(prepared_planted, fitted, replace(TRAINING, learning_rate=5e-4))
