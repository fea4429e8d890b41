"""New bars into a file that has some: what is there stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quantum_trader.envs.bars import Bars
from quantum_trader.envs.load import MARK_COLUMNS, PRICE_COLUMNS, bars_from_frame

_COLUMNS = (*PRICE_COLUMNS, "volume", "funding_rate", *MARK_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The result of `merge`."""

    bars: Bars
    added: int
    """Bars that were not there before."""
    differing: tuple[str, ...]
    """One sentence for each bar of the file that the source gives differently now, oldest first."""


def merge(existing: Bars | None, received: pd.DataFrame, *, symbol: str, source: str) -> Merged:
    """`existing` with the bars of `received` that it lacks.

    Args:
        existing: bars of the file, None if there is none.
        received: sound bars, ascending, the columns of a data file.
        symbol: name of the instrument.
        source: what messages call the origin of `received`.

    Raises:
        DataError: the result has fewer than two bars.
    """
    if existing is None:
        return Merged(
            bars=bars_from_frame(received, symbol=symbol, source=source), added=len(received), differing=()
        )
    before = existing.to_frame()
    known = received["timestamp"].isin(before["timestamp"])
    differing = _differences(before, received[known])
    added = received[~known]
    if not len(added):
        return Merged(bars=existing, added=0, differing=differing)
    frame = pd.concat([before, added], ignore_index=True).sort_values("timestamp", ignore_index=True)
    return Merged(
        bars=bars_from_frame(frame, symbol=symbol, source=source), added=len(added), differing=differing
    )


def _differences(before: pd.DataFrame, received: pd.DataFrame) -> tuple[str, ...]:
    """Sentences on bars that are in both and not equal; what the source does not tell is not compared."""
    ours = before.set_index("timestamp").loc[received["timestamp"], list(_COLUMNS)].to_numpy()
    theirs = received[list(_COLUMNS)].to_numpy()
    # A rate or price that the file lacks is a difference as well: NaN equals nothing.
    wrong = np.isfinite(theirs) & (ours != theirs)
    found = []
    for row in np.flatnonzero(wrong.any(axis=1)):
        parts = [
            f"{_COLUMNS[at]} {ours[row, at]:.10g} in the file, {theirs[row, at]:.10g} at the source"
            for at in np.flatnonzero(wrong[row])
        ]
        found.append(f"{received['timestamp'].iloc[row]:%Y-%m-%d %H:%M} UTC: {', '.join(parts)}")
    return tuple(found)
