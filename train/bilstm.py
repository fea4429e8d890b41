"""`fit_bilstm`: from datasets to a calibrated BiLSTM in a model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.agents.bilstm.config import BiLSTMConfig
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.network import fit_network
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport


def fit_bilstm(
    train: PooledDataset,
    validation: PooledDataset,
    *,
    model: BiLSTMConfig,
    training: NetworkTrainConfig,
    folder: Path,
    work: Path,
    scaler: FeatureScaler,
    data_sha256: str,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> BiLSTMAgent:
    """Fit a BiLSTM: `quantum_trader.train.network.fit_network` has the arguments and errors.

    Checkpoints go to `work/checkpoints/bilstm.pt`, logs to `work/tensorboard/bilstm`.
    """
    return fit_network(
        BiLSTMAgent,
        train,
        validation,
        model=model,
        training=training,
        folder=folder,
        work=work,
        scaler=scaler,
        data_sha256=data_sha256,
        on_epoch=on_epoch,
    )
