"""The OpenAPI schema: complete, and kept whatever is sent (schemathesis)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi import FastAPI
from schemathesis.checks import CHECKS

from quantum_trader.serve.service.app import create_app

from .services import SOON_S, FakeModels, model_folder, service, unhurried, warm_desk

EXAMPLES = {"get": 4, "post": 8}


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, each in app.openapi()["paths"].items()
        for method, operation in each.items()
    ]


def test_every_operation_is_described() -> None:
    """A summary, a description, its errors in one schema, and an example of each body."""
    schema = service().openapi()
    for path, method, operation in operations(service()):
        assert operation["summary"], path
        assert operation["description"], path
        assert operation["tags"], path
        for status, response in operation["responses"].items():
            assert response["description"], (path, status)
            if not status.startswith("2"):
                reference = response["content"]["application/json"]["schema"]["$ref"]
                assert reference == "#/components/schemas/ErrorResponse", (path, status)
        if method == "post":
            content = operation["requestBody"]["content"]["application/json"]["schema"]
            names = [content.get("$ref"), *(part.get("$ref") for part in content.get("anyOf", []))]
            name = next(name for name in names if name).rpartition("/")[2]
            assert schema["components"]["schemas"][name]["examples"], name


def test_all_endpoints_are_in_it() -> None:
    """What the documentation names, and nothing hidden but pages."""
    assert {(method, path) for path, method, _ in operations(service())} == {
        ("post", "/v1/decisions"),
        ("post", "/v1/warmup"),
        ("get", "/health"),
        ("get", "/ready"),
        ("get", "/v1/version"),
        ("get", "/v1/config"),
        ("get", "/v1/health"),
        ("get", "/v1/monitor"),
        ("get", "/v1/decisions/{symbol}"),
        ("post", "/v1/models/reload"),
        ("get", "/metrics"),
    }


def test_keys_are_described() -> None:
    """Both headers; probes need none."""
    schema = service().openapi()
    assert set(schema["components"]["securitySchemes"]) == {"ApiKey", "Bearer"}
    assert "security" not in schema["paths"]["/health"]["get"]
    assert {"ApiKey": []} in schema["paths"]["/v1/decisions"]["post"]["security"]


@pytest.fixture
def tested(tmp_path: Path) -> FastAPI:
    """A service with everything in it."""
    models = FakeModels(model_folder(tmp_path / "first", "first"), tmp_path)
    desk = warm_desk("A", journal=tmp_path / "j.db")
    config = unhurried(monitor_cache_s=SOON_S, allowed_hosts=("testserver",))
    return create_app(desk, config, models=models.folders())


NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


@pytest.mark.parametrize("place", [f"{method} {path}" for path, method, _ in operations(service())])
def test_whatever_is_sent_the_schema_is_kept(tested: FastAPI, place: str) -> None:
    """Valid and invalid requests alike: no 5xx, and every answer is one that the schema describes."""
    method, _, path = place.partition(" ")
    schema = schemathesis.openapi.from_asgi("/openapi.json", tested)
    operation = schema[path][method]
    checks = [CHECKS.get_one(name) for name in NAMES]

    @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    @hypothesis.settings(
        max_examples=EXAMPLES[method],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def valid(case: Any) -> None:
        case.call_and_validate(checks=checks)

    @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    @hypothesis.settings(
        max_examples=EXAMPLES[method],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def invalid(case: Any) -> None:
        case.call_and_validate(checks=checks)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        valid()
        if method == "post":
            invalid()
