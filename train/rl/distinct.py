"""`distinct_rows`: which observations of a batch are different, so that equal ones are encoded once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_MIX = 0x9E3779B97F4A7C15 - (1 << 64)
"""An odd number without pattern (the golden ratio in 64 bits), by whose powers columns are told apart."""


class Distinct(NamedTuple):
    """Rows without repetition, and where each row's like is among them."""

    rows: Tensor
    """int64 [U], one row of each kind."""
    place: Tensor
    """int64 [B]: `rows[place[i]]` is a row equal to row i."""


def distinct_rows(windows: Tensor, context: Tensor) -> Distinct:
    """Find rows that are equal to the bit in both tensors.

    Candidates are found by a hash of the newest bar and the context, then compared in full: a collision
    costs the saving, never the result.

    Args:
        windows: float32 [B, 60, 14].
        context: float32 [B, C].
    """
    count = len(windows)
    everyone = torch.arange(count, device=windows.device)
    if count < 2:
        return Distinct(rows=everyone, place=everyone)
    keys = _hash(torch.cat([windows[:, -1], windows[:, 0], context], dim=1))
    found, place = torch.unique(keys, return_inverse=True)
    if len(found) == count:
        return Distinct(rows=everyone, place=everyone)
    rows = torch.empty(len(found), dtype=torch.int64, device=windows.device)
    # The first row of each kind.
    rows.scatter_reduce_(0, place, everyone, reduce="amin", include_self=False)
    like = rows[place]
    same = torch.equal(_bits(windows[like]), _bits(windows)) and torch.equal(
        _bits(context[like]), _bits(context)
    )
    return Distinct(rows=rows, place=place) if same else Distinct(rows=everyone, place=everyone)


def _bits(values: Tensor) -> Tensor:
    """As integers: not-a-number equals itself, and 0 differs from -0."""
    return values.contiguous().view(torch.int32)


def _hash(columns: Tensor) -> Tensor:
    """int64 [B]: a polynomial in the columns' bits, wrapping around."""
    key = torch.zeros(len(columns), dtype=torch.int64, device=columns.device)
    for column in _bits(columns).to(torch.int64).unbind(dim=1):
        key = (key ^ column) * _MIX
        key = key ^ (key >> 29)
    return key
