"""`Runtime`: what the endpoints share, from the first moment, when no model is loaded, to the last."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from quantum_trader.envs.bars import Bar
from quantum_trader.envs.errors import QuantumTraderError
from quantum_trader.serve.monitor.config import MonitorConfig
from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.errors import ServiceError
from quantum_trader.serve.service.metrics import Metrics, Snapshot
from quantum_trader.serve.service.models import ModelFolders, refuse_loss
from quantum_trader.serve.service.reports import Reports
from quantum_trader.serve.service.rounds import Rounds
from quantum_trader.serve.service.side_pool import SidePool

if TYPE_CHECKING:
    from quantum_trader.serve.desk import Answer, Desk
    from quantum_trader.serve.journal.journal import Journal
    from quantum_trader.serve.monitor.records import MonitorReport

_log = logging.getLogger(__name__)

Opener = Callable[[], "Desk"]


class Runtime:
    """Holds the desk and the threads that work for it.

    Args:
        config: limits.
        desk: ready for decisions; None while `opener` still has to make it.
        opener: makes the desk in a background thread, see `start`.
        models: what may be loaded in place of the present models; None where nothing may.
        on_failure: told when `opener` fails: a service that can never decide should not look alive.
        on_models: called, in the thread that has loaded them, when models have been taken into use.
    """

    def __init__(
        self,
        config: ServiceConfig,
        desk: Desk | None,
        *,
        opener: Opener | None = None,
        models: ModelFolders | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
        on_models: Callable[[], None] | None = None,
    ) -> None:
        self.config = config
        self.started_s = time.time()
        self.metrics = Metrics()
        self.rounds: Rounds[Answer] = Rounds(
            self._decide,
            workers=config.workers,
            round_symbols=config.round_symbols,
            max_waiting=config.max_waiting_bars,
        )
        self.reports = Reports(cache_s=config.monitor_cache_s)
        self.reading = SidePool(threads=2, most=32, name="read")
        # Apart from the rest: reports of a long journal take seconds, and /v1/health must not wait for them.
        self.reporting = SidePool(threads=2, most=32, name="report")
        self.warming = SidePool(threads=1, most=8, name="warmup")
        self.loading = SidePool(threads=2, most=4, name="reload")
        self.model: str | None = None
        """Name of the models in use below the models root; None for the first folder."""
        self.stopping = False
        self._desk, self._opener, self._models, self._on_failure = desk, opener, models, on_failure
        self._on_models = on_models or (lambda: None)
        self._loading, self._waits_to_reload = threading.Lock(), threading.Lock()
        self._threads: list[threading.Thread] = []
        self.metrics.read_from(self._snapshot)

    @property
    def desk(self) -> Desk:
        """The desk.

        Raises:
            ServiceError: 503, models are still being loaded.
        """
        if self._desk is None:
            raise ServiceError(
                status=503,
                code="not_ready",
                message="The models are still being loaded and checked: ask /ready.",
                headers={"retry-after": "2"},
            )
        return self._desk

    def start(self) -> None:
        """Begin to load models, if that is still to be done; returns at once."""
        if self._desk is None and self._opener is not None:
            self._start(self._open)

    def close(self) -> None:
        """Finish what is under way, then the journal; call it when no request is left."""
        self.stopping = True
        # Loading that was begun is waited for: a thread inside a library at exit brings the process down.
        for thread in self._threads:
            thread.join()
        self.rounds.close()
        self.reading.close()
        self.reporting.close()
        self.warming.close()
        self.loading.close()
        if self._desk is not None:
            self._desk.close()

    async def finish(self) -> None:
        """`close`, without holding up the event loop."""
        self.stopping = True
        await asyncio.to_thread(self.close)

    @property
    def journal(self) -> Journal:
        """The journal.

        Raises:
            ServiceError: 404, there is none; 503, models are still being loaded.
        """
        journal = self.desk.journal
        if journal is None:
            message = "This service keeps no journal: start it with --journal FILE."
            raise ServiceError(status=404, code="no_journal", message=message)
        return journal

    def report(self, hours: float | None) -> MonitorReport:
        """The monitor's report over the last `hours`; blocking."""
        return self.reports.report(self.journal, self.monitor_config(), hours)

    def reload(self, name: str | None) -> tuple[str, str]:
        """Load, check and swap; the old models serve until then. Blocking, takes seconds.

        Returns:
            Hashes of the models in use before and now.

        Raises:
            ServiceError: 404 for an unknown name; 409 where models are being loaded already, cannot be
                loaded, or do not pass. The old models then go on.
        """
        if not self._loading.acquire(blocking=False):
            raise ServiceError(
                status=409,
                code="reload_in_progress",
                message="Models are being loaded already: wait for that.",
            )
        try:
            return self._reload(name)
        finally:
            self._loading.release()

    def reload_in_background(self) -> None:
        """Read the models in use again, as at SIGHUP; what comes of it is logged.

        Models that are being loaded at the moment may have been read before the folder changed, so that
        another reload follows.
        """
        if self._waits_to_reload.acquire(blocking=False):
            self._start(self._reload_quietly)

    def _reload_quietly(self) -> None:
        with self._loading:
            self._waits_to_reload.release()
            if self.stopping:
                return
            try:
                self._reload(self.model)
            except ServiceError as error:
                _log.warning("reload: %s", error)

    def _reload(self, name: str | None) -> tuple[str, str]:
        """`reload`, for who may load."""
        before, now = self._exchange(name)
        self.metrics.reload(succeeded=True)
        self._on_models()
        _log.info("models reloaded: %s in place of %s", now, before)
        return before, now

    def _exchange(self, name: str | None) -> tuple[str, str]:
        """Nothing refers to the old models when this is over, so that their memory can be freed."""
        if self._models is None:
            raise ServiceError(status=409, code="reload_failed", message="This service cannot load models.")
        try:
            desk, old = self.desk, self.desk.arbiter
            new = self._models.load(name)
            refuse_loss(new, old)
            desk.swap(new)
        except ServiceError:
            raise
        except QuantumTraderError as error:
            self.metrics.reload(succeeded=False)
            _log.warning("reload refused, the old models go on: %s", error)
            raise ServiceError(status=409, code="reload_failed", message=str(error)) from error
        except Exception as error:
            # Damaged files raise whatever the library that reads them likes.
            self.metrics.reload(succeeded=False)
            _log.exception("reload failed, the old models go on")
            message = f"The models cannot be loaded ({type(error).__name__}); the old ones go on."
            raise ServiceError(status=409, code="reload_failed", message=message) from error
        self.model = name
        return old.model_hash, new.model_hash

    def _start(self, work: Callable[[], None]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=work, name="load", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _open(self) -> None:
        assert self._opener is not None
        with self._loading:
            try:
                desk = self._opener()
                self._on_models()
                self._desk = desk
            except BaseException as error:
                if self.stopping:
                    return
                if self._on_failure is None:
                    raise
                self._on_failure(error)
                return
        _log.info("ready: models %s, %d symbols", self._desk.arbiter.model_hash, self.symbols)

    @property
    def symbols(self) -> int:
        """Symbols with a history."""
        return len(self.desk.arbiter.histories.symbols())

    def _decide(self, bars: Mapping[str, Bar]) -> Mapping[str, Answer]:
        started = time.perf_counter()
        answers = self.desk.decide(bars)
        seconds = time.perf_counter() - started
        self.metrics.round(((found.decision, found.journaled) for found in answers.values()), seconds)
        return answers

    def monitor_config(self) -> MonitorConfig:
        """What reports take for normal."""
        return MonitorConfig(full_pool="+".join(self.desk.arbiter.settings.pool))

    def _snapshot(self) -> Snapshot:
        if self._desk is None:
            return Snapshot(health=None, journal=None, alerts=(), waiting=0)
        journal = self._desk.journal
        return Snapshot(
            health=self._desk.arbiter.health(),
            journal=journal.state() if journal is not None else None,
            alerts=self.reports.alerts(journal, self.monitor_config()) if journal is not None else (),
            waiting=self.rounds.waiting,
        )
