from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.bootstrap import BootstrapConfig, sums_interval
from quantum_trader.evaluate.records import RegimeRow
from quantum_trader.evaluate.statistics.regimes import (
    SPAN,
    TRENDS,
    UNKNOWN,
    VOLATILITIES,
    DirectionCalls,
    MarketRegimes,
    index_regimes,
    regime_names,
    regime_rows,
    regimes,
)

Floats = NDArray[np.float64]
HOUR = 3_600_000
CONFIG = BootstrapConfig(draws=200, block_bars=10.0)


def _prices(returns: Floats) -> Floats:
    """Closes from 100 on, one more than returns."""
    return np.asarray(100.0 * np.exp(np.concatenate([[0.0], np.cumsum(returns)])))


def _walk(bars: int, seed: int = 0, volatility: float = 0.005) -> Floats:
    return _prices(volatility * np.random.default_rng(seed).standard_normal(bars - 1))


def _hours(bars: int, start: int = 0) -> NDArray[np.int64]:
    return (start + np.arange(bars, dtype=np.int64)) * HOUR


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), span=st.integers(5, 80), cut=st.integers(1, 399))
def test_the_future_changes_nothing(seed: int, span: int, cut: int) -> None:
    """Other prices from bar `cut` on leave every code before it as it was; so does their absence."""
    close = _walk(400, seed)
    changed = close.copy()
    changed[cut:] *= np.random.default_rng(seed + 1).uniform(0.1, 10.0, 400 - cut)
    known = regimes(close, span=span)[:cut]
    np.testing.assert_array_equal(regimes(changed, span=span)[:cut], known)
    np.testing.assert_array_equal(regimes(close[:cut], span=span), known)


def test_codes_are_what_the_definition_says_bar_by_bar() -> None:
    """The vectorised codes equal a plain loop over the definition."""
    close, span = _walk(500, 4) * np.exp(np.sin(np.arange(500) / 60)), 50
    returns = np.diff(np.log(close))
    expected = np.full(500, UNKNOWN)
    measured = []
    for bar in range(10, 500):
        measured.append(np.sqrt(np.mean(returns[bar - 10 : bar] ** 2)))
        if bar < span:
            continue
        z = np.log(close[bar] / close[bar - span]) / np.sqrt(np.sum(returns[bar - span : bar] ** 2))
        ratio = measured[-1] / np.median(measured)
        expected[bar] = 3 * (1 + (z > 0.5) - (z < -0.5)) + 1 + (ratio > 4 / 3) - (ratio < 0.75)
    found = regimes(close, span=span)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 4


@pytest.mark.parametrize(("drift", "trend"), [(-0.002, "falling"), (0.0, "sideways"), (0.002, "rising")])
def test_a_steady_drift_is_a_trend(drift: float, trend: str) -> None:
    """Prices that drift by half their deviation a bar rise or fall; those that go to and fro are sideways."""
    noise = 0.004 * np.resize([1.0, -1.0], 1_999)
    codes = regimes(_prices(noise + drift), span=100)
    assert {regime_names(int(code))[0] for code in codes[100:]} == {trend}


@pytest.mark.parametrize(("factor", "volatility"), [(0.4, "calm"), (1.0, "usual"), (2.5, "wild")])
def test_volatility_is_told_against_its_past(factor: float, volatility: str) -> None:
    """After 1,000 usual bars, moves of another size are calm or wild within a fifth of the span."""
    noise = 0.004 * np.random.default_rng(1).standard_normal(1_300)
    noise[1_000:] *= factor
    codes = regimes(_prices(noise), span=720)
    assert {regime_names(int(code))[1] for code in codes[1_001 + 144 :]} == {volatility}


def test_a_driftless_walk_shares_its_time_among_the_trends() -> None:
    """Over many walks each trend has about a third of the bars, and volatility is hardly ever unusual."""
    codes = np.concatenate([regimes(_walk(2_000, seed), span=100)[100::100] for seed in range(60)])
    shares = np.bincount(codes // 3, minlength=3) / len(codes)
    assert shares == pytest.approx([0.31, 0.38, 0.31], abs=0.06)
    wide = np.concatenate([regimes(_walk(3_000, seed))[SPAN:] for seed in range(5)])
    assert np.mean(wide % 3 == 1) > 0.99


def test_short_and_still_prices_are_answered() -> None:
    """Too little history is unknown; a price that never moves is sideways and usual."""
    assert (regimes(_walk(SPAN)) == UNKNOWN).all()
    assert regimes(_walk(SPAN + 1))[-1] != UNKNOWN
    assert len(regimes(np.zeros(0))) == 0
    still = regimes(np.full(100, 5.0), span=20)
    assert (still[:20] == UNKNOWN).all()
    assert {regime_names(int(code)) for code in still[20:]} == {("sideways", "usual")}


def test_codes_name_every_pair_once() -> None:
    """The nine codes are the nine pairs of a trend and a volatility."""
    names = {regime_names(code) for code in range(9)}
    assert names == {(trend, volatility) for trend in TRENDS for volatility in VOLATILITIES}
    for code in (UNKNOWN, 9):
        with pytest.raises(ConfigError, match="0 to 8"):
            regime_names(code)


def test_the_index_of_one_symbol_is_the_symbol() -> None:
    """One symbol's index has its own codes, and two copies of it have them too."""
    close, time = _walk(900, 2), _hours(900)
    own = regimes(close, span=100)
    for copies in (1, 2):
        found = index_regimes([(time, close)] * copies, span=100)
        np.testing.assert_array_equal(found.timestamps, time)
        np.testing.assert_array_equal(found.codes, own)


def test_the_index_weighs_symbols_equally_whatever_their_price() -> None:
    """A symbol's price level plays no part, and opposite moves cancel; late symbols join with a return."""
    rise, time = _prices(np.full(299, 0.01)), _hours(300)
    swing = 1_000.0 * np.resize([1.0, 1.05], 300)
    cancelled = index_regimes([(time, rise), (time, swing / rise)], span=50)
    assert {regime_names(int(code))[0] for code in cancelled.codes[50:]} == {"sideways"}
    late = index_regimes([(time, rise), (time[200:], 7.0 * rise[200:])], span=50)
    alone = index_regimes([(time, rise)], span=50)
    np.testing.assert_array_equal(late.codes, alone.codes)


def test_a_bar_is_told_by_the_bar_before_and_a_decision_by_its_own() -> None:
    """Look-ups at an open see the bar before, look-ups at a close the bar itself, before the first none."""
    market = MarketRegimes(timestamps=_hours(9, 10), codes=np.arange(9, dtype=np.int8))
    moments = np.array([0, 10, 11, 18, 19, 40], dtype=np.int64) * HOUR
    assert market.before(moments).tolist() == [-1, -1, 0, 7, 8, 8]
    assert market.decided_at(moments).tolist() == [-1, 0, 1, 8, 8, 8]


def _rows_of(
    codes: list[int], log_returns: Floats, calls: DirectionCalls | None = None
) -> tuple[RegimeRow, ...]:
    """Rows of bars 1 ... n, the code of the bar before each of them given."""
    market = MarketRegimes(timestamps=_hours(len(codes)), codes=np.array(codes, dtype=np.int8))
    entered = np.array([1, 2, 2, 4], dtype=np.int64) * HOUR
    return regime_rows(
        market,
        timestamps=_hours(len(log_returns), 1),
        log_returns=log_returns,
        entered=entered,
        net_pnl=np.array([1.0, -1.0, 2.0, 3.0]),
        calls=calls,
        config=CONFIG,
    )


def test_rows_add_up_to_the_whole() -> None:
    """Returns, trades, wins and calls land in the regime known before; what was unknown is in no row."""
    calls = DirectionCalls(
        timestamps=np.array([0, 1, 2, 3, 4], dtype=np.int64) * HOUR,
        right=np.array([True, True, False, True, True]),
    )
    rows = _rows_of([-1, 8, 0, 8, 8], np.array([1.0, 2.0, 4.0, 8.0, 16.0]), calls)
    falling, rising = rows
    assert (falling.trend, falling.volatility) == ("falling", "calm")
    assert (rising.trend, rising.volatility) == ("rising", "wild")
    assert (falling.log_return.estimate, rising.log_return.estimate) == (4.0, 26.0)
    assert (falling.share, rising.share) == (0.2, 0.6)
    assert (falling.trades, rising.trades) == (0, 3)
    assert np.isnan(falling.win_rate)
    assert rising.win_rate == pytest.approx(2 / 3)
    assert (falling.direction_accuracy, rising.direction_accuracy) == (0.0, 1.0)


def test_without_probabilities_there_is_no_direction() -> None:
    """Agents that state none have no accuracy; an unknown market has no rows."""
    assert [row.direction_accuracy for row in _rows_of([0] * 6, np.ones(5))] == [None]
    assert _rows_of([UNKNOWN] * 6, np.ones(5)) == ()


def test_intervals_are_those_of_the_masked_returns() -> None:
    """Each interval is the bootstrap's of the whole period with the other regimes' returns zero."""
    rng = np.random.default_rng(3)
    codes = np.repeat(rng.integers(0, 9, 40), 10)
    log_returns = 0.01 * rng.standard_normal(400)
    rows = _rows_of(codes.tolist(), log_returns)
    assert len(rows) == len(np.unique(codes))
    for code, row in zip(np.unique(codes), rows, strict=True):
        masked = np.where(codes == code, log_returns, 0.0)
        expected = sums_interval(lambda sums: sums[:, 0], masked[:, None], config=CONFIG)
        assert row.log_return.estimate == pytest.approx(expected.estimate)
        assert (row.log_return.low, row.log_return.high) == (expected.low, expected.high)
    assert sum(row.log_return.estimate for row in rows) == pytest.approx(log_returns.sum())
    assert sum(row.share for row in rows) == pytest.approx(1.0)


def test_what_cannot_be_told_is_an_error() -> None:
    """Short spans, prices that are none and no symbols are refused."""
    with pytest.raises(ConfigError, match="span"):
        regimes(_walk(100), span=4)
    for wrong in (0.0, -1.0, np.nan):
        with pytest.raises(ConfigError, match="positive"):
            regimes(np.array([1.0, wrong]))
        with pytest.raises(ConfigError, match="positive"):
            index_regimes([(_hours(2), np.array([1.0, wrong]))])
    with pytest.raises(ConfigError, match="at least one symbol"):
        index_regimes([])
