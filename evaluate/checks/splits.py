"""Does anything learnt know the rows it is judged on? Labels, fitted numbers and the order of folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.market import Market
from quantum_trader.evaluate.records import CheckResult
from quantum_trader.train.data_config import DataConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.splits import Cuts

Milliseconds = NDArray[np.int64]
Prepare = Callable[[Sequence[Market], DataConfig, Cuts | None], Prepared]

_COMPARED_ROWS = 500
"""Training rows, evenly spaced, whose windows are compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldTimes:
    """When the rows of one fold were decided; milliseconds since the epoch, UTC.

    Attributes:
        train: int64 [N], opens of the training rows' decision bars.
        train_label_ends: int64 [N], opens of the last bars that their labels look at.
        test: int64 [M], opens of the test rows' decision bars.
    """

    train: Milliseconds
    train_label_ends: Milliseconds
    test: Milliseconds


def fold_times(prepared: Prepared) -> FoldTimes:
    """The moments of a prepared fold."""
    return FoldTimes(
        train=prepared.train.timestamps,
        train_label_ends=label_ends(prepared.train, prepared.labels.reach_bars),
        test=prepared.test.timestamps,
    )


def label_ends(rows: PooledDataset, reach_bars: int) -> Milliseconds:
    """int64 [N]: open of the last bar, `reach_bars` ahead, that a row's label or forward returns may look at.

    Computed from the bars alone, so that a fault in the labels' own account of it shows.
    """
    ends = np.zeros(len(rows), dtype=np.int64)
    for index, market in enumerate(rows.markets):
        mine = rows.market == index
        last = np.minimum(rows.end[mine] + reach_bars, len(market) - 1)
        ends[mine] = market.bars.timestamp[last]
    return ends


def labels_purged(prepared: Prepared) -> CheckResult:
    """Whether every split's labels end before the next split's first decision bar opens.

    Lopez de Prado (2018), ch. 7: a training label that overlaps the test knows part of its outcome.
    """
    parts = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    gaps, faults = [], []
    for earlier, later in (("train", "validation"), ("validation", "test")):
        last = int(label_ends(parts[earlier], prepared.labels.reach_bars).max())
        gap = int(parts[later].timestamps.min()) - last
        hours = gap / 3_600_000
        gaps.append(f"{hours:g} hours between {earlier} and {later}")
        if gap <= 0:
            faults.append(f"{earlier} labels reach {-hours:g} hours into {later}")
    twice = _shared_rows(list(parts.values()))
    if twice:
        faults.append(f"{twice} rows stand in two splits")
    return CheckResult(
        name="labels_purged",
        question="Do all labels of a split end before the next split begins?",
        passed=not faults,
        detail=("; ".join(faults) if faults else "; ".join(gaps)) + ".",
    )


def _shared_rows(parts: Sequence[PooledDataset]) -> int:
    rows = np.concatenate([np.unique(part.table_rows) for part in parts])
    return len(rows) - len(np.unique(rows))


def folds_in_order(folds: Sequence[FoldTimes]) -> CheckResult:
    """Whether every fold is judged on rows after all it learnt from, each fold later than the one before.

    Shuffled folds find 89 % accuracy in a random walk whose labels overlap; folds in order find half.
    """
    faults = []
    for number, fold in enumerate(folds):
        overlapping = int(np.count_nonzero(fold.train_label_ends >= fold.test.min()))
        if overlapping:
            share = overlapping / len(fold.train)
            faults.append(f"fold {number}: {share:.1%} of the training labels end after the test begins")
        if number and folds[number - 1].test.max() >= fold.test.min():
            faults.append(
                f"fold {number} is tested on moments that fold {number - 1} was tested on, or before"
            )
    return CheckResult(
        name="folds_in_order",
        question="Is every fold judged only on rows after all it learnt from?",
        passed=not faults if folds else None,
        detail="; ".join(faults) + "." if faults else f"{len(folds)} folds in order.",
    )


def fitted_on_training(
    markets: Sequence[Market],
    config: DataConfig,
    cuts: Cuts | None = None,
    prepare: Prepare = prepare,
    *,
    seed: int = 0,
) -> CheckResult:
    """Whether all that is fitted stays the same, to the bit, when validation and test bars become garbage.

    What is compared: scaler, label width, and the training rows' labels, weights, forward returns, windows
    and contexts.

    Args:
        markets: the markets.
        config: labels, splits, weights. A barrier that is given instead of chosen is not asked about.
        cuts: the calendar of a fold; None takes it from `config`.
        prepare: fits and labels.
        seed: of the garbage.
    """
    clean = prepare(markets, config, cuts)
    spoilt = [spoil(market, clean.cuts.train_end, seed) for market in markets]
    dirty = prepare(spoilt, config, clean.cuts)
    changed = _differences(clean, dirty)
    rows = f"{len(clean.train)} training rows of {len(markets)} symbols"
    found = f"these changed: {', '.join(changed)}" if changed else "nothing changed by a bit"
    return CheckResult(
        name="fitted_on_training",
        question="Does anything fitted change when validation and test bars are replaced by garbage?",
        passed=not changed,
        detail=f"{rows}: {found}.",
    )


def spoil(market: Market, moment: int, seed: int = 0) -> Market:
    """The market rebuilt on bars that are noise from `moment` (milliseconds since the epoch, UTC) on."""
    bars, rng = market.bars, np.random.default_rng(seed)
    late = bars.timestamp >= moment
    price = float(bars.close[0]) * np.exp(rng.normal(0.0, 1.0, len(bars)))
    garbage = {
        name: price * factor
        for prefix in ("", "mark_")
        for name, factor in (
            (f"{prefix}open", 1.0),
            (f"{prefix}high", 1.2),
            (f"{prefix}low", 0.8),
            (f"{prefix}close", 1.1),
        )
    }
    garbage["volume"] = rng.uniform(0.0, 1e9, len(bars))
    garbage["funding_rate"] = np.where(np.isnan(bars.funding_rate), np.nan, rng.normal(0.0, 0.01, len(bars)))
    columns: dict[str, Any] = {
        name: np.where(late, noise, getattr(bars, name)) for name, noise in garbage.items()
    }
    return Market.build(replace(bars, **columns), market.contract)


def _differences(clean: Prepared, dirty: Prepared) -> list[str]:
    """Names of what differs between two preparations of the same training bars."""
    if len(clean.train) != len(dirty.train):
        return [f"the number of training rows ({len(clean.train)} and {len(dirty.train)})"]
    rows = np.linspace(0, len(clean.train) - 1, min(len(clean.train), _COMPARED_ROWS)).astype(np.int64)
    first, second = clean.train, dirty.train
    same = {
        "scaler": clean.scaler == dirty.scaler,
        "label width": clean.labels == dirty.labels,
        "weights": np.array_equal(first.weight, second.weight),
        "labels": np.array_equal(first.action, second.action),
        "forward returns": np.array_equal(first.returns, second.returns, equal_nan=True),
        "windows": np.array_equal(first.windows(rows), second.windows(rows)),
        "contexts": np.array_equal(first.context(rows), second.context(rows)),
    }
    return [name for name, equal in same.items() if not equal]
