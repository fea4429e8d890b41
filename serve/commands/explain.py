"""`quantum-trader explain`: what stands behind one prediction of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Say what a run's network answers at the close of one bar, where it looks, and what that hangs on.

    Without --data the run's own data are used: the answer says whether the agent was fitted on that bar.
    """

    run_folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, e.g. runs/demo."""
    symbol: str = ""
    """Which symbol; may be left out where the data hold one."""
    at: str = ""
    """Open of the bar decided on, UTC, e.g. "2025-01-03 12:00"; empty takes the last usable bar."""
    agent: Literal["tft", "bilstm", "xgboost", "ensemble", "logistic"] = "tft"
    """Whose answer; the last two have no attention and no selection weights."""
    data: str = ""
    """A parquet or CSV file or a folder of them to look in instead; empty takes the run's own."""
    contract: str = ""
    """Name of a contract preset for --data; empty guesses one from each symbol's name."""
    out: str = ""
    """File for figures (.html) or all numbers (.json); empty prints the main numbers only."""

    def run(self) -> None:
        """Explain, print, and write the file."""
        from quantum_trader.envs.errors import ConfigError
        from quantum_trader.envs.files import write_json
        from quantum_trader.evaluate.explain_run import explain_at
        from quantum_trader.evaluate.explanation import explanation_json
        from quantum_trader.evaluate.report.prediction import prediction_text, write_prediction
        from quantum_trader.evaluate.run_config import MarketConfig
        from quantum_trader.serve.commands.output import say

        if self.contract and not self.data:
            raise ConfigError("--contract describes --data: give it too, or leave it out.")
        out = Path(self.out) if self.out else None
        if out is not None and out.suffix not in (".html", ".json"):
            raise ConfigError(f"--out: expected a file that ends in .html or .json, found {self.out!r}.")
        market = MarketConfig(data=self.data, contract=self.contract) if self.data else None
        found = explain_at(self.run_folder, symbol=self.symbol, at=self.at, agent=self.agent, market=market)
        say(prediction_text(found.prediction))
        if found.note:
            say(f"\n{found.note}")
        if out is not None and out.suffix == ".json":
            write_json(out, explanation_json(found.prediction))
        elif out is not None:
            write_prediction(out, found.prediction, found.seen, found.note)
        if out is not None:
            say(f"written: {out}")
