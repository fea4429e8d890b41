"""`Journal`: one account and everything that its episode leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_trader.envs.copying import copy_run
from quantum_trader.envs.jit import jit
from quantum_trader.envs.layout import ACCOUNT, FILL, TRADE, TRADE_LOG, Account, Matrix, matrix, records

Floats = NDArray[np.float64]

ACCOUNT_WIDTH, TRADE_WIDTH, FILL_WIDTH = (matrix(0, kind).shape[1] for kind in (ACCOUNT, TRADE, FILL))
LOG_WIDTH = matrix(0, TRADE_LOG).shape[1]
HISTORY = ACCOUNT_WIDTH + LOG_WIDTH


class Journal:
    """An account, its history, its trades and its fills, in one run of memory.

    Each array that is handed to compiled code costs a tenth of a microsecond, which a single environment
    feels. The run holds, one after another: the account; the log of the last bar; `steps` + 1 rows of
    history; room for two trades and three fills a step, which no bar exceeds. Memory that is never written
    costs nothing.

    Args:
        steps: of the longest episode.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        trades, fills = _origins(steps)
        self.run: Floats = np.empty(fills + 3 * steps * FILL_WIDTH)
        self.run[:HISTORY] = 0.0
        self.account: Matrix = self.run[:ACCOUNT_WIDTH].reshape(1, -1)
        """float64 [1, fields of `Account`]."""
        self._history = self.run[HISTORY:trades].reshape(-1, ACCOUNT_WIDTH)
        self._trades = self.run[trades:fills].reshape(-1, TRADE_WIDTH)
        self._fills = self.run[fills:].reshape(-1, FILL_WIDTH)

    @property
    def history(self) -> Matrix:
        """float64 [steps so far + 1, fields of `Account`]."""
        return self._history[: int(self._record.step) + 1]

    @property
    def full_history(self) -> Matrix:
        """float64 [`steps` + 1, fields of `Account`], for a pass that has written all of it."""
        return self._history

    @property
    def trades(self) -> Matrix:
        """float64 [closed, fields of `Trade`]."""
        return self._trades[: int(self._record.trades)]

    @property
    def fills(self) -> Matrix:
        """float64 [executions, fields of `Fill`]."""
        return self._fills[: int(self._record.fills)]

    def note(self) -> None:
        """Write the account as it stands into the history."""
        self._history[int(self._record.step)] = self.account[0]

    @property
    def _record(self) -> Account:
        record: Account = records(self.account, ACCOUNT)[0]
        return record

    def __getstate__(self) -> dict[str, Any]:
        """What is written: copies and pickles are as large as the episode, not as the room for it."""
        written = {name: getattr(self, name).copy() for name in ("history", "trades", "fills")}
        return {"steps": self.steps, "head": self.run[:HISTORY].copy(), **written}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["steps"])  # type: ignore[misc]
        self.run[:HISTORY] = state["head"]
        for room, name in ((self._history, "history"), (self._trades, "trades"), (self._fills, "fills")):
            room[: len(state[name])] = state[name]


@jit
def _origins(steps: int) -> tuple[int, int]:
    """Where trades and fills begin in the run of a journal."""
    trades = HISTORY + (steps + 1) * ACCOUNT_WIDTH
    return trades, trades + 2 * steps * TRADE_WIDTH


@jit
def note_bar(run: Floats, steps: int, row: int) -> None:
    """Put the account into row `row` of the history, and its log of the bar behind what was logged."""
    account = run[:ACCOUNT_WIDTH].view(ACCOUNT)[0]
    at = HISTORY + row * ACCOUNT_WIDTH
    copy_run(run, at, run, 0, ACCOUNT_WIDTH)
    trades, fills = _origins(steps)
    first = ACCOUNT_WIDTH + 1
    count = int(run[first - 1])
    if count > 0:
        copy_run(run, trades + (int(account.trades) - count) * TRADE_WIDTH, run, first, count * TRADE_WIDTH)
    first += 2 * TRADE_WIDTH + 1
    count = int(run[first - 1])
    if count > 0:
        copy_run(run, fills + (int(account.fills) - count) * FILL_WIDTH, run, first, count * FILL_WIDTH)
