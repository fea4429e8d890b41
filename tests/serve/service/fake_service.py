"""`quantum-trader serve` with fake models, for tests that need a process of its own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import tyro

sys.path.insert(0, str(Path(__file__).parents[3]))

from quantum_trader.agents.arbiter import Arbiter
from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.envs.errors import QuantumTraderError
from quantum_trader.serve.commands.serve import Serve
from quantum_trader.serve.desk_config import DeskConfig
from tests.agents.fakes import FakeTFT
from tests.serve.service.services import SOON_S, fake_arbiter


@dataclass(frozen=True, kw_only=True)
class FakeServe(Serve):
    """The real command; only its models are fakes."""

    models: Path = Path()
    model_seconds: float = 0.0
    """Time of a pass through the models."""
    load_when: Path | None = None
    """Loading goes on once this file is there; None goes on at once."""
    # Limits that neither a slow nor a fast machine meets.
    head_timeout_s: float = SOON_S
    body_timeout_s: float = SOON_S
    answer_timeout_s: float = SOON_S
    shutdown_s: float = SOON_S
    rate_limit: float = 0.0
    desk: DeskConfig = field(default_factory=lambda: DeskConfig(commit_wait_s=SOON_S))

    def _load(self, folder: Path, **_: object) -> Arbiter:
        while self.load_when is not None and not self.load_when.exists():
            time.sleep(0.01)
        if (folder / "damaged").exists():
            raise QuantumTraderError(f"{folder} is damaged.")
        tft = FakeTFT((0.1, 0.7, 0.2), seconds=self.model_seconds)
        return fake_arbiter(tft=tft, live=LiveConfig(open_tolerance_ms=10**12))


if __name__ == "__main__":
    try:
        tyro.cli(FakeServe).run()
    except QuantumTraderError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
