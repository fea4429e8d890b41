"""`quantum-trader run`: the whole way from bars to a report."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.evaluate.run_config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Run(RunConfig):
    """Train every agent, trade them on the test slice, write OUT/NAME/report.html.

    Started again with the same options it goes on where it stopped; with others it redoes what they change.
    `--config FILE` reads options from a JSON file, such as an earlier run's config.json.
    """

    def run(self) -> None:
        """Do it, and print where the report is."""
        from quantum_trader.evaluate.experiment import run_experiment
        from quantum_trader.serve.commands.output import say

        result = run_experiment(self, say)
        say(result.summary)
        say(f"report: {result.report}")
