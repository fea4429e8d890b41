"""`Market`: one symbol's bars with everything computed from them, ready for environments and agents."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.bars import Bars, Floats
from quantum_trader.envs.context import context_rows
from quantum_trader.envs.contract import FuturesContract
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.features import compute_table
from quantum_trader.envs.presets import preset
from quantum_trader.envs.sample import sample_bars
from quantum_trader.envs.scaler import REFERENCE_SCALER, FeatureScaler
from quantum_trader.envs.windows import WINDOW, find_breaks, usable_ends

Floats32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Market:
    """`T` bars of one symbol with their features; all arrays are read-only and may be shared freely.

    Attributes:
        bars: the bars themselves.
        contract: costs, margins and hours of the instrument.
        scaler: what turned `features` into `table`.
        features: float32 [T, 14], raw, NaN in warm-up.
        context: float32 [T, CONTEXT_SIZE], static numbers and calendar ahead.
        table: float32 [T, 14], scaled features without NaN: windows are views on it.
        usable: bool [T], a window ending at bar t holds no warm-up and spans no over-long gap.
        breaks: bool [T], an over-long gap precedes bar t.
        atr: float64 [T], ATR14 in price units, NaN in warm-up.
    """

    bars: Bars
    contract: FuturesContract
    scaler: FeatureScaler
    features: Floats32
    context: Floats32
    table: Floats32
    usable: Mask
    breaks: Mask
    atr: Floats

    @classmethod
    def build(cls, bars: Bars, contract: FuturesContract, scaler: FeatureScaler = REFERENCE_SCALER) -> Market:
        """Compute everything from `bars` in one pass.

        Raises:
            ConfigError: bars that open at or after the contract's expiry.
        """
        _check_expiry(bars, contract)
        computed = compute_table(bars, contract)
        return cls(
            bars=bars[:],  # views, so that freezing them leaves the caller's arrays writable
            contract=contract,
            scaler=scaler,
            features=computed.features,
            context=context_rows(computed.static, bars.timestamp, bars.step_ms),
            table=scaler.transform(computed.features),
            usable=usable_ends(bars, computed.features, contract),
            breaks=find_breaks(bars, contract),
            atr=computed.atr,
        )

    def __post_init__(self) -> None:
        _freeze(self)
        _freeze(self.bars)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickled arrays are writable: freeze them again."""
        self.__dict__.update(state)
        self.__post_init__()

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def symbol(self) -> str:
        """The venue's name of the instrument."""
        return self.bars.symbol

    def with_scaler(self, scaler: FeatureScaler) -> Market:
        """The same market seen through another scaler; everything but `table` is shared."""
        return replace(self, scaler=scaler, table=scaler.transform(self.features))

    def rows(self, start: int, stop: int) -> Market:
        """Rows `start` to `stop` as views; features keep what they learnt from the bars before `start`.

        A row stays usable if its window lies inside the range.
        """
        part = slice(start, stop)
        arrays = {name: getattr(self, name)[part] for name in _ARRAYS}
        usable = self.usable[part].copy()
        usable[: WINDOW - 1] = False
        return replace(self, bars=self.bars[part], usable=usable, **arrays)


_ARRAYS = ("features", "context", "table", "breaks", "atr")


def _check_expiry(bars: Bars, contract: FuturesContract) -> None:
    if contract.expiry_ms is None or len(bars) == 0 or int(bars.timestamp[-1]) < contract.expiry_ms:
        return
    kept = int(np.searchsorted(bars.timestamp, contract.expiry_ms, side="left"))
    raise ConfigError(
        f"{bars.symbol}: {contract.name} expires at {contract.expiry}, but bars go on after bar {kept - 1}; "
        f"cut them off with bars[:{kept}] or correct expiry."
    )


def _freeze(record: Any) -> None:
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, np.ndarray):
            value.setflags(write=False)


@cache
def sample_market() -> Market:
    """The embedded EURUSD series as a market, computed once per process."""
    return Market.build(sample_bars(), preset("fx-eurusd"))
