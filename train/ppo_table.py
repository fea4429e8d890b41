"""A market beside the frozen encoder's output of every bar: what PPO trains on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW, gather

Floats32 = NDArray[np.float32]

_EMBED_BATCH = 2048


@dataclass(frozen=True, kw_only=True)
class EncodedMarket:
    """A market with the frozen encoder's output of every bar."""

    market: Market
    table: Floats32
    """float32 [T, D]; zeros where no window may end."""


def encode_market(tft: TFTAgent, market: Market, start: int = 0) -> EncodedMarket:
    """Run the frozen encoder once per bar; an observation never depends on the position, so that suffices.

    Args:
        tft: whose encoder it is; the market is seen through its scaler.
        market: T bars.
        start: first bar to encode; those before it stay zeros.

    Raises:
        TrainingError: no window is usable, or the encoder's output is not finite.
    """
    if market.scaler != tft.scaler:
        market = market.with_scaler(tft.scaler)
    ends = start + np.flatnonzero(market.usable[start:])
    if len(ends) == 0:
        raise TrainingError(f"{market.symbol}: no usable window to train on; give longer data.")
    table = np.zeros((len(market), tft.embedding_size), dtype=np.float32)
    for first in range(0, len(ends), _EMBED_BATCH):
        rows = ends[first : first + _EMBED_BATCH]
        inputs = ModelInputs(windows=gather(market.table, rows, WINDOW), context=market.context[rows])
        table[rows] = tft.embed(inputs)
    if not np.isfinite(table).all():
        raise TrainingError(f"{market.symbol}: the encoder's output is not finite; train the TFT again.")
    return EncodedMarket(market=market, table=table)
