"""Workers on a Ray cluster: one machine or many, some of which may vanish while the sweep goes on."""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from quantum_trader.envs.errors import ConfigError
from quantum_trader.evaluate.sweep.backend_config import BackendConfig
from quantum_trader.evaluate.sweep.errors import SweepError
from quantum_trader.evaluate.sweep.local_backend import worker_count
from quantum_trader.evaluate.sweep.outcome import Broke, Outcome, attempt, reason
from quantum_trader.evaluate.sweep.worker import thread_variables

Job = TypeVar("Job")
Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 2
"""Times a job's own worker may die; those of a machine that is gone do not count."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Memory for results on their way on a cluster of our own; Ray would take a third of the machine's."""
_SECONDS_TO_ANSWER = 10.0
_LONGEST = 300
"""Characters of what Ray says that are kept."""


@dataclass(frozen=True, kw_only=True)
class _Running(Generic[Job]):
    index: int
    job: Job
    deaths: int


class RayPool(Generic[Job, Result]):
    """Jobs as Ray tasks; Ray picks the machine and keeps workers alive between jobs.

    Every machine needs the same version of this software, and jobs that name files need the current folder
    of this process under the same path on all machines (a shared file system).

    Ray is started, or connected to, where that has not been done before, and shut down at the end if so.

    Args:
        work: what to do with a job.
        jobs: how many there will be.
        config: address, number at a time, threads.

    Raises:
        ConfigError: Ray is not installed.
        SweepError: there is no cluster at the address, or no processor in it.
    """

    def __init__(self, work: Callable[[Job], Result], jobs: int, config: BackendConfig) -> None:
        self._ray = _import_ray()
        self._ours = not self._ray.is_initialized()
        self._work, self._folder = work, Path.cwd()
        self._running: dict[Any, _Running[Job]] = {}
        self._most = config.workers or sys.maxsize
        self._scope = ExitStack()
        try:
            if self._ours:
                self._scope.enter_context(_quiet_listener())
                self._scope.callback(self._ray.shutdown)
                _connect(self._ray, jobs, config)
            self._refuse_no_processors(config.threads)
            self._task = self._ray.remote(_attempt_in_folder).options(
                num_cpus=config.threads,
                max_retries=0,
                runtime_env={"env_vars": thread_variables(config.threads)},
            )
        except BaseException:
            self.close(kill=True)
            raise

    @property
    def room(self) -> int:
        """Without a limit of its own the cluster takes all jobs at once and queues them."""
        return self._most - len(self._running)

    def start(self, index: int, job: Job) -> None:
        """Hand the job to the cluster."""
        self._submit(_Running(index=index, job=job, deaths=0))

    def finished(self) -> list[tuple[int, Outcome[Result]]]:
        """Wait for outcomes; jobs whose machine is gone, or whose worker died once, are started again."""
        found: list[tuple[int, Outcome[Result]]] = []
        while not found:
            waiting = list(self._running)
            ready, _ = self._ray.wait(waiting, num_returns=1)
            # Whatever else is there already: one call each would walk through all that run every time.
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
            for reference in ready:
                running = self._running.pop(reference)
                outcome = self._settle(reference, running)
                if outcome is not None:
                    found.append((running.index, outcome))
        return found

    def close(self, *, kill: bool) -> None:
        """Stop what runs, and leave the cluster if this pool joined it."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running = {}
        self._scope.close()

    def _settle(self, reference: Any, running: _Running[Job]) -> Outcome[Result] | None:
        errors = self._ray.exceptions
        try:
            outcome: Outcome[Result] = self._ray.get(reference)
        except (errors.NodeDiedError, errors.ObjectLostError):
            _LOG.warning("a machine of the cluster is gone; %s starts again on another", running.job)
            self._submit(running)
            return None
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            if running.deaths + 1 < _ATTEMPTS:
                _LOG.warning("the worker of %s died; the job starts again", running.job)
                self._submit(replace(running, deaths=running.deaths + 1))
                return None
            return Broke(reason=f"its worker process died {_ATTEMPTS} times ({_why(error)})")
        except errors.RayError as error:
            return Broke(reason=_why(error))
        return outcome

    def _submit(self, running: _Running[Job]) -> None:
        self._running[self._task.remote(self._work, running.job, self._folder)] = running

    def _refuse_no_processors(self, threads: int) -> None:
        """A task that no machine can hold would wait for ever."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        most = max((int(node["Resources"].get("CPU", 0)) for node in nodes), default=0)
        if most < threads:
            raise SweepError(
                f"Expected a machine with at least {threads} processors in the Ray cluster, one for each "
                f"thread of a job; the largest of {len(nodes)} has {most}: add machines, or lower threads."
            )


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its default is about to change, which Ray otherwise says on every start.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            'The backend "ray" needs Ray: install it with `pip install "quantum-trader[scale]"`.'
        ) from error
    return ray


def _connect(ray: Any, jobs: int, config: BackendConfig) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not config.address:
        processors = worker_count(config.workers, jobs, config.threads) * config.threads
        ray.init(
            **quiet,
            address="local",  # without one it would join any cluster it finds
            num_cpus=processors,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
        )
        return
    try:
        _knock(config.address)
        ray.init(**quiet, address=config.address)
    except (OSError, RuntimeError, ValueError) as error:
        raise SweepError(
            f"Expected a Ray cluster at {config.address!r}, found none ({reason(error)}): start one with "
            "`ray start --head`, or leave the address empty."
        ) from error


def _knock(address: str) -> None:
    """Ray itself goes on trying for minutes where nobody answers."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()


@contextmanager
def _quiet_listener() -> Iterator[None]:
    """Keep what Ray's daemons say of dead workers and machines, 30 lines each, off standard output.

    Its thread for that prints at every logging level. What happened is logged here in a line of its own.
    """
    from ray._private import worker

    former = getattr(worker, "print_to_stdstream", None)
    if former is None:
        yield
        return
    worker.print_to_stdstream = lambda *words, **options: None
    try:
        yield
    finally:
        worker.print_to_stdstream = former


def _attempt_in_folder(work: Callable[[Job], Result], job: Job, folder: Path) -> Outcome[Result]:
    """`attempt` where the sweep was started, so that relative paths mean the same files everywhere."""
    if not folder.is_dir():
        return Broke(
            reason=f"the folder {folder} was not found on {platform.node()}: every machine of the cluster "
            "needs it under the same path (a shared file system)"
        )
    os.chdir(folder)
    return attempt(work, job)


def _why(error: Exception) -> str:
    """The first line of what Ray says; the rest is its advice, or a trace."""
    return reason(getattr(error, "cause", None) or error)[:_LONGEST]
