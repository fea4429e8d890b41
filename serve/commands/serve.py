"""`quantum-trader serve`: the Arbiter behind HTTP."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from quantum_trader.agents.live_config import LiveConfig
from quantum_trader.serve.desk_config import DeskConfig
from quantum_trader.serve.service.config import ServiceConfig

if TYPE_CHECKING:
    from quantum_trader.agents.arbiter import Arbiter
    from quantum_trader.envs.contract import FuturesContract
    from quantum_trader.serve.desk import Desk
    from quantum_trader.serve.journal.journal import Journal

NEEDED = ("fastapi", "prometheus_client", "uvicorn")


@dataclass(frozen=True, kw_only=True)
class Serve(ServiceConfig):
    """Answer decisions over HTTP from a run's models, and show a live page.

    Listens at once; /ready says when the models have been loaded and have passed their self-check. An API key
    comes from QUANTUM_TRADER_API_KEY or --api-key-file. SIGHUP reads the models again, SIGTERM ends in order.
    """

    models: Annotated[Path, tyro.conf.Positional]
    """Folder of a run, e.g. runs/demo, or of models."""
    bar_minutes: int = 60
    """Length of a bar in minutes: as in the data the models were trained on."""
    contracts: tuple[str, ...] = ()
    """SYMBOL=CONTRACT, a preset's name or a JSON file; others are guessed from the symbol's name."""
    confidence_threshold: float | None = None
    """Replaces the fitted threshold of every source; raising it means fewer, surer signals."""
    strict: bool = False
    """Refuse to start where a member of the Arbiter is missing or damaged."""
    live: LiveConfig = field(default_factory=LiveConfig)
    """Limits of live use."""
    desk: DeskConfig = field(default_factory=DeskConfig)
    """How decisions and the journal go together."""

    def run(self) -> None:
        """Listen and serve until SIGTERM or Ctrl-C."""
        _require_packages()
        from quantum_trader.agents.self_check import self_check
        from quantum_trader.envs.errors import ConfigError
        from quantum_trader.serve.commands.output import say
        from quantum_trader.serve.garbage import set_aside
        from quantum_trader.serve.service.access import read_keys, require_key_beyond_loopback
        from quantum_trader.serve.service.app import create_app
        from quantum_trader.serve.service.log_format import log_to_stderr
        from quantum_trader.serve.service.models import ModelFolders
        from quantum_trader.serve.service.server import Server, listen

        if self.bar_minutes < 1:
            raise ConfigError(f"--bar-minutes: expected at least 1, found {self.bar_minutes}.")
        for folder in filter(None, (str(self.models), self.models_root)):
            if not Path(folder).is_dir():
                raise ConfigError(f"{folder} is no folder: name one that a run has made, e.g. runs/demo.")
        keys = read_keys(self.api_key_file)
        require_key_beyond_loopback(self.host, keys)
        log_to_stderr(self.log_level)
        contracts = self._contracts()
        failures: list[BaseException] = []
        folders = ModelFolders(
            self.models,
            Path(self.models_root) if self.models_root else None,
            load=partial(self._load, contracts=contracts),
            check=self_check,
        )
        journal = self._open_journal()
        server: Server | None = None

        def failed(error: BaseException) -> None:
            failures.append(error)
            if server is not None:
                server.stop()

        try:
            listener = listen(self.host, self.port, backlog=self.max_connections)
            app = create_app(
                None,
                self,
                keys=keys,
                opener=lambda: _open_desk(folders.load(None), journal, self.desk),
                models=folders,
                on_failure=failed,
                on_models=set_aside,
            )
            server = Server(app, self)
            host, port = listener.getsockname()[:2]
            say(f"serving {self.models} on http://{f'[{host}]' if ':' in host else host}:{port}")
            server.serve_on(listener)
        finally:
            if journal is not None:
                journal.close()
        if failures:
            raise failures[0]

    def _contracts(self) -> dict[str, FuturesContract]:
        from quantum_trader.envs.contract_file import read_contract
        from quantum_trader.envs.errors import ConfigError

        found = {}
        for text in self.contracts:
            symbol, _, source = text.rpartition("=")
            if not symbol or not source:
                raise ConfigError(f"--contracts: expected SYMBOL=CONTRACT, found {text!r}.")
            found[symbol] = read_contract(source)
        return found

    def _load(self, folder: Path, *, contracts: Mapping[str, FuturesContract]) -> Arbiter:
        from quantum_trader.agents.arbiter_folder import load_arbiter

        return load_arbiter(
            folder,
            confidence_threshold=self.confidence_threshold,
            strict=self.strict,
            contracts=contracts,
            step_ms=self.bar_minutes * 60_000,
            live=self.live,
        )

    def _open_journal(self) -> Journal | None:
        from quantum_trader.serve.journal.journal import Journal

        return Journal(Path(self.journal)) if self.journal else None


def _open_desk(arbiter: Arbiter, journal: Journal | None, config: DeskConfig) -> Desk:
    """The desk, warmed up with the journal's own bars."""
    import logging

    from quantum_trader.serve.desk import Desk

    desk = Desk(arbiter, journal, config=config)
    found = desk.restore()
    if found:
        logging.getLogger(__name__).info("warmed up %d symbols from the journal", len(found))
    return desk


def _require_packages() -> None:
    from quantum_trader.envs.errors import ConfigError

    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"The service needs {', '.join(missing)}, which is not installed: "
            'pip install "quantum-trader[service]".'
        )
