"""A market beside the frozen encoder's output of every bar: what policies train on, kept in files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.policy_agent import market_state
from quantum_trader.agents.policy_features import PolicyFeatures
from quantum_trader.agents.policy_state import state_size
from quantum_trader.agents.signals import ModelInputs
from quantum_trader.agents.tft.agent import TFTAgent
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.files import atomic_file, json_sha256
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.progress import Progress

Floats32 = NDArray[np.float32]

_ENCODE_BATCH = 2048
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class EncodedMarket:
    """A market with what a policy is told at every bar."""

    market: Market
    table: Floats32
    """float32 [T, S]; zeros where no window may end."""


def encode_market(
    tft: TFTAgent,
    market: Market,
    features: PolicyFeatures = "encoder",
    *,
    start: int = 0,
    out: Floats32 | None = None,
) -> EncodedMarket:
    """Run the frozen encoder once per bar; an observation never depends on the position, so that suffices.

    Args:
        tft: whose encoder it is; the market is seen through its scaler.
        market: T bars.
        features: what the policy is told.
        start: first bar to encode; those before it stay zeros.
        out: float32 [T, S] of zeros to write to; None makes one.

    Raises:
        TrainingError: no window is usable, or the encoder's output is not finite.
    """
    market = _seen_by(tft, market)
    ends = start + np.flatnonzero(market.usable[start:])
    if len(ends) == 0:
        raise TrainingError(f"{market.symbol}: no usable window to train on; give longer data.")
    size = state_size(tft.model, features)
    table = np.zeros((len(market), size), dtype=np.float32) if out is None else out
    for first in range(0, len(ends), _ENCODE_BATCH):
        rows = ends[first : first + _ENCODE_BATCH]
        inputs = ModelInputs(windows=gather(market.table, rows, WINDOW), context=market.context[rows])
        told = market_state(tft, tft.encode(inputs), features)
        if not np.isfinite(told).all():
            raise TrainingError(f"{market.symbol}: the encoder's output is not finite; train the TFT again.")
        table[rows] = told
    return EncodedMarket(market=market, table=table)


def encode_markets(
    tft: TFTAgent, markets: Sequence[Market], features: PolicyFeatures, folder: Path
) -> list[EncodedMarket]:
    """`encode_market` for each, in one memory-mapped file of `folder` that later calls find again.

    The file is named after encoder, number format, features and everything the encoder reads of the markets,
    so that another encoder or other data never finds it. Its rows are the markets' bars, one market after
    the other: a vector environment uses them where they lie.

    Raises:
        TrainingError: `tft` has no hash because it was never saved; no window is usable; or the encoder's
            output is not finite.
    """
    if not tft.model_hash:
        raise TrainingError("Tables are kept by the encoder's hash, which it gets when saved: save it first.")
    markets = [_seen_by(tft, market) for market in markets]
    path = folder / f"{_key(tft, markets, features)}.npy"
    if not path.is_file():
        _write(path, tft, markets, features)
    whole = np.load(path, mmap_mode="r")
    stops = np.cumsum([len(market) for market in markets])
    tables = np.split(np.asarray(whole), stops[:-1])
    return [EncodedMarket(market=market, table=table) for market, table in zip(markets, tables, strict=True)]


def _write(path: Path, tft: TFTAgent, markets: Sequence[Market], features: PolicyFeatures) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = sum(len(market) for market in markets)
    shape = (rows, state_size(tft.model, features))
    with atomic_file(path) as temporary, Progress("encode", total=rows, unit="bars") as progress:
        whole = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        begin = 0
        for market in markets:
            encode_market(tft, market, features, out=whole[begin : begin + len(market)])
            begin += len(market)
            progress.update(begin)
        whole.flush()


def _key(tft: TFTAgent, markets: Sequence[Market], features: PolicyFeatures) -> str:
    seen = hashlib.sha256()
    for market in markets:
        for array in (market.table, market.context, market.usable):
            seen.update(np.ascontiguousarray(array).tobytes())
        seen.update(str(len(market)).encode())
    parts = {
        "format": _FORMAT,
        "encoder": tft.model_hash,
        "bf16": tft.bf16,
        "features": features,
        "data": seen.hexdigest(),
    }
    return json_sha256(parts)[:24]


def _seen_by(tft: TFTAgent, market: Market) -> Market:
    return market if market.scaler == tft.scaler else market.with_scaler(tft.scaler)
