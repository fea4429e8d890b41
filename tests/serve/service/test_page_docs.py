"""The page /docs: everything in the OpenAPI schema is on it, and nothing in it can do harm."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Path, Query
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from quantum_trader.serve.service.api_docs import docs_router, render_docs
from quantum_trader.serve.service.curl import HERE, curl_line
from quantum_trader.serve.service.schema_words import constraints, example, type_words


class Price(BaseModel):
    """One price.

    With `code` & <markup>.
    """

    at: int = Field(ge=7, description="Moment, `ms`.")
    value: float | None = None
    kind: str = Field("it's", pattern="^[a-z']+$")


class Basket(BaseModel):
    prices: dict[str, list[Price]]
    inner: Basket | None = None


def described() -> FastAPI:
    app = FastAPI(title="<b>Prices</b>", version="9.9", description="First.\n\nSecond.", docs_url=None)

    @app.post("/v1/baskets", summary="Put a basket", responses={409: {"description": "Taken."}})
    def put(basket: Basket) -> Basket:
        """Stores <script>alert(1)</script>."""
        return basket

    @app.get("/v1/baskets/{symbol}")
    def get(
        symbol: Annotated[str, Path(max_length=64)],
        limit: Annotated[int, Query(ge=1, le=50, description="Most rows.")] = 10,
    ) -> list[Price]:
        """Reads."""
        return []

    app.include_router(docs_router())
    return app


@pytest.fixture(scope="module")
def page() -> str:
    with TestClient(described()) as client:
        return client.get("/docs").text


def test_every_endpoint_and_field_is_on_it(page: str) -> None:
    """Paths, methods, parameters, records with all fields, limits, answers."""
    for text in ("POST", "/v1/baskets/{symbol}", "Put a basket", "Most rows.", "at least 1; at most 50"):
        assert text in page
    for name, model in described().openapi()["components"]["schemas"].items():
        assert f'<section class="schema" id="schema-{name}">' in page
        for field in model["properties"]:
            assert f"<code>{field}</code>" in page
    assert "409" in page
    assert "Taken." in page


def test_no_text_of_the_schema_becomes_markup(page: str) -> None:
    """Titles, descriptions and docstrings are escaped; the page has no script at all."""
    assert "<script" not in page
    assert "<b>Prices" not in page
    assert "&lt;b&gt;Prices" in page
    assert "With <code>code</code> &amp; &lt;markup&gt;." in page


def test_every_link_within_the_page_has_its_target(page: str) -> None:
    """Contents and record names lead somewhere, and no two places share a name."""
    names = re.findall(r'\sid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(names)


def test_curl_lines_ask_what_they_say() -> None:
    """A shell splits the line into a request that the service takes, quotes in values included."""
    app = described()
    schema = app.openapi()
    with TestClient(app) as client:
        for path, method, status in (("/v1/baskets", "post", 200), ("/v1/baskets/{symbol}", "get", 200)):
            words = shlex.split(curl_line(schema, path, method, schema["paths"][path][method], HERE))
            address = next(word for word in words if word.startswith(HERE)).removeprefix(HERE)
            body = words[words.index("-d") + 1] if "-d" in words else None
            headers = {"Content-Type": "application/json"} if body else {}
            assert client.request(method, address, content=body, headers=headers).status_code == status
            assert "X-API-Key" not in " ".join(words)


def test_a_secured_operation_shows_where_the_key_goes() -> None:
    """The key comes from the environment, so that it stands in no history of commands."""
    line = curl_line({}, "/v1/x", "get", {"security": [{"ApiKey": []}]}, HERE)
    assert line == f'curl {HERE}/v1/x \\\n  -H "X-API-Key: $QUANTUM_TRADER_API_KEY"'


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("bot.example:8443", "curl http://bot.example:8443/v1"),
        ("[::1]:9000", "http://[::1]:9000/v1"),
        ("x$(rm -rf ~)", "curl http://testserver/v1"),
        ("a'b;c", f"curl {HERE}/v1"),
        ("<script>", "curl http://testserver/v1"),
    ],
)
def test_a_hostile_host_header_reaches_no_shell(host: str, shown: str) -> None:
    """Curl lines name the host asked for where it is one, and loopback otherwise."""
    with TestClient(described()) as client:
        text = client.get("/docs", headers={"Host": host}).text
    assert shown in text
    assert "rm -rf" not in text
    assert "b;c" not in text
    assert "<script>" not in text


def test_a_schema_of_nothing_is_a_page() -> None:
    """An empty document, dangling references and records that hold themselves do not fail."""
    loop: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Loop"}}}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Loop"}}}
    asked = {
        "responses": {"200": {"content": content}},
        "requestBody": {"$ref": "#/components/nowhere/at-all"},
    }
    schema = {"paths": {"/x": {"get": asked}}, "components": {"schemas": {"Loop": loop}}}
    assert "Loop" in render_docs(schema)
    assert render_docs({}).endswith("</html>\n")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "number"}, "number"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number or null"),
        ({"type": ["string", "null"]}, "text or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Bar"}}, "list of Bar"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]}, "list of text, number"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "map of text to true or false"),
        ({"type": "object", "patternProperties": {"^x": {"type": "number"}}}, "map of text to number"),
        ({"enum": ["BUY", "SELL"]}, 'one of "BUY", "SELL"'),
        ({"const": 1}, "1"),
        ({}, "any value"),
    ],
)
def test_types_are_named_in_words(item: dict[str, Any], words: str) -> None:
    """Every kind of schema that pydantic writes has words."""
    assert type_words({}, item) == words


def test_an_example_keeps_the_order_of_the_fields() -> None:
    """Open, high, low, close: not the order of the alphabet, within maps and lists too."""
    bar = {"properties": {"open": {}, "high": {}, "low": {}}}
    many = {"type": "object", "patternProperties": {"^[A-Z]": {"type": "array", "items": bar}}}
    value = {"bars": {"X": [{"high": 2, "low": 1, "open": 1.5}]}}
    model = {"properties": {"bars": many}, "examples": [value]}
    made = example({}, model)
    assert made == value
    assert list(made["bars"]["X"][0]) == ["open", "high", "low"]


def test_limits_and_examples_follow_the_schema() -> None:
    """A stated example wins over the default, the default over a made-up value, and limits are named."""
    assert example({}, {"type": "integer", "default": 5, "examples": [9]}) == 9
    assert example({}, {"type": "integer", "default": 5}) == 5
    assert example({}, {"type": "integer", "minimum": 3}) == 3
    assert example({}, {"type": "string"}, name="symbol") == "BTCUSDT"
    limits = constraints({"minimum": 0, "maxLength": 5, "default": None})
    assert limits == "at least 0; at most 5 characters; default null"
