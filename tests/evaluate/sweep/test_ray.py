from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.sweep.backends import BackendConfig, SweepError, run_graph, run_jobs

ray = pytest.importorskip("ray", reason="the extra `scale` is not installed")

pytestmark = pytest.mark.xdist_group("ray")

# Workers do not know this module, so that what they run stands inside functions, which travel by value.

NODE = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
DEADLINE = 300.0
"""Seconds after which a test that waits for another process gives up."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A machine with two processors."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # where memory is short it would end workers
        cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 2})
        yield cluster
        cluster.shutdown()


@pytest.fixture
def config(cluster: Any) -> BackendConfig:
    """Jobs go to the cluster."""
    return BackendConfig(backend="ray", address=cluster.address)


def test_jobs_run_in_the_callers_folder_with_few_threads(
    config: BackendConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths mean the same files, the package is found, and the cluster is left at the end."""
    monkeypatch.chdir(tmp_path)

    def work(job: int) -> tuple[int, int]:
        from threadpoolctl import threadpool_info

        from quantum_trader.envs.files import write_text

        write_text(Path("out", f"{job}.txt"), str(10 * job))
        return os.getpid(), max(pool["num_threads"] for pool in threadpool_info())

    told = {}
    run_jobs(work, range(4), config, told.__setitem__)
    assert {path.name: path.read_text() for path in Path("out").iterdir()} == {
        f"{job}.txt": str(10 * job) for job in range(4)
    }
    assert {threads for _, threads in told.values()} == {1}
    assert os.getpid() not in {worker for worker, _ in told.values()}
    assert len({worker for worker, _ in told.values()}) <= 2  # they live on from job to job
    assert not ray.is_initialized()


def test_needs_failures_and_dead_workers(config: BackendConfig, caplog: Any, capfd: Any) -> None:
    """b follows a; d behind c, which raises, is skipped; e kills its workers; the rest is done, quietly."""

    def work(job: str) -> str:
        if job == "c":
            raise ValueError("c is bad")
        if job == "e":
            os.kill(os.getpid(), signal.SIGKILL)
        return job.upper()

    told: list[tuple[str, str]] = []
    with pytest.raises(SweepError, match="2 of 5 jobs failed: ") as caught:
        run_graph(
            work,
            ["b", "a", "c", "d", "e"],
            {"b": ["a"], "d": ["c"]},
            str,
            config,
            lambda *pair: told.append(pair),
            on_skipped=lambda job, need: f"without {need}",
        )
    assert sorted(told) == [("a", "A"), ("b", "B"), ("d", "without c")]
    assert told.index(("a", "A")) < told.index(("b", "B"))
    assert set(str(caught.value).split(": ")[1].split(".")[0].split(", ")) == {"c", "e"}
    assert caplog.messages == ["the worker of e died; the job starts again"]
    assert capfd.readouterr() == ("", "")


def test_a_second_death_is_the_jobs_own(config: BackendConfig, tmp_path: Path) -> None:
    """One that dies once is done by another worker and told once; one that dies again is reported."""

    def work(job: str) -> str:
        with (tmp_path / job).open("a") as file:
            file.write("x")
        if job == "always" or (tmp_path / job).stat().st_size == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return job

    told: list[str] = []
    with pytest.raises(SweepError, match=r"1 of 2 jobs failed: always\. .* died 2 times"):
        run_jobs(work, ["once", "always"], config, lambda job, _: told.append(job))
    assert told == ["once"]
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"once": 2, "always": 2}


def test_an_interrupt_stops_what_runs(config: BackendConfig, tmp_path: Path) -> None:
    """Ctrl-C while a job runs for an hour: it comes out, and the job's process is gone soon after."""

    def work(job: str) -> int:
        if job == "long":
            (tmp_path / str(os.getpid())).touch()
            time.sleep(3600)
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        return 0

    def on_result(job: str, result: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_jobs(work, ["long", "short"], config, on_result)
    worker = Path("/proc", next(tmp_path.iterdir()).name)
    end = time.monotonic() + DEADLINE
    while worker.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not worker.exists()
    assert not ray.is_initialized()


def test_a_machine_that_vanishes_costs_no_result(cluster: Any, config: BackendConfig, tmp_path: Path) -> None:
    """One of two machines is killed in the middle of a job: every job is told exactly once.

    On that machine the second job never ends, so that its end is nobody's result. The first machine does it
    again, and it is not counted as the job's fault.
    """
    lost = cluster.add_node(**NODE, num_cpus=1)
    here, there = tmp_path / "here", tmp_path / lost.node_id
    here.mkdir()
    there.mkdir()
    jobs = [f"job {number}" for number in range(8)]

    def work(job: str) -> str:
        import ray

        node = ray.get_runtime_context().get_node_id()
        if node != there.name:
            end = time.monotonic() + DEADLINE
            while len(list(there.iterdir())) < 2 and time.monotonic() < end:
                time.sleep(0.01)  # so that the other one gets its two
            (here / job).touch(exist_ok=False)
        else:
            (there / job).touch(exist_ok=False)
            if len(list(there.iterdir())) == 2:
                time.sleep(3600)
        return node

    told: Counter[str] = Counter()
    machine_of: dict[str, str] = {}

    def on_result(job: str, node: str) -> None:
        told[job] += 1
        machine_of[job] = node
        if node == there.name:
            wait_for_two_files(there)
            cluster.remove_node(lost, allow_graceful=False)

    run_jobs(work, jobs, config, on_result)
    assert told == dict.fromkeys(jobs, 1)
    done, interrupted = names(there) - names(here), names(there) & names(here)
    assert {job for job, node in machine_of.items() if node == there.name} == done
    assert len(done) == len(interrupted) == 1
    assert names(here) == set(jobs) - done


def names(folder: Path) -> set[str]:
    """Names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def wait_for_two_files(folder: Path) -> None:
    """Return once there are two."""
    end = time.monotonic() + DEADLINE
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_job_needs_a_machine_that_can_hold_it(cluster: Any) -> None:
    """More threads than any machine has processors: an error, not an endless wait."""
    with pytest.raises(SweepError, match="at least 64 processors"):
        run_jobs(str, [1], BackendConfig(backend="ray", address=cluster.address, threads=64), print)
    assert not ray.is_initialized()


def test_a_cluster_of_the_callers_is_left_running(cluster: Any, config: BackendConfig) -> None:
    """Who connected before the sweep stays connected after it."""
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        told = {}
        run_jobs(lambda job: -job, [1, 2], config, told.__setitem__)
        assert told == {1: -1, 2: -2}
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_without_an_address_a_cluster_is_started() -> None:
    """It is this sweep's own, with as many processors as workers, and gone at the end."""

    def work(job: int) -> float:
        import ray

        return float(ray.cluster_resources()["CPU"])

    told = []
    run_jobs(work, [1, 2], BackendConfig(backend="ray", workers=1), lambda _, found: told.append(found))
    assert told == [1.0, 1.0]
    assert not ray.is_initialized()


def test_an_address_without_a_cluster_is_an_error() -> None:
    """The message says how to start one."""
    with pytest.raises(SweepError, match=r"Ray cluster at 'localhost:1', found none .*ray start --head"):
        run_jobs(str, [1], BackendConfig(backend="ray", address="localhost:1"), print)
    assert not ray.is_initialized()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'pip install "quantum-trader\[scale\]"'):
        run_jobs(str, [1], BackendConfig(backend="ray"), print)
