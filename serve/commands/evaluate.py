"""`quantum-trader evaluate`: judge the agents of a run again, on its own test slice or on other data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Judge a run's agents and write a report.

    Without --data the run's own data and test slice are used. With --data (other symbols, later months)
    every usable bar of it is a test row: give --start where it reaches back into the training period.
    """

    run_folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, e.g. runs/demo."""
    data: str = ""
    """A parquet or CSV file or a folder of them to judge on instead; empty takes the run's own."""
    symbols: str = ""
    """Symbols to read from a folder, separated by commas; empty reads all."""
    contract: str = ""
    """Contract of every symbol of --data: a preset's name or a JSON file; empty takes the run's, or guesses
    from each symbol's name as the run did."""
    taker_fee: float | None = None
    """Fee of a fill on --data, fraction of notional; otherwise as in the run."""
    slippage: float | None = None
    """Slippage and half spread of a fill on --data, fraction of the price; otherwise as in the run."""
    start: str = ""
    """UTC date of the first test bar; empty starts at the first usable bar of --data."""
    end: str = ""
    """UTC date at which the test ends; empty goes to the last bar."""
    confidence_threshold: float | None = None
    """Gate of the Arbiter instead of the fitted one, e.g. 0.65."""
    output: str = ""
    """Folder for report.html and metrics.json; empty writes below RUN_FOLDER/evaluations."""

    def run(self) -> None:
        """Judge, and print where the report is."""
        from quantum_trader.envs.errors import ConfigError
        from quantum_trader.evaluate.experiment import evaluate_run
        from quantum_trader.evaluate.run_config import MarketConfig
        from quantum_trader.serve.commands.output import say

        described = self.symbols or self.contract or self.taker_fee is not None or self.slippage is not None
        if not self.data and described:
            raise ConfigError(
                "--symbols, --contract, --taker-fee and --slippage describe --data: give it too, or leave "
                "them out."
            )
        market = MarketConfig(
            data=self.data,
            symbols=self.symbols,
            contract=self.contract,
            taker_fee=self.taker_fee,
            slippage=self.slippage,
        )
        result = evaluate_run(
            self.run_folder,
            say,
            market=market if self.data else None,
            start=self.start or None,
            end=self.end or None,
            confidence_threshold=self.confidence_threshold,
            output=Path(self.output) if self.output else None,
        )
        say(result.summary)
        say(f"report: {result.report}")
