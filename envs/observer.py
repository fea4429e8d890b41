"""`Observer`: what a vector environment returns, written into two alternating sets of buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from quantum_trader.envs.batch import step_accounts
from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.joined import JoinedMarkets, join_tables
from quantum_trader.envs.layout import Matrix
from quantum_trader.envs.observe import View, gather_observations, gather_places
from quantum_trader.envs.spaces import account_space, observation_space

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
Buffers = dict[str, NDArray[Any]]
ObservationKind = Literal["window", "table", "index"]

_KINDS = ("window", "table", "index")
_RUNS = ("window", "embedding")
_ONLY = "only"


class Observer:
    """Turns accounts into observations of one kind.

    Args:
        space: of one account; a Dict, or a Box where the observation is one bare array.
        joined: the markets.
        num_envs: number of accounts.
        length: rows of the table that are seen, the bar's own the last; 0 shows none.
        table: float32 [rows, D]; None is the table of the markets.

    Attributes:
        space: as given.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        joined: JoinedMarkets,
        num_envs: int,
        length: int,
        table: Floats32 | None = None,
    ) -> None:
        self.space = space
        self._joined = joined
        self._length = length
        self._table = table
        self._everyone = np.arange(num_envs)
        self._pair = (self._allocate(num_envs), self._allocate(num_envs))
        self._turn = 0
        self._link()

    def _link(self) -> None:
        """What the compiled loops take, put together once because that takes longer than using it."""
        if self._table is not None:
            self._table.setflags(write=False)  # compiled code is specialised on it
        table = self._joined.table if self._table is None else self._table
        self._views: list[View] = [
            (table, self._joined.context, self._length, *_targets(buffers, len(self._everyone)))
            for buffers in self._pair
        ]
        self._seeing = any(target.size for target in self._views[0][3:])

    def __getstate__(self) -> dict[str, Any]:
        """Without what `_link` makes."""
        return {name: value for name, value in self.__dict__.items() if name != "_views"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._link()

    def step(
        self, accounts: Matrix, orders: Floats, rewards: Floats, terminated: Mask, truncated: Mask
    ) -> tuple[int, Any]:
        """Step every account and observe it, in the buffers that were not used last.

        Returns:
            How many accounts finished; the observations.
        """
        self._turn = 1 - self._turn
        ended = step_accounts(
            accounts,
            orders,
            self._joined.bars,
            self._joined.rules,
            rewards,
            terminated,
            truncated,
            self._views[self._turn] if self._seeing else None,
        )
        self._place(accounts, self._everyone)
        return ended, self._observation()

    def observe(self, accounts: Matrix) -> Any:
        """Observations of all accounts, in the buffers that were not used last."""
        self._turn = 1 - self._turn
        self.refresh(accounts, self._everyone)
        return self._observation()

    def refresh(self, accounts: Matrix, which: Indices) -> None:
        """Write accounts `which` again into the buffers used last."""
        view = self._views[self._turn]
        gather_observations(accounts, which, self._joined.bars, self._joined.rules, view)
        self._place(accounts, which)

    def one(self, observation: Any, index: int) -> Any:
        """A copy of one account's observation."""
        if isinstance(observation, dict):
            return {name: values[index].copy() for name, values in observation.items()}
        return observation[index].copy()

    def _observation(self) -> Any:
        buffers = self._pair[self._turn]
        return dict(buffers) if isinstance(self.space, spaces.Dict) else buffers[_ONLY]

    def _place(self, accounts: Matrix, which: Indices) -> None:
        buffers = self._pair[self._turn]
        if "bar" in buffers:
            gather_places(accounts, which, self._joined.offsets, buffers["market"], buffers["bar"])

    def _allocate(self, num_envs: int) -> Buffers:
        parts = self.space.spaces if isinstance(self.space, spaces.Dict) else {_ONLY: self.space}
        return {name: np.zeros((num_envs, *(part.shape or ())), part.dtype) for name, part in parts.items()}


def _targets(buffers: Buffers, count: int) -> tuple[Floats32, Floats32, Floats32]:
    """Runs, account numbers and contexts as the compiled loops take them: without columns if not seen."""
    nothing = np.empty((count, 0), dtype=np.float32)
    runs = next((buffers[name] for name in (*_RUNS, _ONLY) if name in buffers), nothing)
    return runs.reshape(count, -1), buffers.get("account", nothing), buffers.get("context", nothing)


def observer_for(
    kind: ObservationKind,
    joined: JoinedMarkets,
    config: EnvConfig,
    num_envs: int,
    tables: Sequence[Floats32] | None,
) -> Observer:
    """The observer of a kind: "window", "table" (a row per bar) or "index" (where each account stands).

    Raises:
        ConfigError: an unknown kind, or tables missing where they are needed or given where they are not.
    """
    if kind not in _KINDS:
        raise ConfigError(f"observation must be one of {', '.join(_KINDS)}, found {kind!r}.")
    if (kind == "table") != (tables is not None):
        raise ConfigError(
            'tables belong to observation="table": give one per market there, and none elsewhere.'
        )
    if tables is not None:
        table = join_tables(tables, joined.markets)
        embedding = spaces.Box(-np.inf, np.inf, (table.shape[1],), np.float32)
        dictionary = spaces.Dict({"embedding": embedding, "account": account_space()})
        return Observer(dictionary if config.observe_account else embedding, joined, num_envs, 1, table)
    if kind == "index":
        return Observer(_index_space(joined, config), joined, num_envs, 0)
    return Observer(observation_space(joined, config), joined, num_envs, config.window)


def _index_space(joined: JoinedMarkets, config: EnvConfig) -> spaces.Dict:
    parts: dict[str, spaces.Space[Any]] = {
        "market": spaces.Box(0, len(joined.markets) - 1, (), np.int64),
        "bar": spaces.Box(0, joined.longest - 1, (), np.int64),
    }
    if config.observe_account:
        parts["account"] = account_space()
    return spaces.Dict(parts)
