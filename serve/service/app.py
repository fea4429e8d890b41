"""`create_app`: the service as an ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from quantum_trader.envs.errors import QuantumTraderError
from quantum_trader.serve.service.access import ApiKeys
from quantum_trader.serve.service.api_docs import docs_router
from quantum_trader.serve.service.config import ServiceConfig
from quantum_trader.serve.service.errors import CODES, ServiceError, error_body
from quantum_trader.serve.service.guard import OPEN_PATHS, Guard
from quantum_trader.serve.service.models import ModelFolders
from quantum_trader.serve.service.page import page_router
from quantum_trader.serve.service.routes import create_router
from quantum_trader.serve.service.runtime import Opener, Runtime
from quantum_trader.serve.service.sentences import sentence

if TYPE_CHECKING:
    from quantum_trader.serve.desk import Desk

DESCRIPTION = """BUY, SELL or HOLD for every closed bar, from the Arbiter of a trained run.

Give each symbol its past bars once (`POST /v1/warmup`), then send every bar when it has closed
(`POST /v1/decisions`). The service holds no position and sends no order.
"""

_log = logging.getLogger(__name__)


def create_app(
    desk: Desk | None,
    config: ServiceConfig | None = None,
    *,
    keys: Iterable[str] | ApiKeys = (),
    opener: Opener | None = None,
    models: ModelFolders | None = None,
    on_failure: Callable[[BaseException], None] | None = None,
    on_models: Callable[[], None] | None = None,
) -> FastAPI:
    """The service around a desk.

    Args:
        desk: ready for decisions; None where `opener` makes it.
        config: limits; None takes the defaults.
        keys: API keys, one of which every request for data must carry; none lets everybody in.
        opener: makes the desk in a background thread once the application starts.
        models: what POST /v1/models/reload may load.
        on_failure: told when `opener` fails.
        on_models: called when `opener` has made the desk, and after every reload.

    Returns:
        The application; `app.state.runtime` is its `Runtime`. At its shutdown the desk is closed.

    Raises:
        ConfigError: a key is too short.
    """
    config = config or ServiceConfig()
    runtime = Runtime(config, desk, opener=opener, models=models, on_failure=on_failure, on_models=on_models)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        runtime.start()
        yield
        await runtime.finish()

    app = FastAPI(
        title="quantum-trader",
        version=version("quantum-trader"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.runtime = runtime
    app.include_router(create_router(runtime))
    app.include_router(page_router())
    app.include_router(docs_router())
    _answer_errors(app)
    api_keys = keys if isinstance(keys, ApiKeys) else ApiKeys(keys)
    _describe_keys(app)
    app.add_middleware(Guard, config=config, keys=api_keys, metrics=runtime.metrics)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every exception as an answer in the error schema."""

    @app.exception_handler(ServiceError)
    async def known(_: Request, error: ServiceError) -> Response:
        return _error(error.status, error.code, error.message, error.headers)

    @app.exception_handler(QuantumTraderError)
    async def bad_input(_: Request, error: QuantumTraderError) -> Response:
        return _error(422, "invalid", str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if found and found[0].get("type") == "json_invalid":
            return _error(400, "bad_request", "The body is not valid JSON.")
        return _error(422, "invalid", sentence(found))

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, "error")
        headers = dict(error.headers or {})
        return _error(error.status_code, code, _words(error), headers)


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(
        error_body(code, message), status_code=status, headers=headers, media_type="application/json"
    )


def _words(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is nothing at this address: see /docs."
    if error.status_code == 405:
        return "This address does not take that method: see /docs."
    if error.status_code == 400:
        return "The body cannot be read: send JSON of ordinary size and depth."
    return str(error.detail)


def _describe_keys(app: FastAPI) -> None:
    """Put both ways of sending a key into the OpenAPI schema."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        schema = original()
        schema.setdefault("components", {})["securitySchemes"] = {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
        }
        for path, operations in schema.get("paths", {}).items():
            for operation in operations.values():
                if path not in OPEN_PATHS:
                    # The empty one: without a key set, none is needed.
                    operation["security"] = [{"ApiKey": []}, {"Bearer": []}, {}]
        return schema

    app.openapi = openapi  # type: ignore[method-assign]
