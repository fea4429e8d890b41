"""`quantum-trader benchmark`: every agent on every task, to a leaderboard."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.evaluate.sweep.benchmark_config import BenchmarkConfig


@dataclass(frozen=True, kw_only=True)
class Benchmark(BenchmarkConfig):
    """Fit every agent on every fold of every task with every seed, judge them on what came next, rank them.

    Tasks are a suite (--suite), your own bars (--data), or both. Agents are ours by name, or anybody's:
    --agents my_agent.py:MyAgent xgboost logistic. Started again with the same options it goes on where it
    stopped, and nothing is computed twice. Writes OUT/NAME/leaderboard.html, .csv and .json, and a report a
    task.
    """

    def run(self) -> None:
        """Do it, and print where the leaderboard is."""
        from quantum_trader.evaluate.sweep.benchmark import run_benchmark
        from quantum_trader.serve.commands.output import say

        result = run_benchmark(self, say)
        say(result.summary)
        for report in result.reports:
            say(f"report: {report}")
        say(f"leaderboard: {result.page}")
