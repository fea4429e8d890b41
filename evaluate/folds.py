"""The rows agents are judged on: one test slice, or the test slices of a walk-forward's folds in a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantum_trader.evaluate import signal_metrics
from quantum_trader.evaluate.backtest import Actions, BacktestConfig, Ground, grounds, spread
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.prepared import Prepared

Floats = NDArray[np.float64]
AnyArray = TypeVar("AnyArray", bound=NDArray[Any])


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedFold:
    """One test slice.

    Attributes:
        rows: its labelled rows.
        prior: float64 [3], shares of HOLD, BUY, SELL among the labels of the fold's own TRAINING rows.
        backtest: how decisions become trades, by the barriers of the fold's own labels.
    """

    rows: PooledDataset
    prior: Floats
    backtest: BacktestConfig


def judged_fold(prepared: Prepared, rows: PooledDataset | None = None) -> JudgedFold:
    """What a run's or a fold's agents are judged on.

    Args:
        prepared: its data.
        rows: other rows than its test slice, labelled alike; None takes that.
    """
    assert prepared.labels.barrier_atr is not None  # `prepare` resolved it
    return JudgedFold(
        rows=prepared.test if rows is None else rows,
        prior=signal_metrics.class_shares(prepared.train.action),
        backtest=BacktestConfig(
            barrier_atr=prepared.labels.barrier_atr, horizon_bars=prepared.labels.horizon_bars
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedRows:
    """The labelled rows of all folds, in the order of time.

    Attributes:
        action: int8 [N], the labels.
        timestamps: int64 [N], opens of the decision bars, milliseconds since the epoch, UTC, ascending.
        returns: float32 [N, H], forward log returns at `HORIZONS`.
        prior: float64 [N, 3], training shares of the classes in the row's fold.
    """

    action: NDArray[np.int8]
    timestamps: NDArray[np.int64]
    returns: NDArray[np.float32]
    prior: Floats


class Folds:
    """Folds with the grounds their agents trade on.

    Args:
        folds: at least one, in the order of time.

    Attributes:
        folds: those.
        places: the grounds of all folds, in their order.
        rows: the labelled rows of all folds.
    """

    def __init__(self, folds: Sequence[JudgedFold]) -> None:
        self.folds = tuple(folds)
        self.places: tuple[Ground, ...] = tuple(
            place
            for number, fold in enumerate(self.folds)
            for place in grounds(fold.rows, fold.backtest, number)
        )
        self.rows = JudgedRows(
            action=np.concatenate([fold.rows.action for fold in self.folds]),
            timestamps=np.concatenate([fold.rows.timestamps for fold in self.folds]),
            returns=np.concatenate([fold.rows.returns for fold in self.folds]),
            prior=np.concatenate([np.tile(fold.prior, (len(fold.rows), 1)) for fold in self.folds]),
        )

    def __len__(self) -> int:
        return len(self.rows.action)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol traded, once."""
        return tuple(dict.fromkeys(place.symbol for place in self.places))

    def split(self, array: AnyArray) -> list[AnyArray]:
        """An array with one entry a row, cut at the folds."""
        ends = np.cumsum([len(fold.rows) for fold in self.folds])
        parts: list[AnyArray] = np.split(array, ends[:-1])  # type: ignore[assignment]
        return parts

    def spread(self, actions: Actions) -> list[Actions]:
        """Decisions of all rows as one action per bar of each ground; see `backtest.spread`."""
        laid: list[Actions] = []
        for number, (fold, mine) in enumerate(zip(self.folds, self.split(actions), strict=True)):
            here = [place for place in self.places if place.fold == number]
            laid += spread(fold.rows, mine, here)
        return laid

    def changed(self, *, cost_multiplier: float, delay_bars: int) -> tuple[Ground, ...]:
        """The grounds with dearer or slower trading."""
        return tuple(
            replace(
                place,
                rules=replace(place.rules, cost_multiplier=cost_multiplier, delay_bars=delay_bars),
            )
            for place in self.places
        )
