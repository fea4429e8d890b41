"""Do features see the future? Asked of all bars at once, by bending the future and by taking it away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.context import STATIC_NAMES
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.features import FEATURE_NAMES, compute_features, compute_table
from quantum_trader.envs.lookahead import Compute, changed_by_perturbation, changed_by_truncation
from quantum_trader.evaluate.records import CheckResult

CUTS = 25
"""Moments at which the future is bent and taken away."""
LEAST_BARS = 450
"""Bars below which too few moments with every feature defined are left; the longest look-back is 200."""

INPUT_NAMES: tuple[str, ...] = (*FEATURE_NAMES, *STATIC_NAMES, "atr")
"""Columns of `model_inputs`."""


def model_inputs(contract: FuturesContract) -> Compute:
    """All that models and label widths are computed from: `INPUT_NAMES`, float64 [T, 21]."""

    def compute(bars: Bars) -> NDArray[np.float64]:
        table = compute_table(bars, contract)
        return np.concatenate([table.features, table.static, table.atr[:, None]], axis=1)

    return compute


def features_causal(
    bars: Bars,
    compute: Compute = compute_features,
    names: Sequence[str] = FEATURE_NAMES,
    *,
    cuts: int = CUTS,
    seed: int = 0,
) -> CheckResult:
    """Whether row t of `compute(bars)` stays the same, to the bit, whatever comes after bar t.

    At `cuts` random moments of the second half the bars after the moment are multiplied by random factors,
    and then left out. Either finds what the other misses: a rule may fall back to a causal one where the data
    end, and a perturbation may leave a maximum where it was. The idea is that of freqtrade's
    lookahead-analysis; leaks of this kind are L1.1 and L1.2 of Kapoor & Narayanan (2023), Patterns 4.

    Args:
        bars: T bars, at least `LEAST_BARS`.
        compute: maps T bars to float [T, F].
        names: names of the F columns.
        cuts: number of moments.
        seed: of the moments and the factors.
    """
    question = "Does any feature of a bar change with the bars after it?"
    if len(bars) < LEAST_BARS:
        detail = f"{bars.symbol} has {len(bars)} bars; {LEAST_BARS} are needed."
        return CheckResult(name="features_causal", question=question, passed=None, detail=detail)
    rng = np.random.default_rng(seed)
    later_half = np.arange(len(bars) // 2, len(bars) - 1)
    moments = np.sort(rng.choice(later_half, size=min(cuts, len(later_half)), replace=False))
    bent = changed_by_perturbation(compute, bars, moments, rng)
    cut = changed_by_truncation(compute, bars, moments)
    leaking = [name for name, leak in zip(names, bent | cut, strict=True) if leak]
    asked = f"{len(names)} columns on {len(bars)} bars of {bars.symbol} at {len(moments)} moments"
    found = f"these change: {', '.join(leaking)}" if leaking else "none changes by a bit"
    return CheckResult(
        name="features_causal", question=question, passed=not leaking, detail=f"{asked}: {found}."
    )
