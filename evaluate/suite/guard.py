"""Runs what may raise, hang, crash or eat memory: `guarded` apart, `measured` here."""

from __future__ import annotations

import json
import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from quantum_trader.envs.errors import QuantumTraderError

T = TypeVar("T")
P = ParamSpec("P")

_LONGEST_REASON = 400
_ASK, _ANSWER = "call.pickle", "answer.pickle"
_POLL_S = (0.005, 0.2)
_LOOK_AT_PARENT_S = 1.0
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from quantum_trader.evaluate.suite.guard import _serve; _serve(sys.argv[2], int(sys.argv[3]))"
)


@dataclass(frozen=True, kw_only=True)
class Done(Generic[T]):
    """A call that came to its end.

    Attributes:
        value: what it returned.
        seconds: wall clock of the call itself.
        peak_bytes: most resident memory of the process during the call; NaN where the system does not tell.
    """

    value: T
    seconds: float
    peak_bytes: float


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A call that did not.

    Attributes:
        reason: one sentence.
        seconds: wall clock until it failed.
        peak_bytes: as in `Done`; of a process that was killed or crashed, what was seen last.
    """

    reason: str
    seconds: float
    peak_bytes: float


def guarded(
    call: Callable[P, T],
    *args: Any,
    limit_s: float,
    limit_bytes: float = math.inf,
) -> Done[T] | Failure:
    """Run `call(*args)` in a fresh process and never raise what it raises.

    The process and all that it started are killed when the time is over, when this process is interrupted,
    and when the call has come to its end; should this process be killed, they follow. What it prints is
    dropped. It starts with the same import path and working folder, and imports no `__main__`.

    Args:
        call: a function that another process can import, or a picklable object with `__call__`.
        args: picklable.
        limit_s: seconds from the start of the process, its imports included.
        limit_bytes: most resident memory of the process, not counting what it started; looked at a few times
            a second, Linux only.

    Returns:
        What it returned; or why it did not: an exception with the place it came from, a signal, an exit
        code, too much time or memory, a result that cannot be pickled.
    """
    with tempfile.TemporaryDirectory(prefix="guarded-", ignore_cleanup_errors=True) as folder:
        try:
            (Path(folder) / _ASK).write_bytes(pickle.dumps((call, args), pickle.HIGHEST_PROTOCOL))
        except Exception as error:  # pickling runs the arguments' own code
            return _failure(
                f"The call cannot be handed to another process: {_sentence(error)}", 0.0, math.nan
            )
        child = _Child(folder)
        try:
            why = child.wait(limit_s, limit_bytes)
        finally:
            child.kill()
        return child.result(Path(folder) / _ANSWER, why)


def measured(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Done[T] | Failure:
    """Run `call(*args)` in this process; an `Exception` becomes a `Failure`, a KeyboardInterrupt passes.

    The peak counts from the call's start but is that of the whole process: what lay in memory before, and
    what other threads take, belongs to it. Linux only; NaN elsewhere.
    """
    known = _forget_peak()
    started = time.perf_counter()
    try:
        value = call(*args, **kwargs)
    except Exception as error:
        seconds = time.perf_counter() - started
        return _failure(_sentence(error), seconds, _peak_bytes() if known else math.nan)
    seconds = time.perf_counter() - started
    return Done(value=value, seconds=seconds, peak_bytes=_peak_bytes() if known else math.nan)


class _Child:
    """The process of a guarded call."""

    def __init__(self, folder: str) -> None:
        self.started = time.perf_counter()
        self.peak = math.nan
        # Not multiprocessing: its spawned processes run the caller's `__main__` again, and daemonic workers
        # may not start any.
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _START,
                json.dumps([str(place) for place in sys.path]),
                folder,
                str(os.getpid()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self, limit_s: float, limit_bytes: float) -> str:
        """Until the process ends by itself (then ""), or why it has to be ended."""
        pause, longest = _POLL_S
        while self.process.poll() is None:
            self.peak = _max(self.peak, _peak_bytes(self.process.pid))
            left = limit_s - self.seconds
            if left <= 0:
                return f"It did not come to its end within {limit_s:g} s and was stopped."
            if self.peak > limit_bytes:
                return f"It needed more than {limit_bytes / 2**20:,.0f} MiB of memory and was stopped."
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, longest)
        return ""

    def kill(self) -> None:
        """End the process and everything it started that did not leave its group."""
        try:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        except (ProcessLookupError, PermissionError):
            pass  # nothing is left of it
        self.process.wait()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started

    def result(self, answer: Path, why: str) -> Done[Any] | Failure:
        """What came of it."""
        if why:
            return _failure(why, self.seconds, self.peak)
        try:
            found: Done[Any] | Failure = pickle.loads(answer.read_bytes())
        except FileNotFoundError:
            return _failure(_end(self.process.returncode), self.seconds, self.peak)
        except Exception as error:  # unpickling runs the result's own code
            return _failure(f"Its result cannot be read: {_sentence(error)}", self.seconds, self.peak)
        return found


def _serve(folder: str, parent: int) -> None:
    """What the process of a guarded call does: everything that can go wrong becomes an answer."""
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    place = Path(folder)
    started = time.perf_counter()
    try:
        call, args = pickle.loads((place / _ASK).read_bytes())
        started = time.perf_counter()
        value = call(*args)
        outcome: Done[Any] | Failure = Done(
            value=value, seconds=time.perf_counter() - started, peak_bytes=_peak_bytes()
        )
    except BaseException as error:  # a foreign SystemExit or KeyboardInterrupt is a failure like any other
        outcome = _failure(_sentence(error), time.perf_counter() - started, _peak_bytes())
    _answer(place, outcome)
    # Threads and exit handlers that somebody's agent left behind must not hold up the result.
    os._exit(0)


def _answer(folder: Path, outcome: Done[Any] | Failure) -> None:
    try:
        found = pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        reason = f"Its result cannot be handed back: {_sentence(error)}"
        found = pickle.dumps(_failure(reason, outcome.seconds, outcome.peak_bytes))
    partial = folder / f"{_ANSWER}.partial"
    partial.write_bytes(found)
    partial.replace(folder / _ANSWER)


def _follow(parent: int) -> None:
    """End this process and its group once the one that started it is gone."""
    if os.name != "posix":
        return
    while os.getppid() == parent:
        time.sleep(_LOOK_AT_PARENT_S)
    os.killpg(0, signal.SIGKILL)


def _failure(reason: str, seconds: float, peak_bytes: float) -> Failure:
    short = reason if len(reason) <= _LONGEST_REASON else reason[: _LONGEST_REASON - 3] + "..."
    return Failure(reason=short, seconds=seconds, peak_bytes=peak_bytes)


def _sentence(error: BaseException) -> str:
    """Type, text and last frame of an error in one line; our own errors are sentences already."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    if isinstance(error, QuantumTraderError) and text:
        return text
    place = ""
    for frame in traceback.extract_tb(error.__traceback__)[-1:]:
        place = f" (in {frame.name}, {Path(frame.filename).name} line {frame.lineno})"
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def _end(code: int) -> str:
    """How a process ended that left no answer."""
    if code >= 0:
        return f"Its process ended with exit code {code} before there was a result."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"Its process was ended by {name} before there was a result."


def _max(one: float, other: float) -> float:
    """The larger; NaN only where both are."""
    return other if math.isnan(one) else one if math.isnan(other) else max(one, other)


def _forget_peak() -> bool:
    """Let the peak of this process count from here; False where the system has no such thing."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak_bytes(process: int | None = None) -> float:
    """Most resident memory of a process so far, this one by default; NaN where unknown."""
    try:
        status = Path(f"/proc/{process or 'self'}/status").read_text()
        return next(float(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return math.nan if process is not None else _own_peak()


def _own_peak() -> float:
    """The system's own count for a process that has just begun; no use after `_forget_peak`."""
    try:
        import resource
    except ImportError:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
