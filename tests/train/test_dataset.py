from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.context import CONTEXT_SIZE, HORIZONS
from quantum_trader.envs.errors import TrainingError
from quantum_trader.envs.market import Market
from quantum_trader.envs.windows import WINDOW
from quantum_trader.train.data_config import LabelConfig
from quantum_trader.train.dataset import PooledDataset
from quantum_trader.train.labels import Labels, triple_barrier


@pytest.fixture(scope="module")
def labels(two_markets: tuple[Market, Market]) -> list[Labels]:
    return [triple_barrier(market, LabelConfig(barrier_atr=1.4)) for market in two_markets]


@pytest.fixture(scope="module")
def dataset(two_markets: tuple[Market, Market], labels: list[Labels]) -> PooledDataset:
    return PooledDataset(two_markets, labels)


def test_every_window_is_its_own_markets(dataset: PooledDataset) -> None:
    """Row by row, window, context, label and returns are those of the row's market at its decision bar."""
    rows = np.arange(len(dataset))[::7]
    batch = dataset.batch(rows)
    for place, row in enumerate(rows):
        market, end = dataset.markets[dataset.market[row]], int(dataset.end[row])
        assert end >= WINDOW - 1
        assert (batch.windows[place] == market.table[end - WINDOW + 1 : end + 1]).all()
        assert (batch.context[place] == market.context[end]).all()
        assert dataset.timestamps[row] == market.bars.timestamp[end]


def test_labels_belong_to_their_rows(dataset: PooledDataset, labels: list[Labels]) -> None:
    """Action and returns are those of the row's market and bar."""
    for row in range(0, len(dataset), 11):
        own, end = labels[dataset.market[row]], dataset.end[row]
        assert dataset.action[row] == own.action[end]
        assert (dataset.returns[row] == own.forward_returns[end]).all()


def test_all_usable_labelled_rows_are_there_once(dataset: PooledDataset, labels: list[Labels]) -> None:
    """No usable labelled row is lost or repeated."""
    count = sum(int((m.usable & item.valid).sum()) for m, item in zip(dataset.markets, labels, strict=True))
    assert len(dataset) == count
    assert len(set(zip(dataset.market.tolist(), dataset.end.tolist(), strict=True))) == count


def test_rows_are_ordered_by_time_then_market(dataset: PooledDataset) -> None:
    """Time never falls; at equal times the market number rises."""
    keys = list(zip(dataset.timestamps.tolist(), dataset.market.tolist(), strict=True))
    assert keys == sorted(keys)


def test_batches_are_contiguous_and_typed(dataset: PooledDataset) -> None:
    """A batch is C-contiguous float32 and int64 in the shapes models expect, without NaN."""
    batch = dataset.batch(np.array([5, 5, 3]))
    assert batch.windows.shape == (3, WINDOW, 14)
    assert batch.context.shape == (3, CONTEXT_SIZE)
    assert batch.returns.shape == (3, len(HORIZONS))
    assert batch.action.dtype == np.int64
    for array in (batch.windows, batch.context, batch.returns, batch.weight):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert np.isfinite(array).all()
    assert (batch.windows[0] == batch.windows[1]).all()


def test_masks_and_weights_select_and_weigh(two_markets: tuple[Market, Market], labels: list[Labels]) -> None:
    """Only masked rows are taken, each with the weight of its own market and bar."""
    masks = [np.arange(len(market)) % 5 == place for place, market in enumerate(two_markets)]
    weights = [1000 * place + np.arange(len(market)) for place, market in enumerate(two_markets)]
    dataset = PooledDataset(two_markets, labels, masks, [w.astype(np.float32) for w in weights])
    assert (dataset.end % 5 == dataset.market).all()
    assert (dataset.weight == 1000 * dataset.market + dataset.end).all()


def test_subsets_share_the_tables(dataset: PooledDataset) -> None:
    """A subset gives the same rows and copies no market data."""
    rows = np.array([9, 2, 40])
    part = dataset.subset(rows)
    assert len(part) == 3
    assert (part.batch(np.arange(3)).windows == dataset.batch(rows).windows).all()
    assert np.shares_memory(part._table, dataset._table)
    assert len(dataset.subset(dataset.market == 0)) == int((dataset.market == 0).sum())


def test_nothing_left_is_an_error(two_markets: tuple[Market, Market], labels: list[Labels]) -> None:
    """A dataset without rows says what to do."""
    masks = [np.zeros(len(market), dtype=np.bool_) for market in two_markets]
    with pytest.raises(TrainingError, match="longer data"):
        PooledDataset(two_markets, labels, masks)


def test_windows_of_ones_own_come_back(rng: np.random.Generator) -> None:
    """Rows of arrays are what batches hold, also in a subset, and contexts may be left out."""
    windows = rng.normal(size=(7, WINDOW, 14)).astype(np.float32)
    context = rng.normal(size=(7, CONTEXT_SIZE)).astype(np.float32)
    action = np.array([0, 1, 2, 0, 1, 2, 0], dtype=np.int8)
    dataset = PooledDataset.from_windows(windows, action, context=context)
    rows = np.array([5, 0, 3])
    batch = dataset.batch(rows)
    assert np.array_equal(batch.windows, windows[rows])
    assert np.array_equal(batch.context, context[rows])
    assert batch.action.tolist() == [2, 0, 0]
    part = dataset.subset(np.array([4, 6]))
    assert np.array_equal(part.batch(np.array([1])).context, context[6:])
    assert not PooledDataset.from_windows(windows, action).batch(rows).context.any()
    with pytest.raises(TrainingError, match="action"):
        PooledDataset.from_windows(windows, action[:3])
