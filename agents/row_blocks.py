"""A row's answer does not depend on the rows beside it: passes come in sizes seen to give the same bits.

Matrix products of one row, of three and of sixty go through different kernels, which add up in different
orders. The same observation, alone and in a batch, would differ in its last bits, or in bfloat16 by a few
thousandths of probability; a live decision that hung on a hair would differ from the backtest's. So rows are
filled up to a size that answers as the largest does. Which sizes do depends on the processor and the
libraries: each is tried before it is used, in the background, while the largest pass answers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from quantum_trader.agents.side_by_side import later, side_by_side

_log = logging.getLogger(__name__)

Rows = tuple[Tensor, ...]
"""Tensors of as many rows each."""

LARGEST = 64
"""Rows of the largest pass of an encoder: the tensors of more no longer fit the caches."""
LARGEST_SMALL = 256
"""The same of heads and policies, which cost less than the call."""
_STEP = 4
"""Sizes are its multiples: kernels for fewer rows differ on most processors."""
_WORTH_A_THREAD = 16
"""Rows below which a pass on another core costs more than it saves."""


class RowBlocks:
    """A function of rows whose answers are the same bits however many rows are asked about at once.

    Safe to call from several threads at once if `run` is.

    Args:
        run: tensors of n rows -> float32 tensors of n rows. A row's answer depends on that row alone but for
            rounding, and as many rows always take the same way through the kernels.
        shapes: of one row of each tensor, for the random ones that sizes are tried with.
        largest: rows of the largest pass, a multiple of 4.
    """

    def __init__(self, run: Callable[..., Rows], *shapes: tuple[int, ...], largest: int = LARGEST) -> None:
        self._run = run
        self._shapes = shapes
        self._largest = largest
        self._reference: _Reference | None = None
        self._known = {largest: True}
        self._asked_for: set[int] = set()

    def __call__(self, rows: Rows, *, threads: int = 1) -> Rows:
        """The answers to `rows`, in passes on so many threads; there may be no rows at all."""
        bounds = _bounds(len(rows[0]), self._largest, threads)
        sizes = {length: self._size(length) for length in {stop - start for start, stop in bounds}}

        def answer(bound: tuple[int, int]) -> Rows:
            start, stop = bound
            size = sizes[stop - start]
            answers = self._run(*(_filled(column[start:stop], size) for column in rows))
            return tuple(each[: stop - start] for each in answers)

        parts = side_by_side(answer, bounds, threads)
        return parts[0] if len(parts) == 1 else tuple(torch.cat(each) for each in zip(*parts, strict=True))

    def get_ready(self, count: int, *, threads: int = 1) -> None:
        """Try now the sizes that a call about `count` rows takes: as long as a few of the largest passes."""
        for start, stop in _bounds(count, self._largest, threads):
            size = max(_rounded_up(stop - start), _STEP)
            while not self._try(size, threads):
                size += _STEP

    def _size(self, count: int) -> int:
        """The least size for `count` rows that is known to give the bits of the largest pass."""
        least = size = max(_rounded_up(count), _STEP)
        while not self._known.get(size, False):
            size += _STEP
        unknown = next((each for each in range(least, size, _STEP) if each not in self._known), None)
        if unknown is not None and unknown not in self._asked_for:
            self._asked_for.add(unknown)
            later(partial(self._try, unknown))
        return size

    def _try(self, size: int, threads: int = 1) -> bool:
        """Whether all rows of a random sample get the same bits as in the largest pass.

        All, because in bfloat16 most differences are rounded away: one kernel gave 4 rows of 64 other bits.
        """
        if size not in self._known:
            reference = self._largest_pass()
            # Where even the largest pass is not sure of its bits, more rows than needed are of no use.
            self._known[size] = not reference.exact or reference.confirmed_by(self._run, size, threads)
        return self._known[size]

    def _largest_pass(self) -> _Reference:
        if self._reference is None:
            source = torch.Generator().manual_seed(0)
            sample = tuple(torch.randn((self._largest, *shape), generator=source) for shape in self._shapes)
            found = _Reference(sample=sample, answers=self._run(*sample))
            found.exact = found.confirmed_by(self._run, self._largest, 1)
            if not found.exact:
                _log.warning(
                    "On this processor the last bits of an answer depend on the other rows of its batch: a "
                    "decision that hangs on a hair may differ from a backtest's. MKL_CBWR=AUTO in the "
                    "environment, set before torch is imported, helps where MKL is the reason."
                )
            self._reference = found
        return self._reference


@dataclass(kw_only=True)
class _Reference:
    """Random rows and what the largest pass answered to them."""

    sample: Rows
    answers: Rows
    exact: bool = True
    """Whether the largest pass gives the same bits to rows at other places."""

    def confirmed_by(self, run: Callable[..., Rows], size: int, threads: int) -> bool:
        """Whether passes of `size` give all rows these bits."""
        # Rows stand at other places than before; some a second time, to fill the last pass.
        count = len(self.sample[0])
        mixed = torch.randperm(count, generator=torch.Generator().manual_seed(1))
        order = mixed[torch.arange(_multiple(count, size)) % count]
        blocks = torch.split(order, size)
        answers = side_by_side(lambda rows: run(*(column[rows] for column in self.sample)), blocks, threads)
        return all(
            torch.equal(_bits(torch.cat(parts)), _bits(whole[order]))
            for *parts, whole in zip(*answers, self.answers, strict=True)
        )


def _bounds(count: int, largest: int, threads: int) -> list[tuple[int, int]]:
    """First row and end of each pass: as few as `largest` allows, but work for every thread where it pays."""
    passes = max(math.ceil(count / largest), 1)
    if threads > 1:
        passes = max(min(_multiple(passes, threads), count // _WORTH_A_THREAD), passes)
    step = max(_rounded_up(math.ceil(count / passes)), _STEP)
    return [(start, min(start + step, count)) for start in range(0, max(count, 1), step)]


def _rounded_up(count: int) -> int:
    return _multiple(count, _STEP)


def _multiple(count: int, of: int) -> int:
    return math.ceil(count / of) * of


def _filled(rows: Tensor, size: int) -> Tensor:
    """A copy with zeros below, in torch's own memory: kernels may treat other alignments differently."""
    filled = rows.new_zeros((size, *rows.shape[1:]))
    filled[: len(rows)] = rows
    return filled


def _bits(numbers: Tensor) -> Tensor:
    """float32 as int32, in which not-a-number equals itself."""
    return numbers.contiguous().view(torch.int32)
