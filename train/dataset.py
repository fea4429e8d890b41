"""`PooledDataset`: labelled rows of several markets, their windows gathered batch by batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.signals import ModelInputs
from quantum_trader.envs.context import CONTEXT_SIZE, HORIZONS
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW, gather
from quantum_trader.train.labels import Labels

Floats32 = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """`B` labelled observations as C-contiguous arrays.

    Attributes:
        windows: float32 [B, 60, 14], scaled features, oldest bar first.
        context: float32 [B, CONTEXT_SIZE].
        action: int64 [B], the label (`Action` values).
        returns: float32 [B, H], forward log returns at `HORIZONS`.
        weight: float32 [B], sample weight.
    """

    windows: Floats32
    context: Floats32
    action: NDArray[np.int64]
    returns: Floats32
    weight: Floats32


class PooledDataset:
    """One entry per usable, labelled row of one or several markets, ordered by (time, market).

    A window never crosses two markets, because rows come from `Market.usable`, and a usable row has a
    whole window of its own market behind it.

    Attributes:
        markets: the markets in the order that `market` counts.
        market: int32 [N], which market the row belongs to.
        end: int64 [N], the row's decision bar t inside its market; its window ends there.
        action: int8 [N], the label (`Action` values).
        returns: float32 [N, H], forward log returns at `HORIZONS`.
        weight: float32 [N], sample weight.
    """

    markets: tuple[Market, ...]
    market: NDArray[np.int32]
    end: Rows
    action: NDArray[np.int8]
    returns: Floats32
    weight: Floats32

    def __init__(
        self,
        markets: Sequence[Market],
        labels: Sequence[Labels],
        masks: Sequence[Mask] | None = None,
        weights: Sequence[Floats32] | None = None,
    ) -> None:
        """Pool the rows of `markets` that are usable, labelled and selected.

        Args:
            markets: at least one market.
            labels: the labels of each market.
            masks: bool [T] of each market, the rows wanted; None takes all.
            weights: float32 [T] of each market; None weighs every row 1.

        Raises:
            TrainingError: no row is left.
        """
        self.markets = tuple(markets)
        wanted: Sequence[Mask | None] = masks if masks is not None else [None] * len(self.markets)
        ends = [np.flatnonzero(_selected(*item)) for item in zip(markets, labels, wanted, strict=True)]
        owner = np.repeat(np.arange(len(ends), dtype=np.int32), [len(rows) for rows in ends])
        end = np.concatenate(ends).astype(np.int64) if ends else np.zeros(0, dtype=np.int64)
        if len(end) == 0:
            raise TrainingError(
                "No usable labelled row is left: give longer data, a shorter horizon or a wider date range."
            )
        time = _pick([market.bars.timestamp for market in markets], ends)
        order = np.lexsort((owner, time))
        self.market, self.end = owner[order], end[order]
        self.action = _pick([item.action for item in labels], ends)[order].astype(np.int8)
        self.returns = _pick([item.forward_returns for item in labels], ends)[order].astype(np.float32)
        weighed = _pick(weights, ends)[order] if weights is not None else np.ones(len(order))
        self.weight = weighed.astype(np.float32)
        self._time: Rows = time[order]
        # The markets' tables end to end, so that a batch is one gather whatever markets its rows come from.
        self._table: Floats32 = np.concatenate([market.table for market in self.markets], dtype=np.float32)
        self._context: Floats32 = np.concatenate(
            [market.context for market in self.markets], dtype=np.float32
        )
        offset = np.cumsum([0, *(len(market.bars) for market in self.markets)], dtype=np.int64)
        self._last = self._context_row = self.end + offset[self.market]

    @classmethod
    def from_windows(
        cls,
        windows: Floats32,
        action: NDArray[np.int8],
        *,
        context: Floats32 | None = None,
        returns: Floats32 | None = None,
    ) -> PooledDataset:
        """A dataset of windows of your own, one row each, in the order of time; it has no markets.

        Args:
            windows: float32 [N, 60, F], scaled, oldest bar first.
            action: int8 [N], the labels (`Action` values).
            context: float32 [N, CONTEXT_SIZE]; zeros if None.
            returns: float32 [N, H], forward log returns; unknown (NaN) if None.

        Raises:
            TrainingError: arrays that do not fit each other.
        """
        count = len(windows)
        context = np.zeros((count, CONTEXT_SIZE), dtype=np.float32) if context is None else context
        returns = np.full((count, len(HORIZONS)), np.nan, dtype=np.float32) if returns is None else returns
        shapes = (windows.shape[1:2], action.shape, context.shape, returns.shape)
        if shapes != ((WINDOW,), (count,), (count, CONTEXT_SIZE), (count, len(HORIZONS))) or count == 0:
            raise TrainingError(
                f"Expected windows [N, {WINDOW}, F], action [N], context [N, {CONTEXT_SIZE}] and returns "
                f"[N, {len(HORIZONS)}]; found {windows.shape}, {shapes[1]}, {shapes[2]} and {shapes[3]}."
            )
        made = cls.__new__(cls)
        made.markets = ()
        made.market, made.end = np.zeros(count, dtype=np.int32), np.full(count, WINDOW - 1, dtype=np.int64)
        made.action, made.returns = action.astype(np.int8), returns.astype(np.float32)
        made.weight, made._time = np.ones(count, dtype=np.float32), np.arange(count, dtype=np.int64)
        made._table = np.ascontiguousarray(windows, dtype=np.float32).reshape(count * WINDOW, -1)
        made._last = np.arange(count, dtype=np.int64) * WINDOW + WINDOW - 1
        made._context, made._context_row = context.astype(np.float32), np.arange(count, dtype=np.int64)
        return made

    def __len__(self) -> int:
        return len(self.end)

    @property
    def timestamps(self) -> NDArray[np.int64]:
        """int64 [N]: open of each row's decision bar, milliseconds since the epoch, ascending."""
        return self._time

    @property
    def table_rows(self) -> NDArray[np.int64]:
        """int64 [N]: each row's decision bar in the markets' tables laid end to end."""
        return self._last

    def windows(self, rows: Rows) -> Floats32:
        """float32 [B, 60, 14]: the windows of `rows`, a fresh C-contiguous copy."""
        return gather(self._table, self._last[rows])

    def context(self, rows: Rows) -> Floats32:
        """float32 [B, CONTEXT_SIZE]: the context vectors of `rows`, a fresh copy."""
        gathered: Floats32 = self._context[self._context_row[rows]]
        return gathered

    def inputs(self, rows: Rows) -> ModelInputs:
        """What an agent sees at `rows`."""
        return ModelInputs(windows=self.windows(rows), context=self.context(rows))

    def batch(self, rows: Rows) -> Batch:
        """Observations and labels of `rows`, an int64 [B] of positions in this dataset, in that order."""
        return Batch(
            windows=self.windows(rows),
            context=self.context(rows),
            action=self.action[rows].astype(np.int64),
            returns=self.returns[rows],
            weight=self.weight[rows],
        )

    def subset(self, rows: Rows | Mask) -> PooledDataset:
        """The dataset of `rows` only (positions or a mask over the rows), sharing the markets' tables."""
        part = copy.copy(self)
        for name in ("market", "end", "action", "returns", "weight", "_time", "_last", "_context_row"):
            setattr(part, name, getattr(self, name)[rows])
        return part


def _selected(market: Market, labels: Labels, mask: Mask | None) -> Mask:
    chosen = market.usable & labels.valid
    return chosen if mask is None else chosen & mask


def _pick(columns: Sequence[NDArray[Any]], rows: Sequence[Rows]) -> NDArray[Any]:
    return np.concatenate([column[index] for column, index in zip(columns, rows, strict=True)])
