"""Markets and random actions that an independent engine can be given as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from quantum_trader.envs import EnvConfig, FuturesContract, Market, bars_from_frame

Floats = NDArray[np.float64]
MakeMarket = Callable[..., Market]


def random_frame(seed: int, count: int, *, volatility: float = 0.004, gap: float = 0.0005) -> pd.DataFrame:
    """Hourly bars of a random walk from 100 on, on a grid of 0.01, each opening a little off the last."""
    draws = np.random.default_rng(seed)
    gaps, moves = draws.normal(0.0, gap, count), draws.normal(0.0, volatility, count)
    close = 100.0 * np.exp(np.cumsum(gaps + moves))
    open_ = close * np.exp(-moves)
    reach = np.abs(draws.normal(0.0, volatility / 2, (2, count)))
    frame = pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * (1.0 + reach[0]),
            "low": np.minimum(open_, close) * (1.0 - reach[1]),
            "close": close,
        }
    ).round(2)
    frame.insert(0, "timestamp", pd.date_range("2024-01-01", periods=count, freq="h"))
    return frame.assign(volume=1_000.0)


def market_of(frame: pd.DataFrame, contract: FuturesContract) -> Market:
    """A market in which every bar may be traded from the first on: for configurations with window=1."""
    market = Market.build(bars_from_frame(frame, symbol="TEST"), contract)
    return replace(market, usable=np.ones(len(market), dtype=np.bool_))


def random_actions(seed: int, count: int, config: EnvConfig) -> Floats:
    """One action a bar: the first stays flat, and about half of the others ask for nothing new."""
    draws = np.random.default_rng(seed)
    if config.actions == "order":
        orders = draws.choice(3, count, p=(0.4, 0.3, 0.3)).astype(np.float64)
        orders[0] = 0.0
        return orders
    if config.actions == "target":
        wanted = draws.integers(0, 2 * config.max_units + 1, count).astype(np.float64)
        wanted[0] = config.max_units
    else:
        wanted = np.round(draws.uniform(-1.0, 1.0, count), 1)
        wanted[0] = 0.0
    kept = draws.random(count) < 0.5
    latest = np.maximum.accumulate(np.where(kept, 0, np.arange(count)))
    return wanted[latest]


@pytest.fixture(scope="session")
def make_frame() -> Callable[..., pd.DataFrame]:
    """`random_frame`."""
    return random_frame


@pytest.fixture(scope="session")
def make_market() -> MakeMarket:
    """`market_of`."""
    return market_of


@pytest.fixture(scope="session")
def make_actions() -> Callable[[int, int, EnvConfig], Floats]:
    """`random_actions`."""
    return random_actions
