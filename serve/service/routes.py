"""The endpoints: each takes what the schemas let through and answers what they promise."""

from __future__ import annotations

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from quantum_trader.evaluate.records import to_json
from quantum_trader.serve.journal.reader import JournalReader
from quantum_trader.serve.service.answers import decision_json, row_json
from quantum_trader.serve.service.condensed import health_json, report_json
from quantum_trader.serve.service.errors import ServiceError, json_body, stopping
from quantum_trader.serve.service.metrics import Metrics
from quantum_trader.serve.service.runtime import Runtime
from quantum_trader.serve.service.schemas import (
    SYMBOL_PATTERN,
    DecisionsRequest,
    DecisionsResponse,
    ErrorResponse,
    HistoryResponse,
    ReloadRequest,
    ReloadResponse,
    StatusResponse,
    WarmupRequest,
    WarmupResponse,
)
from quantum_trader.serve.service.strict_json import StrictRoute

if TYPE_CHECKING:
    from quantum_trader.serve.desk import Desk

PACKAGES = ("quantum-trader", "fastapi", "numpy", "torch", "uvicorn", "xgboost")

_MEANINGS = {
    400: "The request is no JSON, or no HTTP that makes sense.",
    401: "A valid API key is needed.",
    403: "The Host or Origin header is not one of this service's.",
    404: "There is nothing of that name.",
    408: "The request's body came too slowly.",
    409: "The models stay as they are.",
    413: "The body is too large.",
    415: "The body is compressed.",
    422: "A field is missing, unknown, or not as described.",
    429: "Too many requests; Retry-After says how long to wait.",
    500: "A fault of the service, described in its log under the answer's X-Request-ID.",
    503: "Not now: still loading, overloaded, or shutting down; Retry-After says how long to wait.",
}
_ALWAYS = (401, 403, 413, 422, 429, 500, 503)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": ErrorResponse, "description": _MEANINGS[status]}
        for status in sorted({*statuses, *_ALWAYS})
    }


def create_router(runtime: Runtime) -> APIRouter:
    """All endpoints that answer data."""
    router = APIRouter(route_class=StrictRoute)
    _add_decisions(router, runtime)
    _add_state(router, runtime)
    _add_reports(router, runtime)
    _add_models(router, runtime)
    return router


def _add_decisions(router: APIRouter, runtime: Runtime) -> None:
    @router.post(
        "/v1/decisions",
        tags=["decisions"],
        summary="Decide on one closed bar per symbol",
        response_model=DecisionsResponse,
        responses=_errors(400, 408, 415),
    )
    async def decide(
        request: DecisionsRequest,
        explain: Annotated[bool, Query(description="With attention and importances.")] = False,
    ) -> Response:
        """Each bar joins its symbol's history and is decided on. Send every bar once, when it has closed.

        A bar that is malformed, a duplicate, out of order, still open or from the future is answered HOLD
        with the reason, and changes nothing. The answer comes when the journal has the decision on disk
        (`journaled`), or says why it has not (`fault`).
        """
        runtime.desk  # noqa: B018  # not ready is said before anything is queued
        most = runtime.config.max_symbols
        if len(request.bars) > most:
            raise _too_many(f"{len(request.bars)} symbols in one request; at most {most} are taken.")
        answers = await runtime.rounds.ask({symbol: bar.bar() for symbol, bar in request.bars.items()})
        decisions = {
            symbol: decision_json(
                answers[symbol].decision,
                journaled=answers[symbol].journaled,
                fault=answers[symbol].fault,
                explain=explain,
            )
            for symbol in request.bars
        }
        return _json({"decisions": decisions})

    @router.post(
        "/v1/warmup",
        tags=["decisions"],
        summary="Give past bars without asking for decisions",
        response_model=WarmupResponse,
        responses=_errors(400, 408, 415),
    )
    async def warmup(request: WarmupRequest) -> Response:
        """60 bars fill a symbol's window; about 1,000 settle its slowest indicators.

        Bars are taken in order up to the first that is malformed, which is answered 422.
        """
        desk = runtime.desk
        count = sum(len(bars) for bars in request.bars.values())
        if len(request.bars) > runtime.config.max_symbols or count > runtime.config.max_warmup_bars:
            raise _too_many(
                f"{count} bars of {len(request.bars)} symbols in one request; at most "
                f"{runtime.config.max_warmup_bars} bars of {runtime.config.max_symbols} symbols are taken."
            )
        found = await runtime.warming.run(_warmed, desk, request)
        return _json({"bars_in_window": to_json(found)})


def _add_state(router: APIRouter, runtime: Runtime) -> None:
    @router.get(
        "/health",
        tags=["state"],
        summary="Whether the process is alive",
        response_model=StatusResponse,
        responses=_errors(),
    )
    async def alive() -> Response:
        """Always 200 while the service can answer at all; needs no key."""
        return _json({"status": "alive"})

    @router.get(
        "/ready",
        tags=["state"],
        summary="Whether decisions can be asked for",
        response_model=StatusResponse,
        responses=_errors(),
    )
    async def ready() -> Response:
        """503 until the models are loaded and have passed their self-check; needs no key."""
        runtime.desk  # noqa: B018
        if runtime.stopping:
            raise stopping()
        return _json({"status": "ready"})

    @router.get(
        "/v1/version",
        tags=["state"],
        summary="Versions of the software and the models",
        response_model=dict[str, Any],
        responses=_errors(),
    )
    async def versions() -> Response:
        """What runs here."""
        arbiter = runtime.desk.arbiter
        packages = {name: _version(name) for name in PACKAGES}
        return _json(
            {
                "version": packages["quantum-trader"],
                "python": platform.python_version(),
                "packages": packages,
                "model": runtime.model,
                "model_hash": arbiter.model_hash,
                "started_ms": int(runtime.started_s * 1000),
            }
        )

    @router.get(
        "/v1/config",
        tags=["state"],
        summary="Limits of the service and settings of the Arbiter",
        response_model=dict[str, Any],
        responses=_errors(),
    )
    async def config() -> Response:
        """Without secrets."""
        settings = runtime.desk.arbiter.settings
        return _json({"service": to_json(runtime.config), "arbiter": to_json(settings)})

    @router.get(
        "/v1/health",
        tags=["state"],
        summary="How models, histories and journal do",
        response_model=dict[str, Any],
        responses=_errors(),
    )
    async def health(
        stale: Annotated[int | None, Query(ge=0, description="Most stale symbols named; else all.")] = None,
    ) -> Response:
        """The Arbiter's `status` ("ok", "degraded", "failing") with its problems, members and drift."""
        desk = runtime.desk
        found = health_json(await runtime.reading.run(desk.arbiter.health), stale=stale)
        journal = desk.journal
        state = await runtime.reading.run(journal.state) if journal is not None else None
        found["journal"] = to_json(state)
        found["model"] = runtime.model
        found["uptime_s"] = round(time.time() - runtime.started_s, 3)
        found["waiting_bars"] = runtime.rounds.waiting
        return _json(found)

    @router.get(
        "/metrics",
        tags=["state"],
        summary="Numbers for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_errors()},
    )
    async def metrics() -> Response:
        """In Prometheus' text format; answers while models load, too."""
        text = await runtime.reporting.run(runtime.metrics.text)
        return Response(text, headers={"content-type": Metrics.content_type})


def _add_reports(router: APIRouter, runtime: Runtime) -> None:
    @router.get(
        "/v1/monitor",
        tags=["reports"],
        summary="How the decisions turned out",
        response_model=dict[str, Any],
        responses=_errors(404),
    )
    async def report(
        hours: Annotated[
            float | None,
            Query(gt=0, le=1_000_000, allow_inf_nan=False, description="Last hours only; else everything."),
        ] = None,
        latest: Annotated[
            int | None, Query(ge=0, description="Most symbols in `latest`, newest decisions first; else all.")
        ] = None,
    ) -> Response:
        """Win rate, shares, calibration, comparison with XGBoost and alerts, from the journal."""
        return _json(await runtime.reporting.run(_report, runtime, hours, latest))

    @router.get(
        "/v1/decisions/{symbol:path}",
        tags=["reports"],
        summary="Past decisions of a symbol, newest first",
        response_model=HistoryResponse,
        responses=_errors(404),
    )
    async def history(
        symbol: Annotated[str, Path(pattern=SYMBOL_PATTERN, max_length=64)],
        limit: Annotated[int, Query(ge=1, le=1_000, description="Most decisions.")] = 100,
    ) -> Response:
        """From the journal, with outcomes where the horizon has passed; empty for an unknown symbol."""
        rows = await runtime.reading.run(_rows, runtime.journal.reader, symbol, limit)
        return _json({"symbol": symbol, "decisions": rows})


def _add_models(router: APIRouter, runtime: Runtime) -> None:
    @router.post(
        "/v1/models/reload",
        tags=["models"],
        summary="Load models without a pause",
        response_model=ReloadResponse,
        responses=_errors(400, 404, 408, 409, 415),
    )
    async def reload(request: ReloadRequest | None = None) -> Response:
        """The models in use go on until the new ones have passed a self-check; histories are kept.

        409 says why they stay: the new ones are damaged, do not pass, or others are being loaded already.
        """
        name = request.model if request is not None else None
        started = time.perf_counter()
        before, now = await runtime.loading.run(runtime.reload, name)
        return _json(
            {
                "model": name,
                "model_hash": now,
                "previous_model_hash": before,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )


def _warmed(desk: Desk, request: WarmupRequest) -> dict[str, int]:
    """In a thread: thousands of bars would hold up the event loop."""
    return desk.warmup({symbol: [bar.bar() for bar in each] for symbol, each in request.bars.items()})


def _rows(reader: JournalReader, symbol: str, limit: int) -> list[dict[str, Any]]:
    return [row_json(row) for row in reader.rows(symbols=[symbol], limit=limit, newest_first=True)]


def _report(runtime: Runtime, hours: float | None, latest: int | None) -> dict[str, Any]:
    """In a thread: a report of thousands of symbols would hold up the event loop."""
    return report_json(runtime.report(hours), runtime.monitor_config(), latest=latest)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _too_many(message: str) -> ServiceError:
    return ServiceError(status=422, code="too_many", message=message)


def _json(value: Any) -> Response:
    return Response(json_body(value), media_type="application/json")
