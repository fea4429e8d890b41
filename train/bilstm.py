"""`fit_bilstm`: `fit_network` for the BiLSTM; checkpoints go to `work/checkpoints/bilstm.pt`."""

from __future__ import annotations

from functools import partial

from quantum_trader.agents.bilstm.agent import BiLSTMAgent
from quantum_trader.train.network import fit_network

fit_bilstm = partial(fit_network, BiLSTMAgent)
"""From datasets to a calibrated BiLSTM in a model folder; arguments and errors are those of `fit_network`."""
