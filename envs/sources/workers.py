"""A few things at once, in threads that never keep a program from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def each_result(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int
) -> Iterator[tuple[Item, Result]]:
    """(item, work(item)) in the order in which they are ready.

    The first error is raised and nothing new begins after it, nor after Ctrl-C, which is not held up by
    what is under way. One worker works in the caller's thread.
    """
    if workers == 1:
        for item in items:
            yield item, work(item)
        return
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    ready: queue.SimpleQueue[tuple[Item, Result | BaseException, bool]] = queue.SimpleQueue()
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                ready.put((item, work(item), True))
            except BaseException as error:  # handed over to the caller's thread
                ready.put((item, error, False))

    for _ in range(min(workers, len(items))):
        threading.Thread(target=run, name="fetch", daemon=True).start()
    try:
        for _ in items:
            item, outcome, good = ready.get()
            if isinstance(outcome, BaseException) and not good:
                raise outcome
            yield item, outcome  # type: ignore[misc]
    finally:
        stopped.set()
