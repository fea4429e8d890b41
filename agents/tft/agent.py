"""`TFTAgent`: a trained TFT in service."""

from __future__ import annotations

from quantum_trader.agents.network_agent import NetworkAgent
from quantum_trader.agents.tft.config import TFTConfig
from quantum_trader.agents.tft.model import TFT


class TFTAgent(NetworkAgent[TFT]):
    """A trained Temporal Fusion Transformer; the arguments are those of `NetworkAgent`."""

    name = "tft"
    title = "TFT"
    long_title = "Temporal Fusion Transformer"
    config_class = TFTConfig

    @classmethod
    def build(cls, config: TFTConfig) -> TFT:
        """A TFT of the shape `config` with fresh weights."""
        return TFT(config)
