"""`fit_tft`: `fit_network` for the TFT; checkpoints go to `work/checkpoints/tft.pt`."""

from __future__ import annotations

from functools import partial

from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.train.network import fit_network

fit_tft = partial(fit_network, TFTAgent)
"""From datasets to a calibrated TFT in a model folder; arguments and errors are those of `fit_network`."""
