from __future__ import annotations

import threading

import pytest

from quantum_trader.envs.sources.workers import each_result


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize("workers", [1, 3, 20])
def test_every_item_has_its_result(workers: int) -> None:
    """Whatever the number of threads, and for no items at all."""
    assert dict(each_result(square, range(10), workers=workers)) == {n: n * n for n in range(10)}
    assert list(each_result(square, [], workers=workers)) == []


def test_one_worker_works_in_the_callers_thread() -> None:
    """So that Ctrl-C interrupts it wherever it waits."""
    places = each_result(lambda _: threading.current_thread(), [1, 2], workers=1)
    assert [place for _, place in places] == [threading.current_thread()] * 2


def test_several_work_at_the_same_time() -> None:
    """Three wait for each other, which one after the other never could."""
    meeting = threading.Barrier(3)
    results = each_result(lambda item: meeting.wait(timeout=300) >= 0, [1, 2, 3], workers=3)
    assert all(met for _, met in results)


def test_the_first_error_is_raised_and_nothing_begins_after_it() -> None:
    """The fifth item fails: the hundreds behind it are left alone."""
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 4:
            raise ValueError("four")
        return item

    with pytest.raises(ValueError, match="four"):
        for _ in each_result(work, range(1_000), workers=1):
            pass
    assert begun == [0, 1, 2, 3, 4]


def test_an_error_among_several_workers_stops_them_all() -> None:
    """Those that are under way end; none takes another item."""
    release = threading.Event()
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            raise ValueError("zero")
        release.wait(timeout=300)
        return item

    with pytest.raises(ValueError, match="zero"):
        for _ in each_result(work, range(1_000), workers=2):
            pass
    release.set()
    for thread in threading.enumerate():
        if thread.name == "fetch":
            thread.join(timeout=300)
    assert len(begun) <= 3
