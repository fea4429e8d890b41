"""From markets to training, validation and test datasets, everything fitted on training rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.folder import data_digest
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.scaler import FeatureScaler, fit_scaler
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import choose_barrier, triple_barrier
from quantum_trader.train.splits import Cuts, calendar_cuts, split_markets, training_rows
from quantum_trader.train.weights import sample_weights

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Datasets that share one scaler, one label width and one calendar.

    Attributes:
        markets: the markets with the fitted scaler in place.
        scaler: fitted on training rows.
        labels: the label config with its barrier resolved on training rows.
        cuts: the moments that part the splits.
        train, validation, test: the purged datasets.
        data_sha256: hash of all bars that went in.
    """

    markets: tuple[Market, ...]
    scaler: FeatureScaler
    labels: LabelConfig
    cuts: Cuts
    train: PooledDataset
    validation: PooledDataset
    test: PooledDataset
    data_sha256: str


def prepare(markets: Sequence[Market], config: DataConfig, cuts: Cuts | None = None) -> Prepared:
    """Fit the scaler and the barrier on training rows, label, split, purge and pool.

    Args:
        markets: one or several markets; their scalers are replaced by the fitted one.
        config: labels, splits, weights.
        cuts: the calendar of a walk-forward fold; None takes it from `config.splits`.

    Raises:
        TrainingError: a split is empty.
    """
    if not markets:
        raise TrainingError("Training needs at least one market, found none.")
    cuts = cuts if cuts is not None else calendar_cuts(markets, config.splits)
    rows = [training_rows(market, cuts, config.labels) for market in markets]
    if not any(mask.any() for mask in rows):
        raise TrainingError("The train split is empty: give longer data or move train_end to a later date.")
    scaler = fit_scaler([market.features[mask] for market, mask in zip(markets, rows, strict=True)])
    scaled = tuple(market.with_scaler(scaler) for market in markets)
    label_config = choose_barrier(scaled, rows, config.labels)
    labels = [triple_barrier(market, label_config) for market in scaled]
    splits = split_markets(scaled, labels, cuts)
    weights = sample_weights(labels, [split.train for split in splits], config.weights)
    whole = PooledDataset(scaled, labels, [s.train | s.validation | s.test for s in splits], weights)
    return Prepared(
        markets=scaled,
        scaler=scaler,
        labels=label_config,
        cuts=cuts,
        train=_part(whole, [split.train for split in splits]),
        validation=_part(whole, [split.validation for split in splits]),
        test=_part(whole, [split.test for split in splits]),
        data_sha256=data_digest([market.bars.digest for market in markets]),
    )


def _part(whole: PooledDataset, masks: Sequence[Mask]) -> PooledDataset:
    """The rows of `whole` that the markets' masks select; the tables are shared, not copied."""
    return whole.subset(np.concatenate(masks)[whole.table_rows])
