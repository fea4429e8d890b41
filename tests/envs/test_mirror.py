"""The mirrored market: what is computed from prices 1 / p is what mirroring the observations gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.features import FEATURE_NAMES, WARMUP_BARS, compute_table
from quantum_trader.envs.mirror import Mirror
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.scaler import REFERENCE_SCALER, FeatureScaler
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars

SCALER: FeatureScaler = replace(REFERENCE_SCALER, clip=1e6)
CONTRACT: FuturesContract = guess_preset("BTCUSDT")


def _upside_down(bars: Bars) -> Bars:
    return replace(
        bars,
        open=1.0 / bars.open,
        high=1.0 / bars.low,
        low=1.0 / bars.high,
        close=1.0 / bars.close,
        funding_rate=-bars.funding_rate,
    )


@pytest.fixture(scope="module")
def pair() -> tuple[Bars, Bars]:
    """A market and its mirror image."""
    bars = synthetic_bars(SyntheticConfig(bars=1500, volatility=0.003))
    return bars, _upside_down(bars)


def test_mirrored_features_are_those_of_the_mirrored_market(pair: tuple[Bars, Bars]) -> None:
    """Each feature agrees with the one computed from prices turned upside down, within 3 % of its spread."""
    straight, mirrored = (compute_table(bars, CONTRACT).features[WARMUP_BARS:] for bars in pair)
    found = Mirror(SCALER).windows(SCALER.transform(straight))
    expected = SCALER.transform(mirrored)
    error = np.abs(found - expected).mean(axis=0) / np.maximum(expected.std(axis=0), 1e-6)
    assert dict(zip(FEATURE_NAMES, error.round(3), strict=True)) == {
        name: pytest.approx(0.0, abs=0.03) for name in FEATURE_NAMES
    }


def test_mirrored_static_numbers_are_those_of_the_mirrored_market(pair: tuple[Bars, Bars]) -> None:
    """The trend turns round, volatility, costs and the contract's own numbers stay."""
    straight, mirrored = (compute_table(bars, CONTRACT).static[WARMUP_BARS + 1 :] for bars in pair)
    np.testing.assert_allclose(Mirror(SCALER).context(straight), mirrored, rtol=0.02, atol=0.02)


def test_twice_is_never() -> None:
    """Mirroring twice gives the window back, clipped values included, and leaves its argument alone."""
    mirror = Mirror(replace(REFERENCE_SCALER, center=tuple(0.0 for _ in FEATURE_NAMES), clip=3.0))
    windows = np.random.default_rng(0).uniform(-3, 3, (5, 60, 14)).astype(np.float32)
    before = windows.copy()
    once = mirror.windows(windows)
    assert float(np.abs(once).max()) <= 3.0
    symmetric = [FEATURE_NAMES.index(name) for name in ("log_return", "macd", "volume_ratio")]
    np.testing.assert_allclose(mirror.windows(once)[..., symmetric], before[..., symmetric], atol=1e-6)
    np.testing.assert_array_equal(windows, before)
