"""Observations that occur several times in a batch: found, never mistaken."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from quantum_trader.train.rl import distinct
from quantum_trader.train.rl.distinct import distinct_rows

ODD = [0.0, -0.0, float("nan"), float("inf"), 1.0, -1.0, 1e-45]
"""What is equal without being the same, or the same without being equal."""


def _bits(values: Tensor) -> Tensor:
    return values.view(torch.int32)


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Windows [B, 5, 2] and contexts [B, 3] out of few kinds, so that most batches repeat some."""
    kinds, count = draw(st.integers(1, 6)), draw(st.integers(0, 12))
    numbers = st.sampled_from(ODD)
    pool = torch.tensor(draw(st.lists(numbers, min_size=13 * kinds, max_size=13 * kinds))).reshape(kinds, 13)
    which = torch.tensor(
        draw(st.lists(st.integers(0, kinds - 1), min_size=count, max_size=count)), dtype=torch.int64
    )
    rows = pool[which]
    return rows[:, :10].reshape(-1, 5, 2).contiguous(), rows[:, 10:].contiguous()


def _check(windows: Tensor, context: Tensor) -> int:
    """Asserts that the rows chosen make up the batch to the bit; returns how many they are."""
    found = distinct_rows(windows, context)
    assert torch.equal(_bits(windows[found.rows][found.place]), _bits(windows))
    assert torch.equal(_bits(context[found.rows][found.place]), _bits(context))
    assert len(found.place) == len(windows)
    return len(found.rows)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_rows_and_places_make_up_the_batch(batch: tuple[Tensor, Tensor]) -> None:
    """`rows[place]` equals the batch to the bit: repeats, NaN, 0.0 beside -0.0, and rows that differ only
    between their first and last bar, which the hash does not read."""
    _check(*batch)


def test_each_kind_is_kept_once() -> None:
    """Repeated rows are found: as many rows are left as there are kinds, NaN equal to itself."""
    kinds = torch.randn(5, 60, 14, generator=torch.Generator().manual_seed(0))
    kinds[3, 59, 2] = torch.nan
    which = torch.arange(40) % 5
    assert _check(kinds[which], torch.ones(40, 4)) == 5
    zeros = torch.zeros(4, 60, 14)
    zeros[2:, -1, 0] = -0.0
    assert _check(zeros, torch.ones(4, 4)) == 2
    assert _check(torch.ones(4, 60, 14), torch.eye(4)) == 4


def test_a_collision_costs_the_saving_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where different rows have the same hash, every row is kept as it is."""
    windows = torch.randn(6, 60, 14, generator=torch.Generator().manual_seed(0))
    windows[4:] = windows[:2]
    assert _check(windows, torch.ones(6, 4)) == 4
    monkeypatch.setattr(distinct, "_hash", lambda columns: torch.zeros(len(columns), dtype=torch.int64))
    assert _check(windows, torch.ones(6, 4)) == 6
    assert _check(windows[:1].repeat(6, 1, 1), torch.ones(6, 4)) == 1


def test_hash_reads_every_column() -> None:
    """A change of any one number, and two that change places, give another hash."""
    row = torch.randn(1, 20, generator=torch.Generator().manual_seed(0))
    changed = row + torch.eye(20)
    swapped = row[:, torch.tensor([1, 0, *range(2, 20)])]
    keys = distinct._hash(torch.cat([row, changed, swapped]))
    assert len(torch.unique(keys)) == 22
