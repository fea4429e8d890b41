"""The mirrored market: what is computed from prices c / p is what mirroring the observations gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.env import FuturesTradingEnv
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.features import FEATURE_NAMES, WARMUP_BARS, compute_table
from quantum_trader.envs.market import Market
from quantum_trader.envs.mirror import Mirror, mirrored_bars, mirrored_market
from quantum_trader.envs.presets import guess_preset
from quantum_trader.envs.scaler import REFERENCE_SCALER, FeatureScaler
from quantum_trader.envs.synthetic import SyntheticConfig, synthetic_bars
from quantum_trader.envs.windows import gather

SCALER: FeatureScaler = replace(REFERENCE_SCALER, clip=1e6)
CONTRACT: FuturesContract = guess_preset("BTCUSDT")
COUNT = 320


PRICES = ("open", "high", "low", "close")
EXACT = ("log_return", "range", "volume_ratio", "funding_rate")
FREE = FuturesContract(name="free", taker_fee=0.0, slippage=0.0, liquidation_fee=0.0)
SELL, BUY, HOLD = 2, 1, 0


@st.composite
def gapping_bars(draw: st.DrawFn) -> Bars:
    """Bars that open away from the last close, with a mark that strays from the price, and funding."""
    seed, volatility = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([1e-4, 0.003, 0.02]))
    start = draw(st.sampled_from([1e-5, 1.0, 40_000.0]))
    random = np.random.default_rng(seed)
    walk = np.cumsum(volatility * random.standard_normal(2 * COUNT))
    edges = start * np.exp(walk).reshape(COUNT, 2)  # open, close
    stray = np.exp(volatility * random.standard_normal((COUNT, 2)))
    settled = random.random(COUNT) < 0.3
    return Bars(
        symbol="DRAWN",
        step_ms=3_600_000,
        timestamp=np.arange(COUNT, dtype=np.int64) * 3_600_000,
        **_candles(edges, volatility, random, ""),
        volume=random.uniform(0, 10, COUNT),
        funding_rate=np.where(settled, 0.003 * random.standard_normal(COUNT), np.nan),
        **_candles(edges * stray, volatility, random, "mark_"),
    )


def _candles(
    edges: NDArray[np.float64], volatility: float, random: np.random.Generator, prefix: str
) -> dict[str, NDArray[np.float64]]:
    wicks = np.exp(volatility * np.abs(random.standard_normal((COUNT, 2))))
    columns = (edges[:, 0], edges.max(axis=1) * wicks[:, 0], edges.min(axis=1) / wicks[:, 1], edges[:, 1])
    return {f"{prefix}{name}": column for name, column in zip(PRICES, columns, strict=True)}


def _carried(market: Market, first: int) -> pd.DataFrame:
    """History of an account at leverage 1 that opens with action `first` and then holds.

    Adds, for the bars after the fill: `carried`, the notional at the last close's mark; `profit` and
    `received` (funding) of the bar as shares of it.
    """
    env = FuturesTradingEnv(market, EnvConfig())
    env.reset(seed=0)
    action, ended = first, False
    while not ended:
        _, _, terminated, truncated, _ = env.step(action)
        action, ended = HOLD, terminated or truncated
    history = env.history()
    mark = market.bars.mark_close[history["bar"].to_numpy()]
    history["carried"] = (history["position"].abs() * mark).shift()
    history["profit"] = history["equity"].diff() / history["carried"]
    history["received"] = -history["funding"].diff() / history["carried"]
    held = (history["position"] != 0) & (history["position"].shift(fill_value=0) != 0)
    return history[held].set_index("bar")


def _both(bars: Bars) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A short account in the market and a long one in its mirror, over the bars that both hold through."""
    market = Market.build(bars, FREE)
    short, long = _carried(market, SELL), _carried(mirrored_market(market), BUY)
    common = short.index.intersection(long.index)
    return short.loc[common], long.loc[common]


@pytest.fixture(scope="module")
def pair() -> tuple[Bars, Bars]:
    """A market and its mirror image."""
    bars = synthetic_bars(SyntheticConfig(bars=1500, volatility=0.003))
    return bars, mirrored_bars(bars)


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


@settings(max_examples=30, deadline=None)
@given(gapping_bars())
def test_mirroring_bars_twice_gives_them_back(bars: Bars) -> None:
    """Prices to 1e-9, funding, volume, moments and names to the bit; the first close stays in between."""
    once = mirrored_bars(bars)
    again = mirrored_bars(once)
    for name in (*PRICES, *(f"mark_{price}" for price in PRICES)):
        np.testing.assert_allclose(getattr(again, name), getattr(bars, name), rtol=1e-9)
    for name in ("funding_rate", "volume", "timestamp"):
        np.testing.assert_array_equal(getattr(again, name), getattr(bars, name))
    assert (again.symbol, again.step_ms) == (bars.symbol, bars.step_ms)
    assert once.close[0] == pytest.approx(bars.close[0], rel=1e-12)
    np.testing.assert_allclose(np.diff(np.log(once.close)), -np.diff(np.log(bars.close)), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(gapping_bars())
def test_mirrored_candles_are_candles(bars: Bars) -> None:
    """High is the highest and low the lowest of each bar, of the price and of the mark, without tolerance."""
    once = mirrored_bars(bars)
    for prefix in ("", "mark_"):
        first, high, low, last = (getattr(once, f"{prefix}{name}") for name in PRICES)
        assert (high >= np.maximum(first, last)).all()
        assert (low <= np.minimum(first, last)).all()


def test_no_bars_have_no_mirror_image(pair: tuple[Bars, Bars]) -> None:
    """Nothing mirrored is nothing, instead of an error about a first close."""
    assert len(mirrored_bars(pair[0][:0])) == 0


def test_a_mirrored_market_is_the_same_market_otherwise() -> None:
    """Symbol, contract, scaler, clock and usable rows are the original's; its arrays cannot be written."""
    scaler = replace(REFERENCE_SCALER, clip=3.0)
    market = Market.build(synthetic_bars(SyntheticConfig(bars=400)), CONTRACT, scaler)
    close = market.bars.close.copy()
    once = mirrored_market(market)
    assert (once.symbol, once.contract, once.scaler) == (market.symbol, CONTRACT, scaler)
    assert np.array_equal(once.usable, market.usable)
    assert float(np.abs(once.table).max()) == 3.0
    assert not once.bars.close.flags.writeable
    assert np.array_equal(market.bars.close, close)


@pytest.mark.parametrize("volatility", [0.001, 0.003])
@pytest.mark.parametrize("seed", [0, 1])
def test_windows_of_the_mirrored_market(volatility: float, seed: int) -> None:
    """`Mirror` gives its windows: exactly or, on average, to 20 volatilities of a feature's deviation."""
    config = SyntheticConfig(bars=1500, volatility=volatility, seed=seed)
    market = Market.build(synthetic_bars(config), CONTRACT, SCALER)
    ends = np.flatnonzero(market.usable)
    found = Mirror(SCALER).windows(gather(market.table, ends))
    expected = gather(mirrored_market(market).table, ends)
    error = np.abs(found - expected) / market.table[WARMUP_BARS:].std(axis=0)
    worst, average = error.max(axis=(0, 1)), error.mean(axis=(0, 1))
    for name, most, usual in zip(FEATURE_NAMES, worst, average, strict=True):
        assert most < 1e-4 if name in EXACT else usual < 20.0 * volatility, name


@settings(max_examples=20, deadline=None)
@given(gapping_bars())
def test_long_in_the_mirror_earns_what_short_earns(bars: Bars) -> None:
    """Bar by bar, of the notional carried in, 2 cosh(r) - 2 more: not less, at most 1.01 r^2 (|r| < 0.3)."""
    short, long = _both(replace(bars, funding_rate=np.full(COUNT, np.nan)))
    r = np.diff(np.log(bars.mark_close), prepend=np.nan)[short.index]
    more = (long["profit"] - short["profit"]).to_numpy()
    assert len(short) > 10
    np.testing.assert_allclose(more, 2.0 * np.cosh(r) - 2.0, atol=1e-9)
    assert (more >= -1e-9).all()
    assert (more <= 1.01 * r**2 + 1e-9)[np.abs(r) < 0.3].all()


@settings(max_examples=20, deadline=None)
@given(gapping_bars())
def test_long_in_the_mirror_receives_what_short_receives(bars: Bars) -> None:
    """Funding, of the notional carried in, differs by 2 f sinh(g): the rate times the jump g to the open."""
    short, long = _both(bars)
    jump = np.log(bars.mark_open[1:] / bars.mark_close[:-1])[short.index - 1]
    rate = np.nan_to_num(bars.funding_rate)[short.index]
    more = (short["received"] - long["received"]).to_numpy()
    assert np.count_nonzero(short["received"]) > 2
    assert np.array_equal(np.sign(short["received"]), np.sign(rate))
    np.testing.assert_allclose(more, 2.0 * rate * np.sinh(jump), atol=1e-9)
