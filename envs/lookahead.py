"""Does a feature look into the future? Two checks that any function of bars must pass exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars

Compute = Callable[[Bars], NDArray[Any]]
"""From T bars to float [T, F]: row t may depend on bars 0 to t only."""


def leaking_columns(
    compute: Compute, bars: Bars, names: Sequence[str] | None = None, *, cuts: int = 25, seed: int = 0
) -> tuple[str, ...]:
    """Columns of `compute(bars)` whose past changes with the future: those that fail either check below.

    Args:
        compute: the features to test, float [T, F].
        bars: T bars to test on; a few hundred more than the longest look-back.
        names: F names for the answer, "0", "1", ... by default.
        cuts: moments at which the checks are made, spread at random over the second half of the bars.
        seed: chooses the moments and the perturbations.

    Returns:
        The names of the leaking columns, in order; empty if none was found.
    """
    rng = np.random.default_rng(seed)
    moments = rng.choice(
        np.arange(len(bars) // 2, len(bars) - 1), size=min(cuts, len(bars) // 2 - 1), replace=False
    )
    leaks = changed_by_truncation(compute, bars, moments) | changed_by_perturbation(
        compute, bars, moments, rng
    )
    labels = [str(column) for column in range(len(leaks))] if names is None else list(names)
    return tuple(label for label, leak in zip(labels, leaks, strict=True) if leak)


def changed_by_truncation(compute: Compute, bars: Bars, moments: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool [F]: columns that come out differently when the bars after a moment do not exist yet."""
    whole = compute(bars)
    changed = [_differs(whole[: t + 1], compute(bars[: t + 1])) for t in moments.tolist()]
    return np.asarray(np.any(changed, axis=0))


def changed_by_perturbation(
    compute: Compute, bars: Bars, moments: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """bool [F]: columns whose past comes out differently when all bars after a moment are replaced.

    Catches what truncation misses: a function that looks ahead only as far as data reaches may, for instance,
    fall back to a causal rule at the end of the data.
    """
    whole = compute(bars)
    changed = [
        _differs(whole[: t + 1], compute(perturb_future(bars, t, rng))[: t + 1]) for t in moments.tolist()
    ]
    return np.asarray(np.any(changed, axis=0))


def perturb_future(bars: Bars, last: int, rng: np.random.Generator) -> Bars:
    """`bars` with every price, volume and funding rate after row `last` multiplied by random factors.

    All prices of one bar share a factor, so that the bars remain possible ones.
    """
    factor = np.ones((2, len(bars)))
    factor[:, last + 1 :] = np.exp(rng.normal(0.0, 0.5, size=(2, len(bars) - last - 1)))
    prices = ("open", "high", "low", "close", "mark_open", "mark_high", "mark_low", "mark_close")
    columns = {
        field.name: getattr(bars, field.name) * factor[0 if field.name in prices else 1]
        for field in fields(bars)[3:]
    }
    return replace(bars, **columns)


def _differs(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """bool [F]: columns in which two equally long tables differ anywhere, NaN being equal to NaN."""
    if len(first) != len(second):
        raise ValueError(f"expected one row per bar ({len(first)}), found {len(second)}")
    return np.asarray(((first != second) & ~(np.isnan(first) & np.isnan(second))).any(axis=0))
