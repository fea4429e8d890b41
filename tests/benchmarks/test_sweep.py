from __future__ import annotations

from sweep import Sweep, sweep, table
from sweep_parts.ceiling import Loops, loops
from sweep_parts.jobs import AGENTS, Job


def test_the_speed_up_is_compared_with_the_machines_own() -> None:
    """Best rounds: jobs 4/s -> 6/s is 1.5 x, loops 10 -> 15 M is 1.5 x, so that nothing is lost: 100 %.

    By processor time a job takes 0.25 s alone and 0.4 s beside another: 2 * 0.25 / 0.4 = 1.25 x, where
    loops go from 10 to 12.5 M.
    """
    sweeps = {
        1: [
            Sweep(workers=1, seconds=20.0, jobs_per_s=3.0, processor_s_per_job=0.5),
            Sweep(workers=1, seconds=10.0, jobs_per_s=4.0, processor_s_per_job=0.25),
        ],
        2: [Sweep(workers=2, seconds=8.0, jobs_per_s=6.0, processor_s_per_job=0.4)],
    }
    bare = {1: [Loops(wall=1e7, processor=1e7)], 2: [Loops(wall=1.5e7, processor=1.25e7)]}
    lines = table(40, sweeps, bare).splitlines()
    assert [line.split()[-7:] for line in lines[2:5:2]] == [
        ["sweep", "2", "15.00", "1.50", "x", "1.25", "x"],
        ["warm", "2", "6.00", "1.50", "x", "1.25", "x"],
    ]
    assert lines[6].split()[-4:] == ["2", "5.00", "1.25", "x"]  # 40 jobs in 8 s over 40 in 10 s
    assert "reach 100% of" in lines[-1]
    assert "100% by processor time" in lines[-1]


def test_a_sweep_is_timed_from_each_workers_second_job() -> None:
    """One fold of every agent on one worker: four jobs, each fitted, the first of them not counted."""
    jobs = [Job(agent=agent, fold=0, folds=8, seed=0) for agent in AGENTS]
    found = sweep(jobs, 1, "joblib")
    assert 0 < 3 / found.jobs_per_s < found.seconds
    assert found.processor_s_per_job > 0


def test_processes_count_beside_each_other() -> None:
    """Both of two answer; processor time cannot count fewer loops a second than the wall."""
    found = loops(2, 0.05)
    assert 0 < found.wall <= found.processor * 1.01
