"""Temporal Fusion Transformer (Lim et al. 2021). Names load torch on first use only."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantum_trader.agents.tft.agent import Encoded, TFTAgent
    from quantum_trader.agents.tft.config import TFTConfig, tft_preset
    from quantum_trader.agents.tft.encoder import EncoderOutput, TFTEncoder
    from quantum_trader.agents.tft.model import TFT, TFTOutput

__all__ = [
    "TFT",
    "Encoded",
    "EncoderOutput",
    "TFTAgent",
    "TFTConfig",
    "TFTEncoder",
    "TFTOutput",
    "tft_preset",
]

_MODULES = {
    "TFT": "model",
    "TFTOutput": "model",
    "TFTEncoder": "encoder",
    "EncoderOutput": "encoder",
    "TFTAgent": "agent",
    "Encoded": "agent",
    "TFTConfig": "config",
    "tft_preset": "config",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
