"""Does a live bot see what the model was trained on? Features bar by bar against features of all bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bar, Bars
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.features import compute_table
from quantum_trader.envs.stream import FeatureRow, FeatureStream
from quantum_trader.evaluate.checks.features import INPUT_NAMES
from quantum_trader.evaluate.records import CheckResult

WARM_UPS = (250, 333, 400)
"""Bars of history with which a stream is opened."""


class Stream(Protocol):
    """Anything that turns one closed bar after the other into features."""

    def update(self, bar: Bar) -> FeatureRow:
        """What the next closed bar gives."""
        ...


OpenStream = Callable[[FuturesContract, Bars], Stream]
"""Opens a stream that has seen the bars given."""


def feature_stream(contract: FuturesContract, bars: Bars) -> Stream:
    """The product's own stream."""
    return FeatureStream.from_bars(contract, bars)[0]


def streaming_equals_batch(
    bars: Bars,
    contract: FuturesContract,
    open_stream: OpenStream = feature_stream,
    *,
    warm_ups: Sequence[int] = WARM_UPS,
) -> CheckResult:
    """Whether a stream opened on a history goes on with the very bits that the whole series gives.

    Freqtrade's recursive-analysis asks how far the values differ; here nothing may.

    Args:
        bars: T bars, more than the longest warm-up.
        contract: enters the static numbers.
        open_stream: opens the stream to be checked.
        warm_ups: bars of history to open it with, one after the other.
    """
    question = "Do features computed bar by bar equal those of the whole series, bit for bit?"
    usable = [count for count in warm_ups if count < len(bars)]
    if not usable:
        detail = f"{bars.symbol} has {len(bars)} bars; more than {min(warm_ups)} are needed."
        return CheckResult(name="streaming_equals_batch", question=question, passed=None, detail=detail)
    table = compute_table(bars, contract)
    whole = np.concatenate([table.features, table.static, table.atr[:, None]], axis=1)
    differs = np.zeros(len(INPUT_NAMES), dtype=np.bool_)
    for count in usable:
        stream = open_stream(contract, bars[:count])
        rows = [_flat(stream.update(bars.bar(index))) for index in range(count, len(bars))]
        differs |= ~_same_bits(np.array(rows), whole[count:]).all(axis=0)
    wrong = [name for name, bad in zip(INPUT_NAMES, differs, strict=True) if bad]
    asked = f"{len(bars) - min(usable)} bars of {bars.symbol} after {', '.join(map(str, usable))} of history"
    found = f"these differ: {', '.join(wrong)}" if wrong else "every bit is the same"
    return CheckResult(
        name="streaming_equals_batch", question=question, passed=not wrong, detail=f"{asked}: {found}."
    )


def _flat(row: FeatureRow) -> NDArray[np.float64]:
    return np.concatenate([row.features, row.static, [row.atr]])


def _same_bits(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Equal bits, any NaN being equal to any NaN; widening float32 to float64 keeps them apart."""
    return np.asarray((first.view(np.int64) == second.view(np.int64)) | (np.isnan(first) & np.isnan(second)))
