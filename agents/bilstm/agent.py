"""`BiLSTMAgent`: a trained BiLSTM in service."""

from __future__ import annotations

from quantum_trader.agents.bilstm.config import BiLSTMConfig
from quantum_trader.agents.bilstm.network import BiLSTM
from quantum_trader.agents.network_agent import NetworkAgent


class BiLSTMAgent(NetworkAgent[BiLSTM]):
    """A trained bidirectional LSTM with attention; the arguments are those of `NetworkAgent`."""

    name = "bilstm"
    title = "BiLSTM"
    long_title = "Bidirectional LSTM with attention"
    config_class = BiLSTMConfig

    @classmethod
    def build(cls, config: BiLSTMConfig) -> BiLSTM:
        """A BiLSTM of the shape `config` with fresh weights."""
        return BiLSTM(config)
