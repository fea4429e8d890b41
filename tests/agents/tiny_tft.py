"""A small TFT with seeded random weights: what stands on an encoder can be tested without training one."""

from __future__ import annotations

import torch

from quantum_trader.agents.folder import Provenance
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.agents.tft.config import tft_preset
from quantum_trader.agents.tft.model import TFT
from quantum_trader.agents.tft.scaling import ReturnScale
from quantum_trader.envs.scaler import REFERENCE_SCALER


def tiny_tft(seed: int = 3) -> TFTAgent:
    """An agent in float32 on one thread, so that its numbers are the same everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TFT(tft_preset("tiny"))
    return TFTAgent(
        model,
        scaler=REFERENCE_SCALER,
        return_scale=ReturnScale(center=0.004, scale=0.003, horizon=(0.5, 1.0, 1.5, 2.0)),
        calibration=None,
        provenance=Provenance.now(data_sha256="0" * 64, seed=seed, metrics={}),
        precision="fp32",
        num_threads=1,
    )
