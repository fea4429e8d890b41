"""Chronological, purged splits: no row learns from a bar that a later split is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quantum_trader.envs.bars import epoch_ms
from quantum_trader.envs.errors import ConfigError, TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.train.data_config import LabelConfig, SplitConfig
from quantum_trader.train.labels import Labels

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """The calendar moments (milliseconds since the epoch, UTC) that part the splits of all pooled markets.

    Train is [train_start, train_end), validation [train_end, validation_end), test
    [validation_end, test_end), by the open of the decision bar.
    """

    train_start: int
    train_end: int
    validation_end: int
    test_end: int

    def __post_init__(self) -> None:
        if not self.train_start < self.train_end < self.validation_end < self.test_end:
            moments = ", ".join(
                str(pd.Timestamp(moment, unit="ms", tz="UTC"))
                for moment in (self.train_start, self.train_end, self.validation_end, self.test_end)
            )
            raise ConfigError(
                "Train, validation and test must follow one another: expected train_start < train_end < "
                f"validation_end < test_end, found {moments}."
            )


@dataclass(frozen=True, kw_only=True)
class Splits:
    """bool [T] masks over the rows of one market; no row is in two of them, purged rows are in none."""

    train: Mask
    validation: Mask
    test: Mask


def calendar_cuts(markets: Sequence[Market], config: SplitConfig) -> Cuts:
    """The moments that part the splits: the same for every market, so that none sees another's future.

    Fractions count the distinct moments at which at least one market has a usable row.
    """
    last = max(int(market.bars.timestamp[-1]) + market.bars.step_ms for market in markets)
    start = None if config.train_start is None else moment_ms(config.train_start, "train_start")
    if config.train_end is None or config.validation_end is None:
        moments = np.unique(np.concatenate([market.bars.timestamp[market.usable] for market in markets]))
        moments = moments[moments >= start] if start is not None else moments
        if len(moments) < 3:
            raise TrainingError(
                "Too few usable rows to split into train, validation and test: give longer data."
            )
        first, second = config.train_fraction, config.train_fraction + config.validation_fraction
        train_end = int(moments[max(1, int(first * len(moments)))])
        validation_end = int(moments[min(len(moments) - 1, max(2, int(second * len(moments))))])
    else:
        train_end = moment_ms(config.train_end, "train_end")
        validation_end = moment_ms(config.validation_end, "validation_end")
    end = None if config.test_end is None else moment_ms(config.test_end, "test_end")
    return Cuts(
        train_start=start if start is not None else min(int(market.bars.timestamp[0]) for market in markets),
        train_end=train_end,
        validation_end=validation_end,
        test_end=end if end is not None else max(last, validation_end + 1),
    )


def split_rows(market: Market, labels: Labels, cuts: Cuts) -> Splits:
    """The purged splits of one market.

    A row belongs to the split its decision bar lies in, if the last bar that anything about it looks at
    (`Labels.reach`) lies there too; a row whose label would look into the next split is purged. The WINDOW
    of the first validation rows does overlap training bars: those are past by then, as they would be live.
    """
    time = market.bars.timestamp
    seen_until = time[labels.reach]
    usable = market.usable & labels.valid
    return Splits(
        train=usable & (time >= cuts.train_start) & (seen_until < cuts.train_end),
        validation=usable & (time >= cuts.train_end) & (seen_until < cuts.validation_end),
        test=usable & (time >= cuts.validation_end) & (seen_until < cuts.test_end),
    )


def split_markets(markets: Sequence[Market], labels: Sequence[Labels], cuts: Cuts) -> list[Splits]:
    """`split_rows` of every market.

    Raises:
        TrainingError: train, validation or test has no row in any market.
    """
    splits = [split_rows(market, item, cuts) for market, item in zip(markets, labels, strict=True)]
    for name in ("train", "validation", "test"):
        if not any(getattr(split, name).any() for split in splits):
            raise TrainingError(
                f"The {name} split is empty after purging: give longer data or move the split dates."
            )
    return splits


def training_rows(market: Market, cuts: Cuts, config: LabelConfig) -> Mask:
    """bool [T]: the usable rows whose labels, whatever the barrier, end before validation begins.

    What the scaler and the barrier are fitted on, since both come before the labels.
    """
    time = market.bars.timestamp
    ahead = np.minimum(np.arange(len(time)) + config.reach_bars, len(time) - 1)
    return market.usable & (time >= cuts.train_start) & (time[ahead] < cuts.train_end)


def moment_ms(text: str, name: str) -> int:
    """A UTC date or moment in milliseconds since the epoch.

    Raises:
        ConfigError: `text`, given as the option `name`, is none.
    """
    try:
        return epoch_ms(pd.Timestamp(text))
    except ValueError as error:
        raise ConfigError(f"{name}: expected a UTC date such as 2024-06-01, found {text!r}.") from error
