"""What every worker process is given before its first job: few threads, and an end with its parent's."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_SECONDS_BETWEEN_LOOKS = 1.0


def thread_variables(threads: int) -> dict[str, str]:
    """Environment that limits the threads of NumPy, torch, XGBoost, ...; it is read when they are loaded."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


def begin_worker(parent: int) -> None:
    """Let the parent alone decide over the end of this process.

    Ctrl-C in a terminal reaches every process in it; the parent kills its workers on it. A parent that was
    itself killed cannot, and jobs would go on for hours unseen.

    Args:
        parent: process id of the one that started this worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """The same limit in a process that runs already: for libraries that are loaded and those to come."""
    from threadpoolctl import threadpool_limits

    former = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(thread_variables(threads))
    # MKL inside torch is linked statically, which threadpoolctl cannot see.
    torch = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch is not None else 0
    try:
        with threadpool_limits(threads):
            if torch is not None:
                torch.set_num_threads(threads)
            yield
    finally:
        if torch is not None:
            torch.set_num_threads(torch_threads)
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
