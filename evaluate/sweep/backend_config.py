"""`BackendConfig`: where the jobs of a sweep run. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantum_trader.envs.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class BackendConfig:
    """Where jobs run."""

    backend: Literal["serial", "joblib", "ray"] = "joblib"
    """"serial" this process, "joblib" processes on this machine, "ray" a Ray cluster (extra "scale")."""
    workers: int = 0
    """Jobs at a time; more need more memory. 0: one per core, on a cluster as many as it has room for."""
    address: str = ""
    """Ray cluster to use, e.g. "auto" or "host:6379"; empty starts one on this machine for the sweep."""
    threads: int = 1
    """Threads of each worker for BLAS, OpenMP and torch; more helps only where jobs are few and large."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers: expected 0 (one per core) or more, found {self.workers}.")
        if self.threads < 1:
            raise ConfigError(f"threads: expected at least 1, found {self.threads}.")
        if self.address and self.backend != "ray":
            raise ConfigError(f'address: only the backend "ray" takes one, found backend {self.backend!r}.')
