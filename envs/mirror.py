"""The mirrored market: what observations look like where every price p is c / p.

A rise becomes a fall of the same size, and nothing else changes: a long position in the one market is a short
one in the other. What a learner takes for the drift of the years it saw, it cannot learn from both markets.

`mirrored_market` turns a market round before environments trade it, `Mirror` scaled windows one by one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars, Floats
from quantum_trader.envs.context import STATIC_NAMES
from quantum_trader.envs.features import FEATURE_NAMES
from quantum_trader.envs.market import Market
from quantum_trader.envs.scaler import FeatureScaler

Floats32 = NDArray[np.float32]

_REFLECTED = {
    "log_return": 0.0,
    "close_location": 1.0,
    "ema_10_gap": 0.0,
    "ema_50_gap": 0.0,
    "ema_200_gap": 0.0,
    "rsi_14": 1.0,
    "macd": 0.0,
    "macd_signal": 0.0,
    "bollinger_percent_b": 1.0,
    "funding_rate": 0.0,
}
"""Features x that become a - x, and their a; the others stay what they are.

Exact for return, range, volume and funding; for the rest up to terms of second order in the moves behind
them. In standard deviations of a feature that is a mean error of up to 20 v in bars of volatility v (0.06
where v is 0.3 %); it is largest in ATR and MACD.
"""
_REFLECTED_STATIC = ("trend_regime",)


class Mirror:
    """Mirrors scaled windows and context vectors.

    Args:
        scaler: what the windows were scaled with.
    """

    def __init__(self, scaler: FeatureScaler) -> None:
        center = np.asarray(scaler.center, dtype=np.float64)
        scale = np.asarray(scaler.scale, dtype=np.float64)
        reflected = np.array([name in _REFLECTED for name in FEATURE_NAMES])
        total = np.array([_REFLECTED.get(name, 0.0) for name in FEATURE_NAMES])
        self._sign = np.where(reflected, -1.0, 1.0).astype(np.float32)
        self._shift = np.where(reflected, (total - 2.0 * center) / scale, 0.0).astype(np.float32)
        self._clip = scaler.clip
        self._static = [STATIC_NAMES.index(name) for name in _REFLECTED_STATIC]

    def windows(self, windows: Floats32) -> Floats32:
        """float32 [B, 60, 14], scaled -> the mirrored market's, a fresh array."""
        mirrored = windows * self._sign
        mirrored += self._shift
        np.clip(mirrored, -self._clip, self._clip, out=mirrored)
        return mirrored

    def context(self, context: Floats32) -> Floats32:
        """float32 [B, C] -> the mirrored market's, a fresh array; the calendar is the same."""
        mirrored = context.copy()
        mirrored[:, self._static] *= -1.0
        return mirrored


def mirrored_bars(bars: Bars) -> Bars:
    """The bars of the mirrored market: every price p becomes c / p with c the first close squared.

    The level stays what it was, and the first close itself. High and low change places, and so do those of
    the mark. Funding rates change sign: whoever paid receives. Volume, moments and names stay.

    A bar that returned r = ln(C[t] / C[t-1]) returns -r. Of the notional carried into it a long position then
    earns exp(-r) - 1, where a short one of the original earns 1 - exp(r): 2 cosh(r) - 2, about r^2, more.
    """
    constant = bars.close[:1] ** 2  # an array of one, so that no bars give no bars

    def turned(price: Floats) -> Floats:
        return np.asarray(constant / price)

    return replace(
        bars,
        open=turned(bars.open),
        high=turned(bars.low),
        low=turned(bars.high),
        close=turned(bars.close),
        funding_rate=-bars.funding_rate,
        mark_open=turned(bars.mark_open),
        mark_high=turned(bars.mark_low),
        mark_low=turned(bars.mark_high),
        mark_close=turned(bars.mark_close),
    )


def mirrored_market(market: Market) -> Market:
    """`market` with `mirrored_bars`, the same contract and the same scaler; everything is computed anew.

    Call it on a whole market, before `rows(...)` cuts it: features need their warm-up, and what a part
    remembers of the bars before it cannot be turned round. A table of your own gives way to the 14 features.

    Tick and lot stay what they are, so that they weigh more or less where prices have moved far from the
    first one.
    """
    return Market.build(mirrored_bars(market.bars), market.contract, market.scaler)
