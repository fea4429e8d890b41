"""Sizes of passes: what is filled up, cut, tried and refused, with a function whose answers name the pass."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
from torch import Tensor

from quantum_trader.agents.row_blocks import LARGEST, RowBlocks, Rows
from quantum_trader.agents.side_by_side import later, side_by_side

from .fakes import PATIENCE


def size(blocks: RowBlocks, kernel: Kernel, count: int) -> int:
    """Rows of the pass for `count` rows, once every size it might take has been tried."""
    blocks.get_ready(count)
    kernel.sizes.clear()
    blocks(rows(count))
    (found,) = kernel.sizes
    return found


class Kernel:
    """Doubles its rows; off by a hair in passes of fewer rows than `exact_from`, and at `odd_place`.

    That place counts `everywhere` or in all passes but the largest.
    """

    def __init__(
        self, exact_from: int = 4, *, odd_place: int | None = None, everywhere: bool = False
    ) -> None:
        self.exact_from = exact_from
        self.odd_place = odd_place
        self.everywhere = everywhere
        self.sizes: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, numbers: Tensor, pair: Tensor) -> Rows:
        self.sizes.append(len(numbers))
        self.threads.add(threading.current_thread().name)
        answer = 2 * numbers
        if len(numbers) < self.exact_from:
            answer = answer * (1 + 1e-6)
        if self.odd_place is not None and (self.everywhere or len(numbers) < LARGEST):
            answer[self.odd_place] *= 1 + 1e-6
        return answer, pair.sum(dim=1)


def rows(count: int) -> Rows:
    """Row i is i, with the pair (i, 1000)."""
    numbers = torch.arange(count, dtype=torch.float32)
    return numbers, torch.stack([numbers, torch.full((count,), 1000.0)], dim=1)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 4, 63, 64, 65, 100, 130, 1_000])
def test_every_row_gets_its_own_answer(count: int, threads: int) -> None:
    """Filling, cutting and joining keep the rows in place, whatever their number; none at all is possible."""
    doubled, summed = RowBlocks(Kernel(), (), (2,))(rows(count), threads=threads)
    torch.testing.assert_close(doubled, 2 * torch.arange(count, dtype=torch.float32), rtol=0, atol=0)
    torch.testing.assert_close(summed, 1000 + torch.arange(count, dtype=torch.float32), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("exact_from", "sizes"),
    [(1, (4, 4, 8, 64)), (12, (12, 12, 12, 64)), (33, (36, 36, 36, 64)), (64, (64,) * 4)],
)
def test_the_least_size_with_the_bits_of_the_largest_is_taken(
    exact_from: int, sizes: tuple[int, ...]
) -> None:
    """Sizes whose answers are off by a hair are passed over, up to the largest, which is always right."""
    kernel = Kernel(exact_from)
    blocks = RowBlocks(kernel, (), (2,))
    assert tuple(size(blocks, kernel, count) for count in (1, 4, 5, 64)) == sizes


@pytest.mark.parametrize("place", [0, 2, 3])
def test_one_place_that_differs_is_enough_to_refuse_a_size(place: int) -> None:
    """A size in which a single place rounds otherwise is not used."""
    kernel = Kernel(odd_place=place)
    assert size(RowBlocks(kernel, (), (2,)), kernel, 1) == LARGEST


def test_a_kernel_that_prefers_places_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Where even the largest pass is unsure of its bits, one warning says so and no pass grows for it."""
    kernel = Kernel(odd_place=3, everywhere=True)
    blocks = RowBlocks(kernel, (), (2,))
    assert [size(blocks, kernel, count) for count in (1, 5, 64)] == [4, 8, 64]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "MKL_CBWR=AUTO" in caplog.text


def test_nobody_waits_for_a_trial() -> None:
    """The largest pass answers until the size in question has been tried, once, in the background."""
    trial, may_begin = threading.Event(), threading.Event()
    sizes: list[int] = []

    def run(numbers: Tensor) -> Rows:
        if threading.current_thread() is not threading.main_thread():
            trial.set()
            assert may_begin.wait(PATIENCE)
        else:
            sizes.append(len(numbers))
        return (2 * numbers,)

    blocks = RowBlocks(run, ())
    for _ in range(3):
        assert blocks((torch.tensor([1.0, 2.0]),))[0].tolist() == [2.0, 4.0]
    assert trial.wait(PATIENCE)
    assert sizes == [LARGEST] * 3
    may_begin.set()
    done = threading.Event()
    later(done.set)
    assert done.wait(PATIENCE)
    assert blocks((torch.tensor([1.0, 2.0]),))[0].tolist() == [2.0, 4.0]
    assert sizes == [LARGEST] * 3 + [4]


def test_a_size_is_tried_once() -> None:
    """A size that is known is not tried again."""
    kernel = Kernel()
    blocks = RowBlocks(kernel, (), (2,))
    blocks.get_ready(5)
    kernel.sizes.clear()
    blocks.get_ready(8)
    blocks(rows(5))
    blocks(rows(8))
    assert kernel.sizes == [8, 8]


def test_not_a_number_is_equal_to_itself() -> None:
    """A model that answers NaN still has its sizes; a row that is NaN stays alone with it."""
    sizes = []

    def silent(numbers: Tensor) -> Rows:
        sizes.append(len(numbers))
        return (numbers * torch.nan,)

    blocks = RowBlocks(silent, ())
    blocks.get_ready(1)
    blocks((torch.zeros(1),))
    assert sizes[-1] == 4
    poisoned = torch.tensor([1.0, torch.nan, 3.0])
    (answer,) = RowBlocks(lambda numbers: (2 * numbers,), ())((poisoned,))
    assert answer[[0, 2]].tolist() == [2.0, 6.0]
    assert answer[1].isnan()


def test_large_batches_are_shared_out() -> None:
    """100 rows are two passes of about half, few rows stay one pass, and none exceeds the largest."""
    kernel = Kernel()
    blocks = RowBlocks(kernel, (), (2,))
    for count, threads, expected in (
        (100, 1, [52, 48]),
        (100, 2, [52, 48]),
        (64, 1, [64]),
        (64, 2, [32, 32]),
        (31, 2, [32]),
        (40, 4, [20, 20]),
        (300, 4, [40, 40, 40, 40, 40, 40, 40, 20]),
    ):
        blocks.get_ready(count, threads=threads)
        kernel.sizes.clear()
        blocks(rows(count), threads=threads)
        assert sorted(kernel.sizes, reverse=True) == expected, (count, threads)


def test_side_by_side_keeps_the_order_and_raises() -> None:
    """Answers come in the order of the items, on no more threads than asked; an error reaches the caller."""
    seen = set()

    def doubled(number: int) -> int:
        seen.add(threading.current_thread().name)
        if number == 77:
            raise ValueError("77")
        return 2 * number

    assert side_by_side(doubled, range(50), 3) == [2 * number for number in range(50)]
    assert 1 <= len(seen) <= 3
    with pytest.raises(ValueError, match="77"):
        side_by_side(doubled, range(70, 80), 3)
    assert side_by_side(doubled, [5], 3) == [10]


def test_a_forked_process_has_threads_of_its_own() -> None:
    """After a fork the child does not wait for threads that only its parent has."""
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
from quantum_trader.agents.side_by_side import later, side_by_side
assert side_by_side(abs, [-1, -2, -3], 2) == [1, 2, 3]
child = os.fork()
if child == 0:
    os._exit(0 if side_by_side(abs, [-4, -5], 2) == [4, 5] else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=False).returncode == 0
