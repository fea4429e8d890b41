from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joblib import cpu_count

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.sweep.backends import BackendConfig, SweepError, run_graph, run_jobs
from quantum_trader.evaluate.sweep.local_backend import worker_count

# Workers do not know this module, so that what they run stands inside functions, which travel by value.

TWO = BackendConfig(workers=2)
SERIAL = BackendConfig(backend="serial")
DEADLINE = 300.0
"""Seconds after which a test that waits for another process gives up."""


def waiter(path: Path) -> Callable[[], None]:
    """What returns once the file is there."""

    def wait() -> None:
        end = time.monotonic() + DEADLINE
        while not path.exists():
            if time.monotonic() > end:
                raise TimeoutError(f"{path} did not appear")
            time.sleep(0.01)

    return wait


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(processes: set[int]) -> bool:
    """Whether all of them end before the deadline."""
    end = time.monotonic() + DEADLINE
    while any(map(alive, processes)):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def no_skip(job: Any, need: Any) -> Any:
    """For graphs in which nothing is skipped."""
    raise AssertionError(f"{job} was skipped because of {need}")


@pytest.mark.parametrize("config", [SERIAL, TWO], ids=["serial", "joblib"])
def test_every_result_arrives_once_in_the_callers_process(config: BackendConfig) -> None:
    """result = 10 * job + 1, each told once, wherever it was computed."""
    told: Counter[tuple[int, int]] = Counter()
    processes = set()

    def work(job: int) -> int:
        return 10 * job + 1

    def on_result(job: int, result: int) -> None:
        told[(job, result)] += 1
        processes.add(os.getpid())

    run_jobs(work, [3, 1, 2, 1], config, on_result)
    assert told == {(3, 31): 1, (1, 11): 2, (2, 21): 1}
    assert processes == {os.getpid()}


@pytest.mark.parametrize("config", [SERIAL, TWO], ids=["serial", "joblib"])
def test_no_jobs_are_no_work(config: BackendConfig) -> None:
    """An empty sweep ends at once."""
    run_jobs(no_skip, [], config, no_skip)


def test_results_arrive_in_the_order_in_which_jobs_finish(tmp_path: Path) -> None:
    """The first job waits for a file of the second: they run side by side, and the second is told first."""
    told = []
    wait = waiter(tmp_path / "told")

    def work(job: str) -> str:
        if job == "slow":
            wait()
        return job.upper()

    def on_result(job: str, result: str) -> None:
        told.append(result)
        (tmp_path / "told").touch()

    run_jobs(work, ["slow", "fast"], TWO, on_result)
    assert told == ["FAST", "SLOW"]


@pytest.mark.parametrize("config", [SERIAL, TWO], ids=["serial", "joblib"])
def test_a_job_starts_after_those_it_needs_were_told(config: BackendConfig, tmp_path: Path) -> None:
    """Each job finds what `on_result` kept of all that it needs."""
    needs = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": ["kept from an earlier sweep"]}

    def work(job: str) -> str:
        return "".join(sorted(path.name for path in tmp_path.iterdir()))

    found = {}

    def on_result(job: str, result: str) -> None:
        found[job] = set(result)
        (tmp_path / job).touch()

    run_graph(work, ["d", "c", "b", "a"], needs, str, config, on_result, on_skipped=no_skip)
    assert found["a"] == set()
    assert found["b"] >= {"a"}
    assert found["c"] >= {"a"}
    assert found["d"] == {"a", "b", "c"}


def test_jobs_do_not_wait_for_others_of_their_wave(tmp_path: Path) -> None:
    """b, which needs a, runs while c, which started beside a, still does: c waits until b was told."""
    wait = waiter(tmp_path / "b")

    def work(job: str) -> str:
        if job == "c":
            wait()
        return job

    told = []

    def on_result(job: str, result: str) -> None:
        told.append(job)
        (tmp_path / job).touch()

    run_graph(work, ["a", "c", "b"], {"b": ["a"]}, str, TWO, on_result, on_skipped=no_skip)
    assert told == ["a", "b", "c"]


@pytest.mark.parametrize("config", [SERIAL, TWO], ids=["serial", "joblib"])
@pytest.mark.parametrize("raises", [True, False], ids=["raises", "says so"])
def test_what_needs_a_failed_job_is_skipped(config: BackendConfig, raises: bool) -> None:
    """c needs b needs a, which fails: both get the result that names a; d beside them is done."""

    def work(job: str) -> str:
        if job == "a" and raises:
            raise ValueError("a is bad")
        return "bad" if job == "a" else "good"

    told = {}

    def sweep() -> None:
        run_graph(
            work,
            ["a", "b", "c", "d"],
            {"b": ["a"], "c": ["b"]},
            str,
            config,
            told.__setitem__,
            on_skipped=lambda job, need: f"without {need}",
            failed=lambda result: result == "bad",
        )

    if raises:
        with pytest.raises(SweepError, match="1 of 4 jobs failed: a"):
            sweep()
    else:
        sweep()
    assert told == {"b": "without a", "c": "without a", "d": "good"} | ({} if raises else {"a": "bad"})


@pytest.mark.parametrize("config", [SERIAL, TWO], ids=["serial", "joblib"])
def test_an_error_stops_nothing_else_and_is_told_at_the_end(config: BackendConfig) -> None:
    """Seven jobs of eight fail; the last is done, five are named, the trace of the first goes with it."""

    def work(job: int) -> int:
        if job < 7:
            raise KeyError(f"no {job}")
        return job

    told = []
    with pytest.raises(
        SweepError, match=r"^7 of 8 jobs failed: .* and 2 more\. .*KeyError: 'no \d'"
    ) as caught:
        run_jobs(work, range(8), config, lambda job, result: told.append(result))
    assert told == [7]
    assert 'raise KeyError(f"no {job}")' in caught.value.__notes__[0]


def test_what_cannot_travel_fails_alone() -> None:
    """Results that cannot be pickled or unpickled, odd errors, and exits cost their own job only."""

    def work(job: str) -> Any:
        class Unpicklable:
            def __reduce__(self) -> Any:
                raise TypeError("does not travel")

        class Bomb:
            def __reduce__(self) -> Any:
                return int, ("no number",)

        class OddError(Exception):
            def __init__(self, one: int, two: int) -> None:
                super().__init__("odd")

        if job == "raise":
            raise OddError(1, 2)
        if job == "exit":
            sys.exit(3)
        return {"leave": Unpicklable, "arrive": Bomb}.get(job, lambda: job)()

    told = []
    with pytest.raises(SweepError, match="4 of 6 jobs failed") as caught:
        run_jobs(work, ["a", "leave", "arrive", "raise", "exit", "b"], TWO, lambda job, _: told.append(job))
    assert sorted(told) == ["a", "b"]
    assert all(job in str(caught.value) for job in ("leave", "arrive", "raise", "exit"))


def test_a_job_whose_worker_was_killed_is_done_by_another(tmp_path: Path, caplog: Any) -> None:
    """SIGKILL on the first try; the second try's result arrives once, and jobs beside it ran once."""
    wait = waiter(tmp_path / "last")

    def work(job: str) -> str:
        with (tmp_path / job).open("a") as file:
            file.write("x")
        if job == "killed" and (tmp_path / job).stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if job == "beside":
            wait()  # runs while its neighbour is killed
        return job

    told: Counter[str] = Counter()
    run_jobs(work, ["beside", "killed", "last"], TWO, lambda job, _: told.update([job]))
    assert told == {"beside": 1, "killed": 1, "last": 1}
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
        "beside": 1,
        "killed": 2,
        "last": 1,
    }
    assert "the worker of killed died (SIGKILL(-9)); the job starts again" in caplog.text


def test_a_job_that_kills_its_workers_fails_after_two() -> None:
    """It is reported with the signal, and the others are done."""

    def work(job: str) -> str:
        if job == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    told = []
    with pytest.raises(SweepError, match=r"1 of 3 jobs failed: deadly\. .* died 2 times.*SIGKILL\(-9\)"):
        run_jobs(work, ["a", "deadly", "b"], TWO, lambda job, _: told.append(job))
    assert sorted(told) == ["a", "b"]


def test_a_worker_killed_between_two_jobs_costs_nobody() -> None:
    """The parent kills the idle worker; the job that would have been its next is done by a fresh one."""
    workers = []

    def work(job: int) -> int:
        return os.getpid()

    def on_result(job: int, worker: int) -> None:
        workers.append(worker)
        if job == 0:
            os.kill(worker, signal.SIGKILL)
            assert gone({worker})

    run_jobs(work, [0, 1], BackendConfig(workers=1), on_result)
    assert workers[0] != workers[1]


def test_workers_live_on_from_job_to_job() -> None:
    """Ten jobs meet two processes, neither of them this one, which keep what they loaded."""

    def work(job: int) -> tuple[int, int]:
        import quantum_trader.envs.errors as module

        module.__dict__["jobs_seen"] = seen = module.__dict__.get("jobs_seen", 0) + 1
        return os.getpid(), seen

    told: list[tuple[int, int]] = []
    run_jobs(work, range(10), TWO, lambda _, result: told.append(result))
    jobs_of = Counter(worker for worker, _ in told)
    assert len(jobs_of) <= 2
    assert os.getpid() not in jobs_of
    assert sorted(told) == sorted((w, seen) for w, count in jobs_of.items() for seen in range(1, count + 1))
    assert gone(set(jobs_of))


@pytest.mark.parametrize("backend", ["serial", "joblib"])
def test_threads_are_limited(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """BLAS, OpenMP and torch get as many threads as asked for, whatever the caller's own number is."""
    import torch
    from threadpoolctl import threadpool_info

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    here = [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]

    def work(job: int) -> dict[str, int]:
        import numpy as np
        import torch
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        found = {pool["filepath"]: int(pool["num_threads"]) for pool in threadpool_info()}
        return found | {"torch": torch.get_num_threads(), "environment": int(os.environ["OMP_NUM_THREADS"])}

    told: list[dict[str, int]] = []
    run_jobs(work, [0], BackendConfig(backend=backend, threads=2), lambda _, found: told.append(found))
    assert len(told[0]) >= 3
    assert (told[0]["environment"], told[0]["torch"]) == (2, 2)
    # OpenBLAS begins no more threads than there are cores.
    assert set(told[0].values()) == {2} or (cpu_count() == 1 and max(told[0].values()) == 2)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert here == [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]


def test_an_error_of_the_caller_ends_the_workers(tmp_path: Path) -> None:
    """`on_result` raises while another job runs for an hour: the error arrives, the worker is gone."""
    wait = waiter(tmp_path / "started")

    def work(job: str) -> int:
        (tmp_path / str(os.getpid())).touch()
        if job == "long":
            (tmp_path / "started").touch()
            time.sleep(3600)
        wait()
        return 0

    def on_result(job: str, result: int) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_jobs(work, ["long", "short"], TWO, on_result)
    assert gone({int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()})


SWEEP = """
import os, pathlib, sys, time
from quantum_trader.evaluate.sweep.backends import BackendConfig, run_jobs

def work(job):
    pathlib.Path(FOLDER, str(os.getpid())).touch()
    time.sleep(3600)

FOLDER = sys.argv[1]
try:
    run_jobs(work, range(4), BackendConfig(workers=2), print)
except KeyboardInterrupt:
    sys.exit(130)
"""


def started_sweep(folder: Path) -> tuple[subprocess.Popen[bytes], set[int]]:
    """A process with two workers, each asleep in a job, and the workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(folder)], stderr=subprocess.PIPE, start_new_session=True
    )
    end = time.monotonic() + DEADLINE
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    return process, {int(path.name) for path in folder.iterdir()}


def everybody(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C as a terminal sends it: to the process and its workers alike."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize("interrupt", [everybody, lambda process: process.send_signal(signal.SIGINT)])
def test_an_interrupt_leaves_no_workers(
    interrupt: Callable[[subprocess.Popen[bytes]], None], tmp_path: Path
) -> None:
    """KeyboardInterrupt comes out, quietly, and the workers are gone by then."""
    process, workers = started_sweep(tmp_path)
    interrupt(process)
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert not any(map(alive, workers))
    assert said == b""


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL leaves it no time to end them; they notice."""
    process, workers = started_sweep(tmp_path)
    process.kill()
    process.communicate()
    assert gone(workers)


def test_the_number_of_workers() -> None:
    """As asked for, or one per core and thread; never more than jobs, never none."""
    assert worker_count(3, jobs=10, threads=1) == 3
    assert worker_count(3, jobs=2, threads=1) == 2
    assert worker_count(0, jobs=1000, threads=1) >= 1
    assert worker_count(0, jobs=1000, threads=10_000) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers: expected 0 .* found -1"),
        ({"threads": 0}, "threads: expected at least 1, found 0"),
        ({"address": "auto"}, "address: only the backend \"ray\" takes one, found backend 'joblib'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    """The message says what was expected and what was found."""
    with pytest.raises(ConfigError, match=message):
        BackendConfig(**options)


def test_nothing_heavy_is_imported_with_the_backends() -> None:
    """`--help` stays fast: joblib and Ray wait until jobs are run."""
    code = "import sys, quantum_trader.evaluate.sweep.backends; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"\b(joblib|ray|torch)\b", said)
