"""`TFTConfig`: the shape of the network. Imports no torch, so that settings can be read without it."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.agents.network_config import NetworkConfig, Preset, unknown_preset


@dataclass(frozen=True, kw_only=True)
class TFTConfig(NetworkConfig):
    """Shape of the Temporal Fusion Transformer (Lim et al. 2021). By default 2.56 million weights."""

    hidden: int = 128
    """Width of every layer; halving it is about three times faster and learns nearly as well on few rows."""
    heads: int = 8
    """Attention heads; must divide `hidden`."""
    lstm_layers: int = 3
    """Layers of the LSTM over the window; each costs about as much as all variable selection together."""
    lstm_hidden: int = 128
    """Units of the LSTM per direction."""
    bidirectional: bool = True
    """Read the window in both directions; it is all in the past, so nothing leaks."""
    knots: int = 128
    """Knots on which the GRNs of the features are evaluated, with linear interpolation in between; more
    follow sharper bends, 0 evaluates them on every value, which takes nearly twice as long."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_at_least_one("hidden", "heads", "lstm_layers", "lstm_hidden")
        self.require(self.knots == 0 or self.knots >= 2, f"knots must be 0 or at least 2, found {self.knots}")
        self.require(
            self.hidden % self.heads == 0, f"heads must divide hidden {self.hidden}, found {self.heads} heads"
        )


def tft_preset(name: Preset) -> TFTConfig:
    """A named shape: "paper" 2.56 M parameters, "small" 0.65 M, "tiny" 0.03 M (tests and demonstrations)."""
    if name == "paper":
        return TFTConfig()
    if name == "small":
        return TFTConfig(hidden=64, lstm_hidden=64)
    if name == "tiny":
        return TFTConfig(hidden=16, lstm_hidden=16, lstm_layers=1, heads=2, dropout=0.0)
    raise unknown_preset("TFT", name)
