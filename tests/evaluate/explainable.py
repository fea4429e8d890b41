"""Agents and rows of which it is known what there is to explain."""

from __future__ import annotations

import numpy as np
import torch

from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.agents.bilstm.config import bilstm_preset
from quantum_trader.agents.bilstm.network import BiLSTM
from quantum_trader.agents.live import LiveAgent
from quantum_trader.agents.signals import ModelInputs, Signals
from quantum_trader.envs.actions import Action
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.scaler import REFERENCE_SCALER
from quantum_trader.train.dataset import PooledDataset

from ..agents.tiny_tft import tiny_tft


class OneNumber(LiveAgent):
    """Says BUY with the probability that one number of the newest bar stands for, and never HOLD."""

    name = "one_number"
    scaler = REFERENCE_SCALER
    calibration = None

    def signals(self, inputs: ModelInputs) -> Signals:
        buy = 1 / (1 + np.exp(-inputs.windows[:, -1, 3]))
        return Signals(probabilities=np.stack([0 * buy, buy, 1 - buy], axis=1).astype(np.float32))


def twin() -> BiLSTMAgent:
    """A network with attention and without variable selection, like `tiny_tft` in all else."""
    tft = tiny_tft()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = BiLSTM(bilstm_preset("tiny"))
    return BiLSTMAgent(
        model,
        scaler=tft.scaler,
        return_scale=tft.return_scale,
        calibration=None,
        provenance=tft.provenance,
        precision="fp32",
    )


def rows(count: int = 90) -> PooledDataset:
    """Windows of noise whose label is the sign of the number that `OneNumber` reads."""
    random = np.random.default_rng(4)
    windows = random.standard_normal((count, 60, 14)).astype(np.float32)
    context = random.standard_normal((count, CONTEXT_SIZE)).astype(np.float32)
    action = np.where(windows[:, -1, 3] > 0, Action.BUY, Action.SELL).astype(np.int8)
    return PooledDataset.from_windows(windows, action, context=context)
