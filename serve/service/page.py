"""The live page: a handful of files that the browser gets from this service and from nowhere else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Request, Response

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of every page: no script but the service's own, no address but its own."""
PAGE_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Headers that go with every page and every file of one."""

_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_START = "index.html"
STATIC_FILES = {
    "app.css": _STYLE,
    "app.js": _SCRIPT,
    "charts.js": _SCRIPT,
    "client.js": _SCRIPT,
    "decisions.js": _SCRIPT,
    "docs.css": _STYLE,
    "dom.js": _SCRIPT,
    "format.js": _SCRIPT,
    "health.js": _SCRIPT,
    "keep.js": _SCRIPT,
    "plot.js": _SCRIPT,
    "report.js": _SCRIPT,
    "tables.js": _SCRIPT,
    "words.js": _SCRIPT,
}
"""Names served below /static with their media type; whatever else is asked for does not exist."""


@dataclass(frozen=True, kw_only=True)
class StaticFile:
    """One file of the package as it is sent."""

    body: bytes
    media_type: str
    tag: str
    """Its entity tag: another content has another tag."""


def page_router() -> APIRouter:
    """Routes / and /static/NAME, readable without an API key: they hold no figure of this service."""
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    def page(request: Request) -> Response:
        return _answer(request, _START)

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    def static(request: Request, name: str) -> Response:
        if name not in STATIC_FILES:
            raise HTTPException(404, f"/static/{name[:80]} does not exist.")
        return _answer(request, name)

    return router


@cache
def static_file(name: str) -> StaticFile:
    """The start page or one of `STATIC_FILES`, read once from the installed package."""
    body = files("quantum_trader.serve.service").joinpath("static", name).read_bytes()
    media_type = STATIC_FILES.get(name, "text/html; charset=utf-8")
    return StaticFile(body=body, media_type=media_type, tag=f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _answer(request: Request, name: str) -> Response:
    found = static_file(name)
    # Browsers keep the files but ask each time whether they still hold: after an upgrade no page runs with
    # scripts of two versions.
    headers = {**PAGE_HEADERS, "Cache-Control": "no-cache", "ETag": found.tag}
    asked = request.headers.get("if-none-match", "")
    if found.tag in (tag.strip().removeprefix("W/") for tag in asked.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)
