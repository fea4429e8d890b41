"""`fit_tft`: from datasets to a calibrated TFT in a model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import TFTConfig
from quantum_trader.envs.scaler import FeatureScaler
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.network import fit_network
from quantum_trader.train.network_config import NetworkTrainConfig
from quantum_trader.train.network_figures import EpochReport


def fit_tft(
    train: PooledDataset,
    validation: PooledDataset,
    *,
    model: TFTConfig,
    training: NetworkTrainConfig,
    folder: Path,
    work: Path,
    scaler: FeatureScaler,
    data_sha256: str,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> TFTAgent:
    """Fit a TFT: `quantum_trader.train.network.fit_network` has the arguments and errors.

    Checkpoints go to `work/checkpoints/tft.pt`, logs to `work/tensorboard/tft`.
    """
    return fit_network(
        TFTAgent,
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
