"""Markets whose prices a test writes down itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.context import CONTEXT_SIZE
from quantum_trader.envs.contract import FuturesContract, MarginTier
from quantum_trader.envs.market import Market
from quantum_trader.envs.scaler import REFERENCE_SCALER

HOUR_MS = 3_600_000
FREE = FuturesContract(name="free", taker_fee=0.0, slippage=0.0, liquidation_fee=0.0)
ONE_PERCENT = (MarginTier(floor=0.0, cap=1e12, mmr=0.01, max_leverage=125.0),)

MakeMarket = Callable[..., Market]


def written_market(
    close: Sequence[float],
    *,
    open: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    low: Sequence[float] | None = None,
    mark_high: Sequence[float] | None = None,
    mark_low: Sequence[float] | None = None,
    mark_open: Sequence[float] | None = None,
    mark_close: Sequence[float] | None = None,
    funding: dict[int, float] | None = None,
    breaks: Sequence[int] = (),
    atr: float = 1.0,
    symbol: str = "TEST",
    contract: FuturesContract = FREE,
) -> Market:
    """Hourly bars that open at the last close unless told otherwise; table value = bar + column / 100."""
    closes = np.asarray(close, dtype=np.float64)
    opens = np.r_[closes[:1], closes[:-1]] if open is None else np.asarray(open, dtype=np.float64)
    highs = np.maximum(opens, closes) if high is None else np.asarray(high, dtype=np.float64)
    lows = np.minimum(opens, closes) if low is None else np.asarray(low, dtype=np.float64)
    count = len(closes)
    rates = np.full(count, np.nan)
    for bar, rate in (funding or {}).items():
        rates[bar] = rate
    broken = np.zeros(count, dtype=np.bool_)
    broken[list(breaks)] = True
    table = (np.arange(count)[:, None] + np.arange(14) / 100).astype(np.float32)
    top = highs if mark_high is None else np.asarray(mark_high, dtype=np.float64)
    bottom = lows if mark_low is None else np.asarray(mark_low, dtype=np.float64)
    first = np.clip(opens, bottom, top) if mark_open is None else np.asarray(mark_open, dtype=np.float64)
    last = np.clip(closes, bottom, top) if mark_close is None else np.asarray(mark_close, dtype=np.float64)
    bars = Bars(
        symbol=symbol,
        step_ms=HOUR_MS,
        timestamp=np.arange(count, dtype=np.int64) * HOUR_MS,
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=np.ones(count),
        funding_rate=rates,
        mark_open=first,
        mark_high=top,
        mark_low=bottom,
        mark_close=last,
    )
    parts: dict[str, Any] = {
        "features": table,
        "table": table.copy(),
        "context": np.repeat(np.arange(count, dtype=np.float32)[:, None], CONTEXT_SIZE, axis=1),
        "usable": np.ones(count, dtype=np.bool_),
        "breaks": broken,
        "atr": np.full(count, atr),
    }
    return Market(bars=bars, contract=contract, scaler=REFERENCE_SCALER, **parts)


@pytest.fixture(scope="session")
def make_market() -> MakeMarket:
    """`written_market`."""
    return written_market
