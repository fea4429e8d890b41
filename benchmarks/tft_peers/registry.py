"""The peers: where their adapters are and how to get them."""

from __future__ import annotations

from dataclasses import dataclass

PYTORCH_FORECASTING = "pytorch-forecasting"
PYTORCH_FORECASTING_NARROW = "pytorch-forecasting, narrow"
NEURALFORECAST = "neuralforecast"
DARTS = "darts"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A Temporal Fusion Transformer of somebody else's."""

    module: str
    """Adapter, with functions `build(task, case)` and `facts(task)`; see `tft_peers.network`."""
    requirement: str
    """What to install, as pip takes it."""
    distributions: tuple[str, ...]
    """Distributions whose versions are worth reporting, its own first."""


PEERS = {
    PYTORCH_FORECASTING: Peer(
        module="tft_peers.pytorch_forecasting",
        requirement="pytorch-forecasting==1.8.0",
        distributions=("pytorch-forecasting", "lightning", "torch"),
    ),
    PYTORCH_FORECASTING_NARROW: Peer(
        module="tft_peers.pytorch_forecasting_narrow",
        requirement="pytorch-forecasting==1.8.0",
        distributions=("pytorch-forecasting", "lightning", "torch"),
    ),
    NEURALFORECAST: Peer(
        module="tft_peers.neuralforecast",
        requirement="neuralforecast==3.3.0",
        distributions=("neuralforecast", "pytorch-lightning", "torch"),
    ),
    DARTS: Peer(
        module="tft_peers.darts",
        requirement="darts==0.48.1",
        distributions=("darts", "pytorch-lightning", "torch"),
    ),
}
