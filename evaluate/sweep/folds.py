"""The folds of a walk-forward: each learns from its own past and is judged on what came next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.evaluate.sweep.walk_config import WalkForwardConfig
from quantum_trader.train.data_config import SplitConfig
from quantum_trader.train.splits import moment_ms


def fold_splits(markets: Sequence[Market], config: WalkForwardConfig) -> tuple[SplitConfig, ...]:
    """The dates of every fold, the same for all markets.

    Test slices follow one another without a gap and hold equally many moments at which some market has a
    usable row. Before each lies its validation, before that its training; rows whose label reaches into the
    next part are purged when the fold is prepared (`quantum_trader.train.splits.split_rows`).

    Raises:
        TrainingError: fewer usable moments than folds need.
    """
    moments = np.unique(np.concatenate([market.bars.timestamp[market.usable] for market in markets]))
    first = moments[0] if config.start is None else moment_ms(config.start, "start")
    last = moments[-1] + 1 if config.end is None else moment_ms(config.end, "end")
    moments = moments[(moments >= first) & (moments < last)]
    train = int(config.first_train_fraction * len(moments))
    validation = int(config.fold_validation_fraction * len(moments))
    bounds = np.linspace(train + validation, len(moments), config.folds + 1).astype(np.int64)
    if min(train, validation, int(np.diff(bounds).min())) < 1:
        raise TrainingError(
            f"{len(moments)} usable moments are too few for {config.folds} folds: give longer data or ask "
            "for fewer folds."
        )
    end = moments[-1] + markets[0].bars.step_ms
    after = np.append(moments, end)
    found = []
    for begin, stop in pairwise(bounds):
        opens = 0 if config.kind == "expanding" else begin - validation - train
        found.append(
            SplitConfig(
                train_start=_text(after[opens]),
                train_end=_text(after[begin - validation]),
                validation_end=_text(after[begin]),
                test_end=_text(after[stop]),
            )
        )
    return tuple(found)


def _text(moment: int) -> str:
    return str(pd.Timestamp(int(moment), unit="ms").isoformat())
