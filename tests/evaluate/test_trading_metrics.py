from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quantum_trader.evaluate import trading_metrics as metrics

HOUR_MS = 3_600_000


def test_growth_measures_by_hand() -> None:
    """100 -> 121 over two bars is 21 %; with two bars a year that is the yearly growth too."""
    equity = np.array([100.0, 110.0, 121.0])
    assert metrics.total_return(equity) == pytest.approx(0.21)
    assert metrics.cagr(equity, yearly_bars=2) == pytest.approx(0.21)
    assert metrics.cagr(equity, yearly_bars=1) == pytest.approx(0.10)
    np.testing.assert_allclose(metrics.returns(equity), [0.1, 0.1])
    assert metrics.log_returns(equity).sum() == pytest.approx(np.log(1.21))


def test_drawdown_by_hand() -> None:
    """From 120 down to 90 is a quarter lost; below the peak for three bars, recovered at the fourth."""
    equity = np.array([100.0, 120.0, 90.0, 100.0, 110.0, 120.0, 119.0])
    assert metrics.max_drawdown(equity) == pytest.approx(0.25)
    assert metrics.max_drawdown_bars(equity) == 3
    assert metrics.max_drawdown_bars(np.array([1.0, 2.0, 3.0])) == 0
    assert metrics.max_drawdown_bars(np.array([3.0, 2.0, 1.0])) == 2


def test_ratios_by_hand() -> None:
    """Sharpe, Sortino and Calmar from their definitions."""
    bars = np.array([0.02, -0.01, 0.03, -0.02])
    assert metrics.sharpe(bars) == pytest.approx(0.005 / np.std(bars, ddof=1))
    # Negative returns -0.01 and -0.02: root of (0.0001 + 0.0004) / 4.
    assert metrics.sortino(bars) == pytest.approx(0.005 / np.sqrt(0.0005 / 4))
    equity = np.array([100.0, 80.0, 110.0])
    assert metrics.calmar(equity, yearly_bars=2) == pytest.approx(0.10 / 0.20)


def test_trade_measures_by_hand() -> None:
    """Two wins of 3, one loss of 2, one of 0: win rate 1/2, profit factor 3, break-even 1 / (3 + 1)."""
    net = np.array([3.0, 3.0, -2.0, 0.0])
    assert metrics.win_rate(net) == 0.5
    assert metrics.profit_factor(net) == 3.0
    assert metrics.expectancy(net) == 1.0
    assert metrics.break_even_win_rate(net) == pytest.approx(0.25)


def test_year_of_bars() -> None:
    """8,766 hours in a year; a weekday market has five sevenths of them."""
    assert metrics.bars_per_year(HOUR_MS) == pytest.approx(8766)
    assert metrics.bars_per_year(HOUR_MS, "weekdays") == pytest.approx(8766 * 5 / 7)
    assert metrics.annualised_ratio(0.01, 10_000) == pytest.approx(1.0)
    assert metrics.annualised_mean(0.01, 100) == pytest.approx(1.0)


def test_turnover_and_exposure() -> None:
    """400 traded on a mean equity of 100 is 4; two of four bars in the market is a half."""
    assert metrics.turnover(np.array([100.0, 300.0]), np.array([90.0, 110.0])) == pytest.approx(4.0)
    assert metrics.exposure(np.array([0.0, 1.0, -1.0, 0.0])) == 0.5


def test_an_account_that_never_moves_has_no_ratios() -> None:
    """No trades, no variance: NaN everywhere it is undefined, and no warning."""
    flat, none = np.full(10, 100.0), np.zeros(0)
    assert metrics.total_return(flat) == 0.0
    assert metrics.max_drawdown(flat) == 0.0
    undefined = (
        metrics.sharpe(metrics.returns(flat)),
        metrics.sortino(metrics.returns(flat)),
        metrics.calmar(flat, 8766),
        metrics.win_rate(none),
        metrics.profit_factor(none),
        metrics.expectancy(none),
        metrics.break_even_win_rate(none),
        metrics.total_return(none),
        metrics.exposure(none),
        metrics.turnover(none, none),
        metrics.break_even_win_rate(np.array([1.0, 2.0])),
    )
    assert all(np.isnan(value) for value in undefined)


def test_an_emptied_account_stays_finite() -> None:
    """Equity 0 gives a return of -1 once, drawdown 1, growth -1, and finite log returns."""
    equity = np.array([100.0, 50.0, 0.0, 0.0])
    np.testing.assert_allclose(metrics.returns(equity), [-0.5, -1.0, 0.0])
    assert np.isfinite(metrics.log_returns(equity)).all()
    assert metrics.max_drawdown(equity) == 1.0
    assert metrics.cagr(equity, 8766) == -1.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=1, max_size=40))
def test_win_rate_beats_break_even_exactly_when_trades_pay(pnl: list[float]) -> None:
    """The win rate is above its break-even if and only if the mean trade makes money."""
    net = np.array(pnl)
    needed = metrics.break_even_win_rate(net)
    if np.isfinite(needed) and abs(metrics.expectancy(net)) > 1e-9:
        assert (metrics.win_rate(net) > needed) == (metrics.expectancy(net) > 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.5, 1.0), min_size=1, max_size=60), st.floats(0.01, 1e6))
def test_the_currency_unit_does_not_matter(bars: list[float], scale: float) -> None:
    """Multiplying an equity curve by a constant changes no measure."""
    equity = np.concatenate([[1.0], np.cumprod(1 + np.array(bars))])
    for measure in (metrics.total_return, metrics.max_drawdown):
        assert measure(scale * equity) == pytest.approx(measure(equity), rel=1e-6, abs=1e-9)
    assert 0 <= metrics.max_drawdown(equity) <= 1
