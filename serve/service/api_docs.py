"""The page /docs: the OpenAPI schema as a page to read, made on the server, without a script."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html import escape

from fastapi import APIRouter, Request, Response

from quantum_trader.serve.service.curl import HERE, body_schema, curl_line, safe_address
from quantum_trader.serve.service.page import PAGE_HEADERS
from quantum_trader.serve.service.schema_words import (
    Schema,
    constraints,
    example,
    required_names,
    resolve,
    type_words,
)

_METHODS = ("get", "post", "put", "patch", "delete")
_HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
    '<link rel="stylesheet" href="static/app.css"><link rel="stylesheet" href="static/docs.css">'
)
_FOOT = '<footer><p><a href="./">Live page</a> · <a href="openapi.json">The same as JSON</a></p></footer>'
_CODE = re.compile(r"`+([^`]+)`+")


def docs_router() -> APIRouter:
    """Route /docs, readable without an API key: it describes the service and holds no figure of it."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/docs", methods=["GET", "HEAD"])
    def docs(request: Request) -> Response:
        page = render_docs(request.app.openapi(), base=str(request.base_url).rstrip("/"))
        headers = {**PAGE_HEADERS, "Cache-Control": "no-cache"}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    return router


def render_docs(schema: Schema, *, base: str = HERE) -> str:
    """The page as text.

    Args:
        schema: an OpenAPI 3.1 document, as `FastAPI.openapi` gives it.
        base: address of the service, for the curl lines.
    """
    title = str(schema.get("info", {}).get("title", "API"))
    base = safe_address(base)
    operations = list(_operations(schema))
    models = dict(sorted(schema.get("components", {}).get("schemas", {}).items()))
    sections = [_operation(schema, path, method, found, base) for path, method, found in operations]
    sections += [_record(schema, name, model) for name, model in models.items()]
    return (
        f"{_HEAD}<title>{escape(title)}: API</title></head>"
        '<body><a class="skip" href="#main">Skip to the endpoints</a><div class="page">'
        f'{_header(schema)}<div class="docs">{_contents(operations, models)}'
        f'<main id="main" tabindex="-1">{"".join(sections)}</main></div>{_FOOT}</div></body></html>\n'
    )


def _header(schema: Schema) -> str:
    info = schema.get("info", {})
    version = f'<p class="subtitle">API, version {escape(str(info.get("version", "")))}</p>'
    title = f'<div class="title"><h1>{escape(str(info.get("title", "API")))}</h1>{version}</div>'
    keys = _key_words(schema)
    words = f'<p class="lead">{keys}</p>' if keys else ""
    return f'<header class="top">{title}</header>{_paragraphs(info.get("description", ""), "lead")}{words}'


def _key_words(schema: Schema) -> str:
    """How a request carries its key."""
    ways = []
    for scheme in schema.get("components", {}).get("securitySchemes", {}).values():
        if scheme.get("type") == "apiKey" and scheme.get("in") == "header":
            ways.append(f"<code>{escape(scheme.get('name', ''))}: KEY</code>")
        elif scheme.get("type") == "http" and scheme.get("scheme") == "bearer":
            ways.append("<code>Authorization: Bearer KEY</code>")
    return f"Where the service wants an API key, send it as {' or as '.join(ways)}." if ways else ""


def _contents(operations: Iterable[tuple[str, str, Schema]], models: Iterable[str]) -> str:
    points = "".join(
        f'<li><a href="#{_anchor(method, path)}"><code>{method.upper()} {escape(path)}</code></a></li>'
        for path, method, _ in operations
    )
    records = "".join(f'<li><a href="#{_anchor("schema", name)}">{escape(name)}</a></li>' for name in models)
    listed = f"<h2>Records</h2><ul>{records}</ul>" if records else ""
    return f'<nav aria-label="Contents"><h2>Endpoints</h2><ul>{points}</ul>{listed}</nav>'


def _operations(schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, item in schema.get("paths", {}).items():
        yield from ((path, method, item[method]) for method in _METHODS if method in item)


def _operation(schema: Schema, path: str, method: str, found: Schema, base: str) -> str:
    summary = found.get("summary", "")
    return (
        f'<section class="operation" id="{_anchor(method, path)}">'
        f'<h2><span class="method {method}">{method.upper()}</span>{escape(path)}</h2>'
        f'<p class="summary">{_inline(summary)}</p>{_paragraphs(found.get("description", ""))}'
        f"{_parameters(schema, found)}{_request(schema, found)}"
        f"<h3>Example</h3>{_code(curl_line(schema, path, method, found, base))}"
        f"{_responses(schema, found)}</section>"
    )


def _parameters(schema: Schema, found: Schema) -> str:
    rows = []
    for parameter in (resolve(schema, item) for item in found.get("parameters", [])):
        inner = parameter.get("schema", {})
        kind = f"{type_words(schema, inner)}, in the {parameter.get('in', 'query')}"
        words = parameter.get("description") or inner.get("description", "")
        rows.append(_field(parameter["name"], kind, inner, words, needed=parameter.get("required", False)))
    return f"<h3>Parameters</h3>{_fields('Parameters', rows)}" if rows else ""


def _request(schema: Schema, found: Schema) -> str:
    model = body_schema(resolve(schema, found.get("requestBody", {})))
    if model is None:
        return ""
    return f"<h3>Body: {_linked(schema, model)}</h3>{_code(_json(example(schema, model)))}"


def _responses(schema: Schema, found: Schema) -> str:
    answers = {status: resolve(schema, item) for status, item in sorted(found.get("responses", {}).items())}
    good = {status: answer for status, answer in answers.items() if not status.startswith(("4", "5"))}
    bad = {status: answer for status, answer in answers.items() if status not in good}
    made = [example(schema, model) for model in map(body_schema, good.values()) if model]
    # An answer that the schema leaves open has no example worth showing.
    shown = _folded("Answer in full", _code(_json(made[0]))) if made and made[0] else ""
    faults = _folded(f"Errors: {', '.join(bad)}", _answers(schema, bad)) if bad else ""
    return f"<h3>Answers</h3>{_answers(schema, good)}{shown}{faults}" if answers else ""


def _answers(schema: Schema, answers: dict[str, Schema]) -> str:
    rows = []
    for status, answer in answers.items():
        model = body_schema(answer)
        kind = _linked(schema, model) if model else escape(", ".join(answer.get("content", {}))) or "no body"
        words = _inline(answer.get("description", ""))
        rows.append(
            f'<tr><th scope="row">{escape(status)}</th><td class="type">{kind}</td><td>{words}</td></tr>'
        )
    return _table("Answers", ("Status", "Body", "Meaning"), rows)


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def _record(schema: Schema, name: str, model: Schema) -> str:
    needed = required_names(model)
    rows = [
        _field(field, type_words(schema, inner), inner, inner.get("description", ""), needed=field in needed)
        for field, inner in model.get("properties", {}).items()
    ]
    fields = _fields(f"Fields of {name}", rows) if rows else f"<p>{escape(type_words(schema, model))}</p>"
    return (
        f'<section class="schema" id="{_anchor("schema", name)}"><h2>{escape(name)}</h2>'
        f"{_paragraphs(model.get('description', ''))}{fields}</section>"
    )


def _linked(schema: Schema, model: Schema) -> str:
    """The name of a record as a link to it, or its type in words."""
    name = model.get("$ref", "").rpartition("/")[2]
    words = escape(name or type_words(schema, model))
    return f'<a href="#{_anchor("schema", name)}">{words}</a>' if name else words


def _field(name: str, kind: str, inner: Schema, words: str, *, needed: bool) -> str:
    mark = "" if needed else '<span class="ci">may be left out</span>'
    limits = constraints(inner)
    more = f'<span class="ci">{escape(limits)}</span>' if limits else ""
    return (
        f'<tr><th scope="row"><code>{escape(name)}</code>{mark}</th>'
        f'<td class="type">{escape(kind)}</td><td>{_inline(words)}{more}</td></tr>'
    )


def _fields(label: str, rows: Iterable[str]) -> str:
    return _table(label, ("Name", "Type", "Meaning"), rows)


def _table(label: str, names: tuple[str, str, str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        f'<div class="scroll"><table aria-label="{escape(label, quote=True)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _code(text: str) -> str:
    # It scrolls by itself, so the keyboard has to reach it.
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _paragraphs(text: str, style: str = "") -> str:
    name = f' class="{style}"' if style else ""
    parts = (part for part in re.split(r"\n\s*\n", text.strip()) if part)
    return "".join(f"<p{name}>{_inline(part)}</p>" for part in parts)


def _inline(text: str) -> str:
    """Escaped text; what stands in backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(" ".join(text.split())))


def _anchor(kind: str, name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", f"{kind}-{name}").strip("-")
