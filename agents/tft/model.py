"""`TFT`: encoder and heads."""

from __future__ import annotations

from quantum_trader.agents.network import Network
from quantum_trader.agents.tft.config import TFTConfig
from quantum_trader.agents.tft.encoder import TFTEncoder


class TFT(Network):
    """Temporal Fusion Transformer with a decision head and a quantile head."""

    config: TFTConfig
    encoder: TFTEncoder

    def __init__(self, config: TFTConfig) -> None:
        super().__init__(config, TFTEncoder(config), config.hidden)
