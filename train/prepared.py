"""From markets to training, validation and test datasets, everything fitted on training rows only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantum_trader.agents.folder import data_digest
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.scaler import FeatureScaler, fit_scaler
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import Labels, choose_barrier, triple_barrier
from quantum_trader.train.splits import Cuts, Splits, calendar_cuts, split_markets, training_rows
from quantum_trader.train.weights import sample_weights

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Datasets:
    """Datasets that share one scaler and one label width.

    Attributes:
        markets: the markets with the fitted scaler in place.
        scaler: fitted on training rows.
        labels: the label config with its barrier resolved on training rows.
        train, validation, test: the purged datasets.
    """

    markets: tuple[Market, ...]
    scaler: FeatureScaler
    labels: LabelConfig
    train: PooledDataset
    validation: PooledDataset
    test: PooledDataset


@dataclass(frozen=True, kw_only=True)
class Prepared(Datasets):
    """Datasets that follow one another on one calendar.

    Attributes:
        cuts: the moments that part the splits.
        data_sha256: hash of all bars that went in.
    """

    cuts: Cuts
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
    made = _datasets(markets, rows, lambda labels: split_markets(markets, labels, cuts), config)
    return Prepared(
        **vars(made), cuts=cuts, data_sha256=data_digest([market.bars.digest for market in markets])
    )


def prepare_rows(markets: Sequence[Market], rows: Sequence[Splits], config: DataConfig) -> Datasets:
    """`prepare` on rows chosen beforehand, in whatever order of time they stand.

    Args:
        markets: one or several markets; their scalers are replaced by the fitted one.
        rows: the rows of each market, purged for labels that reach `config.labels.reach_bars` ahead; those
            without a label are left out.
        config: labels and weights; its splits play no part.

    Raises:
        TrainingError: a split is empty.
    """

    def labelled(labels: Sequence[Labels]) -> list[Splits]:
        return _filled(
            [
                Splits(
                    train=mine.train & item.valid,
                    validation=mine.validation & item.valid,
                    test=mine.test & item.valid,
                )
                for mine, item in zip(rows, labels, strict=True)
            ]
        )

    return _datasets(markets, [mine.train for mine in _filled(rows)], labelled, config)


def _filled(rows: Sequence[Splits]) -> list[Splits]:
    for name in ("train", "validation", "test"):
        if not any(getattr(mine, name).any() for mine in rows):
            raise TrainingError(f"The {name} split is empty after purging: give longer data.")
    return list(rows)


def _datasets(
    markets: Sequence[Market],
    fitting: Sequence[Mask],
    split: Callable[[Sequence[Labels]], list[Splits]],
    config: DataConfig,
) -> Datasets:
    """Fit the scaler and the barrier on the rows `fitting`, label, split and pool."""
    scaler = fit_scaler([market.features[mask] for market, mask in zip(markets, fitting, strict=True)])
    scaled = tuple(market.with_scaler(scaler) for market in markets)
    label_config = choose_barrier(scaled, fitting, config.labels)
    labels = [triple_barrier(market, label_config) for market in scaled]
    splits = split(labels)
    weights = sample_weights(labels, [part.train for part in splits], config.weights)
    whole = PooledDataset(
        scaled, labels, [part.train | part.validation | part.test for part in splits], weights
    )
    return Datasets(
        markets=scaled,
        scaler=scaler,
        labels=label_config,
        train=_part(whole, [part.train for part in splits]),
        validation=_part(whole, [part.validation for part in splits]),
        test=_part(whole, [part.test for part in splits]),
    )


def _part(whole: PooledDataset, masks: Sequence[Mask]) -> PooledDataset:
    """The rows of `whole` that the markets' masks select; the tables are shared, not copied."""
    return whole.subset(np.concatenate(masks)[whole.table_rows])
