"""Temporal Fusion Transformer (Lim et al. 2021); names load torch on first use only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantum_trader.envs.lazy import lazy_names

if TYPE_CHECKING:
    from quantum_trader.agents.tft.agent import TFTAgent as TFTAgent
    from quantum_trader.agents.tft.config import TFTConfig as TFTConfig, tft_preset as tft_preset
    from quantum_trader.agents.tft.encoder import TFTEncoder as TFTEncoder
    from quantum_trader.agents.tft.model import TFT as TFT

_MODULES = {
    "TFT": "model",
    "TFTAgent": "agent",
    "TFTConfig": "config",
    "TFTEncoder": "encoder",
    "tft_preset": "config",
}
"""Public name -> the module of this package that defines it."""

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
