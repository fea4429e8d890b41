"""Callers that share passes: everybody gets his own answer, once, whatever happens to the others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

from quantum_trader.agents.batcher import ROWS, Batcher
from quantum_trader.agents.signals import ModelInputs

Answer = list[float]

PATIENCE = 300.0
"""Seconds after which a test that waits for another thread or process gives up."""


def rows(first: int, count: int) -> ModelInputs:
    """Rows that name themselves: window and context hold first, first + 1, ..."""
    names = np.arange(first, first + count, dtype=np.float32)
    return ModelInputs(windows=names[:, None, None].copy(), context=names[:, None].copy())


class Model:
    """Answers each row with ten times its name; a barrier holds the first pass."""

    def __init__(self, *, held: bool = False, poison: float | None = None) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        if not held:
            self.go.set()
        self.poison = poison
        self.sizes: list[int] = []

    def __call__(self, inputs: ModelInputs) -> Answer:
        self.sizes.append(len(inputs))
        self.begun.set()
        assert self.go.wait(PATIENCE)
        names = inputs.context[:, 0]
        if self.poison is not None and self.poison in names:
            raise ValueError("poisoned")
        return [float(name) * 10 for name in names]


def part(answer: Answer, chosen: slice) -> Answer:
    return answer[chosen]


def finished(futures: list[Future[Answer]]) -> list[Answer]:
    return [future.result(timeout=PATIENCE) for future in futures]


def test_those_who_wait_share_one_pass() -> None:
    """Jobs that arrive during a pass are joined into the next, and each gets its own rows."""
    model = Model(held=True)
    batcher = Batcher(model, part)
    first = batcher.submit(rows(0, 1))
    assert model.begun.wait(PATIENCE)
    later = [batcher.submit(rows(10 * k, 1 + k % 3)) for k in range(1, 41)]
    model.go.set()
    assert first.result(timeout=PATIENCE) == [0.0]
    for k, answer in enumerate(finished(later), start=1):
        assert answer == [100.0 * k + 10.0 * j for j in range(1 + k % 3)]
    assert len(model.sizes) == 2


def test_a_pass_holds_no_more_than_its_rows() -> None:
    """What does not fit waits for the next pass; a job larger than a pass is one of its own."""
    model = Model(held=True)
    batcher = Batcher(model, part)
    batcher.submit(rows(0, 1))
    assert model.begun.wait(PATIENCE)
    later = [batcher.submit(rows(0, count)) for count in (ROWS - 1, 2, ROWS + 5, 3)]
    model.go.set()
    assert [len(answer) for answer in finished(later)] == [ROWS - 1, 2, ROWS + 5, 3]
    assert model.sizes == [1, ROWS - 1, 2, ROWS + 5, 3]


def test_one_callers_rows_that_fail_cost_the_others_nothing() -> None:
    """If a joined pass raises, each of its jobs is tried alone."""
    model = Model(held=True, poison=20.0)
    batcher = Batcher(model, part)
    batcher.submit(rows(0, 1))
    assert model.begun.wait(PATIENCE)
    jobs = [batcher.submit(rows(first, 1)) for first in (10, 20, 30)]
    model.go.set()
    assert jobs[0].result(timeout=PATIENCE) == [100.0]
    assert jobs[2].result(timeout=PATIENCE) == [300.0]
    with pytest.raises(ValueError, match="poisoned"):
        jobs[1].result(timeout=PATIENCE)


def test_a_job_that_was_given_up_is_not_begun() -> None:
    """A caller that stopped waiting before his turn costs no work."""
    model = Model(held=True)
    batcher = Batcher(model, part)
    first = batcher.submit(rows(0, 1))
    assert model.begun.wait(PATIENCE)
    assert batcher.submit(rows(1, 7)).cancel()
    kept = batcher.submit(rows(2, 1))
    model.go.set()
    assert first.result(timeout=PATIENCE) == [0.0]
    assert kept.result(timeout=PATIENCE) == [20.0]
    assert model.sizes == [1, 1]


def test_many_threads_get_their_own_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load, and with a thread that ends between jobs, nobody waits for ever or gets another's rows."""
    monkeypatch.setattr("quantum_trader.agents.batcher.IDLE_S", 0.001)
    batcher = Batcher(Model(), part)
    wrong: list[int] = []

    def ask(name: int) -> None:
        for turn in range(50):
            first = 1_000 * name + turn
            if batcher.submit(rows(first, 1)).result(timeout=PATIENCE) != [10.0 * first]:
                wrong.append(first)
            if turn % 10 == 0:
                time.sleep(0.003)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_thread_ends_when_told_and_answers_those_who_wait_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """`stop` returns when the thread is gone; nobody's rows are lost, and a later job starts another."""
    monkeypatch.setattr("quantum_trader.agents.batcher.STOP_S", PATIENCE)
    model = Model(held=True)
    batcher = Batcher(model, part)
    jobs = [batcher.submit(rows(first, 1)) for first in range(3)]
    assert model.begun.wait(PATIENCE)
    threading.Timer(0.05, model.go.set).start()
    batcher.stop()
    assert batcher._thread is not None
    assert not batcher._thread.is_alive()
    assert finished(jobs) == [[0.0], [10.0], [20.0]]
    assert batcher.submit(rows(5, 1)).result(timeout=PATIENCE) == [50.0]
    batcher.stop()
    batcher.stop()


def test_a_program_that_ends_in_the_middle_of_a_pass_ends_well() -> None:
    """The end of the interpreter waits for the pass instead of cutting its thread off."""
    program = """
import threading, time
import numpy as np
from quantum_trader.agents.batcher import Batcher
from quantum_trader.agents.signals import ModelInputs
begun = threading.Event()
def answer(inputs):
    begun.set()
    time.sleep(0.3)
    print("done", flush=True)
one = Batcher(answer, lambda result, rows: result)
one.submit(ModelInputs(windows=np.zeros((1, 1, 1), np.float32), context=np.zeros((1, 1), np.float32)))
begun.wait()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_result_that_cannot_be_parted_is_one_callers_error_at_a_time() -> None:
    """A model that loses rows fails those calls; the thread lives on and answers the next."""
    model = Model(held=True)

    def exactly(answer: Answer, chosen: slice) -> Answer:
        raise IndexError("rows are missing")

    batcher = Batcher(model, exactly)
    first = batcher.submit(rows(0, 1))
    assert model.begun.wait(PATIENCE)
    jobs = [batcher.submit(rows(k, 1)) for k in (1, 2)]
    model.go.set()
    assert first.result(timeout=PATIENCE) == [0.0]
    assert finished(jobs) == [[10.0], [20.0]]
    assert batcher.submit(rows(3, 1)).result(timeout=PATIENCE) == [30.0]


def test_a_thread_that_could_not_start_is_started_by_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no thread left for a moment, the batcher is not dead for ever."""
    batcher = Batcher(Model(), part)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            batcher.submit(rows(1, 1))
    assert batcher.submit(rows(2, 1)).result(timeout=PATIENCE) == [20.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX systems fork")
def test_a_forked_process_starts_a_thread_of_its_own() -> None:
    """The child of a process whose batcher has worked gets its answers."""
    program = """
import os, sys
import numpy as np
from quantum_trader.agents.batcher import Batcher
from quantum_trader.agents.signals import ModelInputs
inputs = ModelInputs(windows=np.zeros((1, 1, 1), np.float32), context=np.zeros((1, 1), np.float32))
one = Batcher(lambda inputs: 7, lambda result, rows: result)
assert one.submit(inputs).result(300.0) == 7
child = os.fork()
if child == 0:
    os._exit(one.submit(inputs).result(300.0))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 7, done.stderr
