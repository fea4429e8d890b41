"""Splits, fitted numbers and folds: the product passes, each classical leak fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from quantum_trader.envs.market import Market
from quantum_trader.envs.scaler import fit_scaler
from quantum_trader.evaluate.checks.splits import (
    FoldTimes,
    Prepare,
    fitted_on_training,
    fold_times,
    folds_in_order,
    labels_purged,
)
from quantum_trader.train.data_config import DataConfig, LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import choose_barrier, triple_barrier
from quantum_trader.train.prepared import Prepared, prepare
from quantum_trader.train.splits import Cuts
from quantum_trader.train.weights import sample_weights

CONFIG = DataConfig()


def unpurged(prepared: Prepared) -> PooledDataset:
    """Every usable row before validation, however far its label looks."""
    labels = [triple_barrier(market, prepared.labels) for market in prepared.markets]
    masks = [market.bars.timestamp < prepared.cuts.train_end for market in prepared.markets]
    return PooledDataset(prepared.markets, labels, masks)


def leaky_scaler(markets: Sequence[Market], config: DataConfig, cuts: Cuts | None) -> Prepared:
    """The scaler is fitted on all rows."""
    found = prepare(markets, config, cuts)
    return replace(found, scaler=fit_scaler([market.features[market.usable] for market in markets]))


def leaky_windows(markets: Sequence[Market], config: DataConfig, cuts: Cuts | None) -> Prepared:
    """Windows are scaled by all rows, though the scaler told is the right one."""
    found = prepare(markets, config, cuts)
    scaler = fit_scaler([market.features[market.usable] for market in markets])
    scaled = [market.with_scaler(scaler) for market in markets]
    labels = [triple_barrier(market, found.labels) for market in scaled]
    whole = PooledDataset(scaled, labels)
    return replace(found, train=whole.subset(np.isin(whole.table_rows, found.train.table_rows)))


def leaky_barrier(markets: Sequence[Market], config: DataConfig, cuts: Cuts | None) -> Prepared:
    """The label's width is chosen on all rows."""
    labels = choose_barrier(markets, [market.usable for market in markets], config.labels)
    return prepare(markets, replace(config, labels=labels), cuts)


def leaky_weights(markets: Sequence[Market], config: DataConfig, cuts: Cuts | None) -> Prepared:
    """Overlap is counted, and weights are normalised, over all rows."""
    found = prepare(markets, config, cuts)
    labels = [triple_barrier(market, found.labels) for market in found.markets]
    everywhere = [item.valid & market.usable for item, market in zip(labels, found.markets, strict=True)]
    whole = PooledDataset(found.markets, labels, weights=sample_weights(labels, everywhere, config.weights))
    return replace(found, train=whole.subset(np.isin(whole.table_rows, found.train.table_rows)))


def test_own_labels_are_purged(prepared: Prepared) -> None:
    """Every split's labels end before the next split."""
    found = labels_purged(prepared)
    assert found.passed is True, found.detail


def test_unpurged_labels_fail(prepared: Prepared) -> None:
    """Training rows whose labels look into validation fail, and so does a purge by the wrong length."""
    found = labels_purged(replace(prepared, train=unpurged(prepared)))
    assert found.passed is False
    assert "train labels reach" in found.detail
    longer = LabelConfig(horizon_bars=24, barrier_atr=prepared.labels.barrier_atr)
    assert labels_purged(replace(prepared, labels=longer)).passed is False


def test_rows_in_two_splits_fail(prepared: Prepared) -> None:
    """A test row that was trained on fails."""
    found = labels_purged(replace(prepared, test=prepared.validation))
    assert found.passed is False
    assert "two splits" in found.detail


def test_own_fitting_knows_training_rows_only(markets: list[Market]) -> None:
    """Scaler, width, labels, weights and windows are the same bits whatever comes after training."""
    found = fitted_on_training(markets, CONFIG)
    assert found.passed is True, found.detail


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (leaky_scaler, "scaler"),
        (leaky_windows, "windows"),
        (leaky_barrier, "label width"),
        (leaky_weights, "weights"),
    ],
)
def test_fitting_on_all_rows_fails(fault: Prepare, named: str, markets: list[Market]) -> None:
    """Whatever is fitted on all rows fails, and is named."""
    found = fitted_on_training(markets, CONFIG, prepare=fault)
    assert found.passed is False
    assert named in found.detail


def folds(shuffled: bool, reach: int = 12, rows: int = 1_000, count: int = 5) -> list[FoldTimes]:
    """Walk-forward folds of one row an hour, or the classical shuffled ones."""
    time = np.arange(rows, dtype=np.int64)
    fold = np.random.default_rng(0).permutation(rows) % count if shuffled else time * count // rows
    made = []
    for number in range(0 if shuffled else 1, count):
        test = fold == number
        train = ~test if shuffled else time + reach < time[test].min()
        made.append(FoldTimes(train=time[train], train_label_ends=time[train] + reach, test=time[test]))
    return made


def test_folds_in_order_pass(prepared: Prepared) -> None:
    """A walk-forward passes, and so does a prepared fold; without folds there is nothing to ask."""
    assert folds_in_order(folds(shuffled=False)).passed is True
    assert folds_in_order([fold_times(prepared)]).passed is True
    assert folds_in_order([]).passed is None


def test_folds_out_of_order_fail() -> None:
    """Shuffled folds fail, and so do folds without a purge, in the wrong order, or twice the same."""
    walk = folds(shuffled=False)
    touching = replace(walk[0], train_label_ends=walk[0].train_label_ends + 1)
    for wrong in (folds(shuffled=True), [touching], walk[::-1], [walk[0], walk[0]]):
        assert folds_in_order(wrong).passed is False
