"""What torchrun tells a process it started. Imports no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, Self

from quantum_trader.envs.errors import ConfigError

Distributed = Literal["auto", "off"]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Which of how many processes this one is."""

    rank: int = 0
    """Number of this process among all."""
    local_rank: int = 0
    """Number of this process among those on its machine."""
    size: int = 1
    """Processes in all."""

    @classmethod
    def here(cls) -> Self:
        """From torchrun's environment variables; a process alone where they are missing."""
        names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        if not all(name in os.environ for name in names):
            return cls()
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        return cls(rank=rank, local_rank=int(os.environ.get("LOCAL_RANK", rank)), size=size)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0


def require_one_process(command: str) -> None:
    """Refuse to run `command` several times beside itself.

    Raises:
        ConfigError: torchrun started more than one process.
    """
    size = Launch.here().size
    if size > 1:
        raise ConfigError(
            f"{command}: expected one process, found {size}: start it without torchrun; only the training of "
            "networks (train tft, train bilstm) can be shared."
        )
