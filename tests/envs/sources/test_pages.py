from __future__ import annotations

import numpy as np
import pytest

from quantum_trader.envs.bars import Floats
from quantum_trader.envs.sources.pages import read_range


class Book:
    """A venue with rows (time, 10 * time) at `times`; answers by a script of tricks, then rightly."""

    def __init__(
        self, times: list[int], *, limit: int = 3, tricks: tuple[str, ...] = (), window: bool = False
    ) -> None:
        self.times = times
        self.window = window
        self.limit = limit
        self.tricks = list(tricks)
        self.asked: list[int] = []

    def page(self, since: int) -> tuple[Floats, int]:
        self.asked.append(since)
        trick = self.tricks.pop(0) if self.tricks else ""
        rows = [time for time in self.times if time >= since][: self.limit]
        if self.window:
            rows = [time for time in rows if time < since + self.limit]
        if trick == "empty":
            rows = []
        if trick == "partial":
            rows = rows[:1]
        if trick == "overlap":
            rows = [time for time in self.times if time < since][-2:] + rows
        return np.array([[time, 10.0 * time] for time in rows]).reshape(-1, 2), since + self.limit

    def read(self, start: int, end: int) -> list[int]:
        rows = read_range(self.page, start, end, width=2, apart_ms=1)
        np.testing.assert_array_equal(rows[:, 1], 10.0 * rows[:, 0])
        return [int(time) for time in rows[:, 0]]


@pytest.mark.parametrize(
    "tricks",
    [
        (),
        ("partial",),
        ("partial", "partial", "overlap"),
        ("empty",),
        ("", "empty", "", "empty"),
        ("overlap", "overlap"),
        ("empty", "partial", "empty", "overlap"),
    ],
    ids=lambda tricks: "-".join(tricks) or "none",
)
def test_every_row_comes_once_whatever_the_pages_look_like(tricks: tuple[str, ...]) -> None:
    """Short, empty and overlapping pages lose and repeat nothing."""
    assert Book(list(range(10)), tricks=tricks).read(0, 10) == list(range(10))


def test_rows_outside_the_stretch_are_not_taken() -> None:
    """Neither before the start nor from the end on."""
    assert Book(list(range(20)), limit=50).read(4, 9) == [4, 5, 6, 7, 8]


def test_no_request_is_made_that_cannot_bring_anything() -> None:
    """Ten rows in pages of three are four requests; nothing is asked beyond the end."""
    book = Book(list(range(10)))
    book.read(0, 10)
    assert book.asked == [0, 3, 6, 9]


def test_an_empty_page_is_believed_at_the_second_time_and_then_stepped_over() -> None:
    """A hole wider than a page does not end the reading at venues whose pages cover a fixed time."""
    book = Book([0, 1, 2, 11, 12], window=True)
    assert book.read(0, 13) == [0, 1, 2, 11, 12]
    assert book.asked == [0, 3, 3, 6, 6, 9, 12]


def test_a_stretch_before_the_first_row_is_one_request() -> None:
    """A page whose rows all lie beyond the end says that there are none before."""
    book = Book([100, 101])
    assert book.read(0, 50) == []
    assert book.asked == [0]


def test_nothing_at_all_ends() -> None:
    """A venue without rows is asked twice for each stretch of a page's length."""
    book = Book([])
    assert book.read(0, 6) == []
    assert book.asked == [0, 0, 3, 3]
