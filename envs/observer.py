"""Observers: what a vector environment returns, written into two alternating sets of buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from quantum_trader.envs.env_config import EnvConfig
from quantum_trader.envs.errors import ConfigError
from quantum_trader.envs.joined import JoinedMarkets, join_tables
from quantum_trader.envs.layout import Matrix
from quantum_trader.envs.observe import (
    gather_accounts,
    gather_observations,
    gather_places,
    gather_rows,
    gather_windows,
)
from quantum_trader.envs.spaces import account_space, observation_space

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Buffers = dict[str, NDArray[Any]]
ObservationKind = Literal["window", "table", "index"]

_KINDS = ("window", "table", "index")


class Observer(Protocol):
    """Turns accounts into observations."""

    space: spaces.Space[Any]

    def observe(self, accounts: Matrix, which: Indices) -> Any:
        """Observations of accounts `which`, in the buffers that were not used last."""
        ...

    def refresh(self, accounts: Matrix, which: Indices) -> None:
        """Write accounts `which` again into the buffers used last."""
        ...

    def one(self, observation: Any, index: int) -> Any:
        """A copy of one account's observation."""
        ...


class _BufferedObserver:
    """What the observers share: buffers by key, and a bare array where there is one key only."""

    def __init__(self, space: spaces.Space[Any], joined: JoinedMarkets, num_envs: int) -> None:
        self.space = space
        self._joined = joined
        self._pair = (self._allocate(num_envs), self._allocate(num_envs))
        self._turn = 0

    def observe(self, accounts: Matrix, which: Indices) -> Any:
        self._turn = 1 - self._turn
        self.refresh(accounts, which)
        buffers = self._pair[self._turn]
        return dict(buffers) if isinstance(self.space, spaces.Dict) else next(iter(buffers.values()))

    def refresh(self, accounts: Matrix, which: Indices) -> None:
        buffers = self._pair[self._turn]
        self._write(accounts, which, buffers)
        if "account" in buffers:
            joined = self._joined
            gather_accounts(accounts, which, joined.bars, joined.rules, buffers["account"])

    def one(self, observation: Any, index: int) -> Any:
        if isinstance(observation, dict):
            return {name: values[index].copy() for name, values in observation.items()}
        return observation[index].copy()

    def _allocate(self, num_envs: int) -> Buffers:
        parts = self.space.spaces if isinstance(self.space, spaces.Dict) else {"only": self.space}
        return {name: np.zeros((num_envs, *(part.shape or ())), part.dtype) for name, part in parts.items()}

    def _write(self, accounts: Matrix, which: Indices, buffers: Buffers) -> None:
        raise NotImplementedError


class WindowObserver(_BufferedObserver):
    """Full windows, with account and context."""

    def __init__(self, joined: JoinedMarkets, config: EnvConfig, num_envs: int) -> None:
        super().__init__(observation_space(joined, config), joined, num_envs)
        self._length = config.window

    def refresh(self, accounts: Matrix, which: Indices) -> None:
        buffers, joined = self._pair[self._turn], self._joined
        if "only" in buffers:
            windows = buffers["only"].reshape(len(accounts), -1)
            gather_windows(accounts, which, joined.table, self._length, windows)
            return
        gather_observations(
            accounts,
            which,
            joined.bars,
            joined.rules,
            joined.table,
            joined.context,
            self._length,
            buffers["window"].reshape(len(accounts), -1),
            buffers["account"],
            buffers["context"],
        )


class TableObserver(_BufferedObserver):
    """One precomputed row per bar, with the account."""

    def __init__(
        self, joined: JoinedMarkets, config: EnvConfig, num_envs: int, tables: Sequence[Floats32]
    ) -> None:
        self._table = join_tables(tables, joined.markets)
        embedding = spaces.Box(-np.inf, np.inf, (self._table.shape[1],), np.float32)
        dictionary = spaces.Dict({"embedding": embedding, "account": account_space()})
        super().__init__(dictionary if config.observe_account else embedding, joined, num_envs)

    def _write(self, accounts: Matrix, which: Indices, buffers: Buffers) -> None:
        gather_rows(
            accounts, which, self._table, next(buffers[n] for n in ("embedding", "only") if n in buffers)
        )


class IndexObserver(_BufferedObserver):
    """Where each account stands, and the account."""

    def __init__(self, joined: JoinedMarkets, config: EnvConfig, num_envs: int) -> None:
        longest = int(np.diff(joined.offsets).max())
        parts: dict[str, spaces.Space[Any]] = {
            "market": spaces.Box(0, len(joined.markets) - 1, (), np.int64),
            "bar": spaces.Box(0, longest - 1, (), np.int64),
        }
        if config.observe_account:
            parts["account"] = account_space()
        super().__init__(spaces.Dict(parts), joined, num_envs)

    def _write(self, accounts: Matrix, which: Indices, buffers: Buffers) -> None:
        gather_places(accounts, which, self._joined.offsets, buffers["market"], buffers["bar"])


def observer_for(
    kind: ObservationKind,
    joined: JoinedMarkets,
    config: EnvConfig,
    num_envs: int,
    tables: Sequence[Floats32] | None,
) -> Observer:
    """The observer of a kind.

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
        return TableObserver(joined, config, num_envs, tables)
    if kind == "index":
        return IndexObserver(joined, config, num_envs)
    return WindowObserver(joined, config, num_envs)
