"""How the jobs of a sweep are run: one after the other, on all cores, or on a Ray cluster.

`run_graph` is the one way; `run_jobs` is the case in which no job needs another. Nothing heavy is imported
before jobs are run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NoReturn, TypeVar

from quantum_trader.evaluate.sweep.backend_config import BackendConfig
from quantum_trader.evaluate.sweep.errors import SweepError
from quantum_trader.evaluate.sweep.job_graph import JobGraph
from quantum_trader.evaluate.sweep.outcome import Broke, Pool

__all__ = ["BackendConfig", "SweepError", "run_graph", "run_jobs"]

Job = TypeVar("Job")
Result = TypeVar("Result")
Key = TypeVar("Key", bound=Hashable)

_NAMED = 5
"""Failed jobs that an error names; the rest are counted."""


def run_jobs(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    config: BackendConfig,
    on_result: Callable[[Job, Result], None],
) -> None:
    """Run `work` on every job; see `run_graph`, of which this is the case without needs.

    Args:
        work: picklable; what it reads from disk it may keep in a cache of its module, since workers live on.
        jobs: picklable.
        config: where to run them.
        on_result: told each job's result, in this process, as soon as it is there.

    Raises:
        SweepError: `work` raised for some jobs, or their workers died; all others were finished before.
    """
    _run(work, jobs, range(len(jobs)), {}, config, on_result, on_skipped=_never, failed=_no)


def run_graph(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    needs: Mapping[Key, Sequence[Key]],
    key: Callable[[Job], Key],
    config: BackendConfig,
    on_result: Callable[[Job, Result], None],
    *,
    on_skipped: Callable[[Job, Job], Result],
    failed: Callable[[Result], bool] | None = None,
) -> None:
    """Run `work` on every job, each as soon as all jobs it needs are finished.

    Of the jobs that could start, those that stand earlier in `jobs` start first. `on_result` is told of a
    job before any that needs it starts, and exactly once. Whatever leaves this function early (Ctrl-C, an
    error in `on_result`) kills the workers and what they are doing.

    Args:
        work: picklable; what it reads from disk it may keep in a cache of its module, since workers live on.
            It may run twice for a job whose worker died, so what it writes is to be written whole or not at
            all.
        jobs: picklable.
        needs: keys of the jobs that a key's job needs; keys of no job in `jobs` count as finished before.
        key: names a job.
        config: where to run them.
        on_result: told each job and its result, in this process, in the order in which they finish.
        on_skipped: gives the result of a job that cannot run; told the job and the one that failed, which it
            needs directly or through others. The result goes to `on_result`.
        failed: whether a result stands for a failure, so that what needs its job is skipped; None: none does.

    Raises:
        SweepError: `work` raised for some jobs, or their workers died; all others were finished or skipped
            before. Or the jobs cannot be run at all: a key given twice, needs in a circle, no cluster.
        ConfigError: Ray is not installed.
    """
    keys = [key(job) for job in jobs]
    _run(work, jobs, keys, needs, config, on_result, on_skipped=on_skipped, failed=failed or _no)


def _run(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    keys: Sequence[Key],
    needs: Mapping[Key, Sequence[Key]],
    config: BackendConfig,
    on_result: Callable[[Job, Result], None],
    *,
    on_skipped: Callable[[Job, Job], Result],
    failed: Callable[[Result], bool],
) -> None:
    graph = JobGraph(keys, needs)
    if not jobs:
        return
    broken: list[tuple[str, Broke]] = []
    pool = _open_pool(work, len(jobs), config)
    kill = True
    try:
        while graph.open:
            while pool.room > 0 and (index := graph.take()) is not None:
                pool.start(index, jobs[index])
            for index, outcome in pool.finished():
                if isinstance(outcome, Broke):
                    broken.append((str(jobs[index]), outcome))
                    bad = True
                else:
                    on_result(jobs[index], outcome.value)
                    bad = failed(outcome.value)
                if not bad:
                    graph.done(index)
                    continue
                for lost in graph.failed(index):
                    on_result(jobs[lost], on_skipped(jobs[lost], jobs[index]))
        kill = False
    finally:
        pool.close(kill=kill)
    if broken:
        raise _error(broken, len(jobs))


def _error(broken: Sequence[tuple[str, Broke]], jobs: int) -> SweepError:
    names = ", ".join(name for name, _ in broken[:_NAMED])
    more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
    first, why = broken[0]
    error = SweepError(
        f"{len(broken)} of {jobs} jobs failed: {names}{more}. The first, {first}, because of {why.reason}"
    )
    if why.trace:
        error.add_note(why.trace)
    return error


def _never(job: object, need: object) -> NoReturn:
    raise AssertionError("no job needs another")


def _no(result: object) -> bool:
    return False


def _open_pool(work: Callable[[Job], Result], jobs: int, config: BackendConfig) -> Pool[Job, Result]:
    if config.backend == "ray":
        from quantum_trader.evaluate.sweep.ray_backend import RayPool

        return RayPool(work, jobs, config)
    from quantum_trader.evaluate.sweep.local_backend import LokyPool, SerialPool, worker_count

    if config.backend == "serial":
        return SerialPool(work, config.threads)
    return LokyPool(work, worker_count(config.workers, jobs, config.threads), config.threads)
