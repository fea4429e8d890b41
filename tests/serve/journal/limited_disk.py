"""A process that records decisions while its files may not grow beyond a limit, which is lifted at the end.

Prints how many were acknowledged and how many failed. Run by test_faults.py.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from quantum_trader.envs.actions import Action
from quantum_trader.serve.journal.errors import JournalError
from quantum_trader.serve.journal.journal import Journal
from quantum_trader.serve.journal.records import Entry


def main(path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    acknowledged = failed = 0
    with Journal(path) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
        for step in range(600):
            made = Entry(
                symbol="BTCUSDT",
                bar_ms=step,
                decided_ms=step,
                action=Action.BUY,
                confidence=0.6,
                probabilities=(0.2, 0.5, 0.3),
                source="tft",
                reason="x" * 2_000,
                model_hash="m",
                latency_ms=1.0,
            )
            error = journal.record([made], {}).exception(timeout=120)
            assert error is None or isinstance(error, JournalError), error
            acknowledged += error is None
            failed += error is not None
        state = journal.state()
        assert state.fault, state
        assert state.pending == failed, state
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for _ in range(2_400):
            if not journal.state().pending:
                break
            time.sleep(0.05)
        assert not journal.state().fault
    sys.stdout.write(f"{acknowledged} {failed}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
