"""Rewards: small functions of the equity before and after a step, compiled, and plain Python too."""

from __future__ import annotations

import math

from quantum_trader.envs.jit import jit

RUIN = 1e-6
"""Share of the initial balance below which equity is not told apart, so that a logarithm stays finite."""


@jit
def log_equity(before: float, after: float, initial: float) -> float:
    """ln(after / before): over an episode they add up to ln(final / initial equity)."""
    ruin = RUIN * initial
    return math.log(max(after, ruin) / max(before, ruin))


@jit
def profit(before: float, after: float) -> float:
    """Change of equity in quote currency."""
    return after - before


@jit
def differential_sharpe(simple_return: float, mean: float, square: float) -> float:
    """Derivative of the exponentially weighted Sharpe ratio in the newest return (Moody and Saffell, 2001).

    With A and B the moving averages of the return and its square before this step, dA = r - A and dB = r^2
    - B: (B dA - A dB / 2) / (B - A^2)^(3/2); 0 until the averages show some variance.
    """
    variance = square - mean * mean
    if variance <= 1e-14:
        return 0.0
    change_mean = simple_return - mean
    change_square = simple_return * simple_return - square
    return (square * change_mean - 0.5 * mean * change_square) / (variance * math.sqrt(variance))


@jit
def drawdown_penalised(log_return: float, drawdown_before: float, drawdown: float, penalty: float) -> float:
    """Log return minus `penalty` times the amount by which the drawdown deepened."""
    return log_return - penalty * max(0.0, drawdown - drawdown_before)
