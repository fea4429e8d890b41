"""The peers: where their adapters are and how to get them."""

from __future__ import annotations

from dataclasses import dataclass

GYM_ANYTRADING = "gym-anytrading"
GYM_TRADING_ENV = "gym-trading-env"
FREQAI = "FreqAI Base5"
TORCHTRADE = "TorchTrade"
TORCHTRADE_VECTORISED = "TorchTrade vectorised"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """An environment of somebody else's."""

    module: str
    """Adapter, with a function `build(task, accounts)` that returns a function taking some steps."""
    requirement: str
    """What to install, as pip takes it."""
    distributions: tuple[str, ...]
    """Distributions whose versions are worth reporting, its own first."""
    vectorised: bool = False
    """Whether it steps several accounts at once."""


PEERS = {
    GYM_ANYTRADING: Peer(
        module="peers.gym_anytrading",
        requirement="gym-anytrading==2.0.0",
        distributions=("gym-anytrading", "gymnasium", "numpy"),
    ),
    GYM_TRADING_ENV: Peer(
        module="peers.gym_trading_env",
        requirement="gym-trading-env==0.3.5",
        distributions=("gym-trading-env", "gymnasium", "numpy", "pandas"),
    ),
    FREQAI: Peer(
        module="peers.freqai",
        requirement="freqtrade==2026.9 gymnasium",
        distributions=("freqtrade", "gymnasium", "numpy", "pandas"),
    ),
    TORCHTRADE: Peer(
        module="peers.torchtrade",
        requirement="torchtrade==0.1.0",
        distributions=("torchtrade", "torchrl", "tensordict", "torch"),
    ),
    TORCHTRADE_VECTORISED: Peer(
        module="peers.torchtrade_vectorised",
        requirement="torchtrade==0.1.0",
        distributions=("torchtrade", "torchrl", "tensordict", "torch"),
        vectorised=True,
    ),
}
