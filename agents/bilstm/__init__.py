"""Bidirectional LSTM with attention, the TFT's simpler twin; names load torch on first use only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantum_trader.envs.lazy import lazy_names

if TYPE_CHECKING:
    from quantum_trader.agents.bilstm.agent import BiLSTMAgent as BiLSTMAgent
    from quantum_trader.agents.bilstm.config import (
        BiLSTMConfig as BiLSTMConfig,
        bilstm_preset as bilstm_preset,
    )
    from quantum_trader.agents.bilstm.network import BiLSTM as BiLSTM, BiLSTMEncoder as BiLSTMEncoder

_MODULES = {
    "BiLSTM": "network",
    "BiLSTMAgent": "agent",
    "BiLSTMConfig": "config",
    "BiLSTMEncoder": "network",
    "bilstm_preset": "config",
}
"""Public name -> the module of this package that defines it."""

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
