"""`quantum-trader tune`: search for better options of one agent on validation rows."""

from __future__ import annotations

from dataclasses import dataclass

from quantum_trader.evaluate.tune_config import TuneConfig


@dataclass(frozen=True, kw_only=True)
class Tune(TuneConfig):
    """Search for better options of --agent on validation rows; test rows are not looked at.

    Started again, or several times at once, it goes on with the study in OUT/NAME. The best options are
    printed and written to OUT/NAME/best.json, which `run --config` reads.
    """

    def run(self) -> None:
        """Do it, and print what was best."""
        from quantum_trader.evaluate.tune import tune
        from quantum_trader.serve.commands.output import say

        found = tune(self, say)
        say(
            f"best of {found.trials}: trial {found.number}, {self.criterion} {found.value:+.4f} "
            "on validation, which flatters the best of many"
        )
        for name, share in found.importances.items():
            say(f"  {share:4.0%} of what sets good trials apart: {name}")
        say(f"options: {found.command(self.dimensions)}")
        say(f"on test rows: quantum-trader run --config {found.best}")
