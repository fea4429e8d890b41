"""`BiLSTMConfig`: the shape of the network. Imports no torch, so that settings can be read without it."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.agents.network_config import NetworkConfig, Preset, unknown_preset


@dataclass(frozen=True, kw_only=True)
class BiLSTMConfig(NetworkConfig):
    """Shape of a bidirectional LSTM with attention. By default 2.57 million weights, as many as the TFT."""

    hidden: int = 384
    """Width of every layer, half of it for each direction of the LSTM; cost grows with its square."""
    layers: int = 2
    """LSTM layers over the window; each holds a third of all weights and takes nearly half of the time."""
    heads: int = 8
    """Attention heads; must divide `hidden`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least_one("hidden", "layers", "heads")
        self.require(self.hidden % 2 == 0, f"hidden must be even, found {self.hidden}")
        self.require(
            self.hidden % self.heads == 0, f"heads must divide hidden {self.hidden}, found {self.heads} heads"
        )


def bilstm_preset(name: Preset) -> BiLSTMConfig:
    """A named shape: "paper" 2.57 M parameters, "small" 0.65 M, "tiny" 0.01 M (tests and demonstrations)."""
    if name == "paper":
        return BiLSTMConfig()
    if name == "small":
        return BiLSTMConfig(hidden=192)
    if name == "tiny":
        return BiLSTMConfig(hidden=32, layers=1, heads=2, dropout=0.0)
    raise unknown_preset("BiLSTM", name)
