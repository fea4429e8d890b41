"""`SidePool`: blocking work besides decisions (reports, warm-up), a little at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from quantum_trader.serve.service.errors import overloaded, stopping

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class SidePool:
    """A few threads with a short queue before them.

    Args:
        threads: calls under way at once.
        most: calls under way or waiting, beyond which `run` refuses.
        name: of the threads.
    """

    def __init__(self, *, threads: int, most: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._most, self._name = most, name
        self._taken, self._lock = 0, threading.Lock()

    async def run(
        self, call: Callable[Parameters, Result], *args: Parameters.args, **options: Parameters.kwargs
    ) -> Result:
        """The call's result; a caller that gives up leaves the call running.

        Raises:
            ServiceError: 503, too many calls are waiting, or the service ends.
        """
        with self._lock:
            if self._taken >= self._most:
                raise overloaded(f"{self._taken} requests of this kind are waiting: ask again in a second.")
            self._taken += 1
        try:
            future = self._pool.submit(call, *args, **options)
        except RuntimeError as error:
            self._release()
            raise stopping() from error
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let calls under way finish, and begin no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _release(self, _: Future[Result] | None = None) -> None:
        with self._lock:
            self._taken -= 1
